"""What a handler may do on purpose or by bad luck, beyond `test_perform.py`: no way leads around `perform`."""

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from enum import Enum
from typing import Any

import pytest
import structlog
from support.rigs.rig import START

from schedule_grpc.domain.registration import registered
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.domain.task import define
from schedule_grpc.handlers import Fate, Offer, PermanentFailure, TaskContext, perform
from schedule_grpc.handlers.perform import GRACE, TIMEOUT_ERROR
from schedule_grpc.runtime.clock import Alarm
from schedule_grpc.testing import FakeClock

TIMEOUT = timedelta(seconds=29)


class HastyClock(FakeClock):
    """Its alarms ring a little early, as uvloop's do."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Alarm:
        """Fire a millisecond before time."""
        return super().call_later(seconds - 0.001, callback)


class Hostile(Mapping[str, Any]):
    """A mapping that raises when it is read."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __getitem__(self, key: str) -> Any:
        raise self.error

    def __iter__(self) -> Iterator[str]:
        raise self.error

    def __len__(self) -> int:
        return 1


class Colour(str, Enum):  # noqa: UP042 (a mixin's str() is its name, unlike StrEnum's)
    """A string of its own kind."""

    RED = "red"


class NamelessKey:
    """A key that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no name")


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock(START)


def context(clock: FakeClock) -> TaskContext:
    """Return what a handler gets."""
    return TaskContext(
        task=registered(None, define(name="t", schedule="@daily", handler="h"), enabled=None, now=START).after,
        execution_id="exec_t_1_a",
        attempt=1,
        scheduled_time=None,
        deadline=START + TIMEOUT,
        payload={},
        env=object(),  # type: ignore[arg-type]
        clock=clock,
        log=structlog.get_logger(),
    )


def performing(function: Any, clock: FakeClock, stop: "asyncio.Future[None] | None" = None) -> "asyncio.Task[Fate]":
    """Perform a function in the background."""
    offer = Offer(name="h", description="", function=function, is_async=asyncio.iscoroutinefunction(function))
    stop = stop or asyncio.get_running_loop().create_future()
    return asyncio.create_task(perform(offer, context(clock), timeout=TIMEOUT, stop=stop))


async def test_a_timeout_that_fires_early_is_a_timeout():
    """The event loop may wake a moment early: the cancellation we asked for is not the handler's error."""
    clock = HastyClock(START)

    async def function(_: TaskContext) -> None:
        await asyncio.Event().wait()

    attempt = performing(function, clock)
    await clock.advance(TIMEOUT)
    fate = await attempt
    assert (fate.kind, fate.error) == (FailureKind.TIMEOUT, TIMEOUT_ERROR)


async def test_a_value_returned_after_an_early_timeout_is_no_success():
    """It was asked to stop because its time was over; that it returned something then does not undo it."""
    clock = HastyClock(START)

    async def function(_: TaskContext) -> str | None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "too late"

    attempt = performing(function, clock)
    await clock.advance(TIMEOUT)
    assert (await attempt).kind is FailureKind.TIMEOUT


async def test_a_thread_that_ended_in_time_succeeded_though_the_loop_looked_late(clock: FakeClock):
    """Another handler blocked the loop for a minute; this one had long returned, and must not run again."""
    entered, proceed = threading.Event(), threading.Event()

    def function(_: TaskContext) -> str:
        entered.set()
        proceed.wait(60)
        return "done"

    attempt = performing(function, clock)
    await asyncio.to_thread(entered.wait, 10)
    (thread,) = [each for each in threading.enumerate() if each.name == "handler exec_t_1_a"]
    proceed.set()
    thread.join(10)  # blocks the loop on purpose, as the other handler does
    clock._move(60)
    assert await attempt == Fate(duration=timedelta(0), result="done")


async def test_a_thread_that_heeds_the_stop_is_a_timeout_and_not_abandoned(clock: FakeClock):
    """It looks at ctx.cancelled, returns within its grace, and its place is free again."""
    entered = threading.Event()

    def function(ctx: TaskContext) -> bool:
        entered.set()
        return ctx.cancelled.wait(60)

    attempt = performing(function, clock)
    await asyncio.to_thread(entered.wait, 10)
    await clock.advance(TIMEOUT)
    fate = await attempt
    assert (fate.kind, fate.abandoned, fate.duration) == (FailureKind.TIMEOUT, False, TIMEOUT)


async def test_a_stopped_thread_that_raises_is_nobodys_fault(clock: FakeClock):
    """Asked to stop for reasons of ours, it leaves by an exception: stopped, not failed."""
    entered, stop = threading.Event(), asyncio.get_running_loop().create_future()

    def function(ctx: TaskContext) -> None:
        entered.set()
        ctx.cancelled.wait(60)
        raise InterruptedError

    attempt = performing(function, clock, stop)
    await asyncio.to_thread(entered.wait, 10)
    stop.set_result(None)
    assert (await attempt).stopped


