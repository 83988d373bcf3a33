"""What a worker does when calls fail: it makes them again, and an attempt runs once."""

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import pytest
from support.rigs.worker_rig import still, working
from support.servers.worker_service import Verdict, WorkerService, serving, worker_service

from schedule_grpc import TaskContext, handler
from schedule_grpc.errors import ResourceExhausted
from schedule_grpc.pb import worker_pb2 as pb
from schedule_grpc.worker.reports import MOST_BYTES, MOST_UPDATES

RETRIED = [
    each
    for each in grpc.StatusCode
    if each
    not in (
        *(grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION),
        *(grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED),
    )
]
RPCS = ["RegisterWorker", "Pull", "Report"]
calls: list[str] = []


@handler("noted")
async def noted(ctx: TaskContext) -> int:
    """Note that it was called."""
    calls.append(ctx.execution_id)
    return len(calls)


@pytest.fixture(autouse=True)
def forget() -> None:
    """Forget earlier calls."""
    calls.clear()


@pytest.mark.parametrize("status", RETRIED, ids=lambda each: each.name)
@pytest.mark.parametrize("rpc", RPCS)
async def test_a_call_that_fails_is_made_again(service: WorkerService, rpc: str, status: grpc.StatusCode):
    """Whatever the status, but for five; the attempt runs once."""
    service.script(rpc, status, status)
    async with working(service, noted):
        assert (await service.outcome(service.give("noted"))).HasField("succeeded")
    assert calls == ["noted-1"]


async def test_a_call_is_made_again_for_as_long_as_it_takes(service: WorkerService):
    """By a clock that stands still: each pause is at most five seconds."""
    clock = still()
    service.script("RegisterWorker", *[grpc.StatusCode.UNAVAILABLE] * 50)
    async with working(service, noted, clock=clock) as rig:
        await rig.until(lambda: len(service.registered) == 51, step=0.5)
        assert clock.monotonic() < 51 * 5.5


async def test_calls_have_deadlines(service: WorkerService):
    """Ten seconds; of Pull beyond what it may wait."""
    async with working(service, noted):
        await service.outcome(service.give("noted"))
    assert 5 < service.timeouts["RegisterWorker"] < 11  # as gRPC rounds it on its way
    assert 5 < service.timeouts["Report"] < 11  # as gRPC rounds it on its way
    assert 25 < service.timeouts["Pull"] < 31


async def test_a_pull_that_is_cut_off_twice_waits_half_as_long(service: WorkerService):
    """A proxy may end calls that are longer than it likes."""
    failed = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED
    service.script("Pull", *failed * 5)
    async with working(service, noted, clock=still()) as rig:
        await rig.until(lambda: len(service.pulls) >= 11, step=0.5)
    waits = [each.wait.seconds + each.wait.nanos / 1e9 for each in service.pulls[:11]]
    assert waits == [20, 20, 10, 10, 5, 5, 2.5, 2.5, 2, 2, 2]


async def test_the_answer_of_a_pull_is_lost(service: WorkerService):
    """The next Pull does not name the attempt, and gets it again: it runs once."""

    async def lost(request: Any, context: Any) -> None:
        service.assigned |= {each.lease_token: each for each in service.waiting}
        service.waiting.clear()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the answer is lost")

    token = service.give("noted")
    service.script("Pull", lost)
    async with working(service, noted):
        assert (await service.outcome(token)).HasField("succeeded")
    assert calls == ["noted-1"]
    assert not service.pulls[1].held


async def test_an_attempt_that_is_assigned_twice_runs_once(service: WorkerService):
    """A token that is held already is nothing new."""
    go_on = asyncio.Event()

    @handler("waits")
    async def waits(ctx: TaskContext) -> None:
        calls.append(ctx.execution_id)
        await go_on.wait()

    async def again(request: Any, _: Any) -> Any:
        return pb.PullResponse(assignments=service.assigned.values(), lease={"seconds": 30})

    async with working(service, waits) as rig:
        token = service.give("waits")
        await rig.until(lambda: calls)
        service.script("Pull", again, again, again)
        service.give("nobody")
        await rig.until(lambda: not service.next["Pull"])
        await rig.pulled()
        go_on.set()
        await service.outcome(token)
    assert calls == ["waits-1"]


