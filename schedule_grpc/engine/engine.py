"""The engine of one server: its loop, runner, upkeep and janitor, started and drained together."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog

from schedule_grpc.domain.access.audit import DEFAULT_RETENTION
from schedule_grpc.domain.execution import State, Trigger
from schedule_grpc.engine.handler_loops import HandlerLoops
from schedule_grpc.engine.leases import Lease, SharedLease, SoleLease
from schedule_grpc.engine.log_lines import Write, journal, one_by_one
from schedule_grpc.engine.loop import Loop
from schedule_grpc.engine.retention import Janitor
from schedule_grpc.engine.runner import Here, Runner, Why
from schedule_grpc.engine.upkeep import Upkeep
from schedule_grpc.engine.write_probe import DATABASE_AWAY, NOT_BEGUN, WriteProbe
from schedule_grpc.errors import Unavailable
from schedule_grpc.events import CancelRequested, Event, Hub, TaskChanged, Transition
from schedule_grpc.handlers import Env, Registry
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.store import LogBook, Slots, Store
from schedule_grpc.tracing import Tracer

log = structlog.get_logger(__name__)

AFTER_ERROR = timedelta(seconds=1)
SET_BACK_BY = timedelta(seconds=10)
"""A wall clock this far behind the latest time that it showed was set back, not corrected."""
SHORTEN_EVERY = timedelta(seconds=10)
"""While the clock is set back, waits are shortened this often: ends from before may be recorded only now."""
REVIEWED_FIRST = 10
"""Steps of the review before the server answers; the tasks that are left are reviewed while it does."""
STALLED_AFTER = timedelta(seconds=10)
"""A loop that has not looked for this long is not late but stuck."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineOptions:
    """Limits: of attempts at once, and of the time that they get to end when the server stops."""

    concurrency: int = 100
    drain_timeout: timedelta = timedelta(seconds=30)
    audit_retention: timedelta = DEFAULT_RETENTION
    """How long rows of the audit log are kept."""


