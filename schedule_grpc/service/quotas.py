"""The limits of namespaces that this server keeps in memory: rates of calls, open executions, open streams.

The number of tasks is checked in the write that creates them (`store/operations/quotas.py`), the share of slots by the
engine. Nothing is read or counted for a namespace that does not have the limit.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from schedule_grpc.domain.access.namespace import NO_LIMITS, Limits
from schedule_grpc.domain.access.quota import QuotaExceeded
from schedule_grpc.domain.access.token_bucket import TokenBucket
from schedule_grpc.errors import NamespaceNotFound
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.service.namespaces import KNOWN_FOR, NamespaceSettings
from schedule_grpc.store import Store

RUNS = "runs_per_minute"
WRITES = "writes_per_minute"
OPEN = "max_open_executions"
STREAMS = "max_streams"

Refused: TypeAlias = Callable[[str, str], None]
"""Called with the namespace and the quota of each call that is refused."""


@dataclass(slots=True)
class _Open:
    """How many executions of a namespace are open: those that were counted, and those that calls added since."""

    counted: int = 0
    time: float | None = None
    """Monotonic seconds of the beginning of the last count."""
    recorded: int = 0
    """Executions that calls recorded here since the last count began."""
    coming: int = 0
    """Executions that calls are just recording."""
    counting: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def number(self) -> int:
        """How many there are at most, but for those that schedules, and other servers, added since the count."""
        return self.counted + self.recorded + self.coming


class Admitted:
    """Executions that a call may record: ``recorded`` says how many it did, the others are given back."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.recorded = 0


class Quotas:
    """Refuses calls of namespaces that have reached a limit."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        settings: NamespaceSettings,
        *,
        servers: Callable[[], int] = lambda: 1,
        refused: Refused = lambda _namespace, _quota: None,
    ) -> None:
        """Take what it works with.

        Args:
            store: Counts open executions.
            clock: Measures minutes.
            settings: The limits.
            servers: Returns how many servers share the database: each gives its part of a rate.
            refused: Is told of each refusal.
        """
        self._store = store
        self._clock = clock
        self._settings = settings
        self._servers = servers
        self._refused = refused
        self._buckets: dict[tuple[str, str], TokenBucket] = {}
        self._open: dict[str, _Open] = {}
        self._streams: Counter[str] = Counter()

    async def take_write(self, namespace: str) -> None:
        """Count a call that may change tasks.

        Raises:
            QuotaExceeded: if there were too many within the last minute.
        """
        limit = (await self._limits(namespace)).writes_per_minute
        if limit is not None:
            self._take(namespace, WRITES, limit, 1)

    @asynccontextmanager
    async def asking_for_runs(
        self, namespace: str, count: int, *, is_repeated: Callable[[], Awaitable[bool]] | None = None
    ) -> AsyncIterator[Admitted]:
        """Within this context a call records executions that it asks for.

        Args:
            namespace: Their namespace.
            count: Their number: all are admitted, or none.
            is_repeated: Returns whether the call only asks for what is recorded already, which is no more than a read;
                asked where the call would be refused.

        Raises:
            QuotaExceeded: if more would be open, or were asked for within the last minute, than the namespace may have.
        """
        admitted = Admitted(count)
        limits = await self._limits(namespace)
        try:
            counted = await self._come(namespace, limits, count)
        except QuotaExceeded as error:
            if is_repeated is None or not await is_repeated():
                self.note(error)
                raise
            yield admitted
            return
        try:
            yield admitted
        finally:
            if counted is not None:
                counted.coming -= count
                counted.recorded += admitted.recorded
            if limits.runs_per_minute and admitted.recorded < count:
                self._buckets[namespace, RUNS].give_back(count - admitted.recorded)

    @asynccontextmanager
    async def streaming(self, namespace: str) -> AsyncIterator[None]:
        """Within this context a stream of the namespace is open.

        Raises:
            QuotaExceeded: if it has as many here already as it may have.
        """
        limit = (await self._limits(namespace)).max_streams
        if limit is not None and self._streams[namespace] >= limit:
            error = QuotaExceeded(namespace, STREAMS, limit)
            self.note(error)
            raise error
        self._streams[namespace] += 1
        try:
            yield
        finally:
            self._streams[namespace] -= 1
            if not self._streams[namespace]:
                del self._streams[namespace]

    @contextmanager
    def noting_refusals(self) -> Iterator[None]:
        """Within this context a refusal by the store is noted."""
        try:
            yield
        except QuotaExceeded as error:
            self.note(error)
            raise

    def note(self, error: QuotaExceeded) -> None:
        """Note that a call is refused."""
        self._refused(error.details["namespace"], error.details["quota"])

    # -- inside

    async def _limits(self, namespace: str) -> Limits:
        try:
            return (await self._settings.get(namespace)).limits
        except NamespaceNotFound:  # there is nothing in it to protect: the call finds that out by itself
            return NO_LIMITS

    def _take(self, namespace: str, quota: str, limit: int, count: int) -> None:
        try:
            self._take_or_raise(namespace, quota, limit, count)
        except QuotaExceeded as error:
            self.note(error)
            raise

    def _take_or_raise(self, namespace: str, quota: str, limit: int, count: int) -> None:
        if limit == 0:
            raise QuotaExceeded(namespace, quota, limit)
        now, here = self._clock.monotonic(), limit / max(self._servers(), 1)
        bucket = self._buckets.setdefault((namespace, quota), TokenBucket(max(here, 1.0), now))
        wait = bucket.take(count, here, now)
        if wait is not None:
            raise QuotaExceeded(namespace, quota, limit, retry_after=wait)

    async def _come(self, namespace: str, limits: Limits, count: int) -> _Open | None:
        """Admit executions; return the number of open ones with them, None if that has no limit."""
        if not count:
            return None
        found: _Open | None = None
        if limits.max_open_executions is not None:
            found = await self._with_room(namespace, limits.max_open_executions, count)
        if limits.runs_per_minute is not None:
            self._take_or_raise(namespace, RUNS, limits.runs_per_minute, count)
        if found is not None:
            found.coming += count
        return found

    async def _with_room(self, namespace: str, limit: int, count: int) -> _Open:
        """Return the number of open executions once it leaves room; it is counted anew before it refuses anybody."""
        found = self._open.setdefault(namespace, _Open())
        if found.time is None or self._clock.monotonic() >= found.time + KNOWN_FOR or found.number + count > limit:
            asked = self._clock.monotonic()
            async with found.counting:
                if found.time is None or found.time <= asked:  # nobody counted since this one asked
                    await self._count(namespace, found, limit)
        if found.number + count > limit:
            raise QuotaExceeded(namespace, OPEN, limit)
        return found

    async def _count(self, namespace: str, found: _Open, limit: int) -> None:
        """Count what is open. What is just being recorded may be counted twice, until it is recorded."""
        began, recorded = self._clock.monotonic(), found.recorded
        found.counted = await self._store.count_open_of(namespace, most=limit)
        found.recorded -= recorded
        found.time = began
