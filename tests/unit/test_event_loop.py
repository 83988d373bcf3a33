"""The loop that the server runs in, of either kind: what ends it, what does not, and what it waits for."""

import asyncio
import importlib.util
import os
import socket
import sys

import pytest
from structlog.testing import capture_logs

from schedule_grpc.errors import ConfigurationError
from schedule_grpc.runtime import event_loop
from schedule_grpc.runtime.event_loop import Kind
from schedule_grpc.runtime.forks import LEFT

IS_THERE = sys.platform == "linux" and importlib.util.find_spec("uvloop") is not None
KINDS = [
    pytest.param("asyncio"),
    pytest.param("uvloop", marks=pytest.mark.skipif(not IS_THERE, reason="uvloop is not installed here")),
]
each_kind = pytest.mark.parametrize("kind", KINDS)


async def exiting() -> None:
    """Do what a library does that was made for the command line."""
    raise SystemExit(3)


@each_kind
def test_a_child_task_that_exits_ends_nothing_but_itself(kind: Kind):
    """Neither alone nor in a group: whoever awaits it gets the SystemExit, and the log tells where it came from."""
    seen = []

    async def main() -> str:
        for run in (asyncio.gather, _in_group):
            try:
                await run(exiting())
            except SystemExit as error:
                seen.append(error.code)
        return "done"

    with capture_logs() as lines:
        assert event_loop.run(main(), kind=kind) == "done"
    assert (seen, [line["event"] for line in lines]) == ([3, 3], ["task.exited"] * 2)


@each_kind
def test_a_callback_that_exits_ends_nothing(kind: Kind):
    """As a task's."""

    async def main() -> str:
        exited = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.call_soon(_exit)
        loop.call_soon(exited.set)
        await exited.wait()
        return "done"

    with capture_logs():
        assert event_loop.run(main(), kind=kind) == "done"


@each_kind
def test_a_program_that_exits_itself_does(kind: Kind):
    """With its code."""
    with pytest.raises(SystemExit) as raised:
        event_loop.run(exiting(), kind=kind)
    assert raised.value.code == 3


@each_kind
def test_a_task_that_never_ends_is_left_behind(kind: Kind, monkeypatch: pytest.MonkeyPatch):
    """It swallows its cancellation; the log names it."""
    monkeypatch.setattr(event_loop, "LAST_WORDS", 0.01)

    async def immortal() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    async def main() -> "asyncio.Task[None]":
        left = asyncio.create_task(immortal(), name="immortal")
        await asyncio.sleep(0)
        return left

    with capture_logs() as lines:
        left = event_loop.run(main(), kind=kind)
    assert not left.done()
    assert [(line["event"], line.get("tasks")) for line in lines] == [("server.left_behind", ["immortal"])]


@each_kind
def test_it_tells_which_sockets_are_its_own(kind: Kind):
    """Those it listens on, and those it reads, as long as it does: a forked child must not keep them."""
    made = event_loop.new_loop(kind)
    read, other = socket.socketpair()

    async def main() -> tuple[set[int], set[int]]:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        made.loop.add_reader(read, lambda: None)
        ours = {server.sockets[0].fileno(), read.fileno()}
        await _turns()
        kept = ours & set(made.own())
        made.loop.remove_reader(read)
        server.close()
        await _turns()
        return ours - kept, ours & set(made.own())

    with read, other:
        assert event_loop.run(main(), within=made) == (set(), set())


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns of what is tested here
@each_kind
def test_a_child_that_comes_back_into_it_is_ended(kind: Kind):
    """It would go on beside its parent. Where it would disturb it, it does not even come back."""

    async def main() -> int:
        child = os.fork()
        if not child:
            await asyncio.Event().wait()
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        return os.waitstatus_to_exitcode(status)

    assert event_loop.run(main(), kind=kind) == LEFT


def test_the_loop_is_uvloop_where_it_can_be(monkeypatch: pytest.MonkeyPatch):
    """By itself; one that is asked for by name and not there is a mistake in the configuration."""
    assert _kind_of("auto") == ("uvloop" if IS_THERE else "asyncio")
    assert _kind_of("asyncio") == "asyncio"
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert _kind_of("auto") == "asyncio"
    with pytest.raises(ConfigurationError, match="event_loop: uvloop cannot be used"):
        event_loop.new_loop("uvloop")


def _kind_of(kind: Kind) -> str:
    loop = event_loop.new_loop(kind).loop
    loop.close()
    return type(loop).__module__.partition(".")[0]


async def _turns() -> None:
    """Let the loop come round, so that it begins, or ends, to wait for what it was told."""
    for _ in range(3):
        await asyncio.sleep(0)


async def _in_group(work) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(work)


def _exit() -> None:
    raise SystemExit(3)
