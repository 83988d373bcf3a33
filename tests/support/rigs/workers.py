"""Workers of a service on a clock that stands still: the dispatch itself, called without sockets."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from support.patience import AT_MOST, until
from support.rigs.rig import Rig

from schedule_grpc.dispatch import Workers
from schedule_grpc.dispatch.session import Session
from schedule_grpc.dispatch.values import (
    Finished,
    Held,
    Judged,
    News,
    Pull,
    Pulled,
    Registration,
    Update,
    Verdict,
    token_of,
)
from schedule_grpc.domain.access.caller import ANYBODY, Caller
from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.execution import Execution
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.domain.task import Overlap, Policy
from schedule_grpc.domain.worker import OfferedHandler
from schedule_grpc.events import Hub
from schedule_grpc.store import LogBook, Store, open_store

T = TypeVar("T")
SECOND = timedelta(seconds=1)
OK = Finished(duration=SECOND, result_json='{"done": true}')
NO = Finished(duration=SECOND, kind=FailureKind.ERROR, error="no")
BESIDE = Policy(overlap=Overlap.ALLOW_ALL)
LONG = timedelta(seconds=20)
STEP = 0.5
"""Seconds of the clock after which the database's threads get their time."""


def offers(*names: str, **limits: int) -> tuple[OfferedHandler, ...]:
    """Return handlers as a worker offers them; a limit is named by the handler, with `_` for `-`."""
    return tuple(OfferedHandler(name=each, concurrency=limits.get(each.replace("-", "_"))) for each in names)


def registration(*handlers: str | OfferedHandler, **changes: Any) -> Registration:
    """Return how a worker introduces itself; by default it offers `remote`."""
    offered = [OfferedHandler(name=each) if isinstance(each, str) else each for each in handlers or ("remote",)]
    values: dict[str, Any] = {
        "namespace": DEFAULT_NAMESPACE,
        "name": "w",
        "version": "1",
        "protocol": 1,
        "handlers": tuple(offered),
        "slots": 4,
        "lease": None,
        "labels": {},
    }
    return Registration(**(values | changes))


@dataclass
class Hand:
    """A worker, as far as the dispatch sees it: it holds what it was assigned until it is told that it is recorded."""

    office: "Office"
    id: str
    slots: int
    caller: Caller
    lost: tuple[str, ...] = ()
    held: list[str] = field(default_factory=list)

    @property
    def session(self) -> Session:
        """Its session, as the office knows it."""
        return self.office.workers._sessions[self.id]

    async def pull(
        self,
        *,
        held: Sequence[str] | None = None,
        capacity: int | None = None,
        wait: timedelta = timedelta(0),
        draining: bool = False,
        at: "Office | None" = None,
        takes: bool = True,
        progress: Mapping[str, float] | None = None,
    ) -> Pulled:
        """Pull once; hold what is assigned, unless its answer is lost on the way, and drop what is lost."""
        named = self.held if held is None else held
        asked = Pull(
            session_id=self.id,
            held=tuple(Held(token=each, progress=(progress or {}).get(each)) for each in named),
            capacity=max(self.slots - len(named), 0) if capacity is None else capacity,
            wait=wait,
            draining=draining,
        )
        answer = await (at or self.office).workers.pull(self.caller, asked)
        if takes:
            begun = [token_of(claim) for claim in answer.begin]
            self.held += [each for each in begun if each not in self.held]
            self.held = [each for each in self.held if each not in answer.lost_tokens]
        return answer

    def waits(self, **how: Any) -> "asyncio.Task[Pulled]":
        """Return a Pull that waits as long as it may."""
        return asyncio.create_task(self.pull(wait=LONG, **how))

    async def report(self, token: str, news: News = OK, *, at: "Office | None" = None) -> Judged:
        """Report one thing; drop what is decided."""
        (judged,) = await self.report_all([Update(token, news)], at=at)
        return judged

    async def report_all(self, updates: Sequence[Update], *, at: "Office | None" = None) -> list[Judged]:
        """Report several things in one call."""
        judged = await (at or self.office).workers.report(self.caller, self.id, updates)
        for update, each in zip(updates, judged, strict=True):
            if isinstance(update.news, Finished) and each.verdict is not Verdict.INVALID and update.token in self.held:
                self.held.remove(update.token)
        return judged

    async def stay(self, seconds: float) -> Pulled:
        """Let time pass, and Pull now and then, so that the lease goes on; return the last answer."""
        while seconds > 0:
            await self.office.advance(min(5, seconds))
            seconds -= 5
            answer = await self.pull(capacity=0)
        return answer

    async def leave(self, *, at: "Office | None" = None) -> None:
        """Unregister."""
        await (at or self.office).workers.unregister(self.caller, self.id)


