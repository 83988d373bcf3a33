"""One call of one handler, with the fate that the service would give it."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ParamSpec

import structlog

from schedule_grpc.domain.canonical_json import decode, encode
from schedule_grpc.domain.condition import Condition
from schedule_grpc.domain.execution import new_execution_id
from schedule_grpc.domain.policy import DEFAULT, Policy
from schedule_grpc.domain.read_only import own_copy
from schedule_grpc.domain.registration import registered
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.domain.task import Task, checked_payload, define
from schedule_grpc.handlers import Env, Fate, Offer, TaskContext, perform
from schedule_grpc.handlers.context import context_of
from schedule_grpc.testing.fake_clock import FakeClock
from schedule_grpc.testing.given import NOON, given_clock, given_environment, offer_of

P = ParamSpec("P")

RAISED = "attempt.raised"
"""The event that the service logs, by the handler's logger, for an exception that a handler raises."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """The outcome of one call as the history would show it, and the handler's reports, alerts and log lines."""

    succeeded: bool
    result: Any
    """The handler's result as the history keeps it: plain JSON."""
    error: str | None
    failure_kind: FailureKind | None
    """None for a success; REJECTED after PermanentFailure, which is not retried."""
    duration: timedelta
    """By the test's clock."""
    abandoned: bool
    """Whether the handler ignored its timeout: it may still be running, and would not be retried."""
    progress: tuple[tuple[float, str], ...]
    """Every report of ``ctx.progress``; the service publishes ten a second."""
    conditions: tuple[Condition, ...]
    """The conditions of ``ctx.alert`` and ``ctx.recovered``."""
    logs: tuple[Mapping[str, Any], ...]
    """The lines of ``ctx.log``: ``event``, ``log_level`` and the handler's fields."""
    context: TaskContext = field(repr=False)
    """The context that the handler was given."""
    exception: BaseException | None = field(default=None, compare=False)
    """The exception that the handler raised, with its traceback; None unless ``failure_kind`` is ERROR."""

    @property
    def idempotency_key(self) -> str:
        """The ``ctx.idempotency_key`` that the handler was given."""
        return self.context.idempotency_key


async def run(
    function: Callable[..., Any],
    *,
    payload: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | Env | None = None,
    attempt: int = 1,
    scheduled_time: datetime | None = None,
    now: datetime | None = None,
    timeout: timedelta = DEFAULT.timeout,
    advance: timedelta | float = 0,
    clock: FakeClock | None = None,
    execution_id: str | None = None,
) -> Ran:
    """Call a handler once, as the service would, and return the outcome.

    The payload is checked and normalised as if it had come over the wire. An exception of the handler is an outcome,
    as in the engine: it is not raised here.

    Args:
        function: The decorated function, async or not.
        payload: The handler's payload.
        env: Bindings by name: doubles of yours, or URLs as in the configuration, opened for this call; or a whole
            Environment of yours.
        attempt: The attempt's number, 1 for the first.
        scheduled_time: The occurrence that the execution is for; None as for a manual run.
        now: The time; by default the scheduled time, else 2026-01-31 12:00 UTC. Time stands still.
        timeout: How long the handler may take, by that time.
        advance: How far the clock moves once the handler runs, in seconds or as a timedelta, as by `FakeClock.advance`.
            After ``timeout`` a handler that has not ended times out; 10 s later it is abandoned if it goes on.
        clock: A clock that the test moves while the handler runs, instead of ``now``.
        execution_id: The execution of the attempt; a new one by default. Calls with the same id have the same
            idempotency key, as the attempts of one execution have.

    Raises:
        ConfigurationError: if the function is not decorated with `handler`, or a URL cannot be used.
        InvalidArgument: if the service would refuse the payload or the timeout.
    """
    offer = offer_of(function)
    time = given_clock(clock, now, scheduled_time or NOON)
    task = _task(offer, _as_received(payload or {}), timeout, time.now())
    reports: list[tuple[float, str]] = []
    lines: list[dict[str, Any]] = []
    async with given_environment(env) as bindings:
        given = TaskContext(
            task=task,
            execution_id=execution_id or new_execution_id(task.name, time.now()),
            attempt=attempt,
            scheduled_time=scheduled_time,
            deadline=time.now() + timeout,
            payload=task.definition.payload,
            env=bindings,
            clock=time,
            log=_logger(lines),
            report=lambda fraction, text: reports.append((fraction, text)),
        )
        context = context_of(given)
        fate = await _performed(offer, context, time, timeout, advance)
    exception = _raised(fate, lines)
    return Ran(
        succeeded=fate.kind is None,
        result=own_copy(fate.result),
        error=fate.error,
        failure_kind=fate.kind,
        duration=fate.duration,
        abandoned=fate.abandoned,
        progress=tuple(reports),
        conditions=tuple(context.conditions),
        logs=tuple(lines),
        context=context,
        exception=exception,
    )


def _called_like(model: Callable[P, Coroutine[Any, Any, Ran]]) -> Callable[[Callable[..., Ran]], Callable[P, Ran]]:
    def give(function: Callable[..., Ran]) -> Callable[P, Ran]:
        function.__signature__ = inspect.signature(model).replace(return_annotation=Ran)  # type: ignore[attr-defined]
        return function

    return give


@_called_like(run)
def run_sync(function: Callable[..., Any], **arguments: Any) -> Ran:
    """Call a handler once from a test that is not async; arguments and errors as `run`.

    Raises:
        RuntimeError: in async code: there, await `run`.
    """
    call = run(function, **arguments)
    try:
        return asyncio.run(call)
    finally:
        call.close()  # asyncio.run may have refused the coroutine without awaiting it


def _task(offer: Offer, payload: Mapping[str, Any], timeout: timedelta, now: datetime) -> Task:
    definition = define(
        name=offer.name, schedule="@manual", handler=offer.name, payload=payload, policy=Policy(timeout=timeout)
    )
    return registered(None, definition, enabled=None, now=now).after


def _as_received(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return a payload as a server receives it: checked, and copied."""
    received: dict[str, Any] = decode(encode(dict(checked_payload(payload))))
    return received


async def _performed(
    offer: Offer, context: TaskContext, clock: FakeClock, timeout: timedelta, advance: timedelta | float
) -> Fate:
    stop = asyncio.get_running_loop().create_future()
    with structlog.contextvars.bound_contextvars(execution=context.execution_id):
        performing = asyncio.create_task(perform(offer, context, timeout=timeout, stop=stop))
    try:
        if advance:
            await clock.advance(advance)
        return await asyncio.shield(performing)
    finally:
        if not performing.done():  # the test gave up: stop the handler, or it would disturb the next test
            stop.set_result(None)
            await clock.advance(0)


def _raised(fate: Fate, lines: list[dict[str, Any]]) -> BaseException | None:
    """Return the handler's exception, and remove the line that the service logs for it from the handler's lines."""
    last = lines[-1] if lines else {}
    exception = last.get("exc_info")
    if fate.kind is not FailureKind.ERROR or last.get("event") != RAISED or not isinstance(exception, BaseException):
        return None
    lines.pop()
    return exception


def _logger(lines: list[dict[str, Any]]) -> Any:
    """Return a logger for this handler alone: structlog's `capture_logs` would capture every logger."""

    def keep(_logger: Any, method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
        lines.append({**line, "log_level": method})
        raise structlog.DropEvent

    return structlog.wrap_logger(
        None, processors=[keep], wrapper_class=structlog.make_filtering_bound_logger(0), context_class=dict
    )
