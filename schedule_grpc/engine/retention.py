"""Reviews all tasks once at the start, a few at a time; then goes the rounds of retention."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Protocol

import structlog

from schedule_grpc.domain.access.audit import DEFAULT_RETENTION
from schedule_grpc.domain.execution.log_lines import DEFAULT_LOG_RETENTION
from schedule_grpc.domain.schedule import rules_digest
from schedule_grpc.errors import Unavailable
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.store import Store

log = structlog.get_logger(__name__)

ROUND = timedelta(minutes=10)
"""The pause between two rounds through all tasks."""
FIRST = timedelta(minutes=1)
"""The pause between the start and the first round: tasks that came due meanwhile go first."""
PAUSE = timedelta(milliseconds=50)
"""The pause between two steps of a round, for other writes."""

AGAIN_AFTER = timedelta(seconds=1)
"""The pause after a step of the review that the database did not answer."""
REMEMBERED = 20_000
"""Tasks that a round remembers to have looked at; if there are more, some are looked at twice."""


class Prune(Protocol):
    """Removes a few rows that are older than an instant."""

    async def __call__(self, *, before: datetime) -> int:
        """Return how many were removed: 0 once there are none."""


class Janitor:
    """Reviews all tasks at the start, and removes old history again and again."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        audit_retention: timedelta = DEFAULT_RETENTION,
        log_retention: timedelta = DEFAULT_LOG_RETENTION,
    ) -> None:
        """Take a store, and how long it keeps rows of the audit log, and log lines of executions."""
        self._store = store
        self._clock = clock
        self._audit_retention = audit_retention
        self._log_retention = log_retention
        self._swept = clock.monotonic()
        self._review_after: str | None = ""
        """The uid after which the tasks are still to be reviewed; None once all are."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Review what is left to review, then sweep until stopping; a round that fails is left to the next one."""
        while self._review_after is not None and not stopping.is_set():
            pause = PAUSE
            try:
                await self.review_some()
            except Unavailable as error:
                log.warning("tasks.not_reviewed", error=str(error))
                pause = AGAIN_AFTER
            except Exception:
                log.exception("tasks.not_reviewed")
                break
            await self._clock.wait_until(self._clock.now() + pause, stopping)
        await self._wait_until(self._clock.now() + FIRST, stopping)
        while not stopping.is_set():
            try:
                await self.go_round(stopping)
            except Unavailable as error:
                log.warning("history.not_pruned", error=str(error))
            except Exception:
                log.exception("history.not_pruned")
            await self._wait_until(self._clock.now() + ROUND, stopping)

    async def go_round(self, stopping: asyncio.Event | None = None) -> None:
        """Remove what is not kept: of the history, the audit log, log lines of executions, and sessions of browsers."""
        if removed := await self.sweep(stopping):
            log.info("history.pruned", count=removed)
        if removed := await self.sweep_audit(stopping):
            log.info("audit.pruned", count=removed)
        if removed := await self.sweep_logs(stopping):
            log.info("logs.pruned", chunks=removed)
        await self.sweep_sessions(stopping)
        self._swept = self._clock.monotonic()

    def age(self) -> float:
        """The seconds since the last round of retention ended that did not fail; since the start, if there was none."""
        return self._clock.monotonic() - self._swept

    async def review(self, most: int) -> None:
        """Review tasks in at most ``most`` steps; `run` goes on with the others.

        After the first step, only if another program version, or one with other tz data, reviewed them last.
        """
        await self.review_some()
        if not self._store.is_shared:  # where others may have written tasks since, all are reviewed at every start
            await self._heed_last_review()
        for _ in range(most - 1):
            await self.review_some()

    async def review_some(self) -> None:
        """Review the next few tasks, if any are left."""
        if self._review_after is None:
            return
        is_first = not self._review_after
        found = await self._store.review(after=self._review_after, now=self._clock.now())
        self._review_after = found.after
        for move in found.moves:
            log.info("task.next_run_moved", task=move.task.name, next_run=str(move.next_run_time))
        for task in found.unreadable:
            log.error("task.unreadable", task=task.name, trouble=task.trouble)
        if found.after is None and not is_first and not self._store.is_shared:
            await self._store.note_reviewed(await asyncio.to_thread(reviewer), now=self._clock.now())

    async def _heed_last_review(self) -> None:
        """Skip the review if the same reviewer did it last; else forget that one: this server may write tasks."""
        last = await self._store.reviewed_by()
        if self._review_after is not None and last == await asyncio.to_thread(reviewer):
            await self._store.review_alerted(now=self._clock.now())
            self._review_after = None
        elif last:
            await self._store.note_reviewed("", now=self._clock.now())

    async def sweep(self, stopping: asyncio.Event | None = None) -> int:
        """Go one round through the histories that retention may shorten; return the number of removed rows."""
        removed = 0
        looked_at: set[str] = set()
        current = await self._store.begin_round(now=self._clock.now())
        while not (current.is_over or _is_set(stopping)):
            found, current = await self._store.next_histories(current)
            removed += await self._prune([uid for uid in found if uid not in looked_at], stopping)
            looked_at.update(found)
            if len(looked_at) > REMEMBERED:
                looked_at.clear()
            await self._pause(stopping)
        if not _is_set(stopping):
            await self._store.end_round(current)
        return removed

    async def sweep_audit(self, stopping: asyncio.Event | None = None) -> int:
        """Remove the rows of the audit log whose retention is over, a few at a time; return their number."""
        return await self._sweep_old(self._store.prune_audit, self._audit_retention, stopping)

    async def sweep_logs(self, stopping: asyncio.Event | None = None) -> int:
        """Remove the log lines of executions whose retention is over, a few at a time; return the number of rows."""
        return await self._sweep_old(self._store.prune_logs, self._log_retention, stopping)

    async def sweep_sessions(self, stopping: asyncio.Event | None = None) -> int:
        """Remove the sessions of browsers that have expired, a few at a time; return their number."""
        return await self._sweep_old(self._store.prune_browser_sessions, timedelta(0), stopping)

    async def _sweep_old(self, prune: Prune, retention: timedelta, stopping: asyncio.Event | None) -> int:
        removed = 0
        while not _is_set(stopping):
            some = await prune(before=self._clock.now() - retention)
            if not some:
                break
            removed += some
            await self._pause(stopping)
        return removed

    async def _prune(self, task_uids: Sequence[str], stopping: asyncio.Event | None) -> int:
        removed = 0
        while task_uids and not _is_set(stopping):
            pruned = await self._store.prune(task_uids, now=self._clock.now())
            removed, task_uids = removed + pruned.removed, pruned.left
            if task_uids:
                await self._pause(stopping)
        return removed

    async def _pause(self, stopping: asyncio.Event | None) -> None:
        if stopping is not None:
            await self._clock.wait_until(self._clock.now() + PAUSE, stopping)

    async def _wait_until(self, when: datetime, stopping: asyncio.Event) -> None:
        # A wall clock that was set back must not keep the history growing: never wait longer than one round.
        while not stopping.is_set() and self._clock.now() < when <= self._clock.now() + ROUND:
            await self._clock.wait_until(when, stopping)


def reviewer() -> str:
    """Return the id of a reviewer: this program's version, and its tz data."""
    return f"{version('schedule-grpc')} {rules_digest()}"


def _is_set(stopping: asyncio.Event | None) -> bool:
    return stopping is not None and stopping.is_set()
