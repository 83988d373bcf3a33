"""The application: what each call means. Both edges, gRPC and HTTP, call it."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from schedule_grpc.domain.schedule import Preview, parse
from schedule_grpc.domain.task import Definition
from schedule_grpc.errors import InvalidArgument
from schedule_grpc.events import Hub
from schedule_grpc.handlers import Registry
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.runtime.threads import Aside
from schedule_grpc.service.executions import ExecutionService
from schedule_grpc.service.manual_runs import ManualRuns, Starter
from schedule_grpc.service.tasks import Registrations, TaskService
from schedule_grpc.service.together import Together
from schedule_grpc.store import Store

__all__ = ["Service"]

SHOWN = 10
MOST_SHOWN = 1000


class Service(TaskService, ExecutionService):
    """Registers, changes, lists and runs tasks; reads and watches their history."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        hub: Hub,
        registry: Registry,
        defaults: Sequence[Definition] = (),
        starter: Starter | None = None,
    ) -> None:
        """Take the parts that the service works with; ``starter`` is the engine in this process, if there is one."""
        self._store = store
        self._registrations: Registrations = Together(store.register_tasks, "registrations")
        self._runs = ManualRuns(store, clock, starter)
        self._clock = clock
        self._hub = hub
        self._registry = registry
        self._defaults = tuple(sorted(defaults, key=lambda definition: definition.name))
        self._draining = asyncio.Event()
        self.aside = Aside()
        """The thread for computations that take long, of the edges too."""
        self._searches = (
            Aside()
        )  # a schedule of four centuries takes seconds to search: no other computation waits for it

    def drain(self) -> None:
        """Stop accepting runs, end the calls that wait for one with ShuttingDown, and end all watches."""
        self._draining.set()
        self._hub.close()

    @property
    def clock(self) -> Clock:
        """The time by which the service works."""
        return self._clock

    @property
    def draining(self) -> bool:
        """Whether runs are no longer accepted."""
        return self._draining.is_set()

    async def preview(
        self, schedule: str, time_zone: str, *, count: int = 0, start_time: datetime | None = None
    ) -> Preview:
        """Return when a schedule will fire after a time, by default now; nothing is stored.

        Raises:
            InvalidSchedule: if schedule or zone cannot be read.
            InvalidArgument: if the count is not between 1 and 1,000 (0 stands for 10).
        """
        if not 0 <= count <= MOST_SHOWN:
            raise InvalidArgument.of("count", f"must be between 1 and {MOST_SHOWN}")
        start = start_time or self._clock.now()
        return await self._searches.compute(lambda: parse(schedule, time_zone or "UTC").preview(start, count or SHOWN))
