"""Queries over rows: what their form is, and what becomes of them on SQLite."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing

import pytest

from schedule_grpc.database.set_query import (
    FORMS,
    TOGETHER,
    Table,
    for_postgresql,
    for_sqlite,
    portions,
    set_query,
    sqlite_text,
)
from schedule_grpc.database.sqlite.batch import run_batch

UPDATE = "UPDATE t SET b = rows.b FROM rows WHERE t.a = rows.a"


def test_columns_are_declared_and_used():
    """Each with its type; the statement reads them all."""
    query = set_query("q", 'a TEXT, "b" BIGINT', UPDATE)
    assert query.columns == (("a", "TEXT"), ("b", "BIGINT"))
    assert not query.answers


@pytest.mark.parametrize(
    ("declared", "text", "reason"),
    [
        ("a", UPDATE, "'a' is not a column of rows: name TYPE"),
        ("a TEXT, b INT", UPDATE, "'b INT' is not a column of rows: name TYPE"),
        ("a TEXT, b BIGINT, c TEXT", UPDATE, "the column c of its rows is not used"),
        ("a TEXT", "UPDATE t SET b = 1 WHERE a = :a", "does not read its rows"),
        ("a TEXT", "UPDATE t SET b = 1 WHERE a = 'FROM rows'", "does not read its rows"),
    ],
)
def test_what_has_not_the_form_is_refused_as_it_is_loaded(declared: str, text: str, reason: str):
    """With the query's name and the reason."""
    with pytest.raises(ValueError, match=r"^q: ") as refused:
        set_query("q", declared, text)
    assert str(refused.value) == f"q: {reason}"


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("SELECT t.* FROM rows CROSS JOIN t WHERE t.a = rows.a AND t.b = rows.b", True),
        (f"{UPDATE} RETURNING t.a", True),
        (UPDATE, False),
        (f"{UPDATE} AND t.a <> 'RETURNING'", False),
        (f"{UPDATE} /*postgresql AND t.a IN (SELECT a FROM t) */", False),
    ],
)
def test_whether_it_answers_is_seen_in_its_text(text: str, answers: bool):
    """It selects or returns; else it says how many rows it wrote."""
    assert set_query("q", "a TEXT, b BIGINT", text).answers is answers


@pytest.mark.parametrize("count", [0, 1, 7, 8, 63, 64, 65, 500])
def test_portions_cover_every_row_once(count: int):
    """In their order, and in sizes of which there are few: each size is a statement that is prepared."""
    numbers = list(range(count))
    cut = list(portions([numbers, numbers[::-1]]))
    assert [number for portion, _ in cut for number in portion] == numbers
    assert [number for _, portion in cut for number in portion] == numbers[::-1]
    assert {len(portion) for portion, _ in cut} <= set(TOGETHER)


def test_values_come_in_the_order_of_the_columns():
    """Whatever else a row has, and whether it is made by rows or by columns."""
    query = set_query("q", "a TEXT, b BIGINT", UPDATE)
    table = Table({"b": [1, None], "a": ["x", "y"], "c": [None, None]})
    assert [dict(row) for row in table] == [{"b": 1, "a": "x", "c": None}, {"b": None, "a": "y", "c": None}]
    for rows in (table, list(table), table[:]):
        assert [list(column) for column in query.by_column(rows)] == [["x", "y"], [1, None]]
        assert [values for _, values in for_sqlite(query, rows)] == [["x", 1, "y", None]]
    one = set_query("q", "a TEXT", "SELECT 1 FROM rows WHERE a = 1")
    assert one.by_column(table) == one.by_column(list(table)) == [["x", "y"]]


@pytest.mark.parametrize("count", TOGETHER)
def test_no_rows_or_few_are_a_table_too(count: int):
    """Of none there is no statement."""
    query = set_query("q", "a TEXT, b BIGINT", UPDATE)
    assert not Table({"a": [], "b": []})
    assert list(for_sqlite(query, Table({"a": [], "b": []}))) == list(for_sqlite(query, [])) == []
    assert len(list(for_sqlite(query, Table({"a": ["x"] * count, "b": [1] * count})))) == 1


def test_what_all_rows_have_alike_is_bound_once():
    """Before what each of them has; it is one table all the same, and the first column is bound for each."""
    query = set_query("q", "a TEXT, b BIGINT, c TEXT", f"{UPDATE} AND c = c")
    alike = Table({"a": ["x"] * 16, "b": list(range(16)), "c": [None] * 16})
    ((text, values),) = for_sqlite(query, alike)
    row = ", ".join(["(?, ?)"] * 16)
    assert text.startswith(
        f'WITH rows ("a", "b", "c") AS (SELECT column1, column2, ? FROM (VALUES {row}) AS given LIMIT -1)\n'
    )
    assert values == [None, *(value for number in range(16) for value in ("x", number))]
    ((text, values),) = for_sqlite(query, alike[:1])
    assert text == sqlite_text(query, 1)
    assert values == ["x", 0, None]


