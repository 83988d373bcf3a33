"""One execution, from its claim to its record: resolve → perform → report → record, whatever happens on the way."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeAlias

import structlog

from schedule_grpc.domain.condition import Condition
from schedule_grpc.domain.execution import HandBack, Outcome, Report, unrecordable
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.engine.attempt_context import Given, context_of_attempt
from schedule_grpc.engine.leases import Lease
from schedule_grpc.engine.slots_in_use import SlotsInUse
from schedule_grpc.errors import HandlerNotFound, Unavailable
from schedule_grpc.events import Abandoned, Hub
from schedule_grpc.handlers import (
    Attempt,
    Call,
    Env,
    Fate,
    HandlerFunction,
    Registry,
    Stop,
    TaskContext,
    begin_here,
    begin_in_thread,
    context_of,
)
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.store import Answer, Claim, LogBook, Recorder, Store
from schedule_grpc.tracing import Tracer

log = structlog.get_logger(__name__)

ABANDONED_LIMIT = 64
"""Abandoned handlers from which on health degrades: they still hold threads or memory."""
WAIT_FOR_FORMER = timedelta(seconds=10)
"""A claim waits this long for an earlier attempt of its execution that still runs here; then it is handed back."""
LEASE_LOST_ERROR = "This server could not renew its lease, and stopped the attempt"
RECORD_AGAIN_AFTER = timedelta(seconds=1)
FAULTS_BORNE = 3
"""Errors of this program while recording after which the attempt is recorded as failed, without its result."""


P = ParamSpec("P")
HandlerEnd: TypeAlias = "asyncio.Future[Any]"
"""Done once a handler has ended, even if long after it was asked to stop."""


class Place(Protocol):
    """A place for handlers to run: their bindings, and the call of an async one."""

    @property
    def env(self) -> Env:
        """The bindings."""

    def begin(self, function: HandlerFunction, ctx: TaskContext) -> Call:
        """Call an async handler."""


@dataclass(frozen=True, slots=True)
class Here:
    """The engine's own event loop: for tests, whose handlers share its clock."""

    env: Env

    def begin(self, function: HandlerFunction, ctx: TaskContext) -> Call:
        """Call an async handler."""
        return context_of_attempt(ctx).run(begin_here, function, ctx)


class Why(Enum):
    """The reason of a stop request."""

    SHUTDOWN = auto()
    CANCELLED = auto()
    LEASE_LOST = auto()


@dataclass(slots=True, eq=False)
class HeldAttempt:
    """An attempt in progress here, begun in a term of this server's lease."""

    claim: Claim
    stop: Stop
    term: int
    why: Why | None = None
    conditions: list[Condition] = field(default_factory=list)
    given: Given | None = None
    """What its handler was given; None before."""
    faults: int = 0
    """Errors of this program while recording it."""
    handler_end: "HandlerEnd | None" = None
    """Made when the next attempt waits for this one's handler."""


_Step: TypeAlias = Callable[Concatenate["Runner", HeldAttempt, P], None]


