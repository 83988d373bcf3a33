"""Event loops for async handlers, each in a thread of its own: one that blocks costs neither the server nor the others.

There is one loop while none is blocked. Calls that wait for their turn in a blocked one go to a new one; calls that run
there already wait for the handler that blocks. A binding's connections belong to one loop, so each loop has its own
bindings.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, TypeAlias

import structlog

from schedule_grpc.engine.attempt_context import context_of_attempt
from schedule_grpc.engine.blocked_loop import Watchdog
from schedule_grpc.engine.hand_over import HandOver
from schedule_grpc.handlers import Call, End, Env, HandlerFunction, Raised, TaskContext, name_of, wait_for_end, with_env
from schedule_grpc.runtime import event_loop
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.runtime.threads import in_thread, start_daemon

log = structlog.get_logger(__name__)

BLOCKED = 2.0
"""Seconds without a beat after which the calls that wait in a loop go to another one."""
MOST_LOOPS = 8
"""Loops at once: when all of these are blocked, new calls wait for the newest of them."""
CLOSING_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Bindings:
    """The bindings of the handlers of one loop."""

    env: Env
    aclose: Callable[[], Awaitable[None]]


class _CallElsewhere(Call):
    """A call in a handlers' loop; made and delivered in the engine's."""

    def __init__(self, function: HandlerFunction, ctx: TaskContext) -> None:
        super().__init__(ctx.clock)
        self._function = function
        self._ctx = ctx
        self._loop: HandlerLoop | None = None
        self._task: asyncio.Task[Any] | None = None

    @property
    def held_up(self) -> bool:
        """Whether another handler blocks this one's loop."""
        loop = self._loop
        return loop is not None and loop.is_blocked and loop.at_work is not self._task

    def cancel(self) -> None:
        """Cancel the task; a call that has not begun does not begin."""
        loop = self._loop
        if loop is None:
            return
        if loop.withdraws(self):
            self.deliver(self._now_cancelled())
        else:
            loop.soon(self._cancel_task)

    def waits_in(self, loop: "HandlerLoop") -> None:
        """Note the loop in which the call waits for its turn."""
        self._loop = loop

    # -- in the handlers' loop

    def create_task(self, loop: "HandlerLoop") -> "asyncio.Task[None]":
        """Create the task of the call, with a context of its own."""
        context = context_of_attempt(self._ctx)
        return asyncio.get_running_loop().create_task(self.turn(loop), name=name_of(self._ctx), context=context)

    async def turn(self, loop: "HandlerLoop") -> None:
        """Call the handler, and hand over its end; nothing if the call went to another loop, or was withdrawn."""
        given = self._ctx if self._ctx.env is loop.env else with_env(self._ctx, loop.env)
        if not loop.takes(self):
            return
        self._task = asyncio.current_task()
        self.began = self._ctx.clock.monotonic()
        loop.done(self, await wait_for_end(self._function, given))

    def after_turn(self, loop: "HandlerLoop", _: "asyncio.Task[None]") -> None:
        """End a call whose turn did not come: a handler that cancels all tasks it finds cancelled this one's, too."""
        if loop.withdraws(self):
            loop.done(self, self._now_cancelled())

    def lost(self) -> Raised:
        """Return the end of a call whose loop has ended: its handler will never go on."""
        return Raised(RuntimeError("the event loop of this handler ended"), self._ctx.clock.monotonic())

    def _cancel_task(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _now_cancelled(self) -> Raised:
        return Raised(asyncio.CancelledError(), self._ctx.clock.monotonic())


_EndOfCall: TypeAlias = tuple[_CallElsewhere, End]


def _deliver(end_of_call: _EndOfCall) -> None:
    call, end = end_of_call
    call.deliver(end)


class HandlerLoop:
    """One event loop, its thread, its bindings, and the calls that wait or run there."""

    def __init__(self, number: int, bindings: Bindings, clock: Clock, ends: HandOver[_EndOfCall]) -> None:
        self.env = bindings.env
        self._bindings = bindings
        self._watchdog = Watchdog(clock, lagged=lambda _: None)
        self._waiting: dict[_CallElsewhere, None] = {}
        self._running: set[_CallElsewhere] = set()
        self._over = asyncio.Event()
        self._own = event_loop.new_loop()
        self._loop = self._own.loop
        self._turns = HandOver(self._loop, self._give_turn, giver=asyncio.get_running_loop())
        self._ends = ends
        self._thread = start_daemon(self._run, name=f"handlers {number}")

    @property
    def is_blocked(self) -> bool:
        """Whether a handler blocks the loop."""
        return self._watchdog.silent > BLOCKED

    @property
    def is_over(self) -> bool:
        """Whether the loop has ended: no call can begin here any more."""
        return not self._thread.is_alive()

    @property
    def is_idle(self) -> bool:
        """Whether no call waits or runs here."""
        return not self._waiting and not self._running

    @property
    def at_work(self) -> "asyncio.Task[Any] | None":
        """The task that is executing."""
        return asyncio.current_task(self._loop)

    def soon(self, call: Callable[[], None]) -> None:
        """Call a function in this loop."""
        with suppress(RuntimeError):  # it has closed
            self._loop.call_soon_threadsafe(call)

    def give(self, call: _CallElsewhere) -> None:
        """Let a call wait for its turn."""
        self._waiting[call] = None
        call.waits_in(self)
        self._turns.give(call)

    def takes(self, call: _CallElsewhere) -> bool:
        """Begin a call here; return False if it has gone to another loop, or was withdrawn."""
        if not self.withdraws(call):
            return False
        self._running.add(call)
        return True

    def withdraws(self, call: _CallElsewhere) -> bool:
        """Remove a call from those that wait here; return whether it was. Only one of several threads gets True."""
        return self._waiting.pop(call, self) is not self

    def done(self, call: _CallElsewhere, end: End) -> None:
        """Hand the end of a call to the engine's loop."""
        self._running.discard(call)
        self._ends.give((call, end))

    def let_go(self) -> list[_CallElsewhere]:
        """Remove and return the calls that wait, for another loop."""
        return [call for call in tuple(self._waiting) if self.withdraws(call)]

    async def close(self) -> None:
        """Cancel running calls, close the bindings, and end the thread; not waited for if a handler blocks it."""
        self.soon(self._over.set)
        await in_thread(lambda _: self._thread.join(CLOSING_SECONDS), name="close handlers", abandon=True)

    def _give_turn(self, call: _CallElsewhere) -> None:
        if call not in self._waiting:
            return
        # A task of its own for each: what one handler does with its task (cancel it later, fork in it) must not reach
        # the next one. Behind one that blocks, the others' tasks have not begun, and they still wait for their turn:
        # so the context is of this turn alone, for two threads cannot be in one.
        task = call.create_task(self)
        task.add_done_callback(partial(call.after_turn, self))

    def _run(self) -> None:
        try:
            event_loop.run(self._until_closed(), within=self._own)
        finally:
            for call in tuple(self._running):
                self.done(call, call.lost())

    async def _until_closed(self) -> None:
        with self._watchdog.watching():
            while not self._over.is_set():
                with suppress(asyncio.CancelledError):  # by a handler that cancels all tasks it finds
                    await self._over.wait()
        await self._bindings.aclose()


@dataclass(slots=True)
class HandlerLoops:
    """The event loops that call async handlers. Used by the engine's loop alone."""

    bindings: Callable[[], Bindings]
    """Makes the bindings of one more loop."""
    clock: Clock
    _numbers: "count[int]" = field(default_factory=lambda: count(1))
    _loops: list[HandlerLoop] = field(default_factory=list)
    _ends: HandOver[_EndOfCall] | None = None

    def open(self) -> None:
        """Make the first loop.

        Raises:
            ConfigurationError: if a binding cannot be made.
        """
        if self._ends is None:
            self._ends = HandOver(asyncio.get_running_loop(), _deliver)
        self._loops.append(HandlerLoop(next(self._numbers), self.bindings(), self.clock, self._ends))

    @property
    def current(self) -> HandlerLoop:
        """The loop for the next call."""
        return self._loops[-1]

    @property
    def env(self) -> Env:
        """The bindings of the loop for the next call."""
        return self.current.env

    def begin(self, function: HandlerFunction, ctx: TaskContext) -> Call:
        """Call an async handler."""
        call = _CallElsewhere(function, ctx)
        self.current.give(call)
        return call

    async def keep(self, finished: asyncio.Event) -> None:
        """Check the loops each second, until finished."""
        while not finished.is_set():
            await self.relieve()
            await self.clock.wait_until(None, finished)

    async def relieve(self) -> None:
        """Move waiting calls out of a blocked loop into a new one, and close older loops that are idle."""
        if self.current.is_blocked and len(self._loops) < MOST_LOOPS:
            blocked = self.current
            self.open()
            moved = blocked.let_go()
            for call in moved:
                self.current.give(call)
            log.warning("handlers.loop_replaced", moved=len(moved), loops=len(self._loops))
        for loop in self._loops[:-1]:
            if loop.is_idle and (loop.is_over or not loop.is_blocked):
                self._loops.remove(loop)
                await loop.close()

    async def close(self) -> None:
        """End all loops."""
        await asyncio.gather(*(loop.close() for loop in self._loops))
