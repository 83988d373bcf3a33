"""Queries over many rows at once: one statement for all, instead of one for each.

In its .sql file such a query names the columns of the rows that are handed over, and reads them as a table `rows`::

-- name: end_alerts
-- rows: task_uid TEXT, now BIGINT
-- A sentence.
UPDATE alert_states SET end_time = rows.now FROM rows WHERE alert_states.task_uid = rows.task_uid

SQLite takes the rows as VALUES, and a value that all of them share only once: binding a value costs as much as writing
it. PostgreSQL takes one array for each column.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, TypeAlias, overload

Column: TypeAlias = Sequence[Any]
Form: TypeAlias = tuple[int, ...]
"""The columns, by their places, that all rows have alike; never the first one."""

TYPES = frozenset({"TEXT", "BIGINT", "SMALLINT", "FLOAT"})
TOGETHER = (64, 16, 12, 8, 7, 6, 5, 4, 3, 2, 1)
"""The numbers of rows that statements on SQLite have: few different texts, each prepared once.

A few rows cost little more than one: so there is a text for each such number. More than 64 in one were no quicker: a
statement's own cost is spread over enough of them then.
"""
WORTH_A_FORM = 16
"""Rows of the smallest set that has a form of its own: of a few rows anything may be alike, and forms are prepared."""
FORMS = 8
"""Forms of one query on SQLite that are known at a time: each is a text of its own, too, that is prepared and kept."""

_COLUMN = re.compile(r'"?(?P<name>[a-z_]+)"? (?P<type>[A-Z]+)')
_NOTES = re.compile(r"/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)
_READS = re.compile(r"\s*SELECT\b|.*\bRETURNING\b", re.DOTALL)


class Table(Sequence[Mapping[str, Any]]):
    """Rows that are made column by column: a value that all of them share is made once."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        """Take columns of one length, by their names."""
        self.columns = columns

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(next(iter(self.columns.values())))

    @overload
    def __getitem__(self, place: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> "Table": ...
    def __getitem__(self, place: int | slice) -> "Mapping[str, Any] | Table":
        """Return a row by its place, or some of them."""
        picked = {name: column[place] for name, column in self.columns.items()}
        return Table(picked) if isinstance(place, slice) else picked


@dataclass(frozen=True, slots=True, eq=False)
class SetQuery:
    """A statement over rows. It answers with what it selects or returns; else with one row, the ``count`` it wrote."""

    text: str
    columns: tuple[tuple[str, str], ...]
    """Names and types."""
    answers: bool
    """Whether it selects or returns."""
    _values: Callable[[Mapping[str, Any]], Any] = field(repr=False)
    _forms: set[Form] = field(default_factory=set, repr=False)

    def by_column(self, rows: Sequence[Mapping[str, Any]]) -> list[Column]:
        """Return the values of each column."""
        if isinstance(rows, Table):
            return [rows.columns[name] for name, _ in self.columns]
        picked = map(self._values, rows)
        return [list(picked)] if len(self.columns) == 1 else list(zip(*picked, strict=True))

    def form(self, columns: Sequence[Column]) -> Form:
        """Return the columns to bind once for all rows: the columns with one value, as far as a known form has them.

        If no known form fits, the query is used for other rows than before, and its known forms are dropped.
        """
        alike = tuple(place for place, column in enumerate(columns) if place and _is_alike(column))
        known = list(self._forms)  # at one moment: other threads read, too
        suited = [form for form in known if set(form) <= set(alike)]
        if alike in suited or (suited and len(known) >= FORMS):
            return max(suited, key=len)
        if len(known) >= FORMS:
            self._forms.clear()
        self._forms.add(alike)
        return alike


def set_query(name: str, declared: str, text: str) -> SetQuery:
    """Return a query of a .sql file, checked.

    Raises:
        ValueError: if its columns are not declared as ``name TYPE``, one is not used, or it does not read ``rows``.
    """
    columns = []
    for part in declared.split(","):
        found = _COLUMN.fullmatch(part.strip())
        if found is None or found["type"] not in TYPES:
            raise ValueError(f"{name}: {part.strip()!r} is not a column of rows: name TYPE")
        columns.append((found["name"], found["type"]))
    code = _NOTES.sub(" ", text)
    unused = [column for column, _ in columns if not re.search(rf"\b{column}\b", text)]
    if unused:
        raise ValueError(f"{name}: the column {unused[0]} of its rows is not used")
    if not re.search(r"\b(FROM|JOIN) rows\b", code):
        raise ValueError(f"{name}: does not read its rows")
    return SetQuery(text, tuple(columns), bool(_READS.match(code)), itemgetter(*(column for column, _ in columns)))


def for_sqlite(query: SetQuery, rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[Any]]]:
    """Return the statements for rows, each for a portion of them, and the values that each takes."""
    columns = query.by_column(rows)
    form = query.form(columns) if len(rows) >= WORTH_A_FORM else ()
    once = [columns[place][0] for place in form]
    of_each = [column for place, column in enumerate(columns) if place not in form]
    for portion in portions(of_each):
        yield sqlite_text(query, len(portion[0]), form), [*once, *chain.from_iterable(zip(*portion, strict=True))]


def portions(columns: Sequence[Column]) -> Iterator[Sequence[Column]]:
    """Cut the columns of rows into portions of few different lengths."""
    at, count = 0, len(columns[0]) if columns else 0
    for size in TOGETHER:
        while count - at >= size:
            yield columns if size == count else [column[at : at + size] for column in columns]
            at += size


@lru_cache(maxsize=1024)
def sqlite_text(query: SetQuery, count: int, form: Form = ()) -> str:
    """Return the statement for ``count`` rows: it takes values that all share, in the columns' order, then the others.

    All are ``?``. Python 3.14 refuses ``?1`` with a sequence of values, and 3.12 warns of it.
    """
    names = ", ".join(f'"{name}"' for name, _ in query.columns)
    row = f"({', '.join('?' * (len(query.columns) - len(form)))})"
    values = f"VALUES {', '.join([row] * count)}"
    if form:
        each = (f"column{number}" for number in range(1, len(query.columns) + 1))
        chosen = ["?" if place in form else next(each) for place in range(len(query.columns))]
        # With a limit it stays a table of its own: no search begins with what is alike.
        values = f"SELECT {', '.join(chosen)} FROM ({values}) AS given LIMIT -1"  # noqa: S608 (of a .sql file)
    return f"WITH rows ({names}) AS ({values})\n{query.text}"


def _is_alike(column: Column) -> bool:
    """Return whether all values of a column are the same; 1, 1.0 and True are equal, but not the same."""
    first = column[0]
    if column.count(first) < len(column):
        return False
    return first is None or isinstance(first, str) or set(map(type, column)) == {int}


@lru_cache(maxsize=512)
def for_postgresql(query: SetQuery) -> str:
    """Return the statement for any number of rows, with ``$1`` for the array of each column."""
    if query.answers:
        return f"{_with_rows(query, 1)}\n{query.text}"
    return f"{_with_rows(query, 1)}, written AS ({query.text} RETURNING 1) SELECT count(*) AS count FROM written"  # noqa: S608


@lru_cache(maxsize=512)
def together_for_postgresql(queries: tuple[SetQuery, ...], *, whole: bool, more: str = "") -> str:
    """Return one statement of several queries, with ``$1`` for the array of the first one's first column, and so on.

    Its rows are described in `Together`; ``more`` selects further ones.
    """
    parts, answers, before = [], [], 1
    for number, query in enumerate(queries):
        rows = _with_rows(query, before)
        before += len(query.columns)
        if whole and number == 0:
            parts.append(f"query_0 AS ({rows}\n{query.text})")
        elif query.answers:
            parts.append(f"query_{number} (answer) AS ({rows}\n{query.text})")
            answers.append(f"SELECT {number} AS number, answer FROM query_{number}")  # noqa: S608
        else:
            parts.append(f"query_{number} AS ({rows}\n{query.text} RETURNING 1)")
            answers.append(f"SELECT {number} AS number, count(*)::text AS answer FROM query_{number}")  # noqa: S608
    answers += [more] if more else []
    union = " UNION ALL ".join(answers)
    if whole:
        union = (
            "SELECT query_0.*, 0 AS number, NULL AS answer FROM query_0 UNION ALL "  # noqa: S608
            f"SELECT query_0.*, answered.* FROM ({union}) answered LEFT JOIN query_0 ON false"
        )
    return f"WITH {', '.join(parts)}\n{union}"


def _with_rows(query: SetQuery, first: int) -> str:
    names = ", ".join(f'"{name}"' for name, _ in query.columns)
    arrays = ", ".join(f"${number}::{kind}[]" for number, (_, kind) in enumerate(query.columns, first))
    return f"WITH rows ({names}) AS (SELECT * FROM unnest({arrays}))"  # noqa: S608 (of a .sql file)
