"""A queue to the event loop of another thread: many items cost no more wake-ups than one."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class HandOver(Generic[T]):
    """Hands items to a loop, in order, from any thread.

    To wake another thread costs more than all else about a short attempt: a system call, and two turns of the
    interpreter's lock. So an item wakes the loop only if none waits there already; else it is taken with those.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        take: Callable[[T], None],
        *,
        giver: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Make an empty queue.

        Args:
            loop: The receiving loop.
            take: Called there with each item.
            giver: The loop of all givers, if there is one and nothing blocks it: its items of one turn go over
                together, right after that turn. By default, an item goes as soon as it is given.
        """
        self._loop = loop
        self._take = take
        self._giver = giver
        self._given: deque[T] = deque()
        self._will_wake = False

    def give(self, item: T) -> None:
        """Hand an item over; it is lost if the loop has closed."""
        self._given.append(item)
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
        self._will_wake = False  # first of all: an item given from now on may not be seen here
        try:
            for _ in range(len(self._given)):
                self._take(self._given.popleft())
        finally:
            if self._given and not self._will_wake:  # one of them could not be taken
                self._will_wake = True
                self._wake()
