"""How the executions of a task are treated: every policy, its default and its bounds."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Any, TypeVar

from schedule_grpc.domain.retry import RetryPolicy
from schedule_grpc.errors import Violation

T = TypeVar("T")

_SECOND, _HOUR, _DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
_TEN_YEARS = 3650 * _DAY
MAX_JITTER = _DAY
MAX_RETAINED = 1_000_000
MAX_ALERT_AFTER = 1000


class Overlap(StrEnum):
    """What happens to an execution that is due while another one of its task is open."""

    SKIP = "SKIP"
    """It ends SKIPPED."""
    BUFFER_ONE = "BUFFER_ONE"
    """It waits for the end of the other; while one waits already, it ends SKIPPED."""
    CANCEL_OTHER = "CANCEL_OTHER"
    """The other is cancelled, and it runs after its end."""
    ALLOW_ALL = "ALLOW_ALL"
    """Both run."""


class CatchUp(StrEnum):
    """What becomes of occurrences that came due while no server was running."""

    LATEST = "LATEST"
    """One execution runs for the newest and covers the older."""
    ALL = "ALL"
    """The newest hundred run, one by one in order; one MISSED execution covers the older."""
    NONE = "NONE"
    """The newest runs if it is on time; one MISSED execution covers the others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """The part of a schedule that counts: occurrences in [start_time, end_time); None leaves that end open."""

    start_time: datetime | None = None
    end_time: datetime | None = None

    def holds(self, instant: datetime) -> bool:
        """Return whether an occurrence at an instant counts."""
        has_begun = self.start_time is None or instant >= self.start_time
        return has_begun and (self.end_time is None or instant < self.end_time)


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """How long ended executions are kept; SKIPPED and MISSED ones are counted apart from executions that ran."""

    max_age: timedelta = timedelta(days=30)
    max_count: int = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """How the executions of a task are treated. Durations have no unit of their own: they are timedeltas."""

    timeout: timedelta = timedelta(seconds=29)
    """For one attempt."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    overlap: Overlap = Overlap.SKIP
    catch_up: CatchUp = CatchUp.LATEST
    catch_up_window: timedelta = timedelta(days=365)
    """Occurrences older than this are MISSED."""
    jitter: timedelta = timedelta(0)
    """Occurrences start up to this much later, each by an amount of its own that never changes."""
    window: Window = field(default_factory=Window)
    start_deadline: timedelta = timedelta(hours=1)
    """An execution not started within this time of becoming available ends MISSED."""
    retention: Retention = field(default_factory=Retention)
    alert_after: int = 0
    """Failures in a row after which an alert is sent; 0 for none."""
    overdue_grace: timedelta = timedelta(0)
    """How late an occurrence may start before an alert is sent; 0 for none."""
    payload_override: bool = False
    """Whether callers with the scope run may give a run by hand a payload; if not, only those with the scope write."""

    def fields(self) -> dict[str, Any]:
        """Return every value by its path in the contract, such as ``retry.max_retries``."""
        return dict(zip(PATHS, self.values(), strict=True))

    def values(self) -> tuple[Any, ...]:
        """Return every value, in the order of `PATHS`."""
        values: tuple[Any, ...] = _VALUES(self)
        return values

    def with_fields(self, changes: Mapping[str, Any]) -> "Policy":
        """Return the policy with the values at these paths; None stands for the default.

        Raises:
            KeyError: for a path that is none.
        """
        if not changes:
            return self
        defaults = DEFAULT.fields()
        for path in changes.keys() - defaults.keys():
            raise KeyError(path)
        chosen = {path: defaults[path] if value is None else value for path, value in changes.items()}
        return _built(Policy, self.fields() | chosen, "")

    def violations(self) -> Iterator[Violation]:
        """Yield a violation for each value out of bounds, by the field's name in the contract."""
        if self is DEFAULT:
            return
        values = self.fields()
        for path, least, most, bounds in _BOUNDS:
            if not least <= values[path] <= most:
                yield Violation(field=f"policy.{path}", reason=f"must be between {bounds}")
        start, end = self.window.start_time, self.window.end_time
        if start is not None and end is not None and end <= start:
            yield Violation(field="policy.window.end_time", reason="must be later than policy.window.start_time")
        yield from self.retry.violations()


DEFAULT = Policy()


def _paths(part: Any, prefix: str) -> Iterator[str]:
    for each in dataclasses.fields(part):
        value = getattr(part, each.name)
        if dataclasses.is_dataclass(value):
            yield from _paths(value, f"{prefix}{each.name}.")
        else:
            yield prefix + each.name


PATHS = tuple(_paths(DEFAULT, ""))
"""Of every value, as the contract nests them."""
_VALUES = attrgetter(*PATHS)

_BOUNDS: tuple[tuple[str, Any, Any, str], ...] = (
    ("timeout", _SECOND, _DAY, "1 s and 24 h"),
    ("start_deadline", _SECOND, 365 * _DAY, "1 s and 365 days"),
    ("catch_up_window", timedelta(0), _TEN_YEARS, "0 s and 3650 days"),
    ("jitter", timedelta(0), MAX_JITTER, "0 s and 24 h"),
    ("retention.max_age", _HOUR, _TEN_YEARS, "1 h and 3650 days"),
    ("retention.max_count", 1, MAX_RETAINED, "1 and 1000000"),
    ("alert_after", 0, MAX_ALERT_AFTER, "0 and 1000"),
    ("overdue_grace", timedelta(0), 365 * _DAY, "0 s and 365 days"),
)


def _built(kind: type[T], values: Mapping[str, Any], prefix: str) -> T:
    arguments = {}
    for each in dataclasses.fields(kind):  # type: ignore[arg-type]
        path = prefix + each.name
        nested = _PARTS.get(path)
        arguments[each.name] = values[path] if nested is None else _built(nested, values, f"{path}.")
    return kind(**arguments)


_PARTS: Mapping[str, type[Any]] = {"retry": RetryPolicy, "window": Window, "retention": Retention}
