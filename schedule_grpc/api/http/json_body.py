"""Reading a body as JSON, within limits that hold before any field is read.

Counting first limits the work: a body of a mebibyte can have half a million values, cheap to send, expensive to walk.
"""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from schedule_grpc.api.http.envelope import AsWritten
from schedule_grpc.domain.task import MAX_DESCRIPTION, MAX_METADATA_BYTES, MAX_PAYLOAD_BYTES
from schedule_grpc.violation import MOST_VIOLATIONS, Violation

MOST_VALUES = MAX_PAYLOAD_BYTES + MAX_METADATA_BYTES + 2 * MAX_DESCRIPTION
"""Commas and opening brackets in a body, those within texts included; a task within its limits has fewer."""


class Unreadable(ValueError):
    """The body is not JSON in UTF-8."""


def read_json(body: bytes) -> Any:
    """Return the value of a body: JSON in UTF-8 (RFC 8259), with or without a byte order mark.

    Raises:
        Unreadable: if the body is not JSON in UTF-8.
        InvalidArgument: if it has more values than any acceptable body, or an object has a key twice.
    """
    if sum(map(body.count, (b",", b"{", b"["))) > MOST_VALUES:
        raise AsWritten(Violation(field="body", reason=f"holds more than {MOST_VALUES} values"))
    repeats = False

    def made_of(members: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeats
        made = dict(members)
        if len(made) == len(members):
            return made
        repeats = True
        return _Repeating(members)

    try:
        value = json.loads(body.decode("utf-8-sig"), object_pairs_hook=made_of)
        twice = list(islice(_twice(value, ""), MOST_VIOLATIONS)) if repeats else []
    except (ValueError, RecursionError):
        raise Unreadable from None
    if twice:
        raise AsWritten(*(Violation(field=field, reason="is given twice") for field in twice))
    return value


class _Repeating(dict[str, Any]):
    """An object that has a key more than once."""

    def __init__(self, members: list[tuple[str, Any]]) -> None:
        super().__init__(members)
        self.twice = [name for name, count in Counter(name for name, _ in members).items() if count > 1]


def _twice(value: object, place: str) -> Iterator[str]:
    """Yield the paths of keys that an object has more than once."""
    if isinstance(value, _Repeating):
        yield from (f"{place}.{name}".removeprefix(".") for name in value.twice)
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _twice(item, f"{place}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _twice(item, f"{place}[{index}]")
