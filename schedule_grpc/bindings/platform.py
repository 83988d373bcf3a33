"""The platform's tables: which there are, which of them a database lacks, and the statements that make them."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from schedule_grpc.errors import BindingError

_CREATE = re.compile(r"CREATE TABLE IF NOT EXISTS (?P<table>\w+) .*?\);", re.DOTALL)


@cache
def tables() -> Mapping[str, str]:
    """Return the statement that makes each table where it is missing, by the table's name."""
    return {found["table"]: found[0] for found in _CREATE.finditer(_text("platform.sql"))}


@cache
def indexes() -> Sequence[str]:
    """Return the statements that create indexes, which only save time: a user's own table may not suit them."""
    return tuple(_text("platform_indexes.sql").splitlines())


async def missing_tables(database: Any) -> Sequence[str]:
    """Return which of the platform's tables a binding's database does not have.

    Raises:
        BindingError: if it cannot be read.
    """
    return [table for table in tables() if not await _has(database, table)]


async def _has(database: Any, table: str) -> bool:
    try:
        await database.fetch(f"SELECT 1 FROM {table} LIMIT 0")  # noqa: S608 (our own words)
    except BindingError as error:
        if error.missing_table is None:
            raise
        return False
    return True


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")