COLUMNS = [f"c{chr(number)}" for number in range(97, 103)]


def alike_in(columns: int) -> Table:
    """Return rows that have some of the columns alike, by the bits of a number."""
    return Table(
        {
            name: ["same"] * 4 if columns & 1 << place else [f"{name}{number}" for number in range(4)]
            for place, name in enumerate(COLUMNS)
        }
    )


@pytest.mark.parametrize("order", [range(64), range(63, -1, -1)], ids=["nothing alike first", "all alike first"])
def test_rows_arrive_in_whatever_form_their_statement_has(order: Sequence[int]):
    """Whichever columns they have alike, and whatever came before."""
    query = set_query("q", ", ".join(f"{name} TEXT" for name in COLUMNS), f"SELECT {', '.join(COLUMNS)} FROM rows")
    with closing(sqlite3.connect(":memory:")) as connection:
        for columns in order:
            table = alike_in(columns)
            ((text, values),) = for_sqlite(query, table)
            assert connection.execute(text, values).fetchall() == list(zip(*table.columns.values(), strict=True))


def test_few_forms_of_a_statement_are_known():
    """Each is prepared and kept: what has none of its own takes one that binds more, as long as there is one."""
    query = set_query("q", ", ".join(f"{name} TEXT" for name in COLUMNS), f"SELECT {', '.join(COLUMNS)} FROM rows")
    forms = {query.form(query.by_column(alike_in(columns))) for columns in range(0, 64, 2)}
    assert len(forms) == FORMS
    assert query.form(query.by_column(alike_in(63))) in forms
    query = set_query("q", ", ".join(f"{name} TEXT" for name in COLUMNS), f"SELECT {', '.join(COLUMNS)} FROM rows")
    for columns in range(62, 62 - 2 * FORMS, -2):
        query.form(query.by_column(alike_in(columns)))
    assert query.form(query.by_column(alike_in(0b100))) == (2,)


def test_a_postgresql_statement_counts_what_it_writes():
    """One text for any number of rows."""
    query = set_query("q", "a TEXT, b BIGINT", UPDATE)
    assert for_postgresql(query) == (
        'WITH rows ("a", "b") AS (SELECT * FROM unnest($1::TEXT[], $2::BIGINT[])), '
        f"written AS ({UPDATE} RETURNING 1) SELECT count(*) AS count FROM written"
    )


AS_THEY_ARE = ["", "\x00", "a\x00b", "'\"\\", "\U0010ffff", 2**63 - 1, -(2**63), 0.1, b"\xff\x00", None, 1, 1.0]


@pytest.mark.parametrize("more", [[], *([value] * 3 for value in AS_THEY_ARE)], ids=repr)
def test_values_arrive_as_they_are(more: list[object]):
    """Texts with every character, numbers at their bounds, bytes, nothing: none passes through another notation.

    Not where all rows have one value alike either, and not where values are equal and yet not the same.
    """
    echo = set_query("echo", "a TEXT, b TEXT", "SELECT a, b, typeof(a), typeof(b) FROM rows")
    kinds = {str: "text", int: "integer", float: "real", bytes: "blob", type(None): "null"}
    with closing(sqlite3.connect(":memory:")) as connection:
        for value in AS_THEY_ARE:
            given = [*more, value]
            rows = [{"a": each, "b": each} for each in given]
            found = [row for text, values in for_sqlite(echo, rows) for row in connection.execute(text, values)]
            assert found == [(each, each, kinds[type(each)], kinds[type(each)]) for each in given]


def test_how_many_were_written_is_told():
    """Over all portions; nothing for no rows."""
    query = set_query("q", "a BIGINT, b BIGINT", UPDATE)

    def operation():
        first = yield query, [{"a": number, "b": 1} for number in range(200)]
        none = yield query, []
        one = yield query, {"a": 5, "b": 2}
        return first, none, one

    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b INTEGER)")
        connection.executemany("INSERT INTO t VALUES (?, 0)", [(number,) for number in range(150)])
        (done,) = run_batch(connection, [operation])
        assert done.value == ([{"count": 150}], [{"count": 0}], [{"count": 1}])
        assert connection.execute("SELECT sum(b) FROM t").fetchone() == (151,)
