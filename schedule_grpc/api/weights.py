"""The weights of events and log lines: approximate sizes in bytes, by which they are written aside or at once."""

from collections.abc import Iterable

from schedule_grpc.domain.execution.log_lines import LogLine
from schedule_grpc.events import Logged, Transition, WatchEvent
from schedule_grpc.runtime.threads import weight_of

_EACH = 64
"""Of one line, beside its text."""


def weight_of_lines(lines: Iterable[LogLine]) -> int:
    """Return the weight of log lines."""
    return sum(_EACH + len(line.text) for line in lines)


def weight_of_event(event: WatchEvent) -> int:
    """Return the weight of an event."""
    if isinstance(event, Transition):
        return weight_of(event.execution.payload, event.execution.result)
    return weight_of_lines(event.lines) if isinstance(event, Logged) else 0
