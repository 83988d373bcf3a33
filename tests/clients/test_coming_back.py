"""A server that is gone for a while: who watches or waits finds it again, the blocking client as the async one."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status
from support.callers.watched_events import RECORDED, STARTED, TOLD
from support.rigs.rig import START
from support.servers.live import serving

from schedule_grpc import errors
from schedule_grpc.client import Client
from schedule_grpc.client.patience import pauses
from schedule_grpc.domain.execution import State
from schedule_grpc.events import Lost, Transition
from schedule_grpc.formats.protobuf import RemoteError
from schedule_grpc.pb import schedule_pb2 as pb
from schedule_grpc.testing import FakeClock

UNAVAILABLE, CANCELLED = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED
GONE = [UNAVAILABLE, CANCELLED]
"""The answers of gRPC for a server that is away, and of one that stops to a call that reaches none of its handlers."""
Reply = Callable[[Any], Iterator[pb.WatchExecutionsResponse]]
RUNNING = pb.RunTaskNowResponse(execution=pb.Execution(id="exec_1", state="RUNNING", trigger="MANUAL"))
ENDED = pb.RunTaskNowResponse(
    success=True, execution=pb.Execution(id="exec_1", state="SUCCEEDED", trigger="MANUAL", result={"number_value": 7})
)


def stream(message: pb.WatchExecutionsResponse, end: grpc.StatusCode | None) -> Reply:
    """Return a stream of one message that then ends, or breaks off."""

    def reply(context: Any) -> Iterator[pb.WatchExecutionsResponse]:
        context.send_initial_metadata(())
        yield message
        if end is not None:
            context.abort(end, "as scripted")

    return reply


class Away:
    """Refuses calls as a server that is not there, and says when it has refused one."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def __call__(self, context: Any) -> Any:
        """Be the reply of a scripted server."""
        self.asked.set()
        context.abort(UNAVAILABLE, "as scripted")


# -- watching


@pytest.mark.parametrize("end", [*GONE, None])
async def test_a_watch_goes_on_and_says_that_something_may_be_lost(asker, scripted, end: grpc.StatusCode | None):
    """Whether the server broke the stream off or ended it in order; with the same question."""
    away = [*GONE, errors.ShuttingDown()]
    scripted.answer("WatchExecutions", stream(TOLD[0], end), *away, stream(TOLD[1], None))
    client = asker(scripted.address, attempts=1)
    watch = await asker.watch(client, "report", [State.RUNNING])
    assert await asker.events(watch, 3) == [RECORDED, Lost(count=0), STARTED]
    await asker.close(watch)
    first, *others = [seen.request for seen in scripted.seen]
    assert first.task_name == "report"
    assert others[:4] == [first] * 4


async def test_a_watch_ends_where_the_server_does_not_come_back(asker, scripted):
    """With the last error, after the client's patience."""
    scripted.answer("WatchExecutions", stream(TOLD[0], None), errors.ShuttingDown())
    watch = await asker.watch(asker(scripted.address, attempts=1, patience=0.3))
    assert await asker.events(watch, 1) == [RECORDED]
    with pytest.raises(errors.ShuttingDown):
        await asker.events(watch, 1)
    assert len(scripted.seen) > 2


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAUTHENTICATED])
async def test_a_watch_that_is_refused_later_ends_with_the_refusal(asker, scripted, code: grpc.StatusCode):
    """Another answer is not to be had by asking again."""
    scripted.answer("WatchExecutions", stream(TOLD[0], None), code)
    watch = await asker.watch(asker(scripted.address))
    assert await asker.events(watch, 1) == [RECORDED]
    with pytest.raises(errors.ScheduleError, match="as scripted"):
        await asker.events(watch, 1)
    assert len(scripted.seen) == 2


async def test_a_watch_that_never_began_is_refused_at_once(asker):
    """Nobody knows whether there ever was a server."""
    with pytest.raises(errors.Unavailable):
        await asker.watch(asker("127.0.0.1:1", attempts=1))


