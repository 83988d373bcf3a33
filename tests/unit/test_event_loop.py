"""The loop that the server runs in: what ends it, and what does not."""

import asyncio

import pytest
from structlog.testing import capture_logs

from schedule_grpc import event_loop


async def exiting() -> None:
    """Do what a library does that was made for the command line."""
    raise SystemExit(3)


def test_a_child_task_that_exits_ends_nothing_but_itself():
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
        assert event_loop.run(main()) == "done"
    assert (seen, [line["event"] for line in lines]) == ([3, 3], ["task.exited"] * 2)


def test_a_callback_that_exits_ends_nothing():
    """As a task's."""

    async def main() -> str:
        exited = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.call_soon(_exit)
        loop.call_soon(exited.set)
        await exited.wait()
        return "done"

    with capture_logs():
        assert event_loop.run(main()) == "done"


def test_a_program_that_exits_itself_does():
    """With its code."""
    with pytest.raises(SystemExit) as raised:
        event_loop.run(exiting())
    assert raised.value.code == 3


async def _in_group(work) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(work)


def _exit() -> None:
    raise SystemExit(3)
