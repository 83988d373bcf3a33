"""One call of one handler, judged as the service judges it."""

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
"""What the service logs, by the handler's own logger, of an exception that a handler raises."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """What became of one call: as the history would tell it, and what the handler said on the way."""

    succeeded: bool
    result: Any
    """As the history keeps it: plain JSON."""
    error: str | None
    failure_kind: FailureKind | None
    """None for a success; REJECTED after PermanentFailure: it would not be tried again."""
    duration: timedelta
    """By the test's clock."""
    abandoned: bool
    """Whether it did not heed its timeout: it may still be running, and would not be tried again."""
    progress: tuple[tuple[float, str], ...]
    """Every report; the service passes on ten a second."""
    conditions: tuple[Condition, ...]
    """What it said by ``ctx.alert`` and ``ctx.recovered``."""
    logs: tuple[Mapping[str, Any], ...]
    """What it logged by ``ctx.log``: ``event``, ``log_level`` and its own fields."""
    context: TaskContext = field(repr=False)
    """What it was given."""
    exception: BaseException | None = field(default=None, compare=False)
    """What it raised, with its traceback, where ``failure_kind`` is ERROR and it did raise."""

    @property
    def idempotency_key(self) -> str:
        """What it was given as ``ctx.idempotency_key``."""
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
    """Call a handler once, as the service would, and return what became of it.

    The payload is checked and normalised as if it had come over the wire; what the handler returns or raises is judged
    as the engine judges it: it never raises here.

    Args:
        function: The decorated function, async or not.
        payload: What it gets.
        env: Bindings by name: doubles of yours, or URLs as in the configuration, opened for this call; or a whole
            Environment of yours.
        attempt: Its number, 1 for the first.
        scheduled_time: The occurrence it stands for; None as for a manual run.
        now: What time it is; by default the scheduled time, else 2026-01-31 12:00 UTC. Time stands still.
        timeout: How long it may take, by that time.
        advance: How much time passes once it runs, in seconds or as a timedelta, as by `FakeClock.advance`: as much as
            ``timeout``, and a handler that has not ended by then times out; 10 s more, and it is given up if it has not
            heeded that.
        clock: Whose time it is, instead of ``now``: one that the test moves while the handler runs.
        execution_id: Whose attempt it is; one of its own by default. Calls with the same one have the same
            idempotency key, as the attempts of one execution have.

    Raises:
        ConfigurationError: if the function is not decorated with `handler`, or a URL is none.
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
        call.close()  # where asyncio refused it, nobody awaited it


def _task(offer: Offer, payload: Mapping[str, Any], timeout: timedelta, now: datetime) -> Task:
    definition = define(
        name=offer.name, schedule="@manual", handler=offer.name, payload=payload, policy=Policy(timeout=timeout)
    )
    return registered(None, definition, enabled=None, now=now).after


def _as_received(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return a payload as a server gets it: checked, and nothing of it is the caller's own object."""
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
        if not performing.done():  # the test gave up: it must not find the handler in the way of the next one
            stop.set_result(None)
            await clock.advance(0)


def _raised(fate: Fate, lines: list[dict[str, Any]]) -> BaseException | None:
    """Return what the handler raised, and take the line that the service logs of it from those of the handler."""
    last = lines[-1] if lines else {}
    exception = last.get("exc_info")
    if fate.kind is not FailureKind.ERROR or last.get("event") != RAISED or not isinstance(exception, BaseException):
        return None
    lines.pop()
    return exception


def _logger(lines: list[dict[str, Any]]) -> Any:
    """Return a logger of the handler's own: structlog's `capture_logs` would hear every other one too."""

    def keep(_logger: Any, method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
        lines.append({**line, "log_level": method})
        raise structlog.DropEvent

    return structlog.wrap_logger(
        None, processors=[keep], wrapper_class=structlog.make_filtering_bound_logger(0), context_class=dict
    )
