"""The parts of the context that an attempt gives to its handler; each is made when the handler first reads it."""

import asyncio
import contextvars
import threading
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import structlog
from structlog.typing import FilteringBoundLogger

from schedule_grpc.domain.condition import Condition
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.domain.task import Task
from schedule_grpc.engine.attempt_lines import AttemptLines
from schedule_grpc.engine.log_lines import names_of
from schedule_grpc.engine.progress import Reporter
from schedule_grpc.handlers import Env, TaskContext, span_of
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.store import Claim, LogBook
from schedule_grpc.tracing import HandlerSpan, Tracer


class Given:
    """The parts of the context of a claim's attempt; see `TaskContext` for each."""

    def __init__(
        self,
        claim: Claim,
        *,
        deadline: datetime,
        env: Env,
        clock: Clock,
        book: LogBook,
        conditions: list[Condition],
        tracer: Tracer | None = None,
    ) -> None:
        """Take the sources of the parts. In the engine's event loop."""
        self.deadline = deadline
        self.env = env
        self.clock = clock
        self.conditions = conditions
        self._claim = claim
        self._book = book
        self._loop = asyncio.get_running_loop()
        self.span: HandlerSpan | None = None if tracer is None else tracer.handler_of(claim.execution)

    @property
    def task(self) -> Task:
        """The task as it was at the claim."""
        return self._claim.task

    @property
    def execution_id(self) -> str:
        """The id of the execution."""
        return self._claim.execution.id

    @property
    def attempt(self) -> int:
        """The attempt's number."""
        return self._claim.execution.attempt

    @property
    def scheduled_time(self) -> datetime | None:
        """The occurrence of the execution."""
        return self._claim.execution.scheduled_time

    @property
    def payload(self) -> Mapping[str, Any]:
        """The payload; shared, so not to be changed."""
        return self._claim.payload

    @property
    def report(self) -> Reporter:
        """The one receiver of its progress, in whichever thread it is first read."""
        made = self.__dict__.get("_reporter")
        if made is None:
            made = Reporter(self._claim.execution, book=self._book, clock=self.clock, loop=self._loop)
        reporter: Reporter = self.__dict__.setdefault("_reporter", made)
        return reporter

    @property
    def log(self) -> FilteringBoundLogger:
        """A logger that names the attempt on every line of the server's log, and keeps each with the execution."""
        execution = self._claim.execution
        span = {} if self.span is None else self.span.names
        return self._lines.log.logger(**names_of(execution), attempt=execution.attempt, **span)

    @property
    def traceparent(self) -> str | None:
        """The span of the call; where this server traces nothing, the one that was kept with the execution."""
        return self._claim.execution.traceparent if self.span is None else self.span.traceparent

    def end(self, failure: str | None, kind: FailureKind | None) -> None:
        """Hand over the rest of what the handler logged and reported, and the error of a failure; in the loop."""
        if self.span is not None:
            self.span.end(kind)
        if failure is not None or "_kept_lines" in self.__dict__:
            self._lines.end(failure)
        reporter: Reporter | None = self.__dict__.get("_reporter")
        if reporter is not None:
            reporter.end()

    @property
    def _lines(self) -> AttemptLines:
        """The one receiver of its lines."""
        made = self.__dict__.get("_kept_lines")
        if made is None:
            made = AttemptLines(self._claim.execution, book=self._book, clock=self.clock, loop=self._loop)
        lines: AttemptLines = self.__dict__.setdefault("_kept_lines", made)
        return lines

    @property
    def cancelled(self) -> threading.Event:
        """The one event that the handler reads, in any thread, and that a stop request sets."""
        event: threading.Event = self.__dict__.setdefault("_cancelled", threading.Event())
        return event


def context_of_attempt(ctx: TaskContext) -> contextvars.Context:
    """Return a copy of this context for a handler: every line of the log names the execution; its span has begun."""
    context = contextvars.copy_context()
    context.run(structlog.contextvars.bind_contextvars, execution=ctx.execution_id)
    span = span_of(ctx)
    if span is not None:
        context.run(span.enter)
    return context
