"""One call of one handler, judged as the service judges it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from schedule_grpc.errors import ConfigurationError
from schedule_grpc.execution import new_execution_id
from schedule_grpc.handlers import Registry, TaskContext, perform
from schedule_grpc.policy import DEFAULT
from schedule_grpc.registration import registered
from schedule_grpc.retry import FailureKind
from schedule_grpc.task import define
from schedule_grpc.testing.fake_clock import FakeClock

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
"""What time it is in a test that does not say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """What became of one call: as the history would tell it, and what the handler said on the way."""

    succeeded: bool
    result: Any
    error: str | None
    kind: FailureKind | None
    """None for a success; REJECTED after PermanentFailure: it would not be tried again."""
    duration: timedelta
    """By the test's clock."""
    progress: tuple[tuple[float, str], ...]
    logs: tuple[Mapping[str, Any], ...]
    """What it logged by ``ctx.log``: the event's name under ``event``, and its fields."""
    context: TaskContext


class _Bindings:
    """``ctx.env``: what the test gives, by name."""

    def __init__(self, bindings: Mapping[str, Any]) -> None:
        self._bindings = bindings

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._bindings[name]
        except KeyError:
            names = ", ".join(sorted(self._bindings)) or "none"
            raise ConfigurationError(f"no binding is named {name} (bindings: {names})") from None


async def run(
    function: Callable[..., Any],
    *,
    payload: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    attempt: int = 1,
    scheduled_time: datetime | None = None,
    clock: FakeClock | None = None,
    timeout: timedelta = DEFAULT.timeout,
) -> Ran:
    """Call a handler once, as the service would, and return what became of it.

    The payload is checked and normalised as if it had come over the wire; what the handler returns or raises is judged
    as the engine judges it: it never raises here.

    Args:
        function: The decorated function, async or not.
        payload: What it gets.
        env: Bindings by name: real ones, or doubles of yours.
        attempt: Its number, 1 for the first.
        scheduled_time: The occurrence it stands for; None as for a manual run.
        clock: What time it is; by default one that stands still at 2026-01-31 12:00 UTC. To see a timeout, start the
            call with asyncio.create_task and advance this clock.
        timeout: How long it may take, by the clock.

    Raises:
        ConfigurationError: if the function is not decorated with `handler`.
        InvalidArgument: if the payload would be refused.
    """
    registry = Registry()
    registry.add_function(function)
    (offer,) = registry
    time = clock or FakeClock(scheduled_time or NOON)
    definition = define(name=offer.name, schedule="@manual", handler=offer.name, payload=payload)
    task = registered(None, definition, enabled=None, now=time.now()).after
    told: list[tuple[float, str]] = []
    with structlog.testing.capture_logs() as logs:
        context = TaskContext(
            task=task,
            execution_id=new_execution_id(task.name, time.now()),
            attempt=attempt,
            scheduled_time=scheduled_time,
            deadline=time.now() + timeout,
            payload=definition.payload,
            env=_Bindings(env or {}),
            clock=time,
            log=structlog.get_logger(offer.name),
            report=lambda fraction, text: told.append((fraction, text)),
        )
        never = asyncio.get_running_loop().create_future()
        fate = await perform(offer, context, timeout=timeout, stop=never)
    return Ran(
        succeeded=fate.kind is None,
        result=fate.result,
        error=fate.error,
        kind=fate.kind,
        duration=fate.duration,
        progress=tuple(told),
        logs=tuple(logs),
        context=context,
    )


def run_sync(function: Callable[..., Any], **arguments: Any) -> Ran:
    """Call a handler once from a test that is not async; arguments and errors as `run`."""
    return asyncio.run(run(function, **arguments))
