"""The application: what each call means. Both edges, gRPC and HTTP, call it."""

import asyncio
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import TYPE_CHECKING

from schedule_grpc.domain.access.permit import UNLIMITED, Permit
from schedule_grpc.domain.schedule import Preview, parse
from schedule_grpc.domain.task import Definition
from schedule_grpc.errors import InvalidArgument
from schedule_grpc.events import Hub
from schedule_grpc.handlers import Registry
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.runtime.threads import Aside
from schedule_grpc.service.audit import AuditService
from schedule_grpc.service.kept import KeptFor
from schedule_grpc.service.known_offers import KnownOffers
from schedule_grpc.service.manual_runs import ManualRuns, Starter
from schedule_grpc.service.namespaces import NamespaceService, NamespaceSettings
from schedule_grpc.service.pulse import Pulses
from schedule_grpc.service.quotas import Quotas, Refused
from schedule_grpc.service.summary import DURATIONS_KEPT_FOR, SHARED_FOR, Vitals
from schedule_grpc.service.tasks import Registrations, TaskService
from schedule_grpc.service.together import Together
from schedule_grpc.service.upcoming import KEPT_FOR, MARK_KEPT_FOR
from schedule_grpc.service.why import WhyService
from schedule_grpc.store import LogBook, Store

if TYPE_CHECKING:
    from schedule_grpc.domain.summary import HandlerDurations, Summary
    from schedule_grpc.domain.upcoming import Upcoming

__all__ = ["Service", "Vitals"]

SHOWN = 10
MOST_SHOWN = 1000
UNKNOWN = Vitals()
"""Of a service without a server around it."""


class Service(TaskService, WhyService, NamespaceService, AuditService):
    """Registers, changes, lists and runs the tasks of one namespace; reads and watches their history.

    As it is made it works in the namespace ``default``, for a caller that may do everything.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        hub: Hub,
        registry: Registry,
        defaults: Sequence[Definition] = (),
        starter: Starter | None = None,
        builtins: AbstractSet[str] = frozenset(),
        servers: Callable[[], int] = lambda: 1,
        refused: Refused = lambda _namespace, _quota: None,
        logbook: LogBook | None = None,
        vitals: Vitals = UNKNOWN,
    ) -> None:
        """Take the parts that the service works with.

        Args:
            store: Holds the state.
            clock: Tells the time.
            hub: Publishes events.
            registry: The handlers that are offered here.
            defaults: The built-in tasks.
            starter: The engine in this process, if there is one.
            builtins: The names of the built-in handlers, which not every namespace may use.
            servers: Returns how many servers share the database, this one included.
            refused: Is called with the namespace and the quota of each call that is refused for a quota.
            logbook: Buffers the log lines and the progress of this server's attempts.
            vitals: Tells how this server is.
        """
        self._permit = UNLIMITED
        self._namespace = UNLIMITED.namespace
        self._namespaces = NamespaceSettings(store, clock, builtins)
        self._quotas = Quotas(store, clock, self._namespaces, servers=servers, refused=refused)
        self._offers = KnownOffers(store, clock)
        self._store = store
        self._registrations: Registrations = Together(self._register_together, "registrations")
        self._logbook = logbook
        self._runs = ManualRuns(store, clock, starter)
        self._clock = clock
        self._hub = hub
        self._registry = registry
        self._defaults = tuple(sorted(defaults, key=lambda definition: definition.name))
        self._draining = asyncio.Event()
        self._vitals = vitals
        self._summaries: KeptFor[Summary] = KeptFor(SHARED_FOR, clock)
        self._durations: KeptFor[HandlerDurations] = KeptFor(DURATIONS_KEPT_FOR, clock)
        self._pulses = Pulses(store, clock)
        self._counted: KeptFor[Upcoming] = KeptFor(KEPT_FOR, clock)
        self._marks: KeptFor[object] = KeptFor(MARK_KEPT_FOR, clock)
        self.aside = Aside()
        """The thread for computations that take long, of the edges too."""
        self._searches = (
            Aside()
        )  # a schedule of four centuries takes seconds to search: no other computation waits for it

    def seen_by(self, permit: Permit) -> "Service":
        """Return this service as a call with that permit sees it, in the permit's namespace; all parts are shared.

        Names that the permit does not cover are not there, or refused; content that it may not see is left out.
        """
        beside = object.__new__(Service)
        beside.__dict__ = {**self.__dict__, "_permit": permit, "_namespace": permit.namespace}  # copy.copy is slower
        return beside

    def in_namespace(self, namespace: str) -> "Service":
        """Return this service as it works in another namespace, whether that exists or not; all parts are shared."""
        return self.seen_by(Permit(self._permit.caller, namespace, self._permit.scope))

    @property
    def namespace(self) -> str:
        """The namespace in which the service works."""
        return self._namespace

    def drain(self) -> None:
        """Stop accepting runs, end the calls that wait for one with ShuttingDown, and end all watches."""
        self._draining.set()
        self._pulses.close()
        self._hub.close()

    @property
    def clock(self) -> Clock:
        """The time by which the service works."""
        return self._clock

    @property
    def permit(self) -> Permit:
        """What the caller of the service may touch and see."""
        return self._permit

    @property
    def hub(self) -> Hub:
        """Publishes the events of all namespaces: whoever hands them to callers picks those that each may see."""
        return self._hub

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
