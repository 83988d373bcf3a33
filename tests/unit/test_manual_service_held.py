"""A manual service whose handlers do not end by themselves: held by the test, waiting for the clock, left running."""

import asyncio
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from support.rigs.rig import START
from support.witnesses.checker import check

from schedule_grpc import TaskContext, handler
from schedule_grpc.domain.execution import Reason, State
from schedule_grpc.domain.retry import FailureKind, RetryPolicy
from schedule_grpc.domain.task import Overlap, Policy
from schedule_grpc.engine import EngineOptions
from schedule_grpc.handlers.perform import TIMEOUT_ERROR
from schedule_grpc.testing import FakeClock, manual, manual_service

HOUR = timedelta(hours=1)


@handler("waits")
async def waits(ctx: TaskContext) -> None:
    """Wait for ever."""
    await asyncio.Event().wait()


async def test_whoever_waits_in_vain_is_told_for_whom():
    """Time stands still while handlers run, so one that waits for it would never end."""
    async with manual_service(waits, patience=timedelta(milliseconds=1)) as service:
        await service.register("task", "@hourly", "waits")
        with pytest.raises(TimeoutError, match=r"still running after 0\.001 s .*: waits \(exec_task_.*wait=False"):
            await service.advance(HOUR)


async def test_a_timeout_is_seen_by_moving_the_clock():
    """Started without waiting, timed out by the clock, tried again at its time."""
    policy = Policy(timeout=timedelta(seconds=5), retry=RetryPolicy(max_retries=1))
    async with manual_service(waits, start=START) as service:
        await service.register("task", "@hourly", "waits", policy=policy)
        await service.clock.advance(HOUR)
        for _ in range(2):
            await service.tick(wait=False)
            assert await service.states("task") == ["RUNNING"]
            await service.clock.advance(5)
            await service.tick()
            await service.clock.advance(1)
        (execution,) = await service.history("task")
        assert (execution.state, execution.failure_kind, execution.error) == (
            "FAILED",
            FailureKind.TIMEOUT,
            TIMEOUT_ERROR,
        )
        assert execution.end_time == START + HOUR + timedelta(seconds=11)


async def test_what_overlaps_is_seen_by_holding_a_handler():
    """The test decides when it goes on."""
    release = asyncio.Event()

    @handler("held")
    async def held(_: TaskContext) -> None:
        await release.wait()

    policy = Policy(overlap=Overlap.SKIP, timeout=timedelta(hours=24))
    async with manual_service(start=START) as service:
        await service.register("task", "@hourly", held, policy=policy)
        for _ in range(2):
            await service.clock.advance(HOUR)
            await service.tick(wait=False)
        release.set()
        await service.tick()
        first, second = await service.history("task")
        assert (first.state, second.state, second.reason) == (State.SUCCEEDED, State.SKIPPED, Reason.OVERLAP)


async def test_what_is_cancelled_stops():
    """By the next occurrence, where the policy says so, or by hand; a tick waits for it, and starts what it lets in."""

    @handler("tidies")
    async def tidies(_: TaskContext) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(1000):  # many more turns of the loop than a clock gives when it moves
                await asyncio.sleep(0)

    policy = Policy(overlap=Overlap.CANCEL_OTHER, timeout=timedelta(hours=24))
    async with manual_service(start=START) as service:
        await service.register("task", "@hourly", tidies, policy=policy)
        for _ in range(3):
            await service.clock.advance(HOUR)
            await service.tick(wait=False)
        assert await service.states("task") == ["CANCELLED", "CANCELLED", "RUNNING"]
        newest = (await service.history("task"))[-1]
        await service.service.cancel(newest.id, note="enough")
        await service.tick(wait=False)
        assert (await service.service.execution(newest.id)).error == "enough"


async def test_a_tick_that_does_not_wait_waits_for_threads_to_begin_and_to_heed():
    """What the service does itself is done, whatever threads it takes; only handlers go on."""
    entered, heeded = threading.Event(), threading.Event()

    @handler("heeds")
    def heeds(ctx: TaskContext) -> None:
        entered.set()
        ctx.cancelled.wait(60)
        heeded.set()

    policy = Policy(retry=RetryPolicy(max_retries=0))
    async with manual_service(start=START) as service:
        await service.register("task", "@hourly", heeds, policy=policy)
        await service.clock.advance(HOUR)
        await service.tick(wait=False)
        assert (entered.is_set(), heeded.is_set()) == (True, False)
        await service.clock.advance(policy.timeout)
        await service.tick(wait=False)
        assert heeded.is_set()
        assert await service.states("task") == ["FAILED"]


async def test_concurrency_is_that_of_the_options():
    """Two slots, three tasks."""
    async with manual_service(waits, options=EngineOptions(concurrency=2)) as service:
        for name in ("a", "b", "c"):
            await service.register(name, "@manual", "waits")
            await service.service.run_now(name, detach=True)
        await service.tick(wait=False)
        states = [state for name in ("a", "b", "c") for state in await service.states(name)]
        assert sorted(states) == ["PENDING", "RUNNING", "RUNNING"]


# -- what is left running at the end


async def test_a_service_goes_on_where_another_one_ended(database: Path):
    """What still ran was asked to stop and handed back: it runs again, uncounted, as after a restart."""
    clock, stopped = FakeClock(START), []

    @handler("stops")
    async def stops(ctx: TaskContext) -> int:
        if stopped:
            return ctx.attempt
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(ctx.execution_id)

    async with manual_service(stops, path=database, clock=clock) as service:
        await service.register("task", "@hourly", "stops")
        await clock.advance(HOUR)
        await service.tick(wait=False)
    async with manual_service(stops, path=database, clock=clock) as service:
        (execution,) = await service.history("task")
        assert (execution.state, stopped) == ("PENDING", [execution.id])
        await service.advance(HOUR)
        assert [each.result for each in await service.history("task")] == [1, 1]
    assert check(database) == []


async def test_a_handler_that_does_not_stop_does_not_keep_the_test(database: Path, monkeypatch):
    """Time is let pass until it is given up; its row is rescued by the next service on the file."""
    monkeypatch.setattr(manual, "PROMPTLY", timedelta(milliseconds=1))
    entered, release = threading.Event(), threading.Event()

    @handler("stuck")
    def stuck(_: TaskContext) -> None:
        entered.set()
        release.wait(60)

    async with manual_service(stuck, path=database) as service:
        await service.register("task", "@manual", "stuck")
        await service.service.run_now("task", detach=True)
        await service.tick(wait=False)
        await asyncio.to_thread(entered.wait, 10)
    release.set()
    async with manual_service(stuck, path=database) as service:
        (execution,) = await service.history("task")
        assert [each.failure_kind for each in execution.failed_attempts] == [FailureKind.LEASE_LOST]
    assert check(database) == []


async def test_a_test_that_fails_leaves_no_handler_behind():
    """Its own error is what it hears, and the handler is asked to stop."""
    heard = []

    @handler("listens")
    async def listens(_: TaskContext) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            heard.append("stop")

    with pytest.raises(ZeroDivisionError):
        async with manual_service(listens) as service:
            await service.register("task", "@manual", "listens")
            await service.service.run_now("task", detach=True)
            await service.tick(wait=False)
            await service.clock.advance(0)
            raise ZeroDivisionError
    assert heard == ["stop"]
