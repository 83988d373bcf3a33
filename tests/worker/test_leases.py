"""A worker's lease: counted from the sending of a Pull, by a clock that stands still, and never outlived."""

import asyncio
from typing import Any

import grpc
import pytest
from support.rigs.worker_rig import still, working
from support.servers.worker_service import WorkerService

from schedule_grpc import TaskContext, handler
from schedule_grpc.pb import worker_pb2 as pb

AWAY = [grpc.StatusCode.UNAVAILABLE] * 10_000
begun: list[TaskContext] = []
stopped: list[str] = []


@handler("waits")
async def waits(ctx: TaskContext) -> None:
    """Wait until it is stopped."""
    begun.append(ctx)
    try:
        await asyncio.Event().wait()
    finally:
        stopped.append(ctx.execution_id)


@pytest.fixture(autouse=True)
def forget() -> None:
    """Forget earlier calls."""
    begun.clear()
    stopped.clear()


async def test_handlers_are_stopped_five_seconds_before_the_lease_ends(service: WorkerService):
    """While the server is away. The attempts are not in the next session, and nothing is said of them."""
    clock = still()
    async with working(service, waits, clock=clock) as rig:
        service.give("waits")
        await rig.until(lambda: begun)
        await rig.pulled()
        service.script("Pull", *AWAY)
        await rig.until(lambda: service.next["Pull"] and len(service.next["Pull"]) < len(AWAY), step=0.05)
        renewed = clock.monotonic()
        while clock.monotonic() < renewed + 24:
            assert not stopped
            await clock.advance(0.5)
        await rig.until(lambda: stopped, step=0.5)
        assert clock.monotonic() <= renewed + 26
        service.next.clear()
        await rig.until(lambda: len(service.registered) == 2, step=0.5)
        assert not service.registered[1].held_tokens
        service.give("waits", number=2)
        await rig.until(lambda: len(begun) == 3, step=0.5)  # and the first one, which the service still assigns
        assert not service.reports


async def test_each_pull_renews_the_lease(service: WorkerService):
    """A handler that takes minutes is not stopped."""
    clock = still()
    async with working(service, waits, clock=clock) as rig:
        service.give("waits", timeout=600)
        await rig.until(lambda: begun)
        for _ in range(10):
            await rig.pulled()
            await rig.pulled()
            await clock.advance(12)
        assert clock.monotonic() >= 120
        assert not stopped


async def test_the_lease_counts_from_the_sending(service: WorkerService):
    """An answer that took 22 of 30 seconds leaves three, less the margin."""
    clock = still()

    async def slow(request: Any, _: Any) -> Any:
        token = service.give("waits")
        service.assigned[token] = service.waiting.pop()
        await clock.advance(22)
        return pb.PullResponse(assignments=service.assigned.values(), lease={"seconds": 30})

    service.script("Pull", slow, *AWAY)
    async with working(service, waits, clock=clock) as rig:
        await rig.until(lambda: begun)
        assert clock.monotonic() == pytest.approx(22)
        await rig.until(lambda: stopped, step=0.25)
        assert clock.monotonic() <= 26


async def test_an_answer_that_is_older_than_its_lease_begins_nothing(service: WorkerService):
    """As after SIGSTOP: the process was paused, and its lease is over by now."""
    clock = still()

    async def late(request: Any, _: Any) -> Any:
        token = service.give("waits")
        made = service.waiting.pop()
        await clock.advance(40)
        return pb.PullResponse(assignments=[made], lease={"seconds": 30}, lost_tokens=[token])

    service.script("Pull", late)
    async with working(service, waits, handler("other")(lambda _: None), clock=clock) as rig:
        token = service.give("other", number=2)
        await rig.until(lambda: token in service.ended, step=0.1)
    assert not begun


async def test_a_report_is_not_sent_after_the_lease(service: WorkerService):
    """What is known too late is for the next attempt to decide."""
    clock, go_on = still(), asyncio.Event()

    @handler("returns")
    async def returns(_: TaskContext) -> None:
        await go_on.wait()

    async with working(service, returns, waits, clock=clock) as rig:
        token = service.give("returns", timeout=600)
        await rig.until(lambda: token in service.assigned)
        await rig.pulled()
        service.script("Pull", *AWAY)
        service.script("Report", *AWAY)
        go_on.set()
        await rig.until(lambda: service.reports, step=0.1)
        await clock.advance(40)
        await rig.pulled()
        service.next.clear()
        service.assigned.clear()
        known = len(service.reports)
        await rig.until(lambda: len(service.registered) > 1, step=0.5)
        other = service.give("waits", number=3)
        await rig.until(lambda: other in service.assigned, step=0.1)
    later = [each.lease_token for report in service.reports[known:] for each in report.updates]
    assert token not in later
    assert token not in service.ended


async def test_two_attempts_of_an_execution_never_run_side_by_side_here(service: WorkerService):
    """A lost attempt whose handler is deaf still runs: the next one waits, and is handed back after ten seconds."""
    clock = still()

    @handler("deaf")
    async def deaf(ctx: TaskContext) -> None:
        begun.append(ctx)
        while len(begun) == 1 and not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                stopped.append("asked")

    release = asyncio.Event()
    async with working(service, deaf, clock=clock) as rig:
        first = service.give("deaf", timeout=600)
        await rig.until(lambda: begun)
        service.lose(first)
        await rig.until(lambda: stopped)
        second = service.give("deaf", number=2, execution_id="deaf-1", timeout=600)
        await rig.until(lambda: second in service.ended, step=0.5)
        assert (len(begun), service.ended[second].released.began) == (1, False)
        third = service.give("deaf", number=3, execution_id="deaf-1", timeout=600)
        await rig.until(lambda: third in service.assigned)
        release.set()
        await rig.until(lambda: third in service.ended, step=0.1)
        assert service.ended[third].HasField("succeeded")


async def test_a_slot_is_taken_while_a_lost_handler_stops(service: WorkerService):
    """So no more than its slots run at once."""
    clock = still()
    release = asyncio.Event()

    @handler("deaf")
    async def deaf(ctx: TaskContext) -> None:
        begun.append(ctx)
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                stopped.append("asked")

    async with working(service, deaf, clock=clock, slots=1) as rig:
        first = service.give("deaf", timeout=600)
        await rig.until(lambda: begun)
        service.lose(first)
        await rig.until(lambda: stopped)
        await rig.pulled()
        await rig.pulled()
        assert (service.pulls[-1].capacity, len(service.pulls[-1].held)) == (0, 0)
        release.set()
        await rig.until(lambda: service.pulls[-1].capacity == 1, step=0.05)