async def test_the_answer_of_a_report_is_lost(service: WorkerService):
    """The report is repeated, and answered REPEATED; until then the attempt is held."""

    async def lost(request: Any, context: Any) -> None:
        service.accept(request)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the answer is lost")

    service.script("Report", lost, lost)
    async with working(service, noted) as rig:
        token = service.give("noted")
        await service.outcome(token)
        await rig.until(lambda: service.pulls and not service.pulls[-1].held and len(service.reports) == 3)
    assert len({each.SerializeToString() for each in service.reports}) == 1
    assert calls == ["noted-1"]


@pytest.mark.parametrize("rpc", ["Pull", "Report"])
async def test_a_session_that_is_not_known_is_registered_anew(service: WorkerService, rpc: str):
    """With the leases that are held, which go on."""
    go_on = asyncio.Event()

    @handler("waits")
    async def waits(ctx: TaskContext) -> str:
        calls.append(ctx.execution_id)
        await go_on.wait()
        return "done"

    async with working(service, waits) as rig:
        token = service.give("waits")
        await rig.until(lambda: calls)
        service.forget_sessions()
        if rpc == "Report":
            go_on.set()
        await rig.registered(2)
        assert list(service.registered[1].held_tokens) == [token]
        go_on.set()
        assert (await service.outcome(token)).succeeded.result_json == '"done"'
    assert calls == ["waits-1"]
    assert service.reports[-1].session_id == "session-2"


async def test_tokens_that_do_not_stand_any_more_are_dropped(service: WorkerService):
    """Their handlers are stopped, and nothing is reported of them."""
    ended = asyncio.Event()

    @handler("waits")
    async def waits(ctx: TaskContext) -> None:
        calls.append(ctx.execution_id)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with working(service, waits, noted) as rig:
        token = service.give("waits")
        await rig.until(lambda: calls)
        service.assigned.clear()
        service.forget_sessions()
        await ended.wait()
        assert list(service.registered[1].held_tokens) == [token]
        await service.outcome(service.give("noted"))
    assert all(each.lease_token != token for report in service.reports for each in report.updates)


async def test_an_attempt_that_is_lost_is_stopped(service: WorkerService):
    """At the next answer; nothing is reported of it."""
    ended = asyncio.Event()

    @handler("waits")
    async def waits(ctx: TaskContext) -> None:
        calls.append(ctx.execution_id)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with working(service, waits, noted) as rig:
        token = service.give("waits")
        await rig.until(lambda: calls)
        service.lose(token)
        await ended.wait()
        await service.outcome(service.give("noted"))
        await rig.until(lambda: not service.pulls[-1].held)
    assert all(each.lease_token != token for report in service.reports for each in report.updates)


async def test_a_server_that_comes_back_finds_the_attempt_going_on():
    """It was away for less than the lease: the attempt runs once."""
    go_on = asyncio.Event()

    @handler("waits")
    async def waits(ctx: TaskContext) -> None:
        calls.append(ctx.execution_id)
        await go_on.wait()

    async with worker_service() as service:
        port = int(service.address.rpartition(":")[2])
        token = service.give("waits")
        run = working(service, waits)
        rig = await run.__aenter__()
        await rig.until(lambda: calls)
    go_on.set()
    async with serving(service, port):
        assert (await service.outcome(token)).HasField("succeeded")
        await run.__aexit__(None, None, None)
    assert calls == ["waits-1"]


async def test_updates_that_wait_go_together(service: WorkerService):
    """In one call, of at most 500."""
    tokens = [service.give("noted", number=number) for number in range(700)]
    go_on = asyncio.Event()

    async def waits(request: Any, _: Any) -> Any:
        await go_on.wait()
        return service.accept(request)

    service.script("Report", waits)
    async with working(service, noted, slots=1000) as rig:
        await rig.until(lambda: len(calls) == 700)
        go_on.set()
        for token in tokens:
            await service.outcome(token)
    sizes = [len(each.updates) for each in service.reports]
    assert max(sizes) <= MOST_UPDATES
    assert len(sizes) <= 4


async def test_a_report_is_no_larger_than_the_contract_allows(service: WorkerService):
    """A megabyte; forty results of 64 KiB take three calls."""

    @handler("large")
    async def large(ctx: TaskContext) -> str:
        calls.append(ctx.execution_id)
        return "x" * 65_000

    tokens = [service.give("large", number=number) for number in range(40)]
    go_on = asyncio.Event()

    async def waits(request: Any, _: Any) -> Any:
        await go_on.wait()
        return service.accept(request)

    service.script("Report", waits)
    async with working(service, large, slots=40) as rig:
        await rig.until(lambda: len(calls) == 40)
        go_on.set()
        for token in tokens:
            await service.outcome(token)
    assert max(each.ByteSize() for each in service.reports) <= MOST_BYTES + 1024


