"""Queries over many rows at once: one statement for all, instead of one for each.

In its .sql file such a query names the columns of the rows that are handed over, and reads them as a table `rows`::

-- name: end_alerts
-- rows: task_uid TEXT, now BIGINT
-- A sentence.
UPDATE alert_states SET end_time = rows.now FROM rows WHERE alert_states.task_uid = rows.task_uid

SQLite takes the rows as VALUES, PostgreSQL as one array for each column.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any

TYPES = frozenset({"TEXT", "BIGINT", "SMALLINT"})
TOGETHER = (64, 8, 1)
"""So many rows has a statement on SQLite: few different texts, each of them prepared once.

More than 64 in one were no quicker: a statement's own cost is spread over enough of them then.
"""

_COLUMN = re.compile(r'"?(?P<name>[a-z_]+)"? (?P<type>[A-Z]+)')
_NOTES = re.compile(r"/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)
_READS = re.compile(r"\s*SELECT\b|.*\bRETURNING\b", re.DOTALL)


@dataclass(frozen=True, slots=True, eq=False)
class SetQuery:
    """A statement over rows. It answers with what it selects or returns; else with one row, the ``count`` it wrote."""

    text: str
    columns: tuple[tuple[str, str], ...]
    """Names and types."""
    answers: bool
    """Whether it selects or returns."""
    _values: Callable[[Mapping[str, Any]], Any] = field(repr=False)

    def values(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Return the values of rows, one row after the other, in the order of the columns."""
        picked = map(self._values, rows)
        return list(picked if len(self.columns) == 1 else chain.from_iterable(picked))

    def by_column(self, rows: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
        """Return the values of each column."""
        return [[row[name] for row in rows] for name, _ in self.columns]


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
    said = _NOTES.sub(" ", text)
    unused = [column for column, _ in columns if not re.search(rf"\b{column}\b", text)]
    if unused:
        raise ValueError(f"{name}: the column {unused[0]} of its rows is not used")
    if not re.search(r"\b(FROM|JOIN) rows\b", said):
        raise ValueError(f"{name}: does not read its rows")
    return SetQuery(text, tuple(columns), bool(_READS.match(said)), itemgetter(*(column for column, _ in columns)))


def portions(rows: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[Mapping[str, Any]]]:
    """Cut rows into portions of few different sizes."""
    at = 0
    for size in TOGETHER:
        while len(rows) - at >= size:
            yield rows[at : at + size]
            at += size


@lru_cache(maxsize=1024)
def for_sqlite(query: SetQuery, count: int) -> str:
    """Return the statement for so many rows, with ``?`` for each value."""
    names = ", ".join(f'"{name}"' for name, _ in query.columns)
    row = f"({', '.join('?' * len(query.columns))})"
    return f"WITH rows ({names}) AS (VALUES {', '.join([row] * count)})\n{query.text}"


@lru_cache(maxsize=512)
def for_postgresql(query: SetQuery) -> str:
    """Return the statement for any number of rows, with ``$1`` for the array of each column."""
    if query.answers:
        return f"{_with_rows(query, 1)}\n{query.text}"
    return f"{_with_rows(query, 1)}, written AS ({query.text} RETURNING 1) SELECT count(*) AS count FROM written"  # noqa: S608


@lru_cache(maxsize=512)
def together_for_postgresql(queries: tuple[SetQuery, ...]) -> str:
    """Return one statement of several queries, with ``$1`` for the array of the first one's first column, and so on.

    Its rows are the ``number`` of a query and one ``answer`` of it: see `together`.
    """
    parts, answers, before = [], [], 1
    for number, query in enumerate(queries):
        rows = _with_rows(query, before)
        before += len(query.columns)
        if query.answers:
            parts.append(f"query_{number} (answer) AS ({rows}\n{query.text})")
            answers.append(f"SELECT {number} AS number, answer FROM query_{number}")  # noqa: S608
        else:
            parts.append(f"query_{number} AS ({rows}\n{query.text} RETURNING 1)")
            answers.append(f"SELECT {number} AS number, count(*)::text AS answer FROM query_{number}")  # noqa: S608
    return f"WITH {', '.join(parts)}\n{' UNION ALL '.join(answers)}"


def _with_rows(query: SetQuery, first: int) -> str:
    names = ", ".join(f'"{name}"' for name, _ in query.columns)
    arrays = ", ".join(f"${number}::{kind}[]" for number, (_, kind) in enumerate(query.columns, first))
    return f"WITH rows ({names}) AS (SELECT * FROM unnest({arrays}))"  # noqa: S608 (of a .sql file)
