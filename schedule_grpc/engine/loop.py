"""What is due? Looks, plans, fires, claims; one short function each."""

from collections.abc import Sequence
from datetime import datetime

import structlog

from schedule_grpc.clock import Clock
from schedule_grpc.engine.lease import Lease
from schedule_grpc.engine.runner import Runner
from schedule_grpc.handlers import Registry
from schedule_grpc.planning import Firing, plan
from schedule_grpc.store import ClaimRequest, Store
from schedule_grpc.task import Task

log = structlog.get_logger(__name__)

FIRED_AT_ONCE = 500
"""Tasks fired in one transaction: enough to share its cost, few enough that nobody waits long behind it."""


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
        self.next_time: datetime | None = None
        self.behind = False
        """Whether the last look saw what was due, or could start and had not."""

    async def tick(self) -> bool:
        """Do what there is to do now; return whether there may be more at once."""
        await self._lease.take()
        now = self._clock.now()
        look = await self._store.look(self._handlers, now=now, limit=FIRED_AT_ONCE)
        self.next_time = look.next_time
        self.behind = bool(look.due) or look.claimable
        expired = bool(look.expired) and await self._store.expire(now=now) > 0
        fired = bool(look.due) and await self._fire(look.due, now)
        started = (fired or look.claimable) and await self._start_claimable(now)
        await self._alert_of(look.unreadable, now)
        return expired or fired or started

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

    async def _fire(self, due: Sequence[Task], now: datetime) -> bool:
        firings = [firing for task in due if (firing := self._planned(task, now)) is not None]
        if not firings:
            return False
        await self._store.fire(firings, now=now)
        return True

    def _planned(self, task: Task, now: datetime) -> Firing | None:
        try:
            return plan(task, now)
        except Exception:  # one task that cannot be planned must not keep the others from firing
            if self._is_news(task):
                log.exception("task.cannot_be_planned", task=task.name)
            return None

    async def _start_claimable(self, now: datetime) -> bool:
        running = self._runner.running_by_handler()
        if sum(running.values()) >= self._concurrency:
            return False
        if not self._lease.holds:
            return False
        async with self._runner.claiming:
            term = self._lease.term
            claims = await self._store.claim(
                ClaimRequest(
                    owner=self._owner,
                    handlers=self._handlers,
                    limit=self._concurrency,
                    running=running,
                    now=now,
                    limits=self._limits,
                )
            )
            for claim in claims:
                self._runner.start(claim, term=term)
        return bool(claims)
