"""One round of the engine: look, plan, fire, claim; one short function each."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from schedule_grpc.domain.execution import Execution
from schedule_grpc.domain.planning import Firing, plan
from schedule_grpc.domain.task import Task
from schedule_grpc.engine.foresight import Foresight
from schedule_grpc.engine.leases import Lease
from schedule_grpc.engine.runner import Runner
from schedule_grpc.handlers import Registry
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.store import ClaimRequest, Look, Slots, Store
from schedule_grpc.store.shares import Shares

log = structlog.get_logger(__name__)

FIRED_AT_ONCE = 500
"""Tasks fired in one transaction: enough to share its cost, few enough that other writes do not wait long."""
FIRED_BESIDE = 32
"""`FIRED_AT_ONCE` while executions wait for their time, which may come meanwhile: one step delays their start.

It doubles from step to step as long as more is due: small steps cost more, and would fall behind.
"""
PATIENCE = timedelta(milliseconds=250)
"""Due tasks wait this long for a free slot, to be recorded as they start: one write instead of two.

Where handlers return soon, a slot is free before that. If none is, the tasks fire, and their executions wait.
"""
MOMENT = timedelta(milliseconds=15)
"""Tasks and executions that come within this time of each other start in one step, and share its commit."""
LOOKED_AT = 100
"""Upcoming tasks in one look: enough to share its cost, few enough to be read soon."""
NOTHING = Look(due=(), claimable=frozenset(), expired=False, next_time=None)


class Loop:
    """Looks at the store and starts what can start; ``next_time`` is when to look again, if anything is in sight."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        runner: Runner,
        lease: Lease,
        owner: str,
        registry: Registry,
        concurrency: int,
    ) -> None:
        self._store = store
        self._clock = clock
        self._runner = runner
        self._lease = lease
        self._owner = owner
        self._registry = registry
        self._offered = registry.offered
        """The handlers that this tick looks for and starts."""
        self._concurrency = concurrency
        self._shares = Shares(store, clock)
        self._troubled: dict[str, int] = {}
        """Revisions, by uid, of tasks whose trouble has been logged."""
        self._full_since: float | None = None
        """Monotonic seconds at which the last free slot was taken; None if one is free."""
        self._looks_behind = not store.is_shared
        """Whether a step that fires or claims also looks ahead. Over a network that would delay its attempts."""
        self._seen = NOTHING
        """The last look."""
        self._foresight = Foresight()
        self._fired_beside = FIRED_BESIDE
        self._comes = False
        """Whether an execution that can be claimed now has come since."""
        self._next: datetime | None = None
        self._ticked = clock.now()
        self.is_done = False
        """Whether the last tick left nothing to do before ``next_time``."""

    @property
    def next_time(self) -> datetime | None:
        """The time of the next tick: as the last look saw it, and a moment after the last tick at the earliest."""
        return None if self._next is None else max(self._next, self._ticked + MOMENT)

    @property
    def ticks_soon(self) -> bool:
        """Whether the next tick is no more than a moment away."""
        return self._next is not None and self._next - self._clock.now() <= MOMENT

    @property
    def behind(self) -> bool:
        """Whether the last look saw due tasks, or executions that could start and had not."""
        return bool(self._seen.due or self._seen.claimable)

    def expect(self, execution: Execution) -> None:
        """Note that an execution waits, to be claimed by the next tick if it is available now."""
        self._comes |= execution.available_time <= self._clock.now()
        self.look_again()

    def look_again(self) -> None:
        """Note that a task or a wait may have changed: the last look counts no longer."""
        self._foresight.forget()

    def hearing(self) -> AbstractContextManager[None]:
        """Within this context `expect` and `look_again` are called for all changes but the loop's own."""
        return self._foresight.hearing() if self._looks_behind else nullcontext()

    async def tick(self) -> bool:
        """Do the work of this moment; return whether there may be more at once."""
        try:
            return await self._tick()
        except BaseException:
            self._foresight.forget()  # it is not known whether anything was written
            raise

    async def _tick(self) -> bool:
        await self._lease.take()
        now = self._ticked = self._clock.now()
        await self._note_handlers(now)
        await self._shares.keep_up()
        if self._sees_claims_alone(now):
            return await self._claim(now) or not self.is_done
        limit = self._look_limit()
        look = self._foresight.look(now, limit) or await self._look(now, limit)
        self._note(look)
        is_full = len(look.due) >= self._fired_beside
        self._fired_beside = min(2 * self._fired_beside, FIRED_AT_ONCE) if is_full else FIRED_BESIDE
        expired = look.expired and await self._store.expire(now=now) > 0
        request = self._request(now)
        has_older = request is not None and any(request.room(queue) > 0 for queue in look.claimable)
        fired = await self._fire(look, now, begins=not has_older)
        claimed = has_older and await self._claim(now)
        await self._alert_of(look.unreadable, now)
        return expired or fired or claimed

    async def _note_handlers(self, now: datetime) -> None:
        """Take the handlers that are offered now; the last look was for those before."""
        offered = self._registry.offered
        if offered is not self._offered:
            await self._store.offer_handlers(self._registry.handlers(), now=now)
            self._offered = offered
            self._foresight.forget()

    async def _look(self, now: datetime, limit: int) -> Look:
        ahead = self._foresight.begin_look()
        horizon = timedelta(0) if self.behind else ahead
        limit = min(limit, LOOKED_AT) if horizon else limit
        look = await self._store.look(self._offered.names, now=now, limit=limit, horizon=horizon)
        self._foresight.learn(look, now)
        return look

    def _sees_claims_alone(self, now: datetime) -> bool:
        """Return whether the only known work is to claim waiting executions: that needs no look before."""
        first = self._seen.next_claim_time
        comes = self._comes or (first is not None and first <= now)
        if not (comes and self._looks_behind) or self._seen.due or self._seen.expired:
            return False
        return self._request(now) is not None

    def _note(self, look: Look | None) -> None:
        """Note a look; None, of a step that did not look: there may be more to do."""
        self.is_done = look is not None and not (look.due or look.claimable or look.expired)
        if look is not None:
            self._seen = look
            self._next = look.next_time

    async def _alert_of(self, unreadable: Sequence[Task], now: datetime) -> None:
        """Log, once for each definition, the tasks that are due and do not fire because they cannot be read."""
        fresh = [task for task in unreadable if self._is_news(task)]
        for task in fresh:
            log.error("task.unreadable", task=task.name, trouble=task.trouble)
        if fresh:
            await self._store.note_unreadable(fresh, now=now)

    def _is_news(self, task: Task) -> bool:
        known = self._troubled.get(task.uid) == task.revision
        self._troubled[task.uid] = task.revision
        return not known

    def _look_limit(self) -> int:
        """Return the number of due tasks to look at: as many as can start, or as fire in one transaction."""
        together = FIRED_AT_ONCE if self._seen.next_claim_time is None else self._fired_beside
        return min(self._free or (1 if self._is_patient() else together), together)

    @property
    def _free(self) -> int:
        return self._concurrency - sum(self._runner.running_by_handler().values())

    def _is_patient(self) -> bool:
        """Return whether due tasks wait a little longer for a free slot."""
        if self._free or not self._lease.holds:
            self._full_since = None
            return False
        if self._full_since is None:
            self._full_since = self._clock.monotonic()
        return self._clock.monotonic() - self._full_since < PATIENCE.total_seconds()

    async def _fire(self, look: Look, now: datetime, *, begins: bool) -> bool:
        """Fire due tasks; if ``begins``, start their executions at once, none before older ones of its queue."""
        if not look.due:
            return False
        if self._is_patient():
            self._next = min(filter(None, (look.next_time, now + PATIENCE)))
            return False
        firings = [firing for task in look.due if (firing := self._planned(task, now)) is not None]
        if not firings:
            return False
        if len(firings) < len(look.due):
            self._foresight.forget()
        if not begins:
            return await self._record(firings, now)
        return await self._begin(firings, look, now)

    async def _begin(self, firings: Sequence[Firing], look: Look, now: datetime) -> bool:
        """Fire tasks, and start what has a slot at once; look ahead in the same step if no more is known."""
        async with self.free_slots(now) as slots:
            if slots is None:
                return await self._record(firings, now)
            request = replace(
                slots.request,
                overtaken=look.claimable,
                looks_at=self._looked_at_behind(look),
                horizon=self._foresight.begin_look(),
            )
            fired = await self._store.fire(firings, now=now, request=request)
            for claim in fired.claims:
                slots.start(claim)
        if fired.look is not None:
            behind = replace(fired.look, claimable=fired.look.claimable | look.claimable)
            self._foresight.learn(behind, now)
            self._note(behind)
            return True
        self._foresight.moved(firings)
        if fired.waits:
            self._foresight.forget()
        self._note(self._foresight.look(now, 1))
        return True

    async def _record(self, firings: Sequence[Firing], now: datetime) -> bool:
        """Fire tasks whose executions cannot begin at once: they wait."""
        await self._store.fire(firings, now=now)
        self._foresight.forget()
        return True

    def _looked_at_behind(self, look: Look) -> int:
        """Return the number of tasks to look at behind the firing of a look's; 0 if more than these are known."""
        if not self._looks_behind or self._foresight.sees_beyond(len(look.due)):
            return 0
        return 1 if look.due[-1].due_time == look.known_until else LOOKED_AT

    def _planned(self, task: Task, now: datetime) -> Firing | None:
        try:
            return plan(task, now)
        except Exception:  # one task that cannot be planned must not keep the others from firing
            if self._is_news(task):
                log.exception("task.cannot_be_planned", task=task.name)
            return None

    async def _claim(self, now: datetime) -> bool:
        """Start waiting executions; return whether any started."""
        async with self.free_slots(now) as slots:
            if slots is None:
                return False
            self._comes = False
            looks_at = LOOKED_AT if self._looks_behind else 0
            request = replace(slots.request, looks_at=looks_at, horizon=self._foresight.begin_look())
            claimed = await self._store.claim(request)
            for claim in claimed.claims:
                slots.start(claim)
        if claimed.look is not None:
            self._foresight.learn(claimed.look, now)
        self._note(claimed.look)
        return bool(claimed.claims)

    @asynccontextmanager
    async def free_slots(self, now: datetime) -> AsyncIterator[Slots | None]:
        """Within this context nothing else here claims, so these slots stay free; None if nothing can start.

        Each claim runs in the term of the lease in which the context began.
        """
        async with self._runner.claiming:
            self._runner.write_reports()  # in the commit of what begins
            request = self._request(now)
            start = partial(self._runner.start, term=self._lease.term)
            yield None if request is None else Slots(request=request, start=start)

    def _request(self, now: datetime) -> ClaimRequest | None:
        """Return the request for all that can start here; None if nothing can."""
        if self._free <= 0 or not self._lease.holds:
            return None
        return ClaimRequest(
            owner=self._owner,
            handlers=self._offered.names,
            limit=self._concurrency,
            running=self._runner.running_by_handler(),
            now=now,
            limits=self._offered.limits,
            running_in=self._runner.slots.by_namespace(),
            shares=self._shares.of(self._concurrency),
            turns=self._runner.slots.turns,
        )
