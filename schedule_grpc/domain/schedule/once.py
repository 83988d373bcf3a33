"""The schedules that do not repeat: a single instant, none at all, and one that cannot be read."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from schedule_grpc.domain.schedule import english
from schedule_grpc.domain.schedule.base import Schedule
from schedule_grpc.domain.schedule.grammar import Refused, shown

_INSTANT = re.compile(
    r"\d{4}-\d{2}-\d{2}T(?:[01]\d|2[0-3]):\d{2}:\d{2}(?:\.\d+)?(?P<offset>Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)?",
    re.ASCII | re.IGNORECASE,
)
_EXAMPLE = "for example 2026-01-31T10:00:00Z"


@dataclass(frozen=True, kw_only=True, slots=True)
class Once(Schedule):
    """Due at one ``instant``, in UTC."""

    instant: datetime = field(compare=False)

    @property
    def cron(self) -> None:
        """No cron expression fires once."""
        return None

    @property
    def description(self) -> str:
        """The schedule in English."""
        return english.of_instant(self.instant)

    @property
    def is_once(self) -> bool:
        """Whether it names a single instant."""
        return True

    def _next(self, instant: datetime) -> datetime | None:
        return self.instant if instant < self.instant else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Manual(Schedule):
    """Never due by itself."""

    @property
    def cron(self) -> None:
        """No cron expression never fires."""
        return None

    @property
    def description(self) -> str:
        """The schedule in English."""
        return english.NEVER

    def _next(self, instant: datetime) -> datetime | None:  # noqa: ARG002 (whatever the time)
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Unreadable(Schedule):
    """A stored schedule that this program cannot read: of a newer program, or in a zone that its tz data lacks.

    It is never due here: when it would be is not known, and a guess would fire at a wrong time.
    """

    @property
    def cron(self) -> None:
        """No cron expression is known."""
        return None

    @property
    def description(self) -> str:
        """The schedule in English."""
        return english.UNREADABLE

    def _next(self, instant: datetime) -> datetime | None:  # noqa: ARG002 (whatever the time)
        return None


def read_instant(text: str) -> datetime:
    """Return the instant of an RFC 3339 date-time, in UTC, cut to microseconds.

    Raises:
        Refused: if it is not one, has no offset, or does not exist.
    """
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise Refused(f"{shown(text)} is not an RFC 3339 instant, {_EXAMPLE}")
    if match["offset"] is None:
        raise Refused(f"{shown(text)} has no offset from UTC; write one at its end, {_EXAMPLE}")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Refused(f"{shown(text)} does not exist: {error}") from None
