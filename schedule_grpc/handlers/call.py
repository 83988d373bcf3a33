"""One call of a handler (in this event loop, in another one, or in a thread) and its end."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeAlias

from schedule_grpc.domain.canonical_json import NotJson, encode, normalise
from schedule_grpc.handlers.context import TaskContext, name_of
from schedule_grpc.handlers.failure import description_of, text_of
from schedule_grpc.handlers.registry import HandlerFunction
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.runtime.threads import start_beside
from schedule_grpc.text.unicode import unicode_of


@dataclass(frozen=True, slots=True)
class Returned:
    """The handler returned a value."""

    result: Any
    text: str
    """The result as JSON."""
    time: float


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The handler returned a value that is no JSON."""

    reason: str
    time: float


@dataclass(frozen=True, slots=True)
class Raised:
    """The handler raised an exception, or was cancelled."""

    error: BaseException
    time: float


End: TypeAlias = Returned | Unreadable | Raised


class Call:
    """A call under way. ``end`` belongs to the event loop in which the call was made, wherever the handler runs."""

    def __init__(self, clock: Clock) -> None:
        self.end: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self.began: float | None = None
        """The beginning in monotonic seconds; None while the handler waits for its turn."""
        self._clock = clock

    @property
    def taken(self) -> timedelta:
        """The time that the handler has run, or ran."""
        if self.began is None:
            return timedelta(0)
        until = self.end.result().time if self.end.done() else self._clock.monotonic()
        return timedelta(seconds=until - self.began)

    @property
    def held_up(self) -> bool:
        """Whether another handler blocks the event loop of this one."""
        return False

    def cancel(self) -> None:
        """Ask the handler to stop, beyond setting ``ctx.cancelled``."""

    def deliver(self, end: End) -> None:
        """Set the end of the call; in the loop in which it was made."""
        if not self.end.done():
            self.end.set_result(end)


Begin: TypeAlias = Callable[[HandlerFunction, TaskContext], Call]
"""Calls an async handler, and returns the call."""


async def wait_for_end(function: HandlerFunction, ctx: TaskContext) -> End:
    """Call an async handler; return its end. SystemExit must not end the server, and CancelledError is an end."""
    try:
        value = await function(ctx)
    except BaseException as error:  # noqa: BLE001 (see above)
        return Raised(error, ctx.clock.monotonic())
    return _end_by_value(value, ctx)


class _CallHere(Call):
    def __init__(self, function: HandlerFunction, ctx: TaskContext) -> None:
        super().__init__(ctx.clock)
        self.began = ctx.clock.monotonic()
        self._task = asyncio.create_task(self._run(function, ctx), name=name_of(ctx))
        self._task.add_done_callback(self._end)

    async def _run(self, function: HandlerFunction, ctx: TaskContext) -> None:
        self.deliver(await wait_for_end(function, ctx))

    def _end(self, _: "asyncio.Task[None]") -> None:
        # This counts only for a task that was cancelled before its first step: else the end was delivered before.
        self.deliver(Raised(asyncio.CancelledError(), self._clock.monotonic()))

    def cancel(self) -> None:
        """Cancel the task."""
        self._task.cancel()


def begin_here(function: HandlerFunction, ctx: TaskContext) -> Call:
    """Call an async handler in this event loop."""
    return _CallHere(function, ctx)


def begin_in_thread(function: HandlerFunction, ctx: TaskContext) -> Call:
    """Call a plain function in a daemon thread of its own: one that is stuck does not keep the server from stopping."""
    call = Call(ctx.clock)
    call.began = ctx.clock.monotonic()
    try:
        start_beside(partial(_end_in_thread, function, ctx), call.deliver, name=f"handler {ctx.execution_id}")
    except RuntimeError as error:  # the machine has no thread left to give
        call.deliver(Raised(error, ctx.clock.monotonic()))
    return call


def _end_in_thread(function: Callable[[TaskContext], Any], ctx: TaskContext) -> End:
    # The time of the end is read here: the loop may receive it late, because another handler blocks it.
    try:
        value = function(ctx)
    except BaseException as error:  # noqa: BLE001 (SystemExit in a thread would vanish without a trace)
        return Raised(error, ctx.clock.monotonic())
    return _end_by_value(value, ctx)


def _end_by_value(value: Any, ctx: TaskContext) -> End:
    """Read a returned value at once, in the handler's thread: later changes by the handler have no effect."""
    time = ctx.clock.monotonic()
    try:
        if asyncio.iscoroutine(value):
            value.close()
        result = normalise(value, text_of=unicode_of)
        return Returned(result, encode(result), time)
    except BaseException as error:  # noqa: BLE001 (reading a mapping of the handler's own runs its code)
        reason = text_of(error) if isinstance(error, NotJson) else description_of(error)
        return Unreadable(f"The handler returned what is not JSON: {reason}", time)
