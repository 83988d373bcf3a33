"""Runs what is assigned: resolve → perform → report, whatever happens on the way."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

import structlog

from schedule_grpc.domain.execution.log_lines import LogLine
from schedule_grpc.engine.attempt_context import context_of_attempt
from schedule_grpc.errors import HandlerNotFound
from schedule_grpc.formats.protobuf import instant_to
from schedule_grpc.handlers import (
    Attempt,
    Call,
    Env,
    Fate,
    HandlerFunction,
    Registry,
    TaskContext,
    begin_in_thread,
    context_of,
)
from schedule_grpc.handlers.failure import description_of
from schedule_grpc.pb import worker_pb2 as pb
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.tracing import Tracer
from schedule_grpc.worker.assigned import CannotBeRead, Given
from schedule_grpc.worker.held import Held, HeldAttempt, Why
from schedule_grpc.worker.lines import LineNotes
from schedule_grpc.worker.outcomes import failed, outcome_of, released
from schedule_grpc.worker.progress import ProgressNotes

log = structlog.get_logger(__name__)

WAIT_FOR_FORMER = 10.0
"""Seconds that an attempt waits for an earlier one of its execution that still runs here; then it is handed back."""


class Place(Protocol):
    """A place for handlers to run: their bindings, and the call of an async one."""

    @property
    def env(self) -> Env:
        """The bindings."""

    def begin(self, function: HandlerFunction, ctx: TaskContext) -> Call:
        """Call an async handler."""


class Attempts:
    """Runs assignments in the slots of a worker; reports what becomes of them."""

    def __init__(
        self,
        *,
        held: Held,
        registry: Registry,
        place: Place,
        clock: Clock,
        slots: int,
        report: Callable[[pb.Update], None],
        tracer: Tracer | None = None,
    ) -> None:
        """Begin with nothing.

        Args:
            held: The table of the worker's attempts.
            registry: The handlers that it offers.
            place: Where async handlers run.
            clock: The worker's clock.
            slots: How many attempts run at once.
            report: Takes the news of attempts.
            tracer: Makes spans of their handlers; None: there are none.
        """
        self._held = held
        self._registry = registry
        self._place = place
        self._clock = clock
        self._slots = slots
        self._report = report
        self._tracer = tracer
        self._inside: dict[str, HeldAttempt] = {}
        """Attempts whose handlers have not ended, by execution id, whether they are held or not."""
        self._stopping: set[HeldAttempt] = set()
        """Attempts that are lost, and whose handlers got no more than their grace yet to stop."""
        self._tasks: set[asyncio.Task[None]] = set()
        self.draining = False
        """Whether nothing begins any more."""
        self.leaving = asyncio.Event()
        """Set at the end of the process: a handler gets no more than its grace to stop."""

    @property
    def capacity(self) -> int:
        """How many more attempts a Pull may ask for."""
        return 0 if self.draining else max(self._slots - len(self._held) - len(self._stopping), 0)

    @property
    def _is_full(self) -> bool:
        """Whether no attempt can begin. The server may know of an outcome before its acknowledgement is here."""
        running = sum(not attempt.has_ended for attempt in self._held) + len(self._stopping)
        return self.draining or running >= self._slots

    @property
    def left_behind(self) -> int:
        """How many handlers have not ended."""
        return len(self._inside)

    def take(self, assignment: pb.Assignment) -> bool:
        """Begin an attempt; return False if it is nothing new."""
        if assignment.lease_token in self._held:
            return False
        is_too_many = self._is_full
        token = assignment.lease_token
        attempt = HeldAttempt(
            assignment,
            asyncio.get_running_loop().create_future(),
            ProgressNotes(self._clock, partial(self._publish_progress, token)),
            LineNotes(self._clock, partial(self._publish_lines, token)),
        )
        self._held.add(attempt)
        former = self._inside.get(attempt.execution_id)
        if is_too_many:
            if not self.draining:
                log.warning("worker.too_many_assigned", execution=attempt.execution_id, slots=self._slots)
            self._end(attempt, released(began=False))
        elif former is None:
            self._perform(attempt)
        else:
            self._in_background(self._perform_after(former, attempt))
        return True

    def stop(self, token: str, why: Why) -> bool:
        """Ask an attempt to stop; return False if that is nothing new."""
        attempt = self._held.get(token)
        if attempt is None or attempt.stop.done():
            return False
        attempt.ask_to_stop(why)
        return True

    def stop_all(self, why: Why) -> None:
        """Ask all attempts to stop."""
        for attempt in self._held:
            attempt.ask_to_stop(why)

    def drop(self, tokens: Iterable[str]) -> int:
        """Stop attempts that are not this worker's any more, and say nothing of them; return how many there were."""
        dropped = [found for token in tokens if (found := self._held.get(token)) is not None]
        for attempt in dropped:
            if self._inside.get(attempt.execution_id) is attempt:
                self._stopping.add(attempt)
            attempt.ask_to_stop(Why.LOST)
            self._held.remove(attempt.token)
        return len(dropped)

    async def _perform_after(self, former: HeldAttempt, attempt: HeldAttempt) -> None:
        """Wait a little for an earlier attempt that did not stop; two of an execution never run side by side here."""
        log.warning("attempt.waits_for_former", execution=attempt.execution_id)
        handler_end = former.handler_end = former.handler_end or asyncio.get_running_loop().create_future()
        with suppress(TimeoutError):
            async with self._clock.timeout(WAIT_FOR_FORMER):
                await asyncio.wait([handler_end, attempt.stop], return_when=asyncio.FIRST_COMPLETED)
        if handler_end.done() and not attempt.stop.done():
            self._perform(attempt)
        elif attempt.why is not Why.LOST:
            self._end(attempt, released(began=False))

    def _perform(self, attempt: HeldAttempt) -> None:
        """Call the handler; hand the attempt back if it is not offered here."""
        assignment = attempt.assignment
        try:
            offer = self._registry.get(assignment.handler)
            given = Given(
                assignment,
                env=self._place.env,
                clock=self._clock,
                conditions=attempt.conditions,
                report=attempt.progress,
                lines=attempt.lines,
                tracer=self._tracer,
            )
        except HandlerNotFound:
            log.warning("worker.handler_unknown", execution=attempt.execution_id, handler=assignment.handler)
            self._end(attempt, released(began=False))
            return
        except CannotBeRead as error:
            self._end(attempt, failed(str(error)))
            return
        attempt.given = given
        self._inside[attempt.execution_id] = attempt
        Attempt(
            offer,
            context_of(given),
            timeout=given.timeout,
            stop=attempt.stop,
            on_fate=partial(self._performed, attempt),
            begin=self._place.begin if offer.is_async else _begin_in_thread,
            leaving=self.leaving,
        )

    def _performed(self, attempt: HeldAttempt, fate: Fate) -> None:
        self._stopping.discard(attempt)
        if attempt.given is not None:
            attempt.given.end(None if fate.stopped else fate.error, fate.kind)
        if fate.left is None:
            self._note_end(attempt)
        else:
            log.error("handler.abandoned", execution=attempt.execution_id, handler=attempt.assignment.handler)
            fate.left.add_done_callback(lambda _: self._note_end(attempt))
        if attempt.why is Why.LOST or attempt.token not in self._held:
            return
        try:
            outcome = outcome_of(fate, attempt.why, attempt.conditions)
        except Exception as error:  # whatever is wrong with it, the attempt has to end
            log.exception("worker.outcome_not_made", execution=attempt.execution_id)
            outcome = failed(f"The worker could not report the outcome: {description_of(error)}")
        if outcome is None:
            attempt.is_left = True
            self._held.note_change()
        else:
            self._end(attempt, outcome)

    def _note_end(self, attempt: HeldAttempt) -> None:
        """Note that a handler has ended."""
        if self._inside.get(attempt.execution_id) is attempt:
            del self._inside[attempt.execution_id]
        if attempt.handler_end is not None and not attempt.handler_end.done():
            attempt.handler_end.set_result(None)

    def _end(self, attempt: HeldAttempt, outcome: pb.Update.Outcome) -> None:
        """Report the end of an attempt, after all else that there is to say of it."""
        attempt.has_ended = True
        attempt.lines.flush()
        attempt.progress.flush()
        self._report(pb.Update(lease_token=attempt.token, outcome=outcome))

    def _publish_progress(self, token: str, fraction: float, text: str) -> None:
        if token in self._held:
            self._report(pb.Update(lease_token=token, progress=pb.Update.Progress(fraction=fraction, text=text)))

    def _publish_lines(self, token: str, lines: Sequence[LogLine]) -> None:
        if token in self._held:
            news = pb.Update.Log(
                lines=[
                    pb.Update.LogLine(
                        sequence=each.sequence, time=instant_to(each.time), level=each.level, text=each.text
                    )
                    for each in lines
                ]
            )
            self._report(pb.Update(lease_token=token, log=news))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _begin_in_thread(function: HandlerFunction, ctx: TaskContext) -> Call:
    return context_of_attempt(ctx).run(begin_in_thread, function, ctx)