async def test_a_stopped_handler_that_does_not_stop_is_abandoned(clock: FakeClock):
    """After the grace of 10 s, whoever asked."""
    release, stop = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def function(_: TaskContext) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    attempt = performing(function, clock, stop)
    await clock.advance(1)
    stop.set_result(None)
    await clock.advance(GRACE - timedelta(seconds=1))
    assert not attempt.done()
    await clock.advance(1)
    fate = await attempt
    assert (fate.abandoned, fate.stopped) == (True, False)
    release.set()


async def test_a_stop_that_was_asked_for_before_the_start_stops_it(clock: FakeClock):
    """The handler is given its first step, in which it hears the cancellation."""
    stop = asyncio.get_running_loop().create_future()
    stop.set_result(None)

    async def function(_: TaskContext) -> None:
        await asyncio.Event().wait()

    assert (await performing(function, clock, stop)).stopped


async def test_what_an_abandoned_thread_returns_later_is_dropped(clock: FakeClock):
    """Its late result disturbs nobody."""
    entered, release = threading.Event(), threading.Event()

    def function(_: TaskContext) -> str:
        entered.set()
        release.wait(60)
        return "late"

    attempt = performing(function, clock)
    await asyncio.to_thread(entered.wait, 10)
    await clock.advance(TIMEOUT + GRACE)
    fate = await attempt
    release.set()
    for thread in threading.enumerate():
        if thread.name == "handler exec_t_1_a":
            await asyncio.to_thread(thread.join, 10)
    await clock.advance(0)
    assert (fate.abandoned, fate.result) == (True, None)


def test_a_thread_that_ends_after_the_loop_has_closed_is_silent(recwarn: pytest.WarningsRecorder):
    """The server has stopped without it: nothing is printed, and nothing keeps the process."""
    entered, release = threading.Event(), threading.Event()

    def function(_: TaskContext) -> None:
        entered.set()
        release.wait(60)

    async def serve() -> None:
        clock = FakeClock(START)
        attempt = performing(function, clock)
        await asyncio.to_thread(entered.wait, 10)
        await clock.advance(TIMEOUT + GRACE)
        assert (await attempt).abandoned

    asyncio.run(serve())
    (thread,) = [each for each in threading.enumerate() if each.name == "handler exec_t_1_a"]
    assert thread.daemon
    release.set()
    thread.join(10)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Hostile(ZeroDivisionError("boom")), "ZeroDivisionError: boom"),
        ({"a": Hostile(SystemExit(3))}, "SystemExit: 3"),
        ({NamelessKey(): 1}, "RuntimeError: no name"),
    ],
)
async def test_a_result_that_raises_when_it_is_read_is_a_failure(clock: FakeClock, value: object, told: str):
    """Nothing of a handler escapes, not even through what it returned."""

    async def function(_: TaskContext) -> object:
        return value

    fate = await performing(function, clock)
    assert (fate.kind, fate.error) == (FailureKind.ERROR, f"The handler returned what is not JSON: {told}")


async def test_an_exception_whose_text_exits_is_a_failure(clock: FakeClock):
    """Not even SystemExit out of __str__ reaches the server."""

    class Exiting(Exception):
        def __str__(self) -> str:
            raise SystemExit(1)

    async def function(_: TaskContext) -> None:
        raise Exiting

    assert (await performing(function, clock)).error == "Exiting: (its text raised SystemExit)"


async def test_a_string_of_a_kind_of_its_own_is_kept_by_its_value(clock: FakeClock):
    """An Enum that is a str is its value, as json.dumps has it, and not its name."""

    async def function(_: TaskContext) -> dict[str, Any]:
        return {"colour": Colour.RED, Colour.RED: 1}

    assert (await performing(function, clock)).result == {"colour": "red", "red": 1}


async def test_success_false_in_a_large_result_is_a_failure_all_the_same(clock: FakeClock):
    """Judged before it is cut."""

    async def function(_: TaskContext) -> dict[str, Any]:
        return {"success": False, "error": "why", "rows": "x" * 100_000}

    fate = await performing(function, clock)
    assert (fate.kind, fate.error, fate.result["truncated"]) == (FailureKind.ERROR, "why", True)


@pytest.mark.parametrize("value", [0, "", None, "False"])
async def test_only_false_itself_is_a_failure(clock: FakeClock, value: object):
    """Other things that count as false are results."""

    async def function(_: TaskContext) -> dict[str, Any]:
        return {"success": value}

    assert (await performing(function, clock)).kind is None


async def test_a_rejection_before_the_timeout_is_not_retried_and_after_it_is_a_timeout(clock: FakeClock):
    """What comes too late does not count, whatever it says."""

    async def function(_: TaskContext) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise PermanentFailure("no use")

    attempt = performing(function, clock)
    await clock.advance(TIMEOUT)
    assert (await attempt).kind is FailureKind.TIMEOUT


async def test_a_result_that_cannot_be_judged_is_a_failure(clock: FakeClock, monkeypatch):
    """No memory is left for it, say: without a fate the attempt would keep its slot for ever."""

    def fails(*_: Any) -> None:
        raise MemoryError

    async def function(_: TaskContext) -> str:
        return "done"

    monkeypatch.setattr(sys.modules[perform.__module__], "read_only", fails)
    fate = await performing(function, clock)
    assert (fate.kind, fate.error) == (FailureKind.ERROR, "MemoryError: ")
