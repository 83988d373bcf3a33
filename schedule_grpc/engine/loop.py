"""What is due? Looks, plans, fires, claims; one short function each."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from schedule_grpc.clock import Clock
from schedule_grpc.engine.lease import Lease
from schedule_grpc.engine.runner import Runner
from schedule_grpc.handlers import Registry
from schedule_grpc.planning import Firing, plan
from schedule_grpc.store import ClaimRequest, Look, Slots, Store
from schedule_grpc.task import Task

log = structlog.get_logger(__name__)

FIRED_AT_ONCE = 500
"""Tasks fired in one transaction: enough to share its cost, few enough that nobody waits long behind it."""
PATIENCE = timedelta(milliseconds=250)
"""How long due tasks are left for the next slot that is free, to be recorded as they start: one write instead of two.

Where handlers return soon, slots are free before that. Where none is, what is due is recorded, and waits in the queue.
"""


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
        self._handlers = frozenset(registry.names())
        self._limits = registry.limits()
        self._concurrency = concurrency
        self._troubled: dict[str, int] = {}
        """Revisions, by uid, of tasks of whose trouble the log has been told."""
        self._full_since: float | None = None
        """In monotonic seconds: since when no slot is free."""
        self.next_time: datetime | None = None
        self.behind = False
        """Whether the last look saw what was due, or could start and had not."""
        self.is_done = False
        """Whether the last look saw only what has been started since: then ``next_time`` is when there is more."""

    async def tick(self) -> bool:
        """Do what there is to do now; return whether there may be more at once."""
        await self._lease.take()
        now = self._clock.now()
        look = await self._store.look(self._handlers, now=now, limit=self._wanted())
        self.next_time = look.next_time
        self.behind = bool(look.due or look.claimable)
        expired = bool(look.expired) and await self._store.expire(now=now) > 0
        request = self._request(now)
        has_older = request is not None and any(request.room(handler) > 0 for handler in look.claimable)
        if look.due and self._is_patient():
            self.next_time = min(filter(None, (look.next_time, now + PATIENCE)))
            fired = False
        else:
            fired = bool(look.due) and await self._fire(look, now, begins=not has_older)
        claims, started = await self._start_claimable(now) if has_older else (None, 0)
        self.is_done = claims is not None and not (look.due or expired) and self._is_all(look, claims, started)
        await self._alert_of(look.unreadable, now)
        return expired or fired or bool(started)

    @property
    def wants_slots(self) -> bool:
        """Whether a slot that is free now may let something start."""
        return self.behind and not self.is_done

    def _is_all(self, look: Look, request: ClaimRequest, started: int) -> bool:
        """Tell whether what was started is all that could be claimed.

        Of one handler alone that is so while a slot of the request is left; among several it may be their shares.
        """
        (handler, *others) = look.claimable
        return not others and handler not in self._limits and 0 < started < request.free

    async def _alert_of(self, unreadable: Sequence[Task], now: datetime) -> None:
        """Tell, once for each definition, which tasks are due and do not fire because they cannot be read."""
        fresh = [task for task in unreadable if self._is_news(task)]
        for task in fresh:
            log.error("task.unreadable", task=task.name, trouble=task.trouble)
        if fresh:
            await self._store.note_unreadable(fresh, now=now)

    def _is_news(self, task: Task) -> bool:
        known = self._troubled.get(task.uid) == task.revision
        self._troubled[task.uid] = task.revision
        return not known

    def _wanted(self) -> int:
        """Return how many due tasks to look at: as many as can start, or all that are to be recorded together."""
        return min(self._free or (1 if self._is_patient() else FIRED_AT_ONCE), FIRED_AT_ONCE)

    @property
    def _free(self) -> int:
        return self._concurrency - sum(self._runner.running_by_handler().values())

    def _is_patient(self) -> bool:
        """Tell whether due tasks are left a little longer, for a slot that is soon free."""
        if self._free or not self._lease.holds:
            self._full_since = None
            return False
        if self._full_since is None:
            self._full_since = self._clock.monotonic()
        return self._clock.monotonic() - self._full_since < PATIENCE.total_seconds()

    async def _fire(self, look: Look, now: datetime, *, begins: bool) -> bool:
        """Fire what is due, and start what of it ``begins`` at once; no handler's before what is older."""
        firings = [firing for task in look.due if (firing := self._planned(task, now)) is not None]
        if not firings:
            return False
        if not begins:
            await self._store.fire(firings, now=now)
            return True
        async with self.free_slots(now) as slots:
            if slots is None:
                await self._store.fire(firings, now=now)
                return True
            request = replace(slots.request, handlers=self._handlers - look.claimable)
            fired = await self._store.fire(firings, now=now, request=request)
            for claim in fired.claims:
                slots.start(claim)
        return True

    def _planned(self, task: Task, now: datetime) -> Firing | None:
        try:
            return plan(task, now)
        except Exception:  # one task that cannot be planned must not keep the others from firing
            if self._is_news(task):
                log.exception("task.cannot_be_planned", task=task.name)
            return None

    async def _start_claimable(self, now: datetime) -> tuple[ClaimRequest | None, int]:
        """Start what can be claimed; return what was asked for, and how many started."""
        async with self.free_slots(now) as slots:
            if slots is None:
                return None, 0
            claims = await self._store.claim(slots.request)
            for claim in claims:
                slots.start(claim)
        return slots.request, len(claims)

    @asynccontextmanager
    async def free_slots(self, now: datetime) -> AsyncIterator[Slots | None]:
        """Within this context nobody else here makes claims, so the slots given stay free; None if nothing can start.

        Each claim runs in the term of the lease in which the context began.
        """
        async with self._runner.claiming:
            request = self._request(now)
            start = partial(self._runner.start, term=self._lease.term)
            yield None if request is None else Slots(request=request, start=start)

    def _request(self, now: datetime) -> ClaimRequest | None:
        """Return what asks for all that can start here; None if nothing can."""
        if self._free <= 0 or not self._lease.holds:
            return None
        return ClaimRequest(
            owner=self._owner,
            handlers=self._handlers,
            limit=self._concurrency,
            running=self._runner.running_by_handler(),
            now=now,
            limits=self._limits,
        )
