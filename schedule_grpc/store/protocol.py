"""What the application and the engine ask of a store: operations, each a whole, not SQL.

Every operation is one transaction: it happened whole, and is on disk when the call returns, or it did not happen.
A caller that is cancelled leaves no half of it behind. ``now`` is always an argument: SQL never asks the time.

All raise DatabaseUnavailable where the database does not answer or refuses the write.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from schedule_grpc.domain.condition import Alert
from schedule_grpc.domain.execution import Backfill, Execution, ExecutionFilter, Report, State
from schedule_grpc.domain.planning import Firing
from schedule_grpc.domain.registration import FreshTask, Registration, TaskChange
from schedule_grpc.domain.task import Handler, Task, TaskFilter
from schedule_grpc.store.claims import Claimed, ClaimRequest, Fired, Look, ManualRun, Submitted
from schedule_grpc.store.operations.retention_round import Round


@dataclass(frozen=True, kw_only=True, slots=True)
class Replica:
    """One of the servers that share a database: the owner of the attempts that it runs, and what its engine offers."""

    id: str
    start_time: datetime
    handlers: frozenset[str]
    beat: int = 0
    """How often it renewed its lease since it took it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pruned:
    """How many rows were removed, and which of the tasks are still to be looked at."""

    removed: int
    left: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Review:
    """What a review of some tasks found, and the uid after which others follow, None if none do."""

    moves: tuple[Firing, ...]
    """Next runs that other zone rules gave: each is put where it is by the rules there are."""
    unreadable: tuple[Task, ...]
    """Tasks of which a part cannot be read, and nobody has been alerted."""
    readable: tuple[Task, ...]
    """Tasks that can be read again."""
    after: str | None

    @property
    def finds_nothing(self) -> bool:
        """Whether nothing is to be written."""
        return not (self.moves or self.unreadable or self.readable)


class LeaseLine(Protocol):
    """A way to the database that neither the event loop nor other reads and writes can hold up.

    It is used by one thread. Each call ends within ``seconds``, and raises DatabaseUnavailable where it has no answer.
    """

    async def renew(self, replica: Replica, *, now: datetime, seconds: float) -> tuple[Replica, ...]:
        """Renew a server's lease; return every server that holds one. See `Store.renew_lease`."""

    async def look(self, *, seconds: float) -> tuple[Replica, ...]:
        """Return every server that holds a lease: reads are answered while a disk that stands still takes no writes."""

    async def close(self) -> None:
        """Let go of the connection."""


