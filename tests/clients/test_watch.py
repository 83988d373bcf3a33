"""Watching: when it begins, what it tells, how it ends; against a server that streams as it is told."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import pytest
from support.callers.watched_events import EVENTS, RECORDED, TOLD

from schedule_grpc import errors
from schedule_grpc.client import AsyncClient, Client
from schedule_grpc.domain.execution import State
from schedule_grpc.events import Lost
from schedule_grpc.pb import schedule_pb2 as pb

UNKNOWN = pb.WatchExecutionsResponse()


class Stream:
    """Streams what it is given, once it was opened, and holds the stream until the caller leaves it or it is let go."""

    def __init__(self, *messages: pb.WatchExecutionsResponse, opened: bool = True) -> None:
        self._messages = messages
        self.arrived = threading.Event()
        self.opened = threading.Event()
        self.left = threading.Event()
        self.let_go = threading.Event()
        if opened:
            self.opened.set()

    def __call__(self, context: Any) -> Iterator[pb.WatchExecutionsResponse]:
        """Be the reply of a scripted server."""

        def leave() -> None:
            self.left.set()
            self.let_go.set()

        context.add_callback(leave)
        self.arrived.set()
        assert self.opened.wait(60)
        context.send_initial_metadata(())
        yield from self._messages
        assert self.let_go.wait(60)


@pytest.fixture
def stream(scripted) -> Callable[..., Stream]:
    """Say what the server streams."""

    def make(*messages: pb.WatchExecutionsResponse, **settings: Any) -> Stream:
        made = Stream(*messages, **settings)
        scripted.answer("WatchExecutions", made)
        return made

    return make


async def test_each_event_is_one_of_our_values(asker, scripted, stream):
    """Transitions (one just recorded, one from another state), progress, and what was lost, until the server ends."""
    stream(*TOLD).let_go.set()
    assert (
        await asker.ask(
            asker(scripted.address, patience=0), "watch_executions", "report", [State.RUNNING, State.FAILED]
        )
        == EVENTS
    )
    (seen,) = scripted.seen
    assert seen.request == pb.WatchExecutionsRequest(
        task_name="report", states=[pb.Execution.FAILED, pb.Execution.RUNNING]
    )
    assert seen.timeout is None


async def test_watch_is_another_word_for_it(asker, scripted, stream):
    """And without arguments it asks for everything."""
    stream(*TOLD).let_go.set()
    assert await asker.ask(asker(scripted.address, patience=0), "watch") == EVENTS
    assert scripted.seen[0].request == pb.WatchExecutionsRequest()


async def test_lines_of_one_execution_can_be_asked_for(asker, scripted, stream):
    """By its id, beside the other events of it."""
    stream(*TOLD).let_go.set()
    client = asker(scripted.address, patience=0)
    assert await asker.ask(client, "watch_executions", execution_id="exec_1", log_lines=True) == EVENTS
    assert scripted.seen[0].request == pb.WatchExecutionsRequest(execution_id="exec_1", log_lines=True)


async def test_events_of_a_newer_server_are_passed_over(asker, scripted, stream):
    """A kind of event that this client does not know is none."""
    stream(UNKNOWN, TOLD[0], UNKNOWN, UNKNOWN, TOLD[3], UNKNOWN).let_go.set()
    assert await asker.ask(asker(scripted.address, patience=0), "watch_executions") == [RECORDED, Lost(count=3)]


async def test_more_events_than_fit_into_one_window_all_arrive(asker, scripted, stream):
    """The server has ended the stream long before the last of them is read."""
    stream(*(TOLD * 1000)).let_go.set()
    assert await asker.ask(asker(scripted.address, patience=0), "watch_executions") == EVENTS * 1000


async def test_a_refused_watch_raises_our_error(asker, scripted):
    """A task that is unknown to the server, say; and no retry."""
    scripted.answer("WatchExecutions", errors.TaskNotFound("report"))
    with pytest.raises(errors.TaskNotFound):
        await asker.ask(asker(scripted.address, patience=0), "watch_executions")
    assert len(scripted.seen) == 1


async def test_a_watch_that_has_not_begun_is_tried_again(asker, scripted, stream):
    """The server was unavailable, and then was not."""
    scripted.answer("WatchExecutions", grpc.StatusCode.UNAVAILABLE)
    stream(*TOLD).let_go.set()
    assert await asker.ask(asker(scripted.address, patience=0), "watch_executions") == EVENTS
    assert len(scripted.seen) == 2


async def test_a_watch_that_breaks_off_raises_and_is_not_begun_again(asker, scripted):
    """What happened in between would be missing, in silence."""

    def broken(context: Any) -> Iterator[pb.WatchExecutionsResponse]:
        context.send_initial_metadata(())
        yield TOLD[0]
        context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    scripted.answer("WatchExecutions", broken)
    client = asker(scripted.address, patience=0)
    watch = await asker.watch(client)
    assert await asker.events(watch, 1) == [RECORDED]
    for _ in range(2):
        with pytest.raises(errors.Unavailable, match="gone"):
            await asker.events(watch, 1)
    assert len(scripted.seen) == 1


async def test_closing_ends_the_stream_and_the_iteration(asker, scripted, stream):
    """The server sees that the caller has left; closing again, and asking for more, change nothing."""
    streamed = stream(*TOLD)
    client = asker(scripted.address, patience=0)
    watch = await asker.watch(client)
    assert await asker.events(watch, 2) == EVENTS[:2]
    for _ in range(2):
        await asker.close(watch)
        assert await asyncio.to_thread(streamed.left.wait, 10)
        assert await asker.events(watch) == []


async def test_a_watch_that_is_dropped_in_its_midst_ends_the_stream(asker, scripted, stream):
    """Without a context it ends with the last one who holds it."""
    streamed = stream(*TOLD)
    client = asker(scripted.address, patience=0)
    watch = await asker.watch(client)
    assert await asker.events(watch, 1) == [RECORDED]
    del watch
    gc.collect()
    assert await asyncio.to_thread(streamed.left.wait, 5)


# -- the blocking client


def test_a_blocking_watch_has_begun_when_it_is_returned(scripted, stream):
    """Not before the server has said so."""
    streamed = stream(*TOLD, opened=False)
    order: list[Any] = []

    def watch() -> None:
        with client.watch() as events:
            order.append("begun")
            order.append(next(events))

    with Client(scripted.address, patience=0) as client:
        thread = threading.Thread(target=watch)
        thread.start()
        assert streamed.arrived.wait(60)
        order.append("opened")
        streamed.opened.set()
        thread.join(10)
    assert order == ["opened", "begun", RECORDED]
    assert streamed.left.wait(60)


def test_a_blocking_watch_is_refused_at_once(scripted):
    """Not only when the first event is asked for."""
    scripted.answer("WatchExecutions", errors.InvalidArgument.of("states", "99 is not a state"))
    with Client(scripted.address, patience=0) as client, pytest.raises(errors.InvalidArgument, match="99"):
        client.watch_executions()


@pytest.mark.parametrize("what", ["watch", "client"])
def test_another_thread_ends_a_blocking_watch(what: str, scripted, stream):
    """The thread that iterates sees the end, and no error."""
    stream(TOLD[0])
    client = Client(scripted.address, patience=0)
    watch = client.watch()
    first = threading.Event()
    found: list[Any] = []

    def iterate() -> None:
        for event in watch:
            found.append(event)
            first.set()
        found.append("end")

    thread = threading.Thread(target=iterate)
    thread.start()
    assert first.wait(60)
    (watch if what == "watch" else client).close()
    thread.join(10)
    client.close()
    assert found == [RECORDED, "end"]


def test_a_blocking_client_that_is_closed_while_a_watch_begins_says_so(scripted, stream):
    """Unavailable, in the thread that waits for it."""
    streamed = stream(opened=False)
    client = Client(scripted.address, patience=0)
    raised: list[errors.ScheduleError] = []

    def watch() -> None:
        try:
            client.watch()
        except errors.ScheduleError as error:
            raised.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    assert streamed.arrived.wait(60)
    client.close()
    thread.join(10)
    streamed.opened.set()
    assert [str(error) for error in raised] == ["The client is closed"]


# -- the async client


async def test_an_async_watch_has_begun_when_its_context_is_entered(scripted, stream):
    """Not before the server has said so."""
    streamed = stream(*TOLD, opened=False)
    async with AsyncClient(scripted.address, patience=0) as client:
        entering = asyncio.ensure_future(client.watch().__aenter__())
        assert await asyncio.to_thread(streamed.arrived.wait, 10)
        assert not entering.done()
        streamed.opened.set()
        async with await entering as events:
            assert await anext(events) == RECORDED
        assert await asyncio.to_thread(streamed.left.wait, 10)


async def test_who_gives_up_waiting_for_an_event_loses_none(scripted):
    """A timeout ends the wait, not the watch."""
    go_on = threading.Event()

    def late(context: Any) -> Iterator[pb.WatchExecutionsResponse]:
        context.send_initial_metadata(())
        assert go_on.wait(60)
        yield from TOLD

    scripted.answer("WatchExecutions", late)
    async with AsyncClient(scripted.address, patience=0) as client, client.watch() as events:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(events), 0.01)
        go_on.set()
        assert [event async for event in events] == EVENTS


async def test_a_task_that_watches_can_be_cancelled(scripted, stream):
    """It ends cancelled, and its stream with it."""
    streamed = stream(*TOLD)
    async with AsyncClient(scripted.address, patience=0) as client:
        read_all = asyncio.Event()

        async def watch() -> None:
            async with client.watch() as events:
                async for event in events:
                    if event == EVENTS[-1]:
                        read_all.set()

        task = asyncio.create_task(watch())
        await read_all.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(streamed.left.wait, 10)


async def test_a_task_that_enters_a_watch_can_be_cancelled(scripted, stream):
    """The server has not answered yet."""
    streamed = stream(opened=False)
    async with AsyncClient(scripted.address, patience=0) as client:
        task = asyncio.ensure_future(client.watch().__aenter__())
        assert await asyncio.to_thread(streamed.arrived.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        streamed.opened.set()
        assert await asyncio.to_thread(streamed.left.wait, 10)


@pytest.mark.parametrize("what", ["watch", "client"])
async def test_another_task_ends_an_async_watch(what: str, scripted, stream):
    """The task that iterates sees the end, and neither an error nor a cancellation."""
    stream(TOLD[0])
    client = AsyncClient(scripted.address, patience=0)
    watch = client.watch()
    first = asyncio.Event()
    found: list[Any] = []

    async def iterate() -> None:
        async for event in watch:
            found.append(event)
            first.set()
        found.append("end")

    task = asyncio.create_task(iterate())
    await first.wait()
    await (watch if what == "watch" else client).close()
    await task
    await client.close()
    assert found == [RECORDED, "end"]


@pytest.mark.parametrize("what", ["watch", "client"])
async def test_an_async_watch_that_is_ended_before_it_began_has_no_events(what: str, scripted, stream):
    """Whoever waits for the first one sees the end."""
    streamed = stream(*TOLD, opened=False)
    client = AsyncClient(scripted.address, patience=0)
    watch = client.watch()
    waiting = asyncio.ensure_future(anext(watch, "end"))
    assert await asyncio.to_thread(streamed.arrived.wait, 10)
    await (watch if what == "watch" else client).close()
    assert await waiting == "end"
    await client.close()
    streamed.opened.set()


async def test_an_async_client_that_is_closed_while_a_watch_begins_says_so(scripted, stream):
    """Unavailable, in the task that waits for it."""
    streamed = stream(opened=False)
    client = AsyncClient(scripted.address, patience=0)
    entering = asyncio.ensure_future(client.watch().__aenter__())
    assert await asyncio.to_thread(streamed.arrived.wait, 10)
    await client.close()
    with pytest.raises(errors.Unavailable, match="The client is closed"):
        await entering
    streamed.opened.set()


@pytest.fixture
async def complaints() -> AsyncIterator[list[Any]]:
    """What the event loop has to say of tasks that were lost or whose errors nobody saw; nothing, after the test."""
    found: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: found.append(context))
    yield found
    gc.collect()
    assert found == []


@pytest.mark.usefixtures("complaints")
async def test_a_watch_that_was_never_entered_leaves_no_trace(scripted, stream):
    """Asked for and dropped."""
    stream(*TOLD)
    async with AsyncClient(scripted.address, patience=0) as client:
        client.watch()
        await asyncio.sleep(0)
        client.watch()


@pytest.mark.usefixtures("complaints")
async def test_a_watch_that_breaks_off_while_nobody_waits_leaves_no_trace(scripted):
    """Its error stays with the watch, which is closed or dropped."""
    breaks = threading.Event()

    def broken(context: Any) -> Iterator[pb.WatchExecutionsResponse]:
        context.send_initial_metadata(())
        assert breaks.wait(60)
        context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        yield

    scripted.answer("WatchExecutions", broken)
    async with AsyncClient(scripted.address, patience=0) as client:
        closed, dropped = client.watch(), client.watch()
        for watch in (closed, dropped):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(watch), 0.01)
        breaks.set()
        assert closed._reading is not None
        assert dropped._reading is not None
        await asyncio.wait({closed._reading, dropped._reading})
        await closed.close()
        assert [event async for event in closed] == []
        del watch, closed, dropped
        gc.collect()
