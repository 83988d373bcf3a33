"""Many operations, one commit: runs on the writer's thread, in one hop for the whole batch.

What arrives while a commit is under way shares the next one, so the disk's flush is paid once for all of them.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schedule_grpc.database.operation import ByPlace, Factory, Parameters, Row, Rows, Statement, Together
from schedule_grpc.database.set_query import SetQuery, for_sqlite
from schedule_grpc.errors import ScheduleError


@dataclass(frozen=True, slots=True)
class Done:
    """An operation's result, on disk."""

    value: Any


@dataclass(frozen=True, slots=True)
class Refused:
    """An operation that left nothing behind, and why."""

    error: Exception


class _TransactionLostError(Exception):
    """The whole transaction is gone, not only one operation in it (disk full, I/O error, a failed commit)."""


def run_batch(connection: sqlite3.Connection, factories: Sequence[Factory[Any]]) -> list[Done | Refused]:
    """Run operations in one transaction; where that transaction is lost, each in one of its own.

    So one operation that the disk refuses does not take the others with it.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        return [Refused(error) for _ in factories]
    try:
        return _transaction(connection, factories)
    except _TransactionLostError as lost:
        cause = lost.__cause__
        if len(factories) == 1 and isinstance(cause, Exception):
            return [Refused(cause)]
    return [result for factory in factories for result in run_batch(connection, [factory])]


def run_reads(connection: sqlite3.Connection, factories: Sequence[Factory[Any]]) -> list[Done | Refused]:
    """Run reading operations on one state of the database; what one of them raises is its own."""
    connection.execute("BEGIN")
    try:
        return [_read(connection, factory) for factory in factories]
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")


def _read(connection: sqlite3.Connection, factory: Factory[Any]) -> Done | Refused:
    try:
        return Done(_drive(connection, factory))
    except Exception as error:  # noqa: BLE001 (a fault in one must not fail those that share its turn)
        return Refused(error)


def _transaction(connection: sqlite3.Connection, factories: Sequence[Factory[Any]]) -> list[Done | Refused]:
    try:
        results = [_in_savepoint(connection, factory) for factory in factories]
        connection.execute("COMMIT")
    except BaseException as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error):
            raise _TransactionLostError from error
        raise
    return results


def _in_savepoint(connection: sqlite3.Connection, factory: Factory[Any]) -> Done | Refused:
    connection.execute("SAVEPOINT operation")
    try:
        value = _drive(connection, factory)
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError, ScheduleError) as error:
        result: Done | Refused = Refused(error)
    except sqlite3.Error:
        # SQLite may have rolled back the whole transaction (https://www.sqlite.org/lang_transaction.html, section 3);
        # whether it did or not, the safe thing is to begin again.
        raise
    except Exception as error:  # noqa: BLE001 (a fault in one operation must not fail those that share its commit)
        result = Refused(error)
    else:
        connection.execute("RELEASE operation")
        return Done(value)
    connection.execute("ROLLBACK TO operation")
    connection.execute("RELEASE operation")
    return result


def _drive(connection: sqlite3.Connection, factory: Factory[Any]) -> Any:
    operation = factory()
    try:
        statement = next(operation)
        while True:
            statement = operation.send(_run(connection, statement))
    except StopIteration as end:
        return end.value
    finally:
        operation.close()


def _run(connection: sqlite3.Connection, statement: Statement | Together) -> Rows:
    if isinstance(statement, Together):
        return _run_together(connection, statement)
    sql, parameters = statement
    sets = [parameters] if isinstance(parameters, Mapping) else parameters
    if isinstance(sql, SetQuery):
        return _run_set(connection, sql, sets)
    if isinstance(sql, ByPlace):
        return [row for each in sets for row in connection.execute(sql, each)]
    if isinstance(parameters, Mapping):
        return _rows(connection.execute(sql, parameters))
    return [row for each in sets for row in _rows(connection.execute(sql, each))]


def _run_set(connection: sqlite3.Connection, query: SetQuery, rows: Sequence[Parameters]) -> Rows:
    if not rows:
        return [] if query.answers else [{"count": 0}]
    if query.answers:
        return [row for statement in for_sqlite(query, rows) for row in _rows(connection.execute(*statement))]
    before = connection.total_changes
    for statement in for_sqlite(query, rows):
        connection.execute(*statement)
    return [{"count": connection.total_changes - before}]


def _run_together(connection: sqlite3.Connection, together: Together) -> Rows:
    answered = list(enumerate(_run_set(connection, query, rows) for query, rows in together.queries))
    whole = [{**row, "number": 0} for row in answered.pop(0)[1]] if together.whole else []
    return [*whole, *({"number": number, "answer": _only_value(row)} for number, rows in answered for row in rows)]


def _only_value(row: Row) -> str:
    (value,) = row.values()
    return str(value)


def _rows(cursor: sqlite3.Cursor) -> list[Row]:
    """Return rows as dicts: a row of the driver's own looks for a name among all of its names, one after the other."""
    found = cursor.fetchall()
    if not found:
        return []
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in found]