async def test_a_report_that_is_too_much_is_halved(service: WorkerService):
    """Until the server takes it."""
    tokens = [service.give("noted", number=number) for number in range(20)]

    async def at_most_three(request: Any, context: Any) -> Any:
        if len(request.updates) > 3:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too much")
        return service.accept(request)

    service.script("Report", *[at_most_three] * 200)
    async with working(service, noted, slots=20):
        for token in tokens:
            assert (await service.outcome(token)).HasField("succeeded")


async def test_a_single_outcome_that_is_too_large_is_replaced(service: WorkerService):
    """By a failure that says so: else it would be sent for ever."""

    @handler("alerts")
    async def alerts(ctx: TaskContext) -> None:
        for number in range(20):
            ctx.alert("x", "y" * 8000, key=str(number))

    service.script("Report", grpc.StatusCode.RESOURCE_EXHAUSTED)
    async with working(service, alerts):
        outcome = await service.outcome(service.give("alerts"))
    assert outcome.failed.error.startswith("The server did not accept the outcome: it has 16")


async def test_a_worker_that_calls_too_often_waits(service: WorkerService):
    """As long as the server asks for, up to five seconds."""
    clock = still()
    error = ResourceExhausted("Slowly")
    error.retry_after = timedelta(seconds=4)
    service.script("RegisterWorker", error)
    async with working(service, noted, clock=clock) as rig:
        await rig.until(lambda: len(service.registered) == 2, step=0.25)
        assert clock.monotonic() >= 4


VERDICTS = {
    "STALE": ([Verdict.STALE], {}, None),
    "INVALID": ([Verdict.INVALID], {0: "bad JSON"}, "The server did not accept the outcome: bad JSON"),
    "none": ([], {}, ""),
    "unknown": ([77], {}, ""),
}
"""By the verdict on an outcome, the error that is reported afterwards; empty: the same outcome again; None: nothing."""


@pytest.mark.parametrize("name", VERDICTS)
async def test_verdicts_are_obeyed(service: WorkerService, name: str):
    """Each ends the attempt here."""
    verdicts, reasons, error = VERDICTS[name]

    async def judge(request: Any, _: Any) -> Any:
        if name == "STALE":
            service.assigned.clear()
        return pb.ReportResponse(verdicts=verdicts, reasons=reasons)

    service.script("Report", judge)

    @handler("other")
    async def other(_: TaskContext) -> None:
        return

    async with working(service, noted, other) as rig:
        token = service.give("noted")
        await rig.until(lambda: service.reports)
        await service.outcome(service.give("other"))
        await rig.until(lambda: not service.pulls[-1].held)
    told = [each for report in service.reports[1:] for each in report.updates if each.lease_token == token]
    if error is None:
        assert not told
    else:
        assert (told[0].outcome.failed.error, told[0].outcome.HasField("succeeded")) == (error, not error)


async def test_an_outcome_that_is_refused_twice_is_given_up(service: WorkerService):
    """Its lease runs out: the worker goes on."""
    refused = pb.ReportResponse(verdicts=[Verdict.INVALID])
    service.script("Report", refused, refused)
    async with working(service, noted, slots=1) as rig:
        service.give("noted")
        await rig.until(lambda: len(service.reports) == 2)
        service.assigned.clear()
        await service.outcome(service.give("noted", number=2))


async def test_a_server_that_stops_is_called_again(service: WorkerService):
    """After a short pause, over a new connection."""
    stops = pb.PullResponse(server_draining=True, lease={"seconds": 30})
    service.script("Pull", *[stops] * 5)
    async with working(service, noted):
        assert (await service.outcome(service.give("noted"))).HasField("succeeded")
    assert len(service.registered) == 1


async def test_answers_that_bring_nothing_do_not_make_the_worker_busy(service: WorkerService):
    """The same order to stop, again and again, to a handler that is deaf: a few calls a second."""
    clock, begun = still(), asyncio.Event()

    @handler("deaf")
    async def deaf(_: TaskContext) -> None:
        begun.set()
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                calls.append("cancelled")
                if len(calls) > 1:
                    raise

    async with working(service, deaf, clock=clock) as rig:
        token = service.give("deaf")
        await begun.wait()
        service.order(token)
        await rig.until(lambda: calls)
        before = len(service.pulls)
        await rig.until(lambda: len(service.pulls) == before + 10, step=0.05)
        assert clock.monotonic() >= 0.9
