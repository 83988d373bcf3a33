"""One attempt, from the call of the handler to its fate. Nothing a handler does escapes from here as an exception."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any, TypeAlias

from schedule_grpc.clock import Clock
from schedule_grpc.execution import MAX_TEXT_BYTES
from schedule_grpc.handlers.call import Begin, Call, End, Raised, Unreadable, begin_here, begin_in_thread
from schedule_grpc.handlers.context import TaskContext, copy_for_handler
from schedule_grpc.handlers.failure import description_of, kind_of, leaves_of
from schedule_grpc.handlers.registry import Offer
from schedule_grpc.json_text import encode
from schedule_grpc.read_only import read_only
from schedule_grpc.retry import FailureKind
from schedule_grpc.text import readable

TIMEOUT_ERROR = "Task execution timeout"
"""The text that callers of the older service know."""

MAX_TRACED = 100
"""Leaves of a group whose tracebacks are logged: those of thousands would hold the event loop for seconds."""

GRACE = timedelta(seconds=10)
"""How long a cancelled handler may take to stop before it is given up."""
EARLY = timedelta(milliseconds=10)
"""By so much an event loop may wake before its time."""
HELD_UP_GRACES = 30
"""How often it gets that time again where another handler blocks the event loop in which it would stop."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fate:
    """What became of one attempt.

    ``kind`` None means success. ``stopped`` means that we asked it to stop and it did: its outcome is nobody's fault.
    """

    duration: timedelta
    kind: FailureKind | None = None
    error: str | None = None
    result: Any = None
    begun: bool = True
    """Whether the handler was called: one that waits for its turn may be stopped before."""
    stopped: bool = False
    left: "asyncio.Future[Any] | None" = None
    """Of a handler that would not stop: done once it has ended after all. No other attempt may start beside it."""

    @property
    def abandoned(self) -> bool:
        """Whether the handler would not stop."""
        return self.left is not None


Stop: TypeAlias = "asyncio.Future[None]"
"""Resolved by whoever wants an attempt to stop."""


async def perform(
    offer: Offer,
    ctx: TaskContext,
    *,
    timeout: timedelta,
    stop: Stop,
    grace: timedelta = GRACE,
    begin: Begin = begin_here,
    leaving: asyncio.Event | None = None,
    is_waited_for: Callable[[], bool] = lambda: False,
) -> Fate:
    """Call the handler once and tell what became of it.

    Args:
        offer: The handler.
        ctx: What it gets a copy of.
        timeout: How long it may take, counted from its beginning.
        stop: When resolved, the handler is asked to stop.
        grace: How long it may take to stop once asked.
        begin: Calls it if it is async; by default in this event loop.
        leaving: When set, a handler gets no more than ``grace``: the process is to end.
        is_waited_for: Tells, of a handler that has not stopped within ``grace``, whether its end still counts: then it
            is waited for, up to its timeout.

    Returns:
        Its fate. A handler that returns only after its timeout (it blocked the event loop) has failed by TIMEOUT too.
    """
    clock = ctx.clock
    given = copy_for_handler(ctx)
    call = begin(offer.function, given) if offer.is_async else begin_in_thread(offer.function, given)
    await _until_over(call, clock, timeout, stop)
    in_time = call.end.done() or stop.done()  # not by the clock: event loops may wake a moment early
    if not call.end.done():
        await _ask_to_stop(call, given, grace)
        await _until_given_up(
            call, clock, grace, leaving or asyncio.Event(), lambda: _counts(call, timeout, is_waited_for)
        )
    if not call.end.done():
        return Fate(duration=call.taken, kind=FailureKind.TIMEOUT, error=TIMEOUT_ERROR, left=call.end)
    if call.began is None:
        return Fate(duration=call.taken, kind=FailureKind.ERROR, error="stopped", begun=False, stopped=True)
    end, duration = call.end.result(), call.taken
    if not in_time or (duration >= timeout and not stop.done()):
        return Fate(duration=duration, kind=FailureKind.TIMEOUT, error=TIMEOUT_ERROR)
    if stop.done() and isinstance(end, Raised):
        return Fate(duration=duration, kind=FailureKind.ERROR, error="stopped", stopped=True)
    return _judged(end, ctx, duration)


