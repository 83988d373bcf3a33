"""One execution, from its claim to its record: resolve → perform → report → record, whatever happens on the way."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from functools import partial
from typing import Any, Protocol, TypeAlias

import structlog

from schedule_grpc.clock import Clock
from schedule_grpc.condition import Condition
from schedule_grpc.engine.lease import Lease
from schedule_grpc.engine.progress import Reporter
from schedule_grpc.engine.recorder import Recorder
from schedule_grpc.errors import HandlerNotFound, Unavailable
from schedule_grpc.events import Abandoned, Hub
from schedule_grpc.execution import HandBack, Outcome, unrecordable
from schedule_grpc.handlers import Call, Env, Fate, HandlerFunction, Registry, Stop, TaskContext, begin_here, perform
from schedule_grpc.retry import FailureKind
from schedule_grpc.store import Claim, Store

log = structlog.get_logger(__name__)

ABANDONED_LIMIT = 64
"""Handlers that would not stop: so many of them still holding threads or memory are an operator's business."""
WAIT_FOR_FORMER = timedelta(seconds=10)
"""How long a claim waits for an earlier attempt of its execution that still runs here, before it is handed back."""
LEASE_LOST_ERROR = "This server could not renew its lease, and stopped the attempt"
RECORD_AGAIN_AFTER = timedelta(seconds=1)
FAULTS_BORNE = 3
"""How often recording may run into a fault of ours before the attempt is recorded as failed, without what it said."""


Ended: TypeAlias = "asyncio.Future[Any]"
"""Done once a handler has really ended, be it long after it was asked to stop."""


class Place(Protocol):
    """Where handlers run: what they reach the world by, and how an async one is called."""

    @property
    def env(self) -> Env:
        """The bindings."""

    def begin(self, function: HandlerFunction, ctx: TaskContext) -> Call:
        """Call an async handler."""


@dataclass(frozen=True, slots=True)
class Here:
    """In the engine's own event loop: for tests, whose handlers share its clock."""

    env: Env

    def begin(self, function: HandlerFunction, ctx: TaskContext) -> Call:
        """Call an async handler."""
        return begin_here(function, ctx)


class Why(Enum):
    """Why we ask a running attempt to stop."""

    SHUTDOWN = auto()
    CANCELLED = auto()
    LEASE_LOST = auto()


@dataclass(slots=True)
class Running:
    """An attempt in progress here, begun in a term of this server's lease."""

    claim: Claim
    stop: Stop
    term: int
    why: Why | None = None
    conditions: list[Condition] = field(default_factory=list)


