"""An assignment as its handler sees it: the context, and a task made of what the assignment names."""

import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from structlog.typing import FilteringBoundLogger

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.canonical_json import decode
from schedule_grpc.domain.condition import Condition
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.read_only import read_only
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.domain.schedule import parse
from schedule_grpc.domain.task import Definition, Task
from schedule_grpc.formats.protobuf.values import instant_from
from schedule_grpc.handlers import Env
from schedule_grpc.handlers.attempt_log import AttemptLog
from schedule_grpc.pb import worker_pb2 as pb
from schedule_grpc.runtime.clock import EPOCH, Clock
from schedule_grpc.tracing import TRACEPARENT, HandlerSpan, Tracer, Work
from schedule_grpc.worker.lines import LineNotes
from schedule_grpc.worker.progress import ProgressNotes

_MANUAL = parse("@manual")
"""The schedule of every task here: an assignment does not name it."""


class CannotBeRead(Exception):
    """An assignment is not what the contract says."""


class Given:
    """The parts of the context of an assignment's attempt; see `TaskContext` for each."""

    def __init__(
        self,
        assignment: pb.Assignment,
        *,
        env: Env,
        clock: Clock,
        conditions: list[Condition],
        report: ProgressNotes,
        lines: LineNotes,
        tracer: Tracer | None = None,
    ) -> None:
        """Read the assignment, in the worker's event loop.

        Raises:
            CannotBeRead: if its payload or its metadata is no JSON object, or a time of it is none.
        """
        self.env = env
        self.clock = clock
        self.conditions = conditions
        self.report = report
        self.execution_id = assignment.execution_id
        self.attempt = assignment.attempt
        self.timeout = assignment.timeout.ToTimedelta()
        self.payload = _object("payload_json", assignment.payload_json)
        self.task = _task(assignment, self.payload, self.timeout)
        try:
            self.deadline = clock.now() + self.timeout
            self.scheduled_time = (
                instant_from(assignment.scheduled_time) if assignment.HasField("scheduled_time") else None
            )
        except (ValueError, OverflowError) as error:
            raise CannotBeRead(f"a time of the assignment cannot be read: {error}") from None
        self._lines = lines
        self._header: str | None = assignment.headers.get(TRACEPARENT)
        self.span: HandlerSpan | None = None
        if tracer is not None:
            work = Work(
                execution_id=self.execution_id,
                namespace=self.task.namespace,
                task=self.task.name,
                handler=self.task.handler,
                attempt=self.attempt,
                traceparent=self._header,
            )
            self.span = tracer.handler(work)

    @property
    def log(self) -> FilteringBoundLogger:
        """A logger that names the attempt on every line of the worker's log, and keeps each with the execution."""
        names = {"execution": self.execution_id, "task": self.task.name}
        if self.task.namespace != DEFAULT_NAMESPACE:
            names["namespace"] = self.task.namespace
        span = {} if self.span is None else self.span.names
        return self._attempt_log.logger(**names, attempt=self.attempt, **span)

    @property
    def traceparent(self) -> str | None:
        """The span of the call; where this worker traces nothing, the one that the assignment names."""
        return self._header if self.span is None else self.span.traceparent

    def end(self, failure: str | None, kind: FailureKind | None) -> None:
        """Take the last lines: the error of a failure, unless its traceback is there; in the worker's event loop."""
        if self.span is not None:
            self.span.end(kind)
        if failure is not None or "_log" in self.__dict__:
            self._attempt_log.end(failure)

    @property
    def _attempt_log(self) -> AttemptLog:
        """The one receiver of its lines, in whichever thread it is first read."""
        made = self.__dict__.get("_log")
        log: AttemptLog = made or self.__dict__.setdefault("_log", AttemptLog(self._lines, clock=self.clock))
        return log

    @property
    def cancelled(self) -> threading.Event:
        """The one event that the handler reads, in any thread, and that a stop request sets."""
        event: threading.Event = self.__dict__.setdefault("_cancelled", threading.Event())
        return event


def _task(assignment: pb.Assignment, payload: Mapping[str, Any], timeout: timedelta) -> Task:
    """Return a task with what the assignment names; the rest is as the package's docstring says."""
    definition = Definition(
        namespace=assignment.namespace or DEFAULT_NAMESPACE,
        name=assignment.task_name,
        schedule=_MANUAL,
        handler=assignment.handler,
        payload=payload,
        metadata=_object("metadata_json", assignment.metadata_json),
        policy=Policy(timeout=timeout),
    )
    unknown: datetime = EPOCH
    return Task(
        definition=definition,
        uid="",
        revision=0,
        enabled=True,
        create_time=unknown,
        update_time=unknown,
        settled_time=unknown,
    )


def _object(field: str, text: str) -> Mapping[str, Any]:
    try:
        value = decode(text or "{}")
    except (ValueError, RecursionError) as error:
        raise CannotBeRead(f"{field} of the assignment is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise CannotBeRead(f"{field} of the assignment is not a JSON object")
    found: Mapping[str, Any] = read_only(value)
    return found
