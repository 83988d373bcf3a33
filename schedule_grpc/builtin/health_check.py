"""health-check-services: pings all bindings at once, and sends an alert for each that does not answer."""

import asyncio
from typing import Any

from schedule_grpc.builtin.reporting import Report, check_fields, whole_number
from schedule_grpc.builtin.unconfigured import UNCONFIGURED, is_unconfigured
from schedule_grpc.errors import BindingError, ScheduleError
from schedule_grpc.handlers import TaskContext, handler

EXPECTED = ("DB", "AI", "QUEUE")
"""The bindings of a platform. The result names one that is not configured; it is no failure."""
DEFAULT_TIMEOUT_MS = 5000
DEFAULT_DEGRADED_MS = 1000
MAX_MS = 600_000

HEALTHY, DEGRADED, DOWN = "healthy", "degraded", "down"


@handler("health-check-services", description="Ping all services and alert if any are down")
async def health_check_services(ctx: TaskContext) -> dict[str, Any]:
    """Ping every binding, each within ``timeout_ms`` (5,000); one slower than ``degraded_ms`` (1,000) is degraded.

    A service that is down causes one alert, until it is back.
    """
    check_fields(ctx.payload, "timeout_ms", "degraded_ms")
    report = Report(ctx)
    timeout = whole_number(ctx.payload, "timeout_ms", DEFAULT_TIMEOUT_MS, MAX_MS)
    degraded = whole_number(ctx.payload, "degraded_ms", DEFAULT_DEGRADED_MS, MAX_MS)
    configured = ctx.env.names()
    results = list(await asyncio.gather(*(_pinged(ctx, name, timeout, degraded) for name in configured)))
    results += [{"service": name, "status": UNCONFIGURED} for name in EXPECTED if name not in configured]
    down = [result for result in results if result["status"] == DOWN]
    for result in results:
        key = f"service:{result['service']}"
        if result["status"] == DOWN:
            ctx.alert(f"{result['service']} is down", str(result["error"]), key=key)
        else:  # a binding that was down and is no longer configured has recovered too
            ctx.recovered(key)
    if down:
        return report.failure("Some services are down", results=results)
    return report.success("All services healthy", results=results)


async def _pinged(ctx: TaskContext, name: str, timeout: int, degraded: int) -> dict[str, Any]:
    """Return the status of one service, with its own response time (ms)."""
    began = ctx.clock.monotonic()
    error = None
    try:
        async with ctx.clock.timeout(timeout / 1000):
            await ctx.env.ping(name)
    except TimeoutError:
        error = f"no answer in {timeout} ms"
    except ScheduleError as failure:
        if isinstance(failure, BindingError) and "DB" in ctx.env.names() and await is_unconfigured(ctx, failure):
            return {"service": name, "status": UNCONFIGURED}
        error = failure.message
    took = round((ctx.clock.monotonic() - began) * 1000)
    if error is not None:
        return {"service": name, "status": DOWN, "responseTime": took, "error": error}
    return {"service": name, "status": DEGRADED if took > degraded else HEALTHY, "responseTime": took}
