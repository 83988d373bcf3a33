"""What the addresses of pages ask: texts of a form, where an empty one asks nothing."""

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, TypeAlias, TypeVar

from fastapi import Query

from schedule_grpc.api.http.envelope import AsWritten
from schedule_grpc.domain import durations
from schedule_grpc.errors import Violation

Text: TypeAlias = Annotated[str, Query()]
From: TypeAlias = Annotated[str, Query(alias="from")]
Word = TypeVar("Word", bound=StrEnum)


def instant_of(field: str, text: str, now: datetime) -> datetime | None:
    """Return the instant that a text means: a time, or how long ago it was, as ``-2h``; None for the empty one.

    Raises:
        AsWritten: if it means neither.
    """
    if not text:
        return None
    try:
        if text.startswith("-"):
            return now - durations.read(text[1:])
        read = datetime.fromisoformat(text)
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError):
        reason = f"{text[:40]!r} is neither a time such as 2026-01-31T10:00Z nor how long ago it was, such as -2h"
        raise AsWritten(Violation(field=field, reason=reason)) from None


def words_of(field: str, text: str, words: Iterable[Word]) -> frozenset[Word]:
    """Return the words that a list names, in any case, separated by commas; none for the empty one.

    Raises:
        AsWritten: naming the first that is none of them.
    """
    known = {word.value.lower(): word for word in words}
    asked = [each.strip().lower() for each in text.split(",") if each.strip()]
    for each in asked:
        if each not in known:
            raise AsWritten(Violation(field=field, reason=f"{each[:40]!r} is none of {', '.join(known)}"))
    return frozenset(known[each] for each in asked)
