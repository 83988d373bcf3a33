"""Gives waiting executions to the workers whose Pulls wait: one claim for all of them, and no queue in between."""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime

import structlog

from schedule_grpc.dispatch.session import Session
from schedule_grpc.domain.access.grant import ALL
from schedule_grpc.domain.execution import State
from schedule_grpc.errors import Unavailable
from schedule_grpc.events import CancelRequested, Event, Hub, TaskChanged, Transition
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.store import ClaimRequest, Given, Group, Store, Taker
from schedule_grpc.store.shares import Shares

log = structlog.get_logger(__name__)


class Giving:
    """Claims for the sessions whose Pulls wait. A claim looks at all of them, whichever of them caused it."""

    def __init__(self, store: Store, clock: Clock, hub: Hub, sessions: Mapping[str, Session]) -> None:
        """Take the sessions, by id."""
        self._store = store
        self._clock = clock
        self._hub = hub
        self._sessions = sessions
        self._shares = Shares(store, clock)
        self._woken = asyncio.Event()
        self._idle: set[Group] = set()
        """Groups for which nothing can start now, as far as the last look saw."""
        self._groups: frozenset[Group] = frozenset()
        self._stirred: set[Group] = set()
        """Groups for which an execution has come since the present look began."""
        self._expects = False
        """Whether an execution was seen that could start: then a claim is made without a look before."""
        self._turns: dict[str, int] = {}
        self._given = 0
        self._next_time: datetime | None = None
        """When the next execution becomes available, as far as the looks since the last one at all groups saw."""
        self._cancelled: set[str] | None = None
        """Executions whose end was requested since the present claim began; None: there is none."""
        self._looked = clock.monotonic()

    def hearing(self) -> AbstractContextManager[None]:
        """Within this context, events of executions that wait cause a claim."""
        return self._hub.listening(self._notice, with_peers=True)

    def wake(self) -> None:
        """Look again: a slot is free, or the server stops."""
        self._woken.set()

    def wake_for(self, session: Session) -> None:
        """Look again for a session whose Pull waits now, unless nothing can start for its group."""
        group = _group_of(session)
        if group not in self._idle or group not in self._groups:
            self._woken.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Claim whenever something may be claimed, until stopped."""
        while not stopping.is_set():
            self._woken.clear()
            try:
                await self._give()
            except Unavailable as error:
                log.warning("workers.claim_delayed", error=str(error))
                await self._clock.wait_until(None, stopping)
            except Exception:
                log.exception("workers.claim_failed")
                await self._clock.wait_until(None, stopping)
            else:
                await self._clock.wait_until(self._next_time, self._woken)

    async def _give(self) -> None:
        now, wall = self._clock.monotonic(), self._clock.now()
        if now - self._looked >= 1 or (self._next_time is not None and wall >= self._next_time):
            self._idle.clear()  # events are hints
            self._next_time = None
            self._looked = now
        asking = self._asking()
        self._stirred.clear()
        if not asking:
            return
        expected, self._expects = self._expects, False
        if not expected:
            seen = await self._store.waiting_for(tuple(asking), now=wall)
            self._note_next(seen.next_time)
            if not seen.leaves:
                self._idle.update(asking.keys() - self._stirred)
                return
        await self._shares.keep_up()
        requests = self._requests(asking, now, wall)
        if not requests:
            return
        groups = {request.group for request in requests}
        given = await self._claimed(requests, wall)
        self._note_next(given.next_time)
        self._expects |= given.leaves
        if not given.leaves:
            self._idle.update(groups - self._stirred)

    async def _claimed(self, requests: Sequence[ClaimRequest], wall: datetime) -> Given:
        """Claim, and hand each attempt to its session."""
        cancelled = self._cancelled = set()
        try:
            given = await self._store.give(requests, now=wall)
        finally:
            self._cancelled = None
        now = self._clock.monotonic()
        for session_id, claim in given.claims:
            self._given += 1
            self._turns[claim.execution.namespace] = self._given
            session = self._sessions.get(session_id)
            if session is None:
                continue
            attempt = session.add(claim, now)
            if "" in cancelled:
                session.synced = None
            attempt.cancelled |= claim.execution.id in cancelled
            if session.waiting is not None:
                session.waiting.set()
        return given

    def _note_next(self, time: datetime | None) -> None:
        """Note when an execution becomes available; what other groups wait for stays noted."""
        if time is not None:
            self._next_time = time if self._next_time is None else min(time, self._next_time)

    def _asking(self) -> Mapping[Group, Sequence[Session]]:
        """Return the groups, each with all its sessions, in which a Pull waits and for which something may start."""
        groups: dict[Group, list[Session]] = {}
        for session in self._sessions.values():
            groups.setdefault(_group_of(session), []).append(session)
        self._groups = frozenset(groups)
        return {
            group: members
            for group, members in groups.items()
            if group not in self._idle and any(each.free_slots > 0 for each in members)
        }

    def _requests(
        self, asking: Mapping[Group, Sequence[Session]], now: float, wall: datetime
    ) -> tuple[ClaimRequest, ...]:
        """Return one request for each group of sessions whose Pulls wait, the longest waiting first."""
        requests = []
        for (namespace, handlers), members in asking.items():
            waiting = sorted((each for each in members if each.waiting is not None), key=_turn)
            takers = tuple(taker for each in waiting if (taker := each.taker(now)) is not None)
            if takers:
                limit = sum(each.worker.slots for each in members)
                running = _sum(each.by_handler for each in members)
                requests.append(
                    ClaimRequest(
                        owner="",
                        handlers=handlers,
                        limit=limit,
                        running=running,
                        now=wall,
                        limits=_limits(takers, running),
                        running_in=_sum(each.by_namespace for each in members),
                        shares=self._shares.of(limit) if namespace == ALL else {},
                        turns=self._turns,
                        takers=takers,
                        namespace=namespace,
                    )
                )
        return tuple(requests)

    def _notice(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, TaskChanged):
                self._stir(self._groups)
            elif isinstance(event, Transition) and event.execution.state is State.PENDING:
                self._notice_waiting(event)
            elif isinstance(event, CancelRequested) and self._cancelled is not None:
                self._cancelled.add(event.execution_id)  # its session does not have it yet

    def _notice_waiting(self, event: Transition) -> None:
        execution = event.execution
        concerned = [
            group for group in self._groups if execution.handler in group[1] and group[0] in (ALL, execution.namespace)
        ]
        if concerned:
            self._expects |= execution.available_time <= event.time
            self._stir(concerned)

    def _stir(self, groups: Collection[Group]) -> None:
        if groups:
            self._idle.difference_update(groups)
            self._stirred.update(groups)
            self._woken.set()


def _group_of(session: Session) -> Group:
    return session.worker.namespace, session.handlers


def _turn(session: Session) -> int:
    return 0 if session.waiting is None else session.waiting.turn


def _sum(counters: Iterable[Counter[str]]) -> Mapping[str, int]:
    total: Counter[str] = Counter()
    for counter in counters:
        total += counter
    return total


def _limits(takers: Sequence[Taker], running: Mapping[str, int]) -> Mapping[str, int]:
    """Return how many attempts of a handler may run once all takers are full, of those that one of them limits.

    A member that takes nothing now has no room: what it cannot take would keep others from its place.
    """
    limited = {handler for taker in takers for handler in taker.room}
    return {
        handler: running.get(handler, 0) + sum(min(taker.room.get(handler, taker.free), taker.free) for taker in takers)
        for handler in limited
    }
