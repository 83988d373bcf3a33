"""A whole service that a state machine plays with: it crashes, restarts, its handlers wait until they are let go."""

import asyncio
import sqlite3
from collections.abc import Coroutine
from contextlib import AsyncExitStack, closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from support.rigs.rig import START, Rig, new_rig
from support.witnesses.checker import Acknowledged, check

from schedule_grpc.domain.execution import Execution
from schedule_grpc.handlers import TaskContext, handler
from schedule_grpc.runtime.clock import to_micros
from schedule_grpc.testing import FakeClock

T = TypeVar("T")

LOOKS = 2000
"""How often it is looked whether all is quiet before that is called a fault."""
WAITING = "SELECT count(*) FROM task_executions WHERE state = 'PENDING' AND gate <> 'WAITING' AND available_time <= ?"
DUE = "SELECT count(*) FROM scheduled_tasks WHERE next_run_time + start_delay <= ?"
RUNNING = "SELECT count(*) FROM task_executions WHERE state = 'RUNNING'"
ENDED = "SELECT id, state, reason, end_time, attempt, result FROM task_executions WHERE end_time IS NOT NULL"


class World:
    """One database, and the service that runs on it just now."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = FakeClock(START)
        self.loop = asyncio.new_event_loop()
        self.tasks: set[str] = set()
        self.executions: list[str] = []
        self.requests: dict[str, str] = {}
        self.ended: dict[str, tuple[Any, ...]] = {}
        self._latest = START
        self._set_back = False
        self._released = asyncio.Event()
        self._inside: set[object] = set()
        self._stack = AsyncExitStack()
        self._engine: asyncio.Task[None] | None = None
        self.rig: Rig
        self.do(self._start(recover=False))

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something to its end, and then what follows from it."""

        async def done() -> T:
            result = await work
            await self._quiet()
            return result

        return self.loop.run_until_complete(done())

    # -- what can happen

    async def advance(self, seconds: float) -> None:
        """Let time pass, in steps in which everybody gets his turn."""
        while seconds > 0:
            step = min(seconds, 5)
            await self.clock.advance(step)
            await self.rig.written()
            seconds -= step

    async def jump(self, by: timedelta) -> None:
        """Set the wall clock; the engine sees it within a second."""
        self._latest = max(self._latest, self.clock.now())
        self._set_back |= by < timedelta(0)
        self.clock.set_wall(self.clock.now() + by)
        await self.advance(1)

    async def set_right(self) -> None:
        """Set a clock that was set back to where it was: what was to wait for an instant then waits no longer."""
        if self.clock.now() < self._latest:
            await self.jump(self._latest - self.clock.now())

    async def release(self) -> None:
        """Let every handler go that waits, and those that come until the next `hold`."""
        self._released.set()

    async def hold(self) -> None:
        """From now on handlers wait."""
        self._released.clear()

    async def crash(self) -> None:
        """End the process in mid-air: nobody hands anything back; then start again on what is on the disk."""
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task() and not task.get_name().startswith("sqlite"):
                task.cancel()
        await asyncio.sleep(0)
        with suppress(asyncio.CancelledError):
            if self._engine is not None:
                await self._engine
        await self._stack.aclose()
        await self._start(recover=True)

    async def restart(self) -> None:
        """Stop as a server does, and start again."""
        self.rig.engine.stop()
        self.rig.engine.stop()  # hurry: running work is cancelled and handed back
        while self._engine is not None and not self._engine.done():
            await self.clock.advance(1)
            await self.rig.written()
        await self._stack.aclose()
        await self._start(recover=True)

    def close(self) -> None:
        """Let go of everything."""
        self.loop.run_until_complete(self._close())
        self.loop.close()

    # -- what is promised

    def broken(self, *, at_rest: bool = False) -> list[str]:
        """Return every promise that does not hold now."""
        told = Acknowledged(tasks=self.tasks, executions=self.executions)
        found = check(self.path, told, at_rest=at_rest, set_back=self._set_back)
        now = {row[0]: tuple(row) for row in self.rows(ENDED)}
        found += [
            f"{name} had ended and is {now.get(name)}" for name, row in self.ended.items() if now.get(name) != row
        ]
        self.ended = now
        return found

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """Ask the file."""
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as connection:
            return connection.execute(sql, values).fetchall()

    def told(self, execution: Execution) -> Execution:
        """Note that somebody was told of an execution."""
        self.executions.append(execution.id)
        return execution

    # -- inside

    async def _start(self, *, recover: bool) -> None:
        self._inside = set()  # of this life: deaf handlers of an earlier one may still be there
        self._stack = AsyncExitStack()
        handlers = (self._waiting(), self._deaf())
        self.rig = await self._stack.enter_async_context(
            new_rig(self.path, *handlers, clock=self.clock, recover=recover)
        )
        self._engine = asyncio.create_task(self.rig.engine.run(), name="engine")

    def _waiting(self) -> Any:
        inside = self._inside

        @handler("waits", description="Until it is let go")
        async def waits(_: TaskContext) -> str:
            inside.add(me := object())
            try:
                await self._released.wait()
            finally:
                inside.remove(me)
            return "let go"

        return waits

    def _deaf(self) -> Any:
        inside = self._inside

        @handler("deaf", description="Until it is let go, whoever cancels it")
        async def deaf(_: TaskContext) -> str:
            inside.add(me := object())
            while not self._released.is_set():
                with suppress(asyncio.CancelledError):
                    await self._released.wait()
            inside.remove(me)
            return "at last"

        return deaf

    async def _quiet(self) -> None:
        """Return once nothing is left to do at this instant."""
        for _ in range(LOOKS):
            await self.rig.written()
            await self.clock.advance(0)
            now = to_micros(self.clock.now())
            (waiting,), (due,), (running,) = self.rows(WAITING, now) + self.rows(DUE, now) + self.rows(RUNNING)
            if waiting == due == 0 and running <= len(self._inside):
                return
        raise AssertionError(f"{waiting} wait, {due} are due, {running} run, {len(self._inside)} handlers wait")

    async def _close(self) -> None:
        self._released.set()
        self.rig.engine.stop()
        self.rig.engine.stop()
        while self._engine is not None and not self._engine.done():
            await self.clock.advance(1)
            await self.rig.written()
        await self._stack.aclose()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
