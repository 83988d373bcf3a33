"""The lines of a handler on their way from a worker to its server."""

import asyncio
from typing import Any

import grpc
import pytest
from support.rigs.worker_rig import still, working
from support.servers.worker_service import WorkerService

from schedule_grpc import TaskContext, handler
from schedule_grpc.pb import worker_pb2 as pb


def told(service: WorkerService, token: str) -> list[tuple[str, Any]]:
    """Return the news of an attempt: each line by itself, and the names of the others."""
    found: list[tuple[str, Any]] = []
    for update in service.news:
        if update.lease_token != token:
            continue
        if update.HasField("log"):
            found += [("line", (each.sequence, each.level, each.text)) for each in update.log.lines]
        else:
            found.append((str(update.WhichOneof("news")), None))
    return found


async def test_lines_come_before_the_outcome(service: WorkerService):
    """Numbered from 1, in order."""

    @handler("says")
    async def says(ctx: TaskContext) -> None:
        ctx.log.info("first", n=1)
        ctx.log.warning("second")

    async with working(service, says):
        token = service.give("says")
        await service.outcome(token)
    assert told(service, token) == [
        ("line", (1, "info", "first n=1")),
        ("line", (2, "warning", "second")),
        ("outcome", None),
    ]


async def test_lines_of_a_thread_come_before_the_outcome(service: WorkerService):
    """Though they and the handler's end come from another thread."""

    @handler("says")
    def says(ctx: TaskContext) -> None:
        for number in range(100):
            ctx.log.info(str(number))

    async with working(service, says):
        for number in range(20):
            token = service.give("says", number=number)
            await service.outcome(token)
            news = told(service, token)
            assert [kind for kind, _ in news] == ["line"] * 100 + ["outcome"]
            assert [line[0] for kind, line in news if kind == "line"] == list(range(1, 101))


async def test_lines_go_while_the_handler_runs(service: WorkerService):
    """Half a second after the first of them."""
    clock, go_on = still(), asyncio.Event()

    @handler("says")
    async def says(ctx: TaskContext) -> None:
        ctx.log.info("now")
        await go_on.wait()

    async with working(service, says, clock=clock) as rig:
        token = service.give("says")
        await rig.until(lambda: told(service, token), step=0.1)
        assert clock.monotonic() >= 0.5
        go_on.set()
        await service.outcome(token)


async def test_an_error_is_a_line(service: WorkerService):
    """With its traceback."""

    @handler("fails")
    async def fails(_: TaskContext) -> None:
        raise ValueError("no")

    async with working(service, fails):
        token = service.give("fails")
        await service.outcome(token)
    (kind, (_, level, text)), end = told(service, token)
    assert (kind, level, end) == ("line", "error", ("outcome", None))
    assert text.startswith("Traceback")
    assert text.endswith("ValueError: no")


async def test_lines_do_not_pile_up_while_the_server_is_away(service: WorkerService):
    """The newest stay; an outcome follows them."""
    clock, go_on = still(), asyncio.Event()

    @handler("says")
    async def says(ctx: TaskContext) -> None:
        for number in range(200):
            ctx.log.info("x" * 3000, n=number)
            if number % 5 == 0:
                await asyncio.sleep(0)
        await go_on.wait()

    service.script("Report", *[grpc.StatusCode.UNAVAILABLE] * 3)
    async with working(service, says, clock=clock) as rig:
        token = service.give("says", timeout=600)
        await rig.until(lambda: len(service.reports) >= 3, step=0.05)
        go_on.set()
        await rig.until(lambda: token in service.ended, step=0.05)
    lines = [line for kind, line in told(service, token) if kind == "line"]
    assert lines[-1][0] == 200
    assert len(lines) < 100


@pytest.mark.parametrize("verdict", [pb.ReportResponse.INVALID, pb.ReportResponse.REPEATED])
async def test_a_line_that_is_not_taken_is_not_sent_again(service: WorkerService, verdict: int):
    """And the outcome is."""
    go_on = asyncio.Event()

    @handler("says")
    async def says(ctx: TaskContext) -> str:
        ctx.log.info("now")
        await go_on.wait()
        return "done"

    service.script("Report", pb.ReportResponse(verdicts=[verdict]))
    async with working(service, says) as rig:
        token = service.give("says")
        await rig.until(lambda: service.reports)
        go_on.set()
        assert (await service.outcome(token)).succeeded.result_json == '"done"'
    assert [kind for kind, _ in told(service, token)] == ["outcome"]
