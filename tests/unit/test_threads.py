"""Blocking work in a thread: its end, its cancellation, and a loop that did not wait."""

import asyncio
import threading

import pytest

from schedule_grpc.runtime.threads import Stopped, in_thread


async def test_what_it_returns_or_raises():
    """Whatever it is, SystemExit included; in a daemon thread of that name."""
    assert await in_thread(lambda _: threading.current_thread().name, name="work") == "work"
    assert await in_thread(lambda _: threading.current_thread().daemon, name="work")
    for error in (ValueError("x"), SystemExit(3), Stopped()):

        def fail(_: threading.Event, error: BaseException = error) -> None:
            raise error

        with pytest.raises(type(error)):
            await in_thread(fail, name="work")


@pytest.mark.parametrize("abandon", [False, True])
async def test_a_cancelled_caller_asks_it_to_stop(abandon: bool):
    """And waits until it has, unless it said that nothing depends on that."""
    loop = asyncio.get_running_loop()
    began, asked, may_end = asyncio.Event(), threading.Event(), threading.Event()

    def work(stop: threading.Event) -> None:
        loop.call_soon_threadsafe(began.set)
        assert stop.wait(60)
        asked.set()
        assert may_end.wait(60)
        raise Stopped

    calling = asyncio.create_task(in_thread(work, name="work", abandon=abandon))
    await began.wait()
    calling.cancel()
    await asyncio.to_thread(asked.wait, 20)
    if not abandon:
        await asyncio.sleep(0)
        assert not calling.done()
        may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await calling
    may_end.set()


def test_a_loop_that_is_gone_is_not_told():
    """A server that stopped without its threads: they end quietly."""
    may_end, threads = threading.Event(), []

    def work(_: threading.Event) -> None:
        threads.append(threading.current_thread())
        assert may_end.wait(60)

    async def leave() -> None:
        calling = asyncio.create_task(in_thread(work, name="work", abandon=True))
        await asyncio.sleep(0)
        calling.cancel()

    asyncio.run(leave())
    may_end.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
