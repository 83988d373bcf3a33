"""One attempt, from the call of the handler to its fate. No exception of a handler gets out of this module."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any, TypeAlias

from schedule_grpc.domain.access.key_text import redacted
from schedule_grpc.domain.canonical_json import encode
from schedule_grpc.domain.execution import MAX_TEXT_BYTES
from schedule_grpc.domain.read_only import read_only
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.handlers.attempt_log import RAISED
from schedule_grpc.handlers.call import Begin, End, Raised, Unreadable, begin_here, begin_in_thread
from schedule_grpc.handlers.context import TaskContext, context_of
from schedule_grpc.handlers.failure import description_of, kind_of, leaves_of
from schedule_grpc.handlers.registry import Offer
from schedule_grpc.runtime.clock import Alarm
from schedule_grpc.text.unicode import readable

TIMEOUT_ERROR = "Task execution timeout"
"""The text of the older service."""

MAX_TRACED = 100
"""Leaves of a group whose tracebacks are logged: those of thousands would hold the event loop for seconds."""

GRACE = timedelta(seconds=10)
"""The time that a cancelled handler gets to stop before it is abandoned."""
EARLY = timedelta(milliseconds=10)
"""The most by which an event loop's timer rings too early."""
HELD_UP_GRACES = 30
"""A handler gets `GRACE` this many times more while another handler blocks its event loop."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fate:
    """The result of one attempt.

    ``kind`` None means success. ``stopped``: the handler was asked to stop and did, which does not count as a failure.
    """

    duration: timedelta
    kind: FailureKind | None = None
    error: str | None = None
    result: Any = None
    begun: bool = True
    """Whether the handler was called: an attempt that waits for its turn may be stopped before."""
    stopped: bool = False
    left: "asyncio.Future[Any] | None" = None
    """The end of a handler that did not stop, still to come. No other attempt may start beside it."""

    @property
    def abandoned(self) -> bool:
        """Whether the handler did not stop."""
        return self.left is not None


Stop: TypeAlias = "asyncio.Future[None]"
"""Resolved to ask an attempt to stop."""


class Attempt:
    """One attempt under way: calls the handler, and reacts by callbacks to its end, a stop request and its timeout.

    It has one timer: for the handler's timeout, and after a stop request for the grace.
    """

    def __init__(
        self,
        offer: Offer,
        ctx: TaskContext,
        *,
        timeout: timedelta,
        stop: Stop,
        on_fate: Callable[[Fate], None],
        grace: timedelta = GRACE,
        begin: Begin | None = None,
        leaving: asyncio.Event | None = None,
        is_waited_for: Callable[[], bool] = lambda: False,
    ) -> None:
        """Call the handler once, and report its fate by ``on_fate``.

        Args:
            offer: The handler.
            ctx: Its context.
            timeout: The time that the handler may take, counted from its beginning.
            stop: When resolved, the handler is asked to stop.
            on_fate: Called once, in this event loop, with its fate.
            grace: The time that it may take to stop once asked.
            begin: Calls the handler; by default in this event loop if it is async, else in a thread.
            leaving: When set, a handler gets no more than ``grace``: the process is to end.
            is_waited_for: Returns, for a handler that has not stopped within ``grace``, whether its end still counts:
                then the attempt waits for it, up to its timeout.
        """
        self._given = ctx
        self._timeout = timeout
        self._stop = stop
        self._on_fate: Callable[[Fate], None] | None = on_fate
        self._grace = grace
        self._leaving = leaving
        self._is_waited_for = is_waited_for
        self._in_time = True
        self._held_up = 0
        self._call = (begin or _default_begin(offer))(offer.function, ctx)
        self._call.end.add_done_callback(self._on_end)
        stop.add_done_callback(self._on_stop)
        self._alarm = self._ring_after(timeout, self._on_time_up)

    def _ring_after(self, limit: timedelta, callback: Callable[[], None]) -> Alarm:
        return self._given.clock.call_later(max(limit.total_seconds(), 0), callback)

    def _on_time_up(self) -> None:
        if self._call.end.done():  # by this, and not by the clock: event loops may wake a moment early
            return
        left = self._timeout - self._call.taken
        if left > EARLY:  # while it had not begun, none of its time passed
            self._alarm = self._ring_after(left, self._on_time_up)
            return
        self._in_time = False
        self._ask_to_stop()

    def _on_stop(self, _: Stop) -> None:
        if self._in_time and not self._call.end.done():
            self._alarm.cancel()
            self._ask_to_stop()

    def _ask_to_stop(self) -> None:
        self._given.cancelled.set()
        self._call.cancel()
        self._alarm = self._ring_after(self._grace, self._give_up)

    def _give_up(self) -> None:
        """Abandon a call that has not stopped, unless its end still counts, or another call blocks its loop."""
        if self._call.end.done():
            return
        held_up = self._call.held_up
        is_leaving = self._leaving is not None and self._leaving.is_set()
        if not is_leaving and (self._counts() or (held_up and self._held_up < HELD_UP_GRACES)):
            self._held_up += held_up
            self._alarm = self._ring_after(self._grace, self._give_up)
            return
        call = self._call
        self._report(Fate(duration=call.taken, kind=FailureKind.TIMEOUT, error=TIMEOUT_ERROR, left=call.end))

    def _counts(self) -> bool:
        return self._call.taken < self._timeout and self._is_waited_for()

    def _on_end(self, end: "asyncio.Future[End]") -> None:
        self._alarm.cancel()
        if self._on_fate is not None:  # else it was given up long ago
            self._report(self._safe_fate_of(end.result()))

    def _report(self, fate: Fate) -> None:
        self._stop.remove_done_callback(self._on_stop)
        on_fate, self._on_fate = self._on_fate, None
        if on_fate is not None:
            on_fate(fate)

    def _safe_fate_of(self, end: End) -> Fate:
        try:
            return self._fate_of(end)
        except Exception as error:  # noqa: BLE001 (no memory is left, for example: without a fate it would never end here)
            text = cut(description_of(error))
            return Fate(duration=self._call.taken, kind=FailureKind.ERROR, error=text)

    def _fate_of(self, end: End) -> Fate:
        """Return the fate. A handler that returns after its timeout (it blocked the loop) fails by TIMEOUT, too."""
        duration, was_stopped = self._call.taken, self._stop.done()
        if self._call.began is None:
            return Fate(duration=duration, kind=FailureKind.ERROR, error="stopped", begun=False, stopped=True)
        if not self._in_time or (duration >= self._timeout and not was_stopped):
            return Fate(duration=duration, kind=FailureKind.TIMEOUT, error=TIMEOUT_ERROR)
        if was_stopped and isinstance(end, Raised):
            return Fate(duration=duration, kind=FailureKind.ERROR, error="stopped", stopped=True)
        return _fate_by_end(end, self._given, duration)


def _default_begin(offer: Offer) -> Begin:
    return begin_here if offer.is_async else begin_in_thread


async def perform(offer: Offer, ctx: TaskContext, *, timeout: timedelta, stop: Stop, **how: Any) -> Fate:
    """Call the handler once and return its fate; arguments as of an `Attempt`."""
    fate: asyncio.Future[Fate] = asyncio.get_running_loop().create_future()

    def keep(found: Fate) -> None:
        if not fate.done():
            fate.set_result(found)

    Attempt(offer, context_of(ctx), timeout=timeout, stop=stop, on_fate=keep, **how)
    return await fate


def _fate_by_end(end: End, ctx: TaskContext, duration: timedelta) -> Fate:
    if isinstance(end, Raised):
        return _fate_by_error(end.error, ctx, duration)
    if isinstance(end, Unreadable):
        return Fate(duration=duration, kind=FailureKind.ERROR, error=cut(end.reason))
    result, shown = end.result, kept(end.result, end.text)
    if isinstance(result, Mapping) and result.get("success") is False:
        reason = result.get("error") or result.get("message") or "The handler returned success: false"
        text = reason if isinstance(reason, str) else encode(reason)
        return Fate(duration=duration, kind=FailureKind.ERROR, error=cut(text), result=shown)
    return Fate(duration=duration, result=shown)


def _fate_by_error(error: BaseException, ctx: TaskContext, duration: timedelta) -> Fate:
    kind, text = kind_of(error), cut(description_of(error))
    if kind is FailureKind.ERROR:
        _log_raised(error, text, ctx)
    return Fate(duration=duration, kind=kind, error=text)


def _log_raised(error: BaseException, text: str, ctx: TaskContext) -> None:
    try:
        is_small = len(list(islice(leaves_of(error), MAX_TRACED + 1))) <= MAX_TRACED
        shown: dict[str, Any] = {"exc_info": error} if is_small else {"error": text}
        ctx.log.warning(RAISED, **shown)
    except BaseException:  # noqa: BLE001 (rendering the traceback asks the exception for its text)
        ctx.log.warning(RAISED, error=text)


def cut(text: str) -> str:
    """Return an error's text as the history keeps it: readable, at most `MAX_TEXT_BYTES`, marked where it was cut.

    Texts of the service's keys lose their secrets: callers that may read the history may not use the keys.
    """
    encoded = redacted(readable(text)).encode()
    if len(encoded) <= MAX_TEXT_BYTES:
        return encoded.decode()
    mark = f"… (cut from {len(encoded)} bytes)"
    return encoded[: MAX_TEXT_BYTES - len(mark.encode())].decode("utf-8", "ignore") + mark


def kept(result: Any, text: str) -> Any:
    """Return a result, given with its JSON text, as the history keeps it: of a long one only the beginning."""
    encoded = text.encode()
    size = len(encoded)
    if size <= MAX_TEXT_BYTES:
        return read_only(result)
    # JSON text doubles quotes and backslashes when it becomes a string again: half is always little enough.
    head = encoded[: MAX_TEXT_BYTES // 2 - 100].decode("utf-8", "ignore")
    return read_only({"truncated": True, "size_bytes": size, "head": head})
