"""What several suites are built on: a whole service on a FakeClock, and a handler whose payload picks its fate."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from support.patience import AT_MOST

from schedule_grpc.bindings import Environment
from schedule_grpc.domain.execution import Execution
from schedule_grpc.domain.task import Task
from schedule_grpc.engine import EngineOptions
from schedule_grpc.events import Hub
from schedule_grpc.handlers import PermanentFailure, Registry, TaskContext, handler
from schedule_grpc.service import Service
from schedule_grpc.store import Claim, ClaimRequest, Replica, open_store
from schedule_grpc.testing import FakeClock, ManualService

START = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)


def at(text: str) -> datetime:
    """Return the instant of an ISO text, UTC where it names no offset."""
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


class Gates:
    """Lets a test hold handlers until it opens their gate, and see which ones came in."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.entered: list[TaskContext] = []
        self.came = asyncio.Event()


GATES: dict[str, Gates] = {}


def _fail(ctx: TaskContext) -> None:
    raise ValueError(ctx.payload.get("error", "as asked"))


def _fail_at_first(ctx: TaskContext) -> dict[str, Any]:
    if ctx.attempt <= ctx.payload["times"]:
        raise ValueError(f"attempt {ctx.attempt}")
    return {"attempt": ctx.attempt}


def _reject(_: TaskContext) -> None:
    raise PermanentFailure("no use")


def _exit(_: TaskContext) -> None:
    raise SystemExit(3)


FATES: dict[str, Callable[[TaskContext], Any]] = {
    "succeed": lambda ctx: {"success": True, "seen": dict(ctx.payload)},
    "raise": _fail,
    "fail-at-first": _fail_at_first,
    "false": lambda _: {"success": False, "error": "said so"},
    "reject": _reject,
    "exit": _exit,
    "not-json": lambda _: {"when": object()},
}


@handler("fate", description="Ends as its payload says")
async def fate(ctx: TaskContext) -> Any:
    """Wait at the gate if the payload names one, then end as it says."""
    gate = GATES.get(ctx.payload.get("gate", ""))
    if gate is not None:
        gate.entered.append(ctx)
        gate.came.set()
        await gate.opened.wait()
    return FATES[ctx.payload.get("fate", "succeed")](ctx)


@handler("stubborn", description="Ignores its cancellation until the gate opens")
async def stubborn(ctx: TaskContext) -> str:
    """Swallow every cancellation."""
    gate = GATES[ctx.payload["gate"]]
    gate.entered.append(ctx)
    gate.came.set()
    while not gate.opened.is_set():
        try:
            await gate.opened.wait()
        except asyncio.CancelledError:
            continue
    return "at last"


@handler("in-thread", description="A sync handler that waits until it is asked to stop")
def in_thread(ctx: TaskContext) -> str:
    """Wait in a thread for the cancellation, at most a minute."""
    ctx.cancelled.wait(60)
    return threading.current_thread().name


@dataclass(kw_only=True)
class Rig(ManualService):
    """The service that users test their schedules with, and what only our own tests do with it.

    Its tasks have the handler ``fate`` unless a test says otherwise. It may be left in the midst of its work, as by a
    process that is killed: then nothing is handed back.
    """

    place: Path | str
    """The file or the URL of its database."""

    def __post_init__(self) -> None:
        """Let calls begin what they ask for, as in a server: once the engine has begun."""
        super().__post_init__()
        self.service = Service(
            store=self.store, clock=self.clock, hub=self.hub, registry=self.registry, starter=self.engine
        )

    async def register(  # type: ignore[override]
        self,
        name: str = "task",
        schedule: str = "@hourly",
        handler: str | Callable[..., Any] = "fate",
        **changes: Any,
    ) -> Task:
        """Register a task. A handler of the test's own is given to `new_rig`, or here as a function."""
        return await super().register(name, schedule, handler, **changes)

    async def claim(self, owner: str) -> tuple[Claim, ...]:
        """Let some owner claim what waits, as another server would."""
        await self.hold_lease(owner)
        fates = frozenset({"fate"})
        asked = ClaimRequest(owner=owner, handlers=fates, limit=10, running={}, now=self.clock.now())
        return (await self.store.claim(asked)).claims

    async def hold_lease(self, owner: str) -> Replica | None:
        """Let some owner take or renew its lease, where servers need one; return it as it stands."""
        if not self.store.is_shared:
            return None
        now = self.clock.now()
        server = Replica(id=owner, start_time=now, handlers=frozenset({"fate"}))
        (held,) = [each for each in await self.store.renew_lease(server, now=now) if each.id == owner]
        return held

    async def skip(self, seconds: float) -> None:
        """Move the clock while nobody looks, then do all that has become due."""
        await self.clock.advance(seconds)
        await self.tick()

    async def until_done(self, running: "asyncio.Task[Any]") -> None:
        """Let time pass until that is done, with a write at each step: it must not outrun the threads of the database.

        It did, where they were starved, until every lease had ended.
        """
        while not running.done():
            await self.clock.advance(0.1)
            await self.written()

    async def written(self) -> None:
        """Return once what is being written is written: this stands behind it in the writer's queue."""
        await self.store.expire(now=self.clock.now())

    async def history(self, name: str = "task") -> tuple[Execution, ...]:
        """Return a task's executions, oldest first."""
        return await super().history(name)

    async def states(self, name: str = "task") -> list[str]:
        """Return the states of a task's executions, oldest first."""
        return await super().states(name)


def limit(rig: Rig, **limits: int) -> None:
    """Let the engine run so many attempts of a handler at once, as a server does that is configured so."""
    loop = rig.engine._loop
    loop._registry = Registry(loop._registry, limits=limits)


@asynccontextmanager
async def new_rig(
    place: Path | str,
    *handlers: Callable[..., Any],
    clock: FakeClock | None = None,
    recover: bool = False,
    hears: bool = True,
    **options: Any,
) -> AsyncIterator[Rig]:
    """Build a Rig on a file, or on the database of a URL; with ``recover`` as a server does that finds it.

    It offers ``fate``, ``stubborn`` and ``in-thread``, and the handlers that are given.

    Unless it ``hears``, its engine receives no events: each tick reads the database, and nothing stops at once.
    """
    hub = Hub()
    registry = Registry()
    for offered in (fate, stubborn, in_thread, *handlers):
        registry.add_function(offered)
    store = await open_store(place, hub)
    try:
        built = Rig(
            place=place,
            clock=clock or FakeClock(START),
            env=Environment({}),
            store=store,
            hub=hub,
            registry=registry,
            options=EngineOptions(**options),
            patience=timedelta(seconds=AT_MOST),
        )
        if recover:
            await built.engine.recover()
        if not hears:
            built.hearing.close()
        with built.hearing:
            yield built
    finally:
        await store.close()