async def _until_over(call: Call, clock: Clock, timeout: timedelta, stop: Stop) -> None:
    """Wait for the end of a call, for its stop, or until its time is up; while it has not begun, none of it passes."""
    await _until_any(clock, timeout, call.end, stop)
    while not (call.end.done() or stop.done()) and (left := timeout - call.taken) > EARLY:
        await _until_any(clock, left, call.end, stop)


async def _ask_to_stop(call: Call, ctx: TaskContext, grace: timedelta) -> None:
    ctx.cancelled.set()
    call.cancel()
    await _until_any(ctx.clock, grace, call.end)


async def _until_given_up(
    call: Call, clock: Clock, grace: timedelta, leaving: asyncio.Event, counts: Callable[[], bool]
) -> None:
    """Wait on for a call that has not stopped: its end still counts, or another one, blocking its loop, holds it up."""
    held_up = 0
    while not (call.end.done() or leaving.is_set()) and (counts() or (call.held_up and held_up < HELD_UP_GRACES)):
        held_up += call.held_up
        await _until_any(clock, grace, call.end)


def _counts(call: Call, timeout: timedelta, is_waited_for: Callable[[], bool]) -> bool:
    return call.taken < timeout and is_waited_for()


async def _until_any(clock: Clock, limit: timedelta, *futures: "asyncio.Future[Any]") -> None:
    try:
        async with clock.timeout(max(limit.total_seconds(), 0)):
            await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
    except TimeoutError:
        return


def _judged(end: End, ctx: TaskContext, duration: timedelta) -> Fate:
    if isinstance(end, Raised):
        return _raised(end.error, ctx, duration)
    if isinstance(end, Unreadable):
        return Fate(duration=duration, kind=FailureKind.ERROR, error=cut(end.told))
    result, kept = end.result, _kept(end.result, end.text)
    if isinstance(result, Mapping) and result.get("success") is False:
        said = result.get("error") or result.get("message") or "The handler returned success: false"
        told = said if isinstance(said, str) else encode(said)
        return Fate(duration=duration, kind=FailureKind.ERROR, error=cut(told), result=kept)
    return Fate(duration=duration, result=kept)


def _raised(error: BaseException, ctx: TaskContext, duration: timedelta) -> Fate:
    kind, told = kind_of(error), cut(description_of(error))
    if kind is FailureKind.ERROR:
        _log_raised(error, told, ctx)
    return Fate(duration=duration, kind=kind, error=told)


def _log_raised(error: BaseException, told: str, ctx: TaskContext) -> None:
    try:
        is_small = len(list(islice(leaves_of(error), MAX_TRACED + 1))) <= MAX_TRACED
        shown: dict[str, Any] = {"exc_info": error} if is_small else {"error": told}
        ctx.log.warning("attempt.raised", **shown)
    except BaseException:  # noqa: BLE001 (rendering the traceback asks the exception for its text)
        ctx.log.warning("attempt.raised", error=told)


def cut(text: str) -> str:
    """Return an error's text as it is kept: readable, at most `MAX_TEXT_BYTES`, marked where it was cut."""
    encoded = readable(text).encode()
    if len(encoded) <= MAX_TEXT_BYTES:
        return encoded.decode()
    mark = f"… (cut from {len(encoded)} bytes)"
    return encoded[: MAX_TEXT_BYTES - len(mark.encode())].decode("utf-8", "ignore") + mark


def _kept(result: Any, text: str) -> Any:
    encoded = text.encode()
    size = len(encoded)
    if size <= MAX_TEXT_BYTES:
        return read_only(result)
    # JSON text doubles quotes and backslashes when it becomes a string again: half is always little enough.
    head = encoded[: MAX_TEXT_BYTES // 2 - 100].decode("utf-8", "ignore")
    return read_only({"truncated": True, "size_bytes": size, "head": head})
