"""Our one SQL text as PostgreSQL wants it: its own fragments taken out of their comments, ``$1`` for ``:name``."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from schedule_grpc.database.operation import Together
from schedule_grpc.database.postgres.named_parameters import names_of, numbered
from schedule_grpc.database.set_query import SetQuery, for_postgresql, together_for_postgresql
from schedule_grpc.text import secrets as secret_text

_FRAGMENT = re.compile(r"/\*postgresql\s(.*?)\*/", re.DOTALL)
NUL, REPLACEMENT = "\x00", "\ufffd"


@lru_cache(maxsize=512)
def expanded(sql: str) -> str:
    """Return a statement with what stands in ``/*postgresql ... */`` as part of it."""
    return _FRAGMENT.sub(r"\1", sql)


def one(sql: str, parameters: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Return what asyncpg takes to run a statement once."""
    text, values = numbered(expanded(sql), parameters)
    return text, [_sent(value) for value in values]


def many(sql: str, parameters: Sequence[Mapping[str, Any]]) -> tuple[str, list[list[Any]]]:
    """Return what asyncpg takes to run a statement for each of several sets of parameters."""
    source = expanded(sql)
    names = names_of(source)
    text, _ = numbered(source, parameters[0])
    return text, [[_sent(each[name]) for name in names] for each in parameters]


def of_set(query: SetQuery, rows: Sequence[Mapping[str, Any]]) -> tuple[str, list[list[Any]]]:
    """Return what asyncpg takes to run a query over rows: an array for each column."""
    columns = [[_sent(value) for value in column] for column in query.by_column(rows)]
    return expanded(for_postgresql(query)), columns


def of_together(together: Together, more: str = "") -> tuple[str, list[list[Any]]]:
    """Return what asyncpg takes to run several queries over rows as one statement, which answers with ``more``."""
    sql = together_for_postgresql(tuple(query for query, _ in together.queries), whole=together.whole, more=more)
    columns = [column for query, rows in together.queries for column in query.by_column(rows)]
    return expanded(sql), [[_sent(value) for value in column] for column in columns]


def shown(url: str) -> str:
    """Return a database's URL without what must not be shown: a password, options."""
    return secret_text.shown(url).replace("***@", "").partition("?")[0]


def _sent(value: Any) -> Any:
    """Replace the one character that PostgreSQL cannot keep in a text: an error's words may hold anything."""
    return value.replace(NUL, REPLACEMENT) if isinstance(value, str) and NUL in value else value