class Runner:
    """Runs claims, each in an asyncio task of its own."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        registry: Registry,
        place: Place,
        hub: Hub,
        lease: Lease,
        on_free: Callable[[], None],
    ) -> None:
        self._recorder = Recorder(store)
        self._clock = clock
        self._lease = lease
        self._registry = registry
        self._place = place
        self._hub = hub
        self._on_free = on_free
        self._running: dict[str, Running] = {}
        self._by_handler: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun: set[str] = set()
        self._inside: dict[str, Ended] = {}
        self._abandoned: set[Ended] = set()
        self._giving_up = asyncio.Event()
        self.claiming = asyncio.Lock()
        """Held from before a claim until all of it is held here: in between it looks like one that got lost."""

    def start(self, claim: Claim, *, term: int) -> None:
        """Run a claim, made in a term of the lease, in the background."""
        running = Running(claim, asyncio.get_running_loop().create_future(), term)
        self._running[claim.execution.id] = running
        self._by_handler[claim.execution.handler] += 1
        task = asyncio.create_task(self._run(running), name=f"run {claim.execution.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def running_by_handler(self) -> Mapping[str, int]:
        """Return how many attempts run here, by handler."""
        return +self._by_handler

    def held(self) -> Mapping[str, Running]:
        """Return the attempts in progress here, by execution id."""
        return self._running

    def begun(self) -> frozenset[str]:
        """Return the lease tokens of attempts that called their handlers here and are not recorded."""
        return frozenset(self._begun)

    def stop_beyond_lease(self) -> None:
        """Ask the attempts to stop that this server's lease does not cover, or may soon not cover, any more."""
        for execution_id, running in tuple(self._running.items()):
            if not self._covers(running) and not running.stop.done():
                log.error("attempt.lease_lost", execution=execution_id)
                self.stop(execution_id, Why.LEASE_LOST)

    def stop(self, execution_id: str, why: Why) -> None:
        """Ask an attempt to stop."""
        running = self._running.get(execution_id)
        if running is not None and not running.stop.done():
            running.why = why
            running.stop.set_result(None)

    async def drain(self, limit: timedelta, hurried: asyncio.Event) -> None:
        """Let running work end; what has not after ``limit``, or when hurried, is asked to stop and handed back."""
        ends = self._clock.now() + limit
        while self._tasks and self._clock.now() < ends and not hurried.is_set():
            await self._any_ended(hurried, ends - self._clock.now())
        for execution_id in tuple(self._running):
            self.stop(execution_id, Why.SHUTDOWN)
        self._giving_up.set()
        await self.idle()

    async def idle(self) -> None:
        """Return when no attempt is running here."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def troubles(self) -> Sequence[str]:
        """Return why this runner is not healthy; empty if it is."""
        if len(self._abandoned) < ABANDONED_LIMIT:
            return ()
        return (f"{len(self._abandoned)} handlers ignored that they were asked to stop, and still run",)

    def _is_still_ours(self, running: Running) -> bool:
        """Tell whether nobody has taken an attempt that was to stop because the lease could not be renewed."""
        return running.why is Why.LEASE_LOST and running.term == self._lease.term

    def _covers(self, running: Running) -> bool:
        return self._lease.holds and running.term == self._lease.term

    async def _any_ended(self, hurried: asyncio.Event, limit: timedelta) -> None:
        hurry = asyncio.ensure_future(hurried.wait())
        try:
            with suppress(TimeoutError):
                async with self._clock.timeout(max(limit.total_seconds(), 0)):
                    await asyncio.wait({*self._tasks, hurry}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hurry.cancel()

    async def _run(self, running: Running) -> None:
        claim = running.claim
        try:
            report = self._report_of(running, await self._perform(running))
            if report is not None and await self._record(report):
                self._begun.discard(claim.lease_token)
        except Exception:
            # The row stays RUNNING under its lease: upkeep hands it back once nobody holds it.
            log.exception("execution.not_recorded", execution=claim.execution.id, task=claim.task.name)
        finally:
            # Its next attempt may have begun here already: the record was committed, and its answer got lost.
            if self._running.get(claim.execution.id) is running:
                del self._running[claim.execution.id]
            self._by_handler[claim.execution.handler] -= 1
            self._on_free()

    async def _perform(self, running: Running) -> Fate | None:
        claim = running.claim
        execution, timeout = claim.execution, claim.task.policy.timeout
        try:
            offer = self._registry.get(execution.handler)
        except HandlerNotFound:
            return None
        if not await self._former_attempt_ended(running) or not self._covers(running):
            return None
        ended = self._begin(claim)
        context = TaskContext(
            task=claim.task,
            execution_id=execution.id,
            attempt=execution.attempt,
            scheduled_time=execution.scheduled_time,
            deadline=self._clock.now() + timeout,
            payload=claim.payload,
            env=self._place.env,
            clock=self._clock,
            conditions=running.conditions,
            report=Reporter(claim, hub=self._hub, clock=self._clock),
            log=log.bind(execution=execution.id, task=claim.task.name, attempt=execution.attempt),
        )
        with structlog.contextvars.bound_contextvars(execution=execution.id):
            fate = await perform(
                offer,
                context,
                timeout=timeout,
                stop=running.stop,
                begin=self._place.begin,
                leaving=self._giving_up,
                is_waited_for=partial(self._is_still_ours, running),
            )
        self._note_end(ended, fate)
        return fate

    async def _former_attempt_ended(self, running: Running) -> bool:
        """Wait a little for an earlier attempt that would not stop; two never run side by side here."""
        former = self._inside.get(running.claim.execution.id)
        if former is None:
            return True
        log.warning("attempt.waits_for_former", execution=running.claim.execution.id)
        with suppress(TimeoutError):
            async with self._clock.timeout(WAIT_FOR_FORMER.total_seconds()):
                await asyncio.wait([former, running.stop], return_when=asyncio.FIRST_COMPLETED)
        return former.done() and not running.stop.done()

    def _begin(self, claim: Claim) -> Ended:
        """Note that a handler is called; return what `_note_end` takes."""
        self._begun.add(claim.lease_token)
        ended: Ended = asyncio.get_running_loop().create_future()
        self._inside[claim.execution.id] = ended
        ended.add_done_callback(lambda _: self._forget(claim.execution.id, ended))
        return ended

    def _forget(self, execution_id: str, ended: Ended) -> None:
        if self._inside.get(execution_id) is ended:
            del self._inside[execution_id]

    def _note_end(self, ended: Ended, fate: Fate) -> None:
        """Note that a handler has ended: now, or, if it would not stop, whenever it does."""
        if fate.left is None:
            ended.set_result(None)
            return
        self._abandoned.add(fate.left)
        fate.left.add_done_callback(self._abandoned.discard)
        fate.left.add_done_callback(lambda _: ended.set_result(None))

    def _report_of(self, running: Running, fate: Fate | None) -> Outcome | HandBack | None:
        """Return what to record of a fate; None where that is not ours to say.

        What the handler says stands whatever became of the lease: the record is refused if the token does not stand.
        """
        claim = running.claim
        now = self._clock.now()
        if fate is None or not fate.begun:
            self._begun.discard(claim.lease_token)
            return _hand_back(claim, now, began=False)
        if fate.abandoned:
            log.error("handler.abandoned", execution=claim.execution.id, handler=claim.execution.handler)
            self._hub.publish([Abandoned(execution_id=claim.execution.id)])
            if running.why is Why.SHUTDOWN:
                return None
        elif fate.stopped and running.why is Why.LEASE_LOST:
            fate = replace(fate, kind=FailureKind.LEASE_LOST, error=LEASE_LOST_ERROR)
        elif fate.stopped:
            return _hand_back(claim, now, began=True)
        return Outcome(
            execution_id=claim.execution.id,
            lease_token=claim.lease_token,
            end_time=now,
            duration=fate.duration,
            kind=fate.kind,
            error=fate.error,
            result=fate.result,
            retry=not fate.abandoned,
            conditions=tuple(running.conditions),
            claimed=claim.execution,
        )

    async def _record(self, report: Outcome | HandBack) -> bool:
        """Write a report; while the database is away, keep it and try again, but do not keep a stopping server.

        A report that we cannot write is told as a failure in the end: not written at all, it would be run again.

        Returns:
            Whether the row knows of it: it was written, or refused because another server has taken the execution.
        """
        faults = 0
        while True:
            last_try = self._giving_up.is_set()
            try:
                execution = await self._recorder.record(report)
            except Unavailable as error:
                log.warning("execution.record_delayed", execution=report.execution_id, error=str(error))
                if last_try:
                    return False
                await self._clock.wait_until(self._clock.now() + RECORD_AGAIN_AFTER, self._giving_up)
                continue
            except Exception as error:
                faults += 1
                if faults > FAULTS_BORNE or last_try:
                    raise
                log.exception("execution.record_failed", execution=report.execution_id)
                if faults == FAULTS_BORNE and isinstance(report, Outcome):
                    report = unrecordable(report, error)
                await self._clock.wait_until(self._clock.now() + RECORD_AGAIN_AFTER, self._giving_up)
                continue
            if execution is None:
                log.warning("execution.record_refused", execution=report.execution_id)
            return True


def _hand_back(claim: Claim, now: datetime, *, began: bool) -> HandBack:
    execution = claim.execution
    return HandBack(execution_id=execution.id, lease_token=claim.lease_token, time=now, began=began, claimed=execution)
