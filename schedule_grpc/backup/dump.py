r"""What pg_dump writes in its plain format: is it whole, and how many rows has each table?

Rows are counted between ``COPY … FROM stdin;`` and ``\.``: COPY escapes every line break within a value, so a line is
a row. The lines before it are pg_dump's own, so that a comment or a function that quotes such a statement is none.
"""

import re
from collections.abc import Callable, Iterable

from schedule_grpc.runtime.threads import Stopped

LINES_BETWEEN_LOOKS = 100_000

_PART = rb'(?:"(?:[^"]|"")+"|[^"., ]+)'
_COPY = re.compile(rb"COPY (?P<schema>%b)\.(?P<table>%b) (?:\(.*\))? FROM stdin;\n" % (_PART, _PART))
_DATA = (b"--\n", b"-- Data for Name: ", b"--\n", b"\n")
_END_OF_ROWS = b"\\.\n"
_BEGINNING = b"-- PostgreSQL database dump\n"
_END = b"-- PostgreSQL database dump complete\n"


def table_name(schema: str, table: str) -> str:
    """Return what a table is called in a result: ``sessions``, or ``billing.invoices`` outside of the schema public."""
    parts = [table] if schema == "public" else [schema, table]
    return ".".join(f'"{part}"' if "." in part or '"' in part else part for part in parts)


def read_dump(lines: Iterable[bytes], *, unwanted: Callable[[], bool]) -> dict[str, int]:
    """Return the rows of each table of a dump that is whole.

    Raises:
        ValueError: if it is none, or ends too early.
        Stopped: because it was unwanted.
    """
    counts: dict[str, int] = {}
    table, rows = "", 0
    begun = ended = False
    seen = 0
    for number, line in enumerate(lines):
        if number % LINES_BETWEEN_LOOKS == 0 and unwanted():
            raise Stopped
        if table:
            if line == _END_OF_ROWS:
                counts[table], table = rows, ""
            else:
                rows += 1
            continue
        copied = _COPY.fullmatch(line) if seen == len(_DATA) else None
        if copied is not None:
            table, rows = table_name(_unquoted(copied["schema"]), _unquoted(copied["table"])), 0
        begun = begun or line == _BEGINNING
        ended = line == _END or (ended and not line.startswith(b"COPY "))
        seen = _seen(seen, line)
    if not begun:
        raise ValueError("is not what pg_dump writes")
    if table or not ended:
        raise ValueError("ends too early: it is not complete")
    return counts


def _seen(seen: int, line: bytes) -> int:
    """Return how many of the lines before a table's rows have been seen, now that this one was."""
    if seen < len(_DATA) and line.startswith(_DATA[seen]):
        return seen + 1
    return 1 if line == _DATA[0] else 0


def _unquoted(part: bytes) -> str:
    text = part.decode("utf-8", "replace")
    return text[1:-1].replace('""', '"') if text.startswith('"') else text