@dataclass
class Office:
    """A server's dispatch beside a `Rig`, whose clock and database it shares."""

    rig: Rig
    store: Store
    hub: Hub
    workers: Workers

    async def hire(self, *handlers: str | OfferedHandler, caller: Caller = ANYBODY, **changes: Any) -> Hand:
        """Register a worker."""
        wanted = registration(*handlers, **changes)
        done = await self.workers.register(caller, wanted)
        held = [each for each in wanted.held_tokens if each not in done.lost_tokens]
        return Hand(self, done.session_id, wanted.slots, caller, done.lost_tokens, held)

    async def task(self, name: str = "task", handler: str = "remote", **changes: Any) -> None:
        """Register a task whose handler a worker offers; it runs when it is told to, beside itself."""
        changes.setdefault("policy", BESIDE)
        await self.rig.register(name, "@manual", handler, allow_unknown_handler=True, **changes)

    async def run(self, name: str = "task") -> Execution:
        """Let a task run."""
        return await self.rig.service.run_now(name, detach=True)

    async def parked(self, number: int = 1) -> None:
        """Return once so many Pulls wait."""

        async def waiting() -> bool:
            return self.workers._waiting == number

        await until(waiting)

    async def becomes(self, *states: str) -> None:
        """Return once the task's executions are in these states, the oldest first."""

        async def are() -> bool:
            return await self.rig.states() == list(states)

        await until(are)

    async def quiet(self) -> None:
        """Return once what is under way now has come to an end: reads, writes, and what they woke."""
        for _ in range(4):
            await self.store.expire(now=self.rig.clock.now())
            await self.store.living_workers()
            await self.store.find_worker("none")
            await asyncio.sleep(0.002)

    async def advance(self, seconds: float) -> None:
        """Let time pass; the threads of the databases get theirs."""
        await self.quiet()
        while seconds > 0:
            await self.rig.clock.advance(min(STEP, seconds))
            seconds -= STEP
            await self.quiet()


@asynccontextmanager
async def office_of(
    rig: Rig, *, store: Store | None = None, hub: Hub | None = None, kept: frozenset[str] = frozenset(), **told: Any
) -> AsyncIterator[Office]:
    """Open a server's dispatch over a rig's database; with a store of its own it is another server."""
    store, hub = store or rig.store, hub or rig.hub
    logbook = LogBook(store=store, clock=rig.clock, hub=hub)
    workers = Workers(store=store, clock=rig.clock, hub=hub, logbook=logbook, kept=kept, **told)
    finished = asyncio.Event()
    running = asyncio.create_task(workers.run(finished))
    office = Office(rig, store, hub, workers)
    await office.quiet()
    try:
        yield office
    finally:
        workers.drain()
        finished.set()
        await asyncio.wait_for(running, AT_MOST)
        await logbook.flush()


@asynccontextmanager
async def second_office(rig: Rig) -> AsyncIterator[Office]:
    """Open another server's dispatch: its own store and hub, the same database and clock."""
    hub = Hub()
    store = await open_store(rig.place, hub)
    try:
        async with office_of(rig, store=store, hub=hub) as office:
            yield office
    finally:
        await store.close()


async def soon(work: "Coroutine[Any, Any, T] | asyncio.Task[T]") -> T:
    """Return what must come without time passing; a test that hangs says where."""
    return await asyncio.wait_for(work, AT_MOST)


def said(logs: Sequence[Mapping[str, Any]], event: str) -> list[Mapping[str, Any]]:
    """Return the log's entries of an event."""
    return [entry for entry in logs if entry["event"] == event]