@pytest.mark.parametrize("what", ["watch", "client"])
async def test_closing_ends_the_search(asker, scripted, what: str):
    """At once, and as the end of the iteration."""
    away = Away()
    scripted.answer("WatchExecutions", stream(TOLD[0], None), away)
    client = asker(scripted.address, attempts=1, patience=3600)
    watch = await asker.watch(client)
    assert await asker.events(watch, 1) == [RECORDED]
    waiting = asyncio.ensure_future(asker.events(watch))
    assert await asyncio.to_thread(away.asked.wait, 60)
    await asker.close(watch if what == "watch" else client)
    assert await waiting == []


# -- waiting for a run


@pytest.mark.parametrize("gone", GONE)
async def test_a_run_is_waited_for_again(asker, scripted, gone: grpc.StatusCode):
    """By the same request, until its end is known."""
    away = [gone, errors.ShuttingDown("exec_1"), gone]
    scripted.answer("RunTaskNow", RUNNING, gone, *away, RUNNING, gone, RUNNING, ENDED)
    result = await asker.ask(asker(scripted.address, attempts=1), "run_task_now", "report", payload={"a": 1})
    assert (result.success, result.execution.id, result.execution.result) == (True, "exec_1", 7)
    assert len(scripted.seen) == 9
    assert len({seen.request.request_id for seen in scripted.seen}) == 1
    assert [seen.request.payload["a"] for seen in scripted.seen] == [1] * 9


@pytest.mark.parametrize("gone", GONE)
async def test_a_client_that_was_answered_before_looks_for_the_server_to_start_a_run(
    asker, scripted, gone: grpc.StatusCode
):
    """One that never was says at once that nobody is there; so does a run that is not waited for."""
    scripted.answer("RunTaskNow", gone, gone, gone, ENDED)
    scripted.answer("ListHandlers", pb.ListHandlersResponse())
    client = asker(scripted.address, attempts=1)
    with pytest.raises(errors.Unavailable):
        await asker.ask(client, "run_task_now", "report")
    await asker.ask(client, "list_handlers")
    with pytest.raises(errors.Unavailable):
        await asker.ask(client, "run_task_now", "report", detach=True)
    assert (await asker.ask(client, "run_task_now", "report")).success


async def test_a_run_that_ended_meanwhile_is_told(asker, scripted):
    """There is nothing left to wait for."""
    scripted.answer("RunTaskNow", RUNNING, UNAVAILABLE, ENDED)
    result = await asker.ask(asker(scripted.address, attempts=1), "run_task_now", "report")
    assert result.success
    assert [seen.request.detach for seen in scripted.seen] == [True, False, True]


async def test_a_run_whose_server_does_not_come_back_is_unavailable(asker, scripted):
    """After the client's patience, or at once without any."""
    for patience in (0, 0.3):
        scripted.answer("RunTaskNow", RUNNING, errors.ShuttingDown("exec_1"))
        with pytest.raises(errors.ShuttingDown, match="exec_1 goes on without this call"):
            await asker.ask(asker(scripted.address, attempts=1, patience=patience), "run_task_now", "report")
        scripted.replies.clear()


async def test_closing_the_client_ends_the_search_for_a_run(asker, scripted):
    """With the error of the server that was gone."""
    away = Away()
    scripted.answer("RunTaskNow", RUNNING, UNAVAILABLE, away)
    client = asker(scripted.address, attempts=1, patience=3600)
    waiting = asyncio.ensure_future(asker.ask(client, "run_task_now", "report"))
    assert await asyncio.to_thread(away.asked.wait, 60)
    await asker.close(client)
    with pytest.raises(errors.Unavailable):
        await waiting


# -- cancelled calls


@pytest.mark.parametrize("rpc", ["list_handlers", "trigger_cron", "run_task_now", "watch"])
async def test_a_call_that_a_stopping_server_cancels_is_unavailable(asker, scripted, rpc: str):
    """As a call that finds no server: it reached no handler."""
    for each in ("ListHandlers", "TriggerCron", "RunTaskNow", "WatchExecutions"):
        scripted.answer(each, lambda context: context.abort(CANCELLED, "CANCELLED"))
    client = asker(scripted.address, attempts=1)
    arguments = {"trigger_cron": ["* * * * *"], "run_task_now": ["report"]}.get(rpc, [])
    with pytest.raises(errors.Unavailable, match="the connection was cut: was the server stopped"):
        await (asker.watch(client) if rpc == "watch" else asker.ask(client, rpc, *arguments))


