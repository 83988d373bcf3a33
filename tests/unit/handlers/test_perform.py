"""One attempt and its fate, with real coroutines and real threads; time stands still."""

import asyncio
import threading
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs
from support.rigs.rig import START

from schedule_grpc.domain.canonical_json import encode
from schedule_grpc.domain.execution import MAX_TEXT_BYTES
from schedule_grpc.domain.registration import registered
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.domain.task import define
from schedule_grpc.errors import InvalidArgument
from schedule_grpc.handlers import Fate, Offer, PermanentFailure, TaskContext, perform
from schedule_grpc.handlers.perform import GRACE, TIMEOUT_ERROR
from schedule_grpc.testing import FakeClock

TIMEOUT = timedelta(seconds=29)


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock(START)


def context(clock: FakeClock) -> TaskContext:
    """Return what a handler gets."""
    task = registered(None, define(name="t", schedule="@daily", handler="h"), enabled=None, now=START).after
    return TaskContext(
        task=task,
        execution_id="exec_t_1_a",
        attempt=1,
        scheduled_time=None,
        deadline=START + TIMEOUT,
        payload={},
        env=object(),  # type: ignore[arg-type]
        clock=clock,
        log=structlog.get_logger(),
    )


def offer(function) -> Offer:
    """Return an offer of a function."""
    return Offer(name="h", description="", function=function, is_async=asyncio.iscoroutinefunction(function))


async def fate_of(function, clock: FakeClock, stop: "asyncio.Future[None] | None" = None) -> Fate:
    """Perform a function."""
    stop = stop or asyncio.get_running_loop().create_future()
    return await perform(offer(function), context(clock), timeout=TIMEOUT, stop=stop)


async def returning(value):
    """Return a handler that returns a value."""

    async def function(_):
        return value

    return function


