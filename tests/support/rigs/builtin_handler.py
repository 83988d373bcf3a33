"""What a built-in handler gets when a test calls it, and the whole attempt around it."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import structlog
from support.rigs.rig import START, at

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.registration import registered
from schedule_grpc.domain.task import define
from schedule_grpc.handlers import Fate, Registry, TaskContext, perform
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.testing import FakeClock

SCHEDULED = at("2026-01-31T10:00:00")
NOW = at("2026-01-31T10:00:00.500")


def context(
    handler: str,
    payload: dict[str, Any],
    *,
    clock: Clock | None = None,
    report: Callable[[float, str], None] = lambda _fraction, _text: None,
    timeout: float = 60,
    scheduled_time: datetime | None = SCHEDULED,
    namespace: str = DEFAULT_NAMESPACE,
    **env: Any,
) -> TaskContext:
    """Return what a handler gets; ``env`` holds what it finds in ctx.env."""
    definition = define(name=handler, schedule="@daily", handler=handler, namespace=namespace)
    clock = clock or FakeClock(NOW)
    return TaskContext(
        task=registered(None, definition, enabled=None, now=START).after,
        execution_id="exec_1",
        attempt=1,
        scheduled_time=scheduled_time,
        deadline=clock.now() + timedelta(seconds=timeout),
        payload=payload,
        env=SimpleNamespace(**env),
        clock=clock,
        log=structlog.get_logger(),
        report=report,
    )


async def attempt(function: Callable[[TaskContext], Any], ctx: TaskContext) -> Fate:
    """Return what becomes of a whole attempt."""
    registry = Registry()
    registry.add_function(function)
    (offer,) = registry
    stop = asyncio.get_running_loop().create_future()
    return await perform(offer, ctx, timeout=ctx.deadline - ctx.now(), stop=stop)