async def test_a_cancellation_with_a_status_is_the_servers_own(asker, scripted):
    """It says more than gRPC's, and stays what it is."""
    given_up = rpc_status.to_status(Status(code=CANCELLED.value[0], message="given up"))
    scripted.answer("ListHandlers", lambda context: context.abort_with_status(given_up))
    with pytest.raises(RemoteError, match="given up") as caught:
        await asker.ask(asker(scripted.address, attempts=1), "list_handlers")
    assert caught.value.remote_status == "CANCELLED"


def test_a_channel_that_this_program_closes_is_no_server_that_stops(scripted):
    """Its calls end with gRPC's own reason, and look for no server."""
    arrived, over = threading.Event(), threading.Event()

    def held(context: grpc.ServicerContext) -> pb.RunTaskNowResponse:
        context.add_callback(over.set)
        arrived.set()
        over.wait(60)
        return ENDED

    scripted.answer("RunTaskNow", RUNNING, held)
    channel = grpc.insecure_channel(scripted.address)
    with ThreadPoolExecutor(1) as threads, Client.over(channel, patience=3600) as client:
        waiting = threads.submit(client.run_task_now, "report")
        assert arrived.wait(60)
        channel.close()
        with pytest.raises(RemoteError, match="Channel closed"):
            waiting.result(60)


# -- patience


@pytest.mark.parametrize("patience", [-1, float("nan"), float("inf")])
def test_patience_is_a_number_of_seconds(asker, patience: float):
    """Zero for none."""
    with pytest.raises(ValueError, match="patience must be a number of seconds"):
        asker("127.0.0.1:1", patience=patience)


async def test_pauses_double_up_to_five_seconds_and_end_with_the_patience():
    """Each is shortened by up to a half, so that many clients do not come back together."""
    clock = FakeClock(START)
    waited, count = 0.0, 0
    for pause in pauses(60, clock):
        longest = min(0.1 * 2**count, 5)
        assert pause <= min(longest, 60 - waited) + 1e-6
        assert pause >= min(longest / 2, 60 - waited) - 1e-6
        await clock.advance(pause)
        waited, count = waited + pause, count + 1
    assert waited == pytest.approx(60)
    assert list(pauses(0)) == []


# -- a real server


async def test_calls_that_a_stopping_server_has_not_begun_are_unavailable(asker, database: Path):
    """They wait within gRPC when it stops: it cancels them, and no handler sees them. The others are answered."""
    async with serving(database) as live:
        client = asker(live.parts.address, attempts=1)
        known = await asker.ask(client, "list_handlers")
        calls = [asyncio.ensure_future(asker.ask(client, "list_handlers")) for _ in range(100)]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        await live.parts.server.stop(grace=60)
        answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [answer for answer in answers if answer != known and type(answer) is not errors.Unavailable] == []


async def test_a_restart_of_the_server_ends_neither_watch_nor_run(asker, database: Path, tmp_path: Path):
    """On the same port and database: the run is told its end by the next server, and so is who watches."""
    notes = tmp_path / "notes"
    async with serving(database) as first:
        address = first.parts.address
        client = asker(address, attempts=1)
        await first.client.register_task(name="task", schedule="@manual", handler="held")
        watch = await asker.watch(client, states=[State.RUNNING, State.SUCCEEDED])
        waiting = asyncio.ensure_future(asker.ask(client, "run_task_now", "task", payload={"until": str(notes)}))
        (begun,) = await asker.events(watch, 1)
        assert isinstance(begun, Transition)
        first.parts.service.drain()
    async with serving(database, grpc=address):
        notes.touch()
        result = await waiting
        told = await asker.events(watch, 1)
        while not isinstance(told[-1], Lost):
            told += await asker.events(watch, 1)
        await asker.close(watch)
    assert result.success
    assert result.execution.id == begun.execution.id
