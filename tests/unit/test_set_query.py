"""Queries over rows: what their form is, and what becomes of them on SQLite."""

import sqlite3
from contextlib import closing

import pytest

from schedule_grpc.database.set_query import TOGETHER, for_postgresql, for_sqlite, portions, set_query
from schedule_grpc.database.sqlite_batch import run_batch

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
    rows = [{"a": number} for number in range(count)]
    cut = list(portions(rows))
    assert [row for portion in cut for row in portion] == rows
    assert {len(portion) for portion in cut} <= set(TOGETHER)


def test_values_come_in_the_order_of_the_columns():
    """Whatever else a row has."""
    query = set_query("q", "a TEXT, b BIGINT", UPDATE)
    rows = [{"b": 1, "a": "x", "c": None}, {"a": "y", "b": None}]
    assert query.values(rows) == ["x", 1, "y", None]
    assert query.by_column(rows) == [["x", "y"], [1, None]]
    assert set_query("q", "a TEXT", "SELECT 1 FROM rows WHERE a = 1").values(rows) == ["x", "y"]


def test_a_postgresql_statement_counts_what_it_writes():
    """One text for any number of rows."""
    query = set_query("q", "a TEXT, b BIGINT", UPDATE)
    assert for_postgresql(query) == (
        'WITH rows ("a", "b") AS (SELECT * FROM unnest($1::TEXT[], $2::BIGINT[])), '
        f"written AS ({UPDATE} RETURNING 1) SELECT count(*) AS count FROM written"
    )


def test_values_arrive_as_they_are():
    """Texts with every character, numbers at their bounds, bytes, nothing: none passes through another notation."""
    values = ["", "\x00", "a\x00b", "'\"\\", "\U0010ffff", 2**63 - 1, -(2**63), 0.1, b"\xff\x00", None]
    echo = set_query("echo", "a TEXT", "SELECT a FROM rows")
    with closing(sqlite3.connect(":memory:")) as connection:
        found = connection.execute(for_sqlite(echo, len(values)), echo.values([{"a": value} for value in values]))
        assert [value for (value,) in found] == values


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
