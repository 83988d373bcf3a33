"""Handing things to the event loop of another thread, so that many cost no more wake-ups than one."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class HandOver(Generic[T]):
    """Hands things to a loop, in order, from any thread.

    A wake-up of another thread costs more than all else about a short attempt: a system call, and two turns of the
    interpreter's lock. So a thing wakes the loop only if none waits there already, and else is taken with those.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        take: Callable[[T], None],
        *,
        giver: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Make one that is empty.

        Args:
            loop: Where things go.
            take: Called there with each of them.
            giver: The loop of all who give, if it is one and nothing blocks it: what it gives in one turn goes over
                together, right after that turn. By default, things go as soon as they are given.
        """
        self._loop = loop
        self._take = take
        self._giver = giver
        self._given: deque[T] = deque()
        self._will_wake = False

    def give(self, thing: T) -> None:
        """Hand a thing over; it is lost if the loop has closed."""
        self._given.append(thing)
        if self._will_wake:
            return
        self._will_wake = True  # where two threads come here at once, the second wake-up finds nothing
        if self._giver is None:
            self._wake()
        else:
            self._giver.call_soon(self._wake)

    def _wake(self) -> None:
        with suppress(RuntimeError):  # it has closed
            self._loop.call_soon_threadsafe(self._take_all)

    def _take_all(self) -> None:
        self._will_wake = False  # first of all: what is given from now on may not be seen here
        try:
            for _ in range(len(self._given)):
                self._take(self._given.popleft())
        finally:
            if self._given and not self._will_wake:  # one of them could not be taken
                self._will_wake = True
                self._wake()