class Unprintable(Exception):
    """An exception whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError


def raising(error: BaseException):
    """Return an async handler that raises."""

    async def function(_):
        raise error

    return function


@pytest.mark.parametrize("value", [None, {"a": 1}, [1, "x"], "text", 0, True, {"success": True}, {"success": None}])
async def test_what_is_returned_is_the_result(clock: FakeClock, value):
    """Async and sync alike."""
    assert await fate_of(await returning(value), clock) == Fate(duration=timedelta(0), result=value)
    assert (await fate_of(lambda _: value, clock)).result == value


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (ValueError("bad"), FailureKind.ERROR, "ValueError: bad"),
        (SystemExit(3), FailureKind.ERROR, "SystemExit: 3"),
        (KeyboardInterrupt(), FailureKind.ERROR, "KeyboardInterrupt: "),
        (asyncio.CancelledError("mine"), FailureKind.ERROR, "CancelledError: mine"),
        (Unprintable(), FailureKind.ERROR, "Unprintable: (its text raised RuntimeError)"),
        (ValueError("lone \ud800"), FailureKind.ERROR, "ValueError: lone \ufffd"),
        (PermanentFailure("no use"), FailureKind.REJECTED, "no use"),
    ],
)
async def test_what_is_raised_is_a_failure(clock: FakeClock, error: BaseException, kind: FailureKind, told: str):
    """Whatever it is, nothing escapes; in a thread too."""

    def sync(_):
        raise error

    for function in (raising(error), sync):
        fate = await fate_of(function, clock)
        assert (fate.kind, fate.error) == (kind, told)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"success": False, "error": "why"}, "why"),
        ({"success": False, "message": "what"}, "what"),
        ({"success": False, "error": "", "message": "what"}, "what"),
        ({"success": False}, "The handler returned success: false"),
    ],
)
async def test_success_false_is_a_failure_with_its_own_words(clock: FakeClock, value: dict, told: str):
    """`error`, else `message`; the value is kept."""
    fate = await fate_of(await returning(value), clock)
    assert (fate.kind, fate.error, fate.result) == (FailureKind.ERROR, told, value)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": object()}, ".a: object is not JSON"),
        ([float("nan")], "[0]: nan is not JSON"),
        ({1: 2}, "value: the key 1 is not a string"),
        (10**400, "value: the number is larger than a double can hold"),
        ({"when": START}, ".when: datetime is not JSON"),
    ],
)
async def test_what_is_not_json_is_a_failure_that_says_so(clock: FakeClock, value, told: str):
    """The message names the place."""
    fate = await fate_of(await returning(value), clock)
    assert fate.kind is FailureKind.ERROR
    assert fate.error == f"The handler returned what is not JSON: {told}"


async def test_a_result_that_contains_itself_is_a_failure(clock: FakeClock):
    """Depth is bounded, so a loop ends."""
    loop: list = []
    loop.append(loop)
    fate = await fate_of(await returning(loop), clock)
    assert fate.error is not None
    assert "nested deeper than 32 levels" in fate.error


async def test_a_coroutine_that_a_sync_handler_returns_is_a_failure(clock: FakeClock):
    """It is closed, so nobody complains that it was never awaited."""

    async def inner():
        return 1

    fate = await fate_of(lambda _: inner(), clock)
    assert fate.error is not None
    assert "coroutine is not JSON" in fate.error


async def test_a_large_result_is_cut_and_marked(clock: FakeClock):
    """A hundred times the limit: what is kept says so, and is within the limit."""
    fate = await fate_of(await returning({"text": '"' * 100 * MAX_TEXT_BYTES}), clock)
    assert fate.kind is None
    assert fate.result["truncated"] is True
    assert fate.result["size_bytes"] > 100 * MAX_TEXT_BYTES
    assert len(encode(fate.result).encode()) <= MAX_TEXT_BYTES


async def test_a_large_error_is_cut_and_marked(clock: FakeClock):
    """Within the limit in bytes, though its characters take three each."""
    fate = await fate_of(raising(ValueError("€" * MAX_TEXT_BYTES)), clock)
    assert fate.error is not None
    assert len(fate.error.encode()) <= MAX_TEXT_BYTES
    assert fate.error.endswith("bytes)")


async def test_a_timeout_cancels_the_handler(clock: FakeClock):
    """It hears CancelledError, and the fate is TIMEOUT after 29 s."""
    heard = asyncio.Event()

    async def function(_):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            heard.set()
            raise

    performing = asyncio.create_task(fate_of(function, clock))
    await clock.advance(28.9)
    assert not heard.is_set()
    await clock.advance(0.1)
    assert await performing == Fate(duration=TIMEOUT, kind=FailureKind.TIMEOUT, error=TIMEOUT_ERROR)


async def test_returning_after_the_timeout_is_a_timeout_too(clock: FakeClock):
    """A handler that blocked the loop longer than it may cannot defeat its timeout."""

    async def function(_):
        clock._monotonic += 30
        return {"success": True}

    fate = await fate_of(function, clock)
    assert (fate.kind, fate.abandoned) == (FailureKind.TIMEOUT, False)


async def test_a_handler_that_swallows_its_cancellation_is_abandoned(clock: FakeClock):
    """After the grace nobody waits any more."""
    release = asyncio.Event()

    async def function(_):
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    performing = asyncio.create_task(fate_of(function, clock))
    await clock.advance(TIMEOUT)
    assert not performing.done()
    await clock.advance(GRACE)
    assert (await performing).abandoned
    release.set()


async def test_a_thread_that_does_not_heed_is_abandoned(clock: FakeClock):
    """ctx.cancelled is set; the thread goes on and is left behind."""
    entered, release = threading.Event(), threading.Event()

    def function(ctx):
        entered.set()
        release.wait(60)
        return ctx.cancelled.is_set()

    performing = asyncio.create_task(fate_of(function, clock))
    await asyncio.to_thread(entered.wait, 10)
    await clock.advance(TIMEOUT)
    await clock.advance(GRACE)
    assert (await performing).abandoned
    release.set()


async def test_a_stopped_handler_is_nobodys_fault(clock: FakeClock):
    """Asked to stop, it stops: the fate says stopped."""
    stop = asyncio.get_running_loop().create_future()

    async def function(_):
        await asyncio.Event().wait()

    performing = asyncio.create_task(fate_of(function, clock, stop))
    await clock.advance(1)
    stop.set_result(None)
    fate = await performing
    assert (fate.stopped, fate.abandoned) == (True, False)


async def test_a_success_that_was_faster_than_the_stop_stands(clock: FakeClock):
    """What was finished in its grace is not thrown away."""
    stop = asyncio.get_running_loop().create_future()

    async def function(_):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "finished"

    performing = asyncio.create_task(fate_of(function, clock, stop))
    await clock.advance(1)
    stop.set_result(None)
    assert await performing == Fate(duration=timedelta(seconds=1), result="finished")


async def test_without_a_thread_to_give_the_attempt_fails(clock: FakeClock, monkeypatch):
    """The machine refuses another thread: an ordinary failure, which is retried."""

    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    fate = await fate_of(lambda _: 1, clock)
    assert fate.error == "RuntimeError: can't start new thread"


def test_the_idempotency_key_is_the_executions_id(clock: FakeClock):
    """It does not change from attempt to attempt."""
    assert context(clock).idempotency_key == "exec_t_1_a"
    assert context(clock).now() == START


async def test_a_permanent_failure_in_a_task_group_is_not_retried(clock: FakeClock):
    """The group's own words name nothing; its leaves do. A cancelled sibling is no leaf."""

    async def reject() -> None:
        raise PermanentFailure("row 7 is no invoice") from KeyError("total")

    async def function(_):
        async with asyncio.TaskGroup() as group:
            group.create_task(reject())
            group.create_task(asyncio.Event().wait())

    fate = await fate_of(function, clock)
    assert (fate.kind, fate.error) == (FailureKind.REJECTED, "row 7 is no invoice, caused by KeyError: 'total'")


