"""Claims, and requests for them: the values that the store and an engine hand to each other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from msgspec import Struct

from schedule_grpc.domain.access.audit import Author
from schedule_grpc.domain.access.grant import ALL
from schedule_grpc.domain.access.namespace import TaskKey
from schedule_grpc.domain.execution import Execution, State
from schedule_grpc.domain.task import Task
from schedule_grpc.errors import ScheduleError

QueueKey: TypeAlias = tuple[str, str]
"""What identifies a queue: the executions of one namespace that wait for slots of one handler."""
Group: TypeAlias = tuple[str, frozenset[str]]
"""Queues that the same workers serve: a namespace (`ALL`: every one), and the names of handlers."""
LONG_AGO = datetime.min.replace(tzinfo=UTC)


def is_of(queue: QueueKey, group: Group) -> bool:
    """Return whether a queue is one of a group's."""
    namespace, handler = queue
    return handler in group[1] and group[0] in (ALL, namespace)


class Claim(Struct, frozen=True, kw_only=True):
    """An execution that its claimant now runs, with the task as it is at the claim.

    What the handler gets is ``payload``: the manual run's own, else the task's.
    """

    execution: Execution
    task: Task
    lease_token: str
    payload: Mapping[str, Any]


class Taker(Struct, frozen=True, kw_only=True):
    """A worker for which a server claims: how many attempts it can begin now."""

    owner: str
    """Its session."""
    title: str
    """What executions keep of it."""
    slots: int
    free: int
    room: Mapping[str, int] = {}
    """How many more of a handler it may begin, of those handlers that it limits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimRequest:
    """How many executions of which handlers an engine can start.

    ``running`` counts what the claimant runs already, by handler: no handler gets more than its share of ``limit``
    while another one waits, and none more than its own in ``limits``. ``running_in`` counts the same by namespace, for
    the same rule: none gets more than its own in ``shares``.
    """

    owner: str
    handlers: frozenset[str]
    limit: int
    running: Mapping[str, int]
    now: datetime
    limits: Mapping[str, int] = field(default_factory=dict)
    running_in: Mapping[str, int] = field(default_factory=dict)
    shares: Mapping[str, int] = field(default_factory=dict)
    """How many attempts of a namespace may run at once, of those namespaces that have such a limit."""
    turns: Mapping[str, int] = field(default_factory=dict)
    """When a namespace last had its turn here: a larger number is later; none is the earliest."""
    overtaken: frozenset[QueueKey] = frozenset()
    """Queues in which older executions wait: new ones do not begin before them."""
    looks_at: int = 0
    """How many of the tasks that are due next the claim looks at, in the same step; 0: it does not look."""
    horizon: timedelta = timedelta(0)
    """How far ahead that look sees."""
    takers: tuple[Taker, ...] = ()
    """The workers that run what is claimed, the one that waits longest first; none: ``owner`` does."""
    namespace: str = ALL
    """The namespace whose executions are claimed; `ALL`: every one."""

    @property
    def free(self) -> int:
        """How many more may run, of all handlers together."""
        free = self.limit - sum(self.running.values())
        return min(free, sum(taker.free for taker in self.takers)) if self.takers else free

    @property
    def reads(self) -> int:
        """How many executions of each queue are read, to choose from."""
        return self.free + 1 if self.takers else self.limit  # one more: are any left?

    @property
    def group(self) -> Group:
        """The queues of whose executions it asks for some."""
        return self.namespace, self.handlers

    def wants(self, queue: QueueKey) -> bool:
        """Return whether it asks for executions of a queue."""
        return is_of(queue, self.group)

    def room(self, queue: QueueKey) -> int:
        """Return how many more of a queue may run, if they have all slots."""
        namespace, handler = queue
        room = self.limits.get(handler, self.limit) - self.running.get(handler, 0)
        return min(room, self.room_in(namespace)) if namespace in self.shares else room

    def room_in(self, namespace: str) -> int:
        """Return how many more of a namespace may run, if they have all slots."""
        return self.shares.get(namespace, self.limit) - self.running_in.get(namespace, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """Work that is due now, work that comes next, and the time of the next look.

    ``next_time`` is the earliest instant, after now, at which a task is due, a claimable execution becomes available,
    or a start deadline passes; None if nothing is in sight. ``unreadable`` are tasks whose next run has come, but
    which this program cannot read in full.
    """

    due: tuple[Task, ...]
    claimable: frozenset[QueueKey]
    """Queues of the asking engine's handlers that have executions to claim."""
    expired: bool
    next_time: datetime | None
    next_wait_time: datetime | None = None
    """The same for executions alone."""
    next_claim_time: datetime | None = None
    """The earliest instant, after now, at which a claimable execution becomes available."""
    unreadable: tuple[Task, ...] = ()
    coming: tuple[Task, ...] = ()
    """Tasks that are due later, the first ones, as far as the look saw."""
    known_until: datetime = LONG_AGO
    """Every task that is due before this instant is in `due` or `coming`."""


class Claimed(Struct, frozen=True, kw_only=True):
    """Attempts that began, and the look that followed in the same step, if one was requested."""

    claims: tuple[Claim, ...] = ()
    look: Look | None = None


class Fired(Claimed, frozen=True, kw_only=True):
    """Executions that firings recorded; ``claims`` are those that began at once."""

    executions: tuple[Execution, ...]

    @property
    def waits(self) -> bool:
        """Whether an execution is left waiting."""
        begun = {claim.execution.id for claim in self.claims}
        return any(each.state is State.PENDING and each.id not in begun for each in self.executions)


class ManualRun(Struct, frozen=True, kw_only=True):
    """A call of RunTaskNow; without a payload the handler gets the task's."""

    namespace: str
    name: str
    payload: Mapping[str, Any] | None = None
    request_id: str | None = None
    author: Author | None = None
    """The call that asks for the run; None: the server itself does."""

    @property
    def triggered_by(self) -> str | None:
        """The name of the caller, if it has proven one."""
        return None if self.author is None else self.author.attribution or None

    @property
    def traceparent(self) -> str | None:
        """The span of the call, if it is traced."""
        return None if self.author is None else self.author.traceparent

    @property
    def task_key(self) -> TaskKey:
        """The namespace and the name of the task."""
        return self.namespace, self.name


class Submitted(Struct, frozen=True, kw_only=True):
    """The answers to manual runs, in their order; ``claims`` are the runs that began at once."""

    answers: tuple[Execution | ScheduleError, ...]
    claims: tuple[Claim, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Slots:
    """The free slots of an engine: ``request`` asks for what can begin in them, ``start`` runs a claim."""

    request: ClaimRequest
    start: Callable[[Claim], None]


class Given(Struct, frozen=True, kw_only=True):
    """What a claim for workers began: each attempt with the session of its worker."""

    claims: tuple[tuple[str, Claim], ...] = ()
    leaves: bool = False
    """Whether executions were left that could start, had a worker a slot for them."""
    next_time: datetime | None = None
    """When the next execution becomes available, of those that were asked for; None where none is in sight, or no slot
    is left for it."""
