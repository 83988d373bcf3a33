"""One execution, from its claim to its record: resolve → perform → judge → record, whatever happens on the way."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto

import structlog

from schedule_grpc.clock import Clock
from schedule_grpc.condition import Condition
from schedule_grpc.engine.progress import Reporter
from schedule_grpc.engine.recorder import Recorder
from schedule_grpc.errors import HandlerNotFound, Unavailable
from schedule_grpc.events import Abandoned, Hub
from schedule_grpc.execution import HandBack, Outcome, unrecordable
from schedule_grpc.handlers import Env, Fate, Registry, Stop, TaskContext, perform
from schedule_grpc.store import Claim, Store

log = structlog.get_logger(__name__)

LEASE = timedelta(seconds=30)
"""How long a claim holds without a heartbeat."""
SAFETY = timedelta(seconds=5)
"""An owner stops this long before its lease ends, others take over this long after: clocks never quite agree."""
ABANDONED_LIMIT = 64
"""Handlers that would not stop: so many of them still holding threads or memory are an operator's business."""
RECORD_AGAIN_AFTER = timedelta(seconds=1)
FAULTS_BORNE = 3
"""How often recording may run into a fault of ours before the attempt is recorded as failed, without what it said."""


class Why(Enum):
    """Why we ask a running attempt to stop."""

    SHUTDOWN = auto()
    CANCELLED = auto()
    LEASE_LOST = auto()


@dataclass(slots=True)
class Running:
    """An attempt in progress here. ``lease_ends`` is monotonic: the wall clock may jump, our right to run may not."""

    claim: Claim
    stop: Stop
    lease_ends: float
    why: Why | None = None
    conditions: list[Condition] = field(default_factory=list)


class Runner:
    """Runs claims, each in an asyncio task of its own."""

    def __init__(
        self, *, store: Store, clock: Clock, registry: Registry, env: Env, hub: Hub, on_free: Callable[[], None]
    ) -> None:
        self._recorder = Recorder(store)
        self._clock = clock
        self._registry = registry
        self._env = env
        self._hub = hub
        self._on_free = on_free
        self._running: dict[str, Running] = {}
        self._by_handler: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._abandoned = 0
        self._giving_up = asyncio.Event()
        self.claiming = asyncio.Lock()
        """Held from before a claim until all of it is held here: in between it looks like one that got lost."""

    def start(self, claim: Claim, *, lease_ends: float) -> None:
        """Run a claim in the background; one whose answer came too late is left to be handed back."""
        if self._clock.monotonic() >= lease_ends - SAFETY.total_seconds():
            log.warning("claim.too_late", execution=claim.execution.id)
            return
        running = Running(claim, asyncio.get_running_loop().create_future(), lease_ends)
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
        if self._abandoned < ABANDONED_LIMIT:
            return ()
        return (f"{self._abandoned} handlers ignored their timeout and may still be running",)

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
            report = self._judge(running, await self._perform(running))
            if report is not None:
                await self._record(report)
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
        context = TaskContext(
            task=claim.task,
            execution_id=execution.id,
            attempt=execution.attempt,
            scheduled_time=execution.scheduled_time,
            deadline=self._clock.now() + timeout,
            payload=claim.payload,
            env=self._env,
            clock=self._clock,
            conditions=running.conditions,
            report=Reporter(claim, hub=self._hub, clock=self._clock),
            log=log.bind(execution=execution.id, task=claim.task.name, attempt=execution.attempt),
        )
        with structlog.contextvars.bound_contextvars(execution=execution.id):
            return await perform(offer, context, timeout=timeout, stop=running.stop)

    def _judge(self, running: Running, fate: Fate | None) -> Outcome | HandBack | None:
        """Return what to record of a fate; None where that is not ours to say."""
        claim = running.claim
        now = self._clock.now()
        if running.why is Why.LEASE_LOST:
            return None
        if fate is None or fate.stopped:
            return HandBack(execution_id=claim.execution.id, lease_token=claim.lease_token, time=now)
        if fate.abandoned:
            self._abandoned += 1
            log.error("handler.abandoned", execution=claim.execution.id, handler=claim.execution.handler)
            self._hub.publish([Abandoned(execution_id=claim.execution.id)])
            if running.why is Why.SHUTDOWN:
                return None
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
        )

    async def _record(self, report: Outcome | HandBack) -> None:
        """Write a report; while the database is away, keep it and try again, but do not keep a stopping server.

        A report that we cannot write is told as a failure in the end: not written at all, it would be run again.
        """
        faults = 0
        while True:
            last_try = self._giving_up.is_set()
            try:
                execution = await self._recorder.record(report)
            except Unavailable as error:
                log.warning("execution.record_delayed", execution=report.execution_id, error=str(error))
                if last_try:
                    return
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
            return