async def test_an_error_in_a_task_group_is_retried_and_named(clock: FakeClock):
    """As if it had been raised without the group."""

    async def fail() -> None:
        raise ConnectionError("gone")

    async def function(_):
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())

    fate = await fate_of(function, clock)
    assert (fate.kind, fate.error) == (FailureKind.ERROR, "ConnectionError: gone")


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (0.25, 0.25),
        (True, 1.0),
        (float("nan"), 0.0),
        (Decimal("NaN"), 0.0),
        (float("inf"), 1.0),
        (float("-inf"), 0.0),
        (10**400, 1.0),
        (-(10**400), 0.0),
        (Fraction(10**400, 3), 1.0),
        (-0.0, 0.0),
    ],
)
def test_progress_is_a_number_from_0_to_1(clock: FakeClock, told, shown: float):
    """Whatever the handler computed: a hint never fails an attempt, nor ends a watcher's stream."""
    reports = []
    replace(context(clock), report=lambda *report: reports.append(report)).progress(told, "x" * 300 + "\ud800")
    assert repr(reports) == repr([(shown, "x" * 256)])


@pytest.mark.parametrize("wrong", [None, b"bytes", 3, Path("x")])
def test_what_is_no_text_is_no_alert(clock: FakeClock, wrong):
    """The handler hears of it where it says so, field by field."""
    ctx = context(clock)
    with pytest.raises(InvalidArgument) as raised:
        ctx.alert(wrong, wrong, key=wrong)
    assert {violation.field for violation in raised.value.violations} == {"key", "title", "body"}
    with pytest.raises(InvalidArgument, match=r"^key: is"):
        ctx.recovered(wrong)
    assert ctx.conditions == []


async def test_keys_that_are_the_same_once_they_can_be_read_are_a_failure(clock: FakeClock):
    """One of the two values would be lost without a word."""
    fate = await fate_of(await returning({"a": {f"{each}": 1 for each in ("\udcff", "\udcfe")}}), clock)
    told = ".a: two keys are the same once what is no Unicode is replaced"
    assert fate.error == f"The handler returned what is not JSON: {told}"


@pytest.mark.parametrize(("leaves", "traced"), [(100, True), (101, False)])
async def test_the_tracebacks_of_a_huge_group_are_not_written(clock: FakeClock, leaves: int, traced: bool):
    """Writing thousands of them would hold the event loop for seconds; the error is told as in the history."""
    error = ExceptionGroup("rows", [ValueError(str(number)) for number in range(leaves)])
    with capture_logs() as lines:
        fate = await fate_of(raising(error), clock)
    (line,) = [line for line in lines if line["event"] == "attempt.raised"]
    assert line.get("exc_info") is (error if traced else None)
    assert line.get("error") == (None if traced else fate.error)