def _whatever_happens(step: _Step[P]) -> _Step[P]:
    """Wrap a step of an attempt: an error in it ends the attempt here, and affects no other."""

    @wraps(step)
    def taken(self: "Runner", attempt: HeldAttempt, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            step(self, attempt, *args, **kwargs)
        except Exception:
            # The row stays RUNNING under its lease: upkeep hands it back once no attempt here holds it.
            claim = attempt.claim
            log.exception("execution.not_recorded", execution=claim.execution.id, task=claim.task.name)
            self._finish(attempt)

    return taken


class Runner:
    """Runs claims. Callbacks take an attempt from step to step; only unusual waits have an asyncio task."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        registry: Registry,
        place: Place,
        hub: Hub,
        logbook: LogBook,
        lease: Lease,
        on_free: Callable[[], None],
        may_wait: Callable[[str], bool],
        tracer: Tracer | None = None,
    ) -> None:
        self._recorder = Recorder(store, may_wait=may_wait, logbook=logbook)
        self._logbook = logbook
        self._clock = clock
        self._lease = lease
        self._registry = registry
        self._place = place
        self._hub = hub
        self._on_free = on_free
        self._tracer = tracer
        self._running: dict[str, HeldAttempt] = {}
        self.slots = SlotsInUse()
        self._unfinished = 0
        self._idle = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun: set[str] = set()
        self._inside: dict[str, HeldAttempt] = {}
        self._abandoned: set[HandlerEnd] = set()
        self._giving_up = asyncio.Event()
        self.claiming = asyncio.Lock()
        """Locked from before a claim until `start` got all of it: in between, upkeep would take it for a lost one."""

    def start(self, claim: Claim, *, term: int) -> None:
        """Run a claim, made in a term of the lease, in the background."""
        attempt = HeldAttempt(claim, asyncio.get_running_loop().create_future(), term)
        self._running[claim.execution.id] = attempt
        self.slots.take(claim.execution)
        self._unfinished += 1
        former = self._inside.get(claim.execution.id)
        if former is None:
            self._perform(attempt)
        else:
            self._in_background(self._perform_after(former, attempt))

    def running_by_handler(self) -> Mapping[str, int]:
        """Return how many attempts run here, by handler."""
        return self.slots.by_handler()

    def held(self) -> Mapping[str, HeldAttempt]:
        """Return the attempts in progress here, by execution id."""
        return self._running

    def begun(self) -> frozenset[str]:
        """Return the lease tokens of attempts that called their handlers here and are not recorded."""
        return frozenset(self._begun)

    def stop_beyond_lease(self) -> None:
        """Ask attempts to stop that this server's lease no longer covers, or may soon not cover."""
        for execution_id, attempt in tuple(self._running.items()):
            if not self._covers(attempt) and not attempt.stop.done():
                log.error("attempt.lease_lost", execution=execution_id)
                self.stop(execution_id, Why.LEASE_LOST)

    def stop(self, execution_id: str, why: Why) -> None:
        """Ask an attempt to stop."""
        attempt = self._running.get(execution_id)
        if attempt is not None and not attempt.stop.done():
            attempt.why = why
            attempt.stop.set_result(None)

    def write_reports(self) -> None:
        """Write the reports that wait to be written together."""
        self._recorder.write()

    async def drain(self, limit: timedelta, hurried: asyncio.Event) -> None:
        """Let running attempts end; after ``limit``, or when hurried, ask the others to stop, and hand them back."""
        waits = asyncio.ensure_future(hurried.wait()), asyncio.ensure_future(self.idle())
        try:
            with suppress(TimeoutError):
                async with self._clock.timeout(max(limit.total_seconds(), 0)):
                    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        for execution_id in tuple(self._running):
            self.stop(execution_id, Why.SHUTDOWN)
        self._giving_up.set()
        await self.idle()

    async def idle(self) -> None:
        """Return when no attempt is running here."""
        while self._unfinished:
            self._idle.clear()
            await self._idle.wait()

    def troubles(self) -> Sequence[str]:
        """Return why this runner is not healthy; empty if it is."""
        if len(self._abandoned) < ABANDONED_LIMIT:
            return ()
        return (f"{len(self._abandoned)} handlers ignored that they were asked to stop, and still run",)

    def _is_still_ours(self, attempt: HeldAttempt) -> bool:
        """Return whether an attempt that was asked to stop for an unconfirmed lease is still this server's."""
        return attempt.why is Why.LEASE_LOST and attempt.term == self._lease.term

    def _covers(self, attempt: HeldAttempt) -> bool:
        return self._lease.holds and attempt.term == self._lease.term

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _perform_after(self, former: HeldAttempt, attempt: HeldAttempt) -> None:
        """Wait a little for an earlier attempt that did not stop; two never run side by side here."""
        log.warning("attempt.waits_for_former", execution=attempt.claim.execution.id)
        handler_end = former.handler_end = former.handler_end or asyncio.get_running_loop().create_future()
        with suppress(TimeoutError):
            async with self._clock.timeout(WAIT_FOR_FORMER.total_seconds()):
                await asyncio.wait([handler_end, attempt.stop], return_when=asyncio.FIRST_COMPLETED)
        if handler_end.done() and not attempt.stop.done():
            self._perform(attempt)
        else:
            self._report(attempt, None)

    @_whatever_happens
    def _perform(self, attempt: HeldAttempt) -> None:
        """Call the handler; if it is not offered here, or the lease is gone, hand the attempt back."""
        claim = attempt.claim
        execution, timeout = claim.execution, claim.task.policy.timeout
        try:
            offer = self._registry.get(execution.handler)
        except HandlerNotFound:
            self._report(attempt, None)
            return
        if not self._covers(attempt):
            self._report(attempt, None)
            return
        self._begun.add(claim.lease_token)
        given = attempt.given = Given(
            claim,
            deadline=self._clock.now() + timeout,
            env=self._place.env,
            clock=self._clock,
            book=self._logbook,
            conditions=attempt.conditions,
            tracer=self._tracer,
        )
        Attempt(
            offer,
            context_of(given),
            timeout=timeout,
            stop=attempt.stop,
            on_fate=partial(self._performed, attempt),
            begin=self._place.begin if offer.is_async else _begin_in_thread,
            leaving=self._giving_up,
            is_waited_for=partial(self._is_still_ours, attempt),
        )
        self._inside[execution.id] = attempt

    @_whatever_happens
    def _performed(self, attempt: HeldAttempt, fate: Fate) -> None:
        if attempt.given is not None:
            attempt.given.end(None if fate.stopped else fate.error, fate.kind)
        if fate.left is None:
            self._note_end(attempt)
        else:
            self._abandoned.add(fate.left)
            fate.left.add_done_callback(self._abandoned.discard)
            fate.left.add_done_callback(lambda _: self._note_end(attempt))
        self._report(attempt, fate)

    def _note_end(self, attempt: HeldAttempt) -> None:
        """Note that a handler has ended."""
        if self._inside.get(attempt.claim.execution.id) is attempt:
            del self._inside[attempt.claim.execution.id]
        if attempt.handler_end is not None:
            attempt.handler_end.set_result(None)

    @_whatever_happens
    def _report(self, attempt: HeldAttempt, fate: Fate | None) -> None:
        report = self._report_for(attempt, fate)
        if report is None:
            self._finish(attempt)
        else:
            self._record(attempt, report)

    def _report_for(self, attempt: HeldAttempt, fate: Fate | None) -> Report | None:
        """Return the report of a fate; None if the rescue of the execution decides.

        A handler's result is reported even if the lease is lost: the record is refused if the token does not stand.
        """
        claim = attempt.claim
        now = self._clock.now()
        if fate is None or not fate.begun:
            self._begun.discard(claim.lease_token)
            return _hand_back(claim, now, began=False)
        if fate.abandoned:
            log.error("handler.abandoned", execution=claim.execution.id, handler=claim.execution.handler)
            self._hub.publish([Abandoned(execution_id=claim.execution.id)])
            if attempt.why is Why.SHUTDOWN:
                return None
        elif fate.stopped and attempt.why is Why.LEASE_LOST:
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
            conditions=tuple(attempt.conditions),
            claimed=claim.execution,
        )

    def _record(self, attempt: HeldAttempt, report: Report) -> None:
        is_last_try = self._giving_up.is_set()
        self._recorder.record(report, partial(self._recorded, attempt, report, is_last_try))

    @_whatever_happens
    def _recorded(self, attempt: HeldAttempt, report: Report, is_last_try: bool, answer: Answer) -> None:
        """End the attempt once its report is written, or refused because another server has the execution.

        While the database is away, the report is kept and written later, unless the server stops. A report that this
        program cannot write is replaced by a failure in the end: without any record the execution would run again.
        """
        if isinstance(answer, Unavailable):
            log.warning("execution.record_delayed", execution=report.execution_id, error=str(answer))
            if is_last_try:
                self._finish(attempt)
            else:
                self._in_background(self._record_later(attempt, report))
        elif isinstance(answer, Exception):
            attempt.faults += 1
            if attempt.faults > FAULTS_BORNE or is_last_try:
                raise answer
            log.error("execution.record_failed", execution=report.execution_id, exc_info=answer)
            if attempt.faults == FAULTS_BORNE and isinstance(report, Outcome):
                report = unrecordable(report, answer)
            self._in_background(self._record_later(attempt, report))
        else:
            if answer is None:
                log.warning("execution.record_refused", execution=report.execution_id)
            self._begun.discard(attempt.claim.lease_token)
            self._finish(attempt)

    async def _record_later(self, attempt: HeldAttempt, report: Report) -> None:
        await self._clock.wait_until(self._clock.now() + RECORD_AGAIN_AFTER, self._giving_up)
        self._record(attempt, report)

    def _finish(self, attempt: HeldAttempt) -> None:
        execution = attempt.claim.execution
        # Its next attempt may have begun here already: the record was committed, and its answer got lost.
        if self._running.get(execution.id) is attempt:
            del self._running[execution.id]
        self.slots.free(execution)
        self._unfinished -= 1
        if not self._unfinished:
            self._idle.set()
        self._on_free()


def _begin_in_thread(function: HandlerFunction, ctx: TaskContext) -> Call:
    return context_of_attempt(ctx).run(begin_in_thread, function, ctx)


def _hand_back(claim: Claim, now: datetime, *, began: bool) -> HandBack:
    execution = claim.execution
    return HandBack(execution_id=execution.id, lease_token=claim.lease_token, time=now, began=began, claimed=execution)
