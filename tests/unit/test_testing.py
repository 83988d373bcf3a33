"""What users test their handlers with: one call judged as the service judges it, and a service that is told when."""

import asyncio
import threading
from datetime import timedelta

import pytest
from rig import START

from schedule_grpc import PermanentFailure, TaskContext, handler
from schedule_grpc.errors import ConfigurationError, HandlerNotFound, InvalidArgument
from schedule_grpc.execution import Trigger
from schedule_grpc.retry import FailureKind, RetryPolicy
from schedule_grpc.task import Policy
from schedule_grpc.testing import FakeClock, manual_service, run, run_sync


@handler("count")
async def count(ctx: TaskContext) -> dict:
    """Ask the DB, tell how far it is, log."""
    rows = await ctx.env.DB.fetch("SELECT 1")
    ctx.progress(0.5, "half")
    ctx.log.info("rows.counted", count=len(rows))
    return {"count": len(rows), "key": ctx.idempotency_key, "batch": ctx.payload.get("batch")}


@handler("in-a-thread")
def in_a_thread(ctx: TaskContext) -> str:
    """Tell the thread's name."""
    return threading.current_thread().name


@handler("fails")
async def fails(ctx: TaskContext) -> dict:
    """Fail as the payload says."""
    if ctx.payload.get("permanently"):
        raise PermanentFailure("no use")
    if ctx.payload.get("politely"):
        return {"success": False, "error": "not today", "seen": 3}
    if ctx.payload.get("times", 99) < ctx.attempt:
        return {"attempt": ctx.attempt}
    raise ValueError("broken")


@handler("waits")
async def waits(ctx: TaskContext) -> None:
    """Wait for ever."""
    await asyncio.Event().wait()


class Rows:
    """A double of a DB binding."""

    async def fetch(self, _: str) -> list[int]:
        """Return three rows."""
        return [1, 2, 3]


async def test_a_handler_is_called_with_what_the_test_gives():
    """Payload as it comes over the wire, bindings, progress and log lines."""
    ran = await run(count, payload={"batch": 10.0}, env={"DB": Rows()}, scheduled_time=START, attempt=2)
    assert ran.succeeded
    assert ran.result == {"count": 3, "key": ran.context.execution_id, "batch": 10}
    assert (ran.error, ran.kind, ran.duration) == (None, None, timedelta(0))
    assert ran.progress == ((0.5, "half"),)
    assert [(line["event"], line["count"]) for line in ran.logs] == [("rows.counted", 3)]
    assert (ran.context.attempt, ran.context.scheduled_time, ran.context.now()) == (2, START, START)


def test_a_test_need_not_be_async():
    """A plain function runs in a thread, as in the service."""
    assert run_sync(in_a_thread).result.startswith("handler")


@pytest.mark.parametrize(
    ("payload", "kind", "error", "result"),
    [
        ({}, FailureKind.ERROR, "ValueError: broken", None),
        ({"permanently": True}, FailureKind.REJECTED, "no use", None),
        (
            {"politely": True},
            FailureKind.ERROR,
            "not today",
            {"success": False, "error": "not today", "seen": 3},
        ),
    ],
)
async def test_a_failure_is_judged_as_the_service_does(payload, kind, error, result):
    """And is no exception of the test's."""
    ran = await run(fails, payload=payload)
    assert (ran.succeeded, ran.kind, ran.error, ran.result) == (False, kind, error, result)


async def test_a_timeout_comes_when_the_clock_comes_to_it():
    """29 seconds, without waiting for one of them."""
    clock = FakeClock(START)
    running = asyncio.create_task(run(waits, clock=clock))
    await clock.advance(28)
    assert not running.done()
    await clock.advance(1)
    ran = await running
    assert (ran.kind, ran.error, ran.duration) == (FailureKind.TIMEOUT, "Task execution timeout", timedelta(seconds=29))


async def test_what_the_service_would_refuse_is_refused():
    """A payload that is no JSON, a function that is no handler, a binding that was not given."""
    with pytest.raises(InvalidArgument, match=r"payload: \.when: object is not JSON"):
        await run(count, payload={"when": object()})
    with pytest.raises(ConfigurationError, match="is not decorated"):
        await run(print)
    ran = await run(count)
    assert ran.error == "ConfigurationError: no binding is named DB (bindings: none)"


async def test_a_service_fires_as_time_passes():
    """Each occurrence at its own time, one after the other."""
    async with manual_service(in_a_thread, start=START) as service:
        await service.register("task", "@hourly", "in-a-thread")
        await service.advance(timedelta(hours=3, minutes=30))
        history = await service.history("task")
        assert [each.scheduled_time for each in history] == [START + timedelta(hours=hour) for hour in (1, 2, 3)]
        assert [each.start_time for each in history] == [each.scheduled_time for each in history]
        assert {each.trigger for each in history} == {Trigger.SCHEDULE}
        assert service.clock.now() == START + timedelta(hours=3, minutes=30)


async def test_a_service_retries_as_time_passes():
    """After 1 s and 2 s, at the times of the policy."""
    async with manual_service(fails) as service:
        await service.register("task", "@manual", "fails", payload={"times": 2})
        first = await service.run_now("task")
        assert (first.state, first.attempt) == ("PENDING", 1)
        await service.advance(3)
        (done,) = await service.history("task")
        assert (done.state, done.result, [each.kind for each in done.attempts]) == (
            "SUCCEEDED",
            {"attempt": 3},
            [FailureKind.ERROR, FailureKind.ERROR],
        )


async def test_a_service_is_refused_what_the_service_refuses():
    """Names, handlers, schedules."""
    async with manual_service(fails) as service:
        with pytest.raises(HandlerNotFound):
            await service.register("task", "@daily", "nobody")
        policy = Policy(retry=RetryPolicy(max_retries=0))
        await service.register("task", "@daily", "fails", policy=policy, enabled=False)
        await service.advance(timedelta(days=2))
        assert await service.states("task") == []
        await service.service.enable("task")
        await service.advance(timedelta(days=2))
        assert await service.states("task") == ["FAILED", "FAILED"]
