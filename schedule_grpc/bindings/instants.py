"""Instants in tables that others made: read and compared alike on SQLite and on PostgreSQL, whatever holds them.

A platform's times may be text, ``2026-01-31 10:00:00`` or ``2026-01-31T10:00:00.000Z``, and on PostgreSQL a timestamp
too. `instant` turns a column of any of them into one text, `written` an instant into the same, and so both compare::

    condition = f"{instant('expires_at', await ctx.env.DB.dialect())} < :now"
    await ctx.env.DB.fetch(f"SELECT id FROM sessions WHERE {condition}", now=written(ctx.now()))
"""

import re
from datetime import UTC, datetime

SQLITE = "sqlite"
POSTGRESQL = "postgresql"

_COLUMN = re.compile(r'[A-Za-z_"][A-Za-z0-9_."]*')

# strftime() alone reads "now", "12:34" and plain numbers as instants too, most of them long past.
_ON_SQLITE = (
    "CASE WHEN {0} GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*' AND {0} NOT GLOB '0000*'"
    " THEN strftime('%Y-%m-%dT%H:%M:%fZ', {0}, '+0 days') END"
)
# A cast raises an error where a text is no instant, and takes the statement with it. So what has the shape of one is
# put together from its parts, none of which can fail; like SQLite's, the 31st of a shorter month reads as what follows.
_SHAPE = (
    r"^(?!0000)\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
    r"([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?\s?(Z|[+-](0\d|1[0-4])(:[0-5]\d)?)?)?$"
)
_ON_POSTGRESQL = (
    "CASE WHEN CAST({0} AS text) ~ '" + _SHAPE + "' THEN to_char("
    "CAST(substr(CAST({0} AS text), 1, 7) || '-01' AS timestamp)"
    " + (CAST(substr(CAST({0} AS text), 9, 2) AS integer) - 1) * INTERVAL '1 day'"
    r" + CAST(coalesce(substring(CAST({0} AS text) from '^.{{11}}(\d\d:\d\d(?::\d\d(?:\.\d+)?)?)'), '0') AS interval)"
    r" - CAST(coalesce(rpad(substring(CAST({0} AS text) from '^.{{16}}.*([+-]\d\d(?::\d\d)?)$'), 6, ':00'), '0')"
    ' AS interval), \'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"\') END'
).replace(_SHAPE, _SHAPE.replace("{", "{{").replace("}", "}}"))


def instant(column: str, dialect: str) -> str:
    """Return the SQL of a column's instant, as the text that `written` makes; NULL for a value that is no instant.

    Args:
        column: The column's name, a constant of ours: it becomes part of the statement.
        dialect: ``sqlite`` or ``postgresql``, as the binding returns it.

    Raises:
        ValueError: for a column's name that is none, and for another dialect.
    """
    if not _COLUMN.fullmatch(column):
        raise ValueError(f"{column!r} is not the name of a column")
    forms = {SQLITE: _ON_SQLITE, POSTGRESQL: _ON_POSTGRESQL}
    if dialect not in forms:
        raise ValueError(f"{dialect!r} is neither {SQLITE} nor {POSTGRESQL}")
    return forms[dialect].format(column)


def written(moment: datetime) -> str:
    """Return ``2026-01-31T10:00:00.000Z``: the form in a platform's tables, to be compared with `instant`.

    Args:
        moment: Aware; it is cut to milliseconds.

    Raises:
        ValueError: if it is not aware.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} is not aware: give it a time zone, such as datetime.UTC")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