class Store(Protocol):
    """The durable state of the service."""

    # -- tasks

    async def change_tasks(self, changes: Sequence[TaskChange], *, now: datetime) -> bool:
        """Write tasks' new definitions, or their deletion, with what was due under the old ones: all, or none.

        Safe because each is a compare-and-set: False, and nothing written, if a task is no longer as ``change.before``
        (uid, revision, next_run_time), or another one took the name. A changed handler is written into PENDING rows;
        disabling ends never-attempted rows of SCHEDULE, CATCH_UP and BACKFILL as SKIPPED; deleting ends all PENDING
        rows, SKIPPED where they never started, else FAILED.
        """

    async def register_tasks(self, calls: Sequence[Sequence[FreshTask]]) -> tuple[tuple[Task, ...] | None, ...]:
        """Create the tasks that calls want and that are not there: of each call all, or none; return them as they are.

        Safe because a name is unique. None, and nothing of the call written, where a task is there and not as it is
        wanted: what that changes takes computing, and is `change_tasks`'s to write. It may also stand for a call that
        another one overtook.
        """

    async def find_task(self, name: str) -> Task | None:
        """Return the living task of that name."""

    async def find_tasks(self, names: Sequence[str]) -> Mapping[str, Task]:
        """Return the living tasks of these names, by name; a name of none is left out."""

    async def differing(self, wanted: Sequence[Registration]) -> tuple[tuple[Registration, Task | None], ...]:
        """Return what is not registered to the letter as it is wanted, in its order, each with the task as it is.

        What is left out would change nothing if it were registered; what is returned may change nothing, either.
        """

    async def list_tasks(self, chosen: TaskFilter, *, after: str, limit: int) -> tuple[Task, ...]:
        """Return at most ``limit`` living tasks whose names follow ``after``, in the order of their names."""

    # -- executions

    async def submit(
        self, runs: Sequence[ManualRun], *, now: datetime, request: ClaimRequest | None = None
    ) -> Submitted:
        """Record manual runs of enabled tasks, each let in or skipped by its gate; each is answered for itself.

        Those that can start at once are claimed in the same transaction, as by `fire`, unless something older waits.

        Safe to repeat with a request id: the execution recorded first is the answer, whatever became of it. An answer
        may be an error: TaskNotFound, TaskDisabled, TaskUnreadable, or InvalidArgument where the request id was used
        for another task or another payload.
        """

    async def trigger(self, names: Sequence[str], *, now: datetime) -> tuple[Execution, ...]:
        """Record a run of each task of these names that is there and enabled, let in or skipped by its gate."""

    async def backfill(self, task: Task, planned: Sequence[Execution], *, now: datetime) -> Backfill | None:
        """Record a backfill's executions but for occurrences that have their row.

        Safe because it is held to (uid, revision): None, and nothing written, if the task is no longer as it was read.
        """

    async def cancel(self, execution_id: str, *, note: str, now: datetime) -> Execution | None:
        """End an execution that waits as CANCELLED, or ask for the end of one that runs; return it as it is then.

        Safe beside a claim and a record: a success that is recorded first stands. None if there is no such execution.
        """

    async def give_up(self, execution_id: str, *, now: datetime) -> Execution | None:
        """End an execution that nobody ever started, SKIPPED for NO_WORKER; return it as it is then.

        Safe beside a claim: whichever comes first stands. None if there is no such execution.
        """

    async def find_execution(self, execution_id: str) -> Execution | None:
        """Return one execution."""

    async def list_executions(
        self, task_name: str | None, chosen: ExecutionFilter, *, after: tuple[datetime, str] | None, limit: int
    ) -> tuple[Execution, ...]:
        """Return at most ``limit`` executions, newest first, that follow ``after`` (creation time, id).

        With a task's name: those of the living task of that name.
        """

    # -- handlers

    async def offer_handlers(self, handlers: Sequence[Handler], *, now: datetime) -> None:
        """Remember that these handlers have been offered: tasks may name them from now on."""

    async def known_handlers(self) -> tuple[Handler, ...]:
        """Return every handler ever offered, by name; ``offered`` is False on all: the store cannot know."""

    # -- the engine's

    async def look(
        self, handlers: frozenset[str], *, now: datetime, limit: int, horizon: timedelta = timedelta(0)
    ) -> Look:
        """Return what there is to do, and when to look again; of tasks that are due, and of those that come next."""

    async def fire(self, firings: Sequence[Firing], *, now: datetime, request: ClaimRequest | None = None) -> Fired:
        """Move each task on and record its executions; return those recorded.

        Those that can start at once are claimed in the same transaction, as far as their handlers have their share of
        the slots that are requested: what fires and starts is written once, and nobody sees it wait.

        Safe because it is a compare-and-set: a firing whose task changed or was fired by another is dropped; so is an
        occurrence that has its row already. A claim is as safe as by `claim`.
        """

    async def claim(self, request: ClaimRequest) -> Claimed:
        """Make available executions RUNNING under a lease with a fresh token each.

        Safe because a row is claimed from PENDING only, and every later write is held to the token. In a shared
        database an owner that holds no lease claims nothing.
        """

    async def record(self, reports: Sequence[Report]) -> tuple[Execution | None, ...]:
        """Write what became of attempts; return the executions as they are then, in the same order.

        Safe because each is fenced by (id, lease token, RUNNING): None for an owner whose lease another one took. A
        report repeated after its first success returns the row as it stands.
        """

    async def cancel_requests(self, owner: str) -> frozenset[str]:
        """Return the lease tokens of a server's running attempts whose end was asked for."""

    async def rescue(self, *, now: datetime) -> int:
        """Take every RUNNING execution; return how many. Only for a server that holds its database alone, at its start.

        Each becomes PENDING again or FAILED, as its retry policy says of an attempt that failed by LEASE_LOST.
        """

    async def take_over(self, ended: Mapping[str, int], *, now: datetime) -> int:
        """End other servers' leases, and take the RUNNING executions that no lease covers; return how many.

        Safe beside a server that lives after all: a lease is ended only while its count is still ``beat`` and nobody
        renews it or claims under it, and its attempts are taken in the same transaction; what it records afterwards is
        refused.

        Args:
            ended: The leases that are over: server id → ``beat``, as it was last read.
            now: The time at which the attempts count as lost.
        """

    async def recover_own(self, owner: str, *, held: frozenset[str], begun: frozenset[str], now: datetime) -> int:
        """Settle RUNNING executions of ``owner`` that it does not run and that are older than `ORPHAN_AGE`.

        Args:
            owner: The server itself.
            held: Lease tokens of the attempts that run there.
            begun: Lease tokens of attempts that called their handlers there: these are lost. What never began is handed
                back, uncounted.
            now: The time of the recovery.
        """

    async def expire(self, *, now: datetime) -> int:
        """End executions that nobody started before their start deadline as MISSED; return how many."""

    async def shorten_waits(self, *, now: datetime) -> int:
        """Let nothing wait longer from now than its backoff or jitter, for the clock was set back; return how many."""

    async def begin_round(self, *, now: datetime) -> Round:
        """Return a round of retention, of which nothing has been looked at."""

    async def next_histories(self, current: Round) -> tuple[tuple[str, ...], Round]:
        """Find the next tasks, by uid, whose histories a round looks at; return them, and the round behind them."""

    async def prune(self, task_uids: Sequence[str], *, now: datetime) -> Pruned:
        """Remove ended executions that their tasks' retention does not keep, and deleted tasks that have none left.

        Looks at the first few of the tasks, and removes a few rows, so that nobody waits long behind it. Safe at any
        time: an open row is never removed.
        """

    async def end_round(self, ended: Round) -> None:
        """Note that a round is over: the next one looks at what came since it began.

        Safe beside other servers, and where a server dies in the midst of a round: what came meanwhile is looked at
        twice, nothing is left out.
        """

    async def review(self, *, after: str, now: datetime) -> Review:
        """Look at the next few tasks whose uids follow ``after``, and correct what this server's start changes of them.

        A next run that other zone rules gave moves to where it is by the rules there are; the alerts of tasks that
        cannot be read begin, those of tasks that can be read again end. Safe beside firing: a next run moves by compare
        and set, and the settled time stays.
        """

    async def review_alerted(self, *, now: datetime) -> None:
        """Look likewise at the tasks that could not be read."""

    async def reviewed_by(self) -> str:
        """Return by which program and tz data all tasks were last reviewed; empty if none has."""

    async def note_reviewed(self, by: str, *, now: datetime) -> None:
        """Note that all tasks were reviewed, by which program and tz data."""

    async def note_unreadable(self, tasks: Sequence[Task], *, now: datetime) -> None:
        """Begin the alerts of tasks of which a part cannot be read."""

    async def note_overdue(self, *, now: datetime) -> None:
        """Begin the alerts of tasks that did not run in their grace, and end those of tasks that have run since."""

    async def unsent_alerts(self) -> tuple[Alert, ...]:
        """Return alerts of which the start or the end is still to be told, the oldest first."""

    async def mark_alert_sent(self, alert: Alert) -> None:
        """Note that what was to be told of an alert, as it was read, has been told."""

    # -- servers that share a database

    @property
    def is_shared(self) -> bool:
        """Whether other servers may use the same database."""

    async def renew_lease(self, replica: Replica, *, now: datetime) -> tuple[Replica, ...]:
        """Renew a server's lease, or take it anew, with the count 0, where it has none.

        Returns:
            Every server that holds a lease, the one that has been there longest first.
        """

    def lease_line(self) -> LeaseLine:
        """Return a connection of its own on which a lease can be renewed from any one thread."""

    async def leave(self, replica_id: str) -> None:
        """Note that a replica stops."""

    async def offered_elsewhere(self, *, now: datetime) -> frozenset[str]:
        """Return the handlers that replicas offer which share this database; none where nobody can."""

    async def time(self) -> datetime | None:
        """Return the time by the database's own clock; None where it has none."""

    # -- what is there

    async def latest_settled(self) -> datetime | None:
        """Return up to when the task that is furthest is accounted for; None if there is none."""

    async def count_open(self) -> Mapping[State, int]:
        """Return how many executions are PENDING and RUNNING."""

    # -- life

    @property
    def refused_writes(self) -> int:
        """How many writes the database has refused since the start."""

    async def try_write(self) -> None:
        """Return if a write can be committed, with room on the disk for more; what is stored stays as it is."""

    async def ping(self) -> None:
        """Return if the database answers."""

    async def close(self) -> None:
        """Finish what is under way and let go of the database."""