class Engine:
    """Fires and runs tasks until it is stopped."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        hub: Hub,
        registry: Registry,
        env: Env | HandlerLoops,
        options: EngineOptions | None = None,
        write_lines: Write | None = None,
        logbook: LogBook | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        """Make an engine that does nothing yet.

        Args:
            store: The tasks and executions.
            clock: The time.
            hub: Receives progress, and delivers the events of callers and other servers.
            registry: The handlers; read again at each tick.
            env: The bindings, for handlers in this event loop; or separate event loops, with theirs.
            options: The limits.
            write_lines: Writes the log lines of a batch of executions; None: by a log call each.
            logbook: Takes what handlers log and report; its owner runs it. None: one of the engine's own.
            tracer: Makes spans of handlers; None: there are none.
        """
        chosen = options or EngineOptions()
        # Random for each start, never a host's name: a restarted server must not take old leases for its own.
        owner = secrets.token_hex(8)
        self._clock = clock
        self._store = store
        self._hub = hub
        self._journal = partial(journal, write=write_lines or one_by_one, tracer=tracer)
        self._drain_timeout = chosen.drain_timeout
        self._woken = asyncio.Event()
        self._slots_were_free = False
        self._stopping = asyncio.Event()
        self._ticking = False
        self._hurried = asyncio.Event()
        self._lease: Lease = (
            SharedLease(store=store, owner=owner, handlers=lambda: registry.offered.names, now=clock.now)
            if store.is_shared
            else SoleLease()
        )
        self.logbook = logbook or LogBook(store=store, clock=clock, hub=hub)
        self._keeps_logbook = logbook is None
        self._runner = Runner(
            store=store,
            clock=clock,
            registry=registry,
            place=env if isinstance(env, HandlerLoops) else Here(env),
            hub=hub,
            logbook=self.logbook,
            lease=self._lease,
            on_free=self._notice_free,
            may_wait=self._may_wait,
            tracer=tracer,
        )
        self._janitor = Janitor(
            store=store,
            clock=clock,
            audit_retention=chosen.audit_retention,
            log_retention=self.logbook.policy.max_age,
        )
        self._upkeep = Upkeep(store=store, clock=clock, runner=self._runner, hub=hub, lease=self._lease, owner=owner)
        self._loop = Loop(
            store=store,
            clock=clock,
            runner=self._runner,
            lease=self._lease,
            owner=owner,
            registry=registry,
            concurrency=chosen.concurrency,
        )
        self._loops = env if isinstance(env, HandlerLoops) else None
        self._probe = WriteProbe(store=store, clock=clock)
        self._looked = clock.monotonic()
        self._shortened = clock.monotonic()
        self._latest = clock.now()
        self.begun = False
        """Whether the first tick is done."""
        self._error: str | None = None

    async def recover(self) -> int:
        """Review the tasks, and take over executions that a dead server left RUNNING; return their number.

        Only a server that holds its database alone takes any: there no other server can be running them. Waits are
        shortened to their meant length: the clock may have been set back since.
        """
        self._latest = max(self._latest, await self._store.latest_settled() or self._latest)
        await self._store.shorten_waits(now=self._clock.now())
        await self._janitor.review(REVIEWED_FIRST)
        return 0 if self._store.is_shared else await self._upkeep.rescue_all()

    async def tick(self) -> bool:
        """Fire due tasks and start executions; return whether there may be more to do at once."""
        await self._shorten_waits()
        more = await self._loop.tick()
        self._latest = max(self._latest, self._clock.now())
        return more

    async def run(self) -> None:
        """Tick and wait until stopped; then let running work end, at most for the drain timeout, and stop the rest."""
        finished = asyncio.Event()
        with self.hearing(), self._hub.listening(self._journal):
            self._lease.keep(on_held=self._woken.set)
            upkeep = asyncio.create_task(self._upkeep.run(finished), name="upkeep")
            janitor = asyncio.create_task(self._janitor.run(self._stopping), name="janitor")
            loops = asyncio.create_task(self._keep_loops(finished), name="handlers' loops")
            probe = asyncio.create_task(self._probe.run(finished), name="write probe")
            logbook = asyncio.create_task(self._keep_logbook(finished), name="log book")
            try:
                self._ticking = True
                while not self._stopping.is_set():
                    await self._look_once()
                self._ticking = False
                self._runner.write_reports()
                async with self._runner.claiming:
                    pass  # an execution that a call is just recording is held here before all are drained
                await self._runner.drain(self._drain_timeout, self._hurried)
            finally:
                finished.set()
                await janitor
                await upkeep
                await loops
                await probe
                await logbook
                await self._lease.leave()

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """Within this context the engine receives events: they wake it, and spare it looks at the database."""
        with self._hub.listening(self._notice, with_peers=True), self._loop.hearing():
            yield

    def stop(self) -> None:
        """Start no more attempts; called again, do not wait for running ones either."""
        if self._stopping.is_set():
            self._hurried.set()
        self._stopping.set()
        self._woken.set()

    @property
    def speaks(self) -> bool:
        """Whether this server sends alerts: among servers that share a database, the one there longest does."""
        return self._lease.first

    @property
    def servers(self) -> int:
        """The number of servers that work in the database, this one included."""
        return self._lease.holders

    @property
    def running(self) -> int:
        """The number of attempts running here."""
        return len(self._runner.held())

    @property
    def caught_up(self) -> bool:
        """Whether it has begun, and its last look found nothing due and nothing to start."""
        return self.begun and not self._loop.behind

    @asynccontextmanager
    async def free_slots(self) -> AsyncIterator[Slots | None]:
        """Within this context nothing else here claims: executions recorded meanwhile may begin in these slots.

        None where none can begin at once: the engine does not run, stops, holds no lease, or has no free slot.
        """
        if not self.begun or self._stopping.is_set():
            yield None
            return
        async with self._loop.free_slots(self._clock.now()) as slots:
            yield None if self._stopping.is_set() else slots

    async def idle(self) -> None:
        """Return when no attempt is running here."""
        await self._runner.idle()

    @property
    def next_time(self) -> datetime | None:
        """The time of the next work, as the last tick saw it; None if there was none in sight."""
        return self._loop.next_time

    async def prune(self) -> int:
        """Remove all history that retention does not keep; return the number of rows."""
        return await self._janitor.sweep()

    def retention_age(self) -> float:
        """The seconds since the last complete round of retention ended; since the start, if there was none."""
        return self._janitor.age()

    def troubles(self) -> Sequence[str]:
        """Return why this engine is not healthy; empty if it is."""
        found = []
        if self._error is not None:
            found.append(self._error)
        elif not self.begun:
            found.append("the engine has not begun yet")
        if self._is_set_back():
            found.append(
                f"the clock was set back: what was due has fired, and nothing fires until {self._latest:%F %T}Z"
            )
        if self._clock.monotonic() - self._looked > STALLED_AFTER.total_seconds():
            found.append(f"nothing was looked for in {STALLED_AFTER.total_seconds():.0f} s")
        if not self._lease.holds:
            found.append("this server holds no lease: nothing starts here")
        found += [trouble for trouble in self._probe.troubles() if trouble not in found]
        return (*found, *self._runner.troubles())

    def unready(self) -> Sequence[str]:
        """Return why calls should go to another server, in fixed words; empty if they may come here.

        Only troubles that a caller would meet: this server does not reach its database, or starts nothing. A clock that
        was set back, and handlers that were given up, are troubles of the work alone: calls are answered all the same.
        """
        stalled = self._clock.monotonic() - self._looked > STALLED_AFTER.total_seconds()
        away = self._error is not None or stalled or bool(self._probe.troubles())
        return tuple(
            reason
            for reason, holds in (
                (NOT_BEGUN, not self.begun),
                (DATABASE_AWAY, away),
                ("the server holds no lease", not self._lease.holds),
            )
            if holds
        )

    async def _look_once(self) -> None:
        self._woken.clear()
        self._slots_were_free = False
        try:
            more = await self.tick()
        except Unavailable as error:
            self._error = str(error)
            log.error("engine.database_unavailable", error=str(error))  # noqa: TRY400 (no traceback: it is not ours)
            await self._pause_after_error()
            return
        except Exception as error:
            # The loop outlives every error of one look: if it stopped, no task would fire any more.
            self._error = f"{type(error).__name__} while looking for what is due"
            log.exception("engine.tick_failed")
            await self._pause_after_error()
            return
        self._error = None
        self.begun = True
        self._looked = self._clock.monotonic()
        if self._slots_were_free and self._loop.behind:
            return
        if not (more and self._loop.ticks_soon):
            self._runner.write_reports()
        if self._loop.is_done or not more:
            await self._clock.wait_until(self._loop.next_time, self._woken)

    async def _pause_after_error(self) -> None:
        """Wait a little; failing looks do not delay the reports of attempts."""
        self._runner.write_reports()
        await self._clock.wait_until(self._clock.now() + AFTER_ERROR, self._stopping)

    def _notice_free(self) -> None:
        """Look again if an execution waits for a slot; a look under way may have seen the slot taken."""
        self._slots_were_free = True
        if self._loop.behind:
            self._woken.set()

    def _may_wait(self, execution_id: str) -> bool:
        """Return whether an attempt's report may wait for the next tick: that is soon, and no caller waits for it."""
        return self._ticking and self._loop.ticks_soon and not self._loop.behind and not self._hub.awaits(execution_id)

    async def _keep_loops(self, finished: asyncio.Event) -> None:
        if self._loops is not None:
            await self._loops.keep(finished)

    async def _keep_logbook(self, finished: asyncio.Event) -> None:
        if self._keeps_logbook:
            await self.logbook.run(finished)

    def _is_set_back(self) -> bool:
        return self._clock.now() < self._latest - SET_BACK_BY

    async def _shorten_waits(self) -> None:
        """Shorten waits after the clock was set back: no retry or manual run waits for the hour that it lost."""
        if not self._is_set_back():
            self._shortened = self._clock.monotonic() - SHORTEN_EVERY.total_seconds()
        elif self._clock.monotonic() - self._shortened >= SHORTEN_EVERY.total_seconds():
            shortened = await self._store.shorten_waits(now=self._clock.now())
            self._shortened = self._clock.monotonic()
            self._loop.look_again()
            if shortened:
                log.warning("clock.set_back", waits_shortened=shortened)

    def _notice(self, events: Sequence[Event]) -> None:
        begun = {
            each.execution.id
            for each in events
            if isinstance(each, Transition) and each.previous_state is State.PENDING
        }
        for event in events:
            if isinstance(event, Transition):
                was_begun = event.execution.id in begun
                if event.execution.state is State.PENDING and not (was_begun or _was_fired(event)):
                    self._loop.expect(event.execution)
                    self._woken.set()
            elif isinstance(event, TaskChanged):
                self._loop.look_again()
                self._woken.set()
            elif isinstance(event, CancelRequested):
                self._stop(event.execution_id)

    def _stop(self, execution_id: str) -> None:
        """Stop an execution whose cancellation was requested; without an id, read soon which one it is."""
        if execution_id:
            self._runner.stop(execution_id, Why.CANCELLED)
        else:
            self._upkeep.look_soon()


def _was_fired(event: Transition) -> bool:
    """Return whether the loop itself recorded the execution: its look behind the firing has seen it."""
    return event.previous_state is None and event.execution.trigger in {Trigger.SCHEDULE, Trigger.CATCH_UP}
