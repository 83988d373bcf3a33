"""One attempt, from the call of the handler to its fate. Nothing a handler does escapes from here as an exception."""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

from schedule_grpc.clock import Clock
from schedule_grpc.execution import MAX_TEXT_BYTES
from schedule_grpc.handlers.context import TaskContext, copy_for_handler
from schedule_grpc.handlers.failure import description_of, kind_of, text_of
from schedule_grpc.handlers.registry import HandlerFunction, Offer
from schedule_grpc.json_text import NotJson, encode, normalise
from schedule_grpc.read_only import read_only
from schedule_grpc.retry import FailureKind
from schedule_grpc.text import readable, unicode_of

TIMEOUT_ERROR = "Task execution timeout"
"""The text that callers of the older service know."""

GRACE = timedelta(seconds=10)
"""How long a cancelled handler may take to stop before it is given up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fate:
    """What became of one attempt.

    ``kind`` None means success. ``stopped`` means that we asked it to stop and it did: its outcome is nobody's fault.
    """

    duration: timedelta
    kind: FailureKind | None = None
    error: str | None = None
    result: Any = None
    stopped: bool = False
    left: "asyncio.Future[Any] | None" = None
    """Of a handler that would not stop: done once it has ended after all. No other attempt may start beside it."""

    @property
    def abandoned(self) -> bool:
        """Whether the handler would not stop."""
        return self.left is not None


@dataclass(frozen=True, slots=True)
class _Returned:
    result: Any
    text: str
    """The result as JSON."""
    time: float


@dataclass(frozen=True, slots=True)
class _Unreadable:
    told: str
    """Why what was returned is no result."""
    time: float


@dataclass(frozen=True, slots=True)
class _Raised:
    error: BaseException
    time: float


_End: TypeAlias = _Returned | _Unreadable | _Raised
Stop: TypeAlias = "asyncio.Future[None]"
"""Resolved by whoever wants an attempt to stop."""


async def perform(offer: Offer, ctx: TaskContext, *, timeout: timedelta, stop: Stop, grace: timedelta = GRACE) -> Fate:
    """Call the handler once and tell what became of it.

    Args:
        offer: The handler.
        ctx: What it gets a copy of.
        timeout: How long it may take.
        stop: When resolved, the handler is asked to stop.
        grace: How long it may take to stop once asked.

    Returns:
        Its fate. A handler that returns only after its timeout (it blocked the event loop) has failed by TIMEOUT too.
    """
    clock = ctx.clock
    given = copy_for_handler(ctx)
    began = clock.monotonic()
    call = _call_async(offer.function, given) if offer.is_async else _call_in_thread(offer.function, given)
    await _until_any(clock, timeout, call, stop)
    in_time = call.done() or stop.done()  # not by the clock: event loops may wake a moment early
    if not call.done():
        await _ask_to_stop(call, ctx, grace)
    if not call.done():
        duration = timedelta(seconds=clock.monotonic() - began)
        return Fate(duration=duration, kind=FailureKind.TIMEOUT, error=TIMEOUT_ERROR, left=call)
    end = call.result()
    duration = timedelta(seconds=end.time - began)
    if not in_time or (duration >= timeout and not stop.done()):
        return Fate(duration=duration, kind=FailureKind.TIMEOUT, error=TIMEOUT_ERROR)
    if stop.done() and isinstance(end, _Raised):
        return Fate(duration=duration, kind=FailureKind.ERROR, error="stopped", stopped=True)
    return _judged(end, ctx, duration)


async def _until_any(clock: Clock, limit: timedelta, *futures: "asyncio.Future[Any]") -> None:
    try:
        async with clock.timeout(max(limit.total_seconds(), 0)):
            await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
    except TimeoutError:
        return


async def _ask_to_stop(call: "asyncio.Future[_End]", ctx: TaskContext, grace: timedelta) -> None:
    ctx.cancelled.set()
    if isinstance(call, asyncio.Task):
        call.cancel()
    await _until_any(ctx.clock, grace, call)


def _call_async(function: HandlerFunction, ctx: TaskContext) -> "asyncio.Task[_End]":
    async def call() -> _End:
        try:
            value = await function(ctx)
        except BaseException as error:  # noqa: BLE001 (SystemExit must not end the server, CancelledError is a fate)
            return _Raised(error, ctx.clock.monotonic())
        return _returned(value, ctx)

    return asyncio.create_task(call(), name=f"{ctx.task.handler} {ctx.execution_id}")


def _call_in_thread(function: HandlerFunction, ctx: TaskContext) -> "asyncio.Future[_End]":
    # A daemon thread of our own, not an executor's: concurrent.futures joins its threads when the process ends, so one
    # stuck handler would keep the server from stopping.
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_End] = loop.create_future()

    def deliver(end: _End) -> None:
        if not future.done():
            future.set_result(end)

    def call() -> None:
        end = _called(function, ctx)
        with suppress(RuntimeError):  # the loop has closed: the server stopped without this thread
            loop.call_soon_threadsafe(deliver, end)

    context = contextvars.copy_context()
    try:
        threading.Thread(target=context.run, args=(call,), name=f"handler {ctx.execution_id}", daemon=True).start()
    except RuntimeError as error:  # the machine has no thread left to give
        deliver(_Raised(error, ctx.clock.monotonic()))
    return future


def _called(function: Callable[[TaskContext], Any], ctx: TaskContext) -> _End:
    # The time of the end is taken here: the loop may hear of it late, because another handler blocks it.
    try:
        value = function(ctx)
    except BaseException as error:  # noqa: BLE001 (SystemExit in a thread would vanish without a trace)
        return _Raised(error, ctx.clock.monotonic())
    return _returned(value, ctx)


def _returned(value: Any, ctx: TaskContext) -> _End:
    """Read what a handler returned, at once and where it ran: what it changes of it later changes nothing here."""
    time = ctx.clock.monotonic()
    try:
        if asyncio.iscoroutine(value):
            value.close()
        result = normalise(value, text_of=unicode_of)
        return _Returned(result, encode(result), time)
    except BaseException as error:  # noqa: BLE001 (reading a mapping of the handler's own runs its code)
        told = text_of(error) if isinstance(error, NotJson) else description_of(error)
        return _Unreadable(f"The handler returned what is not JSON: {told}", time)


def _judged(end: _End, ctx: TaskContext, duration: timedelta) -> Fate:
    if isinstance(end, _Raised):
        return _raised(end.error, ctx, duration)
    if isinstance(end, _Unreadable):
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
        try:
            ctx.log.warning("attempt.raised", exc_info=error)
        except BaseException:  # noqa: BLE001 (rendering the traceback asks the exception for its text)
            ctx.log.warning("attempt.raised", error=told)
    return Fate(duration=duration, kind=kind, error=told)


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
