"""Conditions: troubles that last. An alert is sent when one starts and when it ends, not each time it is seen."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from schedule_grpc.errors import InvalidArgument, Violation
from schedule_grpc.text.unicode import readable

MAX_KEY = 128
MAX_TITLE = 256
MAX_BODY = 8192

FAILING = "failing"
"""Key of the condition that a task has failed ``alert_after`` times in a row."""
OVERDUE = "overdue"
"""Key of the condition that an occurrence of a task did not start in time."""
UNREADABLE = "unreadable"
"""Key of the condition that a server cannot read a task in full, and so does not fire it."""


class Phase(StrEnum):
    """What has been sent of a condition, and what has not."""

    STARTED = "STARTED"
    """It holds, and its start is not sent yet."""
    SENT = "TOLD"
    """It holds, and its start has been sent."""
    ENDED = "ENDED"
    """It is over; its start has been sent, its end not yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """An attempt's report of one condition: it holds (``over`` False), or it does not."""

    key: str
    title: str = ""
    body: str = ""
    over: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """A condition of a task, kept until its end has been sent."""

    task_uid: str
    namespace: str
    task_name: str
    key: str
    title: str
    body: str
    phase: Phase
    start_time: datetime
    end_time: datetime | None = None
    """When it was over; None while it holds."""

    @property
    def id(self) -> str:
        """The same for the start and the end of one condition, another for the next time it starts."""
        return f"{self.task_uid}/{self.key}/{int(self.start_time.timestamp() * 1000)}"


def checked(condition: Condition) -> Condition:
    """Return a condition that may be stored, its texts readable.

    Raises:
        InvalidArgument: naming each field that is missing, too long, or no text.
    """
    violations = list(_violations(condition))
    if violations:
        raise InvalidArgument(*violations)
    return replace(
        condition, key=readable(condition.key), title=readable(condition.title), body=readable(condition.body)
    )


def _violations(condition: Condition) -> Iterator[Violation]:
    if not condition.key:
        yield Violation(field="key", reason="is required: it tells one condition of a task from another")
    if not condition.over and not condition.title:
        yield Violation(field="title", reason="is required")
    texts: tuple[tuple[str, object, int], ...] = (
        ("key", condition.key, MAX_KEY),
        ("title", condition.title, MAX_TITLE),
        ("body", condition.body, MAX_BODY),
    )
    for field, text, most in texts:
        if not isinstance(text, str):
            yield Violation(field=field, reason=f"is not a text but {type(text).__name__}")
        elif len(text) > most:
            yield Violation(field=field, reason=f"longer than {most} characters")
