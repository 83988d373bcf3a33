"""What is claimed, by whom, and how much of it: the values that the store and an engine hand to each other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from schedule_grpc.domain.execution import Execution, State
from schedule_grpc.domain.task import Task
from schedule_grpc.errors import ScheduleError

LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Claim(Struct, frozen=True, kw_only=True):
    """An execution that its claimant now runs, with the task as it is at the claim.

    What the handler gets is ``payload``: the manual run's own, else the task's.
    """

    execution: Execution
    task: Task
    lease_token: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimRequest:
    """Who wants to run how much of what.

    ``running`` counts what the claimant runs already, by handler: no handler gets more than its share of ``limit``
    while another one waits, and none more than its own in ``limits``.
    """

    owner: str
    handlers: frozenset[str]
    limit: int
    running: Mapping[str, int]
    now: datetime
    limits: Mapping[str, int] = field(default_factory=dict)
    looks_at: int = 0
    """How many of the tasks that are due next to look at behind it, in the same step; 0: that step does not look."""
    horizon: timedelta = timedelta(0)
    """How far that look sees."""

    @property
    def free(self) -> int:
        """How many more may run, of all handlers together."""
        return self.limit - sum(self.running.values())

    def room(self, handler: str) -> int:
        """Return how many more of a handler may run, if they have all slots."""
        return self.limits.get(handler, self.limit) - self.running.get(handler, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What there is to do now, what comes next, and when to look again.

    ``next_time`` is the earliest instant, after now, at which a task is due, a claimable execution becomes available,
    or a start deadline passes; None if nothing is in sight. ``unreadable`` are tasks whose next run has come, but of
    which this program cannot read a part.
    """

    due: tuple[Task, ...]
    claimable: frozenset[str]
    """Handlers of the asker's of which executions can be claimed."""
    expired: bool
    next_time: datetime | None
    next_wait_time: datetime | None = None
    """The same of executions alone."""
    next_claim_time: datetime | None = None
    """The earliest instant, after now, at which a claimable execution becomes available."""
    unreadable: tuple[Task, ...] = ()
    coming: tuple[Task, ...] = ()
    """Tasks that are due later, the first ones, as far as the look saw."""
    known_until: datetime = LONG_AGO
    """Of the tasks that are due before this instant none is missing, neither in `due` nor in `coming`."""


class Claimed(Struct, frozen=True, kw_only=True):
    """Attempts that began, and what there is to do behind them, if it was looked at."""

    claims: tuple[Claim, ...] = ()
    look: Look | None = None


class Fired(Claimed, frozen=True, kw_only=True):
    """What firings recorded, and which of it began at once."""

    executions: tuple[Execution, ...]

    @property
    def waits(self) -> bool:
        """Whether any of it is left waiting."""
        begun = {claim.execution.id for claim in self.claims}
        return any(each.state is State.PENDING and each.id not in begun for each in self.executions)


class ManualRun(Struct, frozen=True, kw_only=True):
    """What RunTaskNow asks for; without a payload the task's own counts."""

    name: str
    payload: Mapping[str, Any] | None = None
    request_id: str | None = None


class Submitted(Struct, frozen=True, kw_only=True):
    """What became of manual runs, in their order, and which of them began at once."""

    answers: tuple[Execution | ScheduleError, ...]
    claims: tuple[Claim, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Slots:
    """The free slots of an engine: ``request`` asks for what can begin in them, ``start`` runs a claim."""

    request: ClaimRequest
    start: Callable[[Claim], None]
