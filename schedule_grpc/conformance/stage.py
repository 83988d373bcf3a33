"""A stage: a worker under test with everything around it, and what checks do with it and ask of it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from schedule_grpc.client import AsyncClient, Execution
from schedule_grpc.conformance.check import CLOCK, LEASE, Broken, expect, until, wait
from schedule_grpc.conformance.handlers import JOURNAL
from schedule_grpc.conformance.journal import BEGIN, STOPPED, Journal
from schedule_grpc.conformance.middleman import Middleman
from schedule_grpc.conformance.program import Program
from schedule_grpc.conformance.server import Server, environment
from schedule_grpc.conformance.tape import PULL, REGISTER, Told
from schedule_grpc.conformance.tcp_proxy import TcpProxy
from schedule_grpc.errors import ScheduleError

SLOTS, DRAIN_TIMEOUT = 4, 3
"""What workers under test are told; the second one in seconds."""
HANDLERS = ("echo", "fail", "reject", "soft_fail", "sleep", "deaf", "log", "progress", "big", "unicode", "exit")
REGISTERS_WITHIN = 30.0
"""Seconds from the start of a process to its first Pull: interpreters start slowly on busy machines."""
SOON = 10.0
"""Seconds in which what needs no wait must have happened."""
AT_ONCE = 2.0
"""Seconds in which a worker obeys an order: one, and one more on a busy machine."""
ALLOW_ALL = "ALLOW_ALL"
LOOKS_EVERY = 0.1
"""Seconds between two looks at an execution's row."""
RUNS_TO_END = 4.0
"""Seconds that a stage gives open work to end between two checks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """What stages are made of."""

    command: Sequence[str]
    """The worker under test."""
    folder: Path
    server: Server
    """For stages that do not need one of their own."""
    violations: list[tuple[str, str]] = field(default_factory=list)
    """What was wrong with calls in the stages that are closed: the id of the check that it breaks, and the words."""


class Stage:
    """One worker under test at a time, in a namespace of its own."""

    def __init__(
        self, place: Place, folder: Path, middle: Middleman, wire: TcpProxy, client: AsyncClient, *, lease: int
    ) -> None:
        self.lease = lease
        self.middle = middle
        self.tape = middle.tape
        self.wire = wire
        self.client = client
        self.folder = folder
        self.journal = Journal(folder / "journal")
        self.server = place.server
        self.violations_before = place.violations
        """What was wrong with calls in the stages that are closed."""
        self._command = place.command
        self._programs: list[Program] = []
        self._open: set[str] = set()
        self._tasks: set[str] = set()

    @property
    def program(self) -> Program:
        """The newest worker process."""
        return self._programs[-1]

    @property
    def output(self) -> str:
        """The end of what the newest worker process wrote."""
        return self._programs[-1].output if self._programs else ""

    async def start(self) -> Program:
        """Start a worker process, and return it at once."""
        env = environment(
            SCHEDULE_SERVER=f"127.0.0.1:{self.wire.port}",
            SCHEDULE_LEASE=f"{self.lease}s",
            SCHEDULE_SLOTS=str(SLOTS),
            SCHEDULE_DRAIN_TIMEOUT=f"{DRAIN_TIMEOUT}s",
        )
        env[JOURNAL] = str(self.journal.path)
        output = self.folder / f"worker-{len(self._programs) + 1}.log"
        self._programs.append(await Program.started(self._command, env, output))
        return self.program

    async def start_working(self) -> Program:
        """Start a worker process, and return it once it pulls.

        Raises:
            Broken: if it ends, or does not register and pull in time.
        """
        before = len(self.tape.calls)
        program = await self.start()

        def pulls() -> bool:
            expect(program.code is None, f"the worker ended with code {program.code} before it pulled")
            sessions = {seen.answer.session_id for seen in self.tape.of(REGISTER, since=before) if seen.answer}
            return any(seen.session in sessions for seen in self.tape.of(PULL, since=before))

        await until(pulls, within=REGISTERS_WITHIN, otherwise="the worker does not register and pull")
        return program

    async def run(self, handler: str, *, timeout: float = 60, retries: int = 0, **payload: Any) -> str:
        """Run a handler of the kit now, and return the execution's id."""
        name = f"{handler}-{timeout}-{retries}"
        if name not in self._tasks:
            retry = {"max_retries": retries, "initial_backoff": timedelta(milliseconds=100)}
            policy = {"timeout": timedelta(seconds=timeout), "overlap": ALLOW_ALL, "retry": retry}
            await self.client.register_task(
                name=name,
                schedule="@manual",
                handler=f"conformance.{handler}",
                policy=policy,
                allow_unknown_handler=True,
            )
            self._tasks.add(name)
        ran = await self.client.run_task_now(name, payload=payload, detach=True)
        self._open.add(ran.execution.id)
        return ran.execution.id

    async def running(self, handler: str, **given: Any) -> str:
        """Run a handler, and return the execution's id once the handler has begun."""
        execution_id = await self.run(handler, **given)
        await self.began(execution_id)
        return execution_id

    async def began(self, execution_id: str, *, attempt: int = 1, within: float = SOON) -> None:
        """Return once a handler has begun."""
        await until(
            lambda: self.journal.find(BEGIN, execution_id, attempt) is not None,
            within=within,
            otherwise=lambda: f"attempt {attempt} has not begun after {within:.0f} s{self._unreadable()}",
        )

    async def stopped(self, execution_id: str, *, since: float, within: float, why: str) -> float:
        """Return how many seconds after a moment a handler noted that it was asked to stop."""
        await until(
            lambda: self.journal.find(STOPPED, execution_id) is not None,
            within=max(since + within - CLOCK.monotonic(), 0),
            otherwise=f"{why}: its handler was not asked to stop within {within:.1f} s",
        )
        found = self.journal.find(STOPPED, execution_id)
        return (found or CLOCK.monotonic()) - since

    async def ended(self, execution_id: str, *, within: float = SOON) -> Execution:
        """Return an execution once it has ended."""
        end = CLOCK.monotonic() + within
        while True:
            execution = await self.client.get_execution(execution_id)
            if execution.end_time is not None:
                self._open.discard(execution_id)
                return execution
            expect(CLOCK.monotonic() < end, f"an execution is {execution.state} still after {within:.0f} s")
            await wait(LOOKS_EVERY)

    async def succeeds(self, execution_id: str, *, within: float = SOON, attempts: int = 1) -> Execution:
        """Return an execution once it has succeeded, at its attempt of this number."""
        execution = await self.ended(execution_id, within=within)
        expect(execution.state == "SUCCEEDED", f"it ended {execution.state}: {execution.error}")
        expect(execution.attempt == attempts, f"it took {execution.attempt} attempts, not {attempts}")
        return execution

    async def outcome(self, execution_id: str, *, within: float = SOON) -> Told:
        """Return the first outcome that is reported of an execution."""
        await until(
            lambda: self.tape.outcomes(execution_id), within=within, otherwise="no outcome of an attempt is reported"
        )
        return self.tape.outcomes(execution_id)[0]

    async def token(self, execution_id: str, *, within: float = SOON) -> str:
        """Return the newest token under which an execution was assigned."""
        await until(lambda: self.tape.tokens_of(execution_id), within=within, otherwise="it is not assigned")
        return self.tape.tokens_of(execution_id)[-1]

    def ran_once(self, *executions: str) -> None:
        """Hold the worker to have called each handler once."""
        for execution_id in executions:
            times = self.journal.begins(execution_id)
            expect(times == 1, f"the handler of an execution was called {times} times, not once")

    async def echoes(self, *, within: float = SOON) -> None:
        """Hold the worker to run an ordinary attempt."""
        await self.succeeds(await self.run("echo", still="there"), within=within)

    async def pull_again(self) -> None:
        """Return once a Pull was answered: one that waits is answered at once when there is work."""
        await self.echoes()

    async def tidy(self) -> None:
        """Leave a worker that has nothing to do: for the next check, or none at all after a failure."""
        self.wire.pass_on()
        for execution_id in tuple(self._open):
            with suppress(ScheduleError):
                await self.client.cancel_execution(execution_id)
        with suppress(Broken):
            for execution_id in tuple(self._open):
                await self.ended(execution_id, within=RUNS_TO_END)
        if self._open or not self._programs or self.program.code is not None:
            await self.kill()
        self._open.clear()

    async def kill(self) -> None:
        """End every worker process of this stage."""
        for program in self._programs:
            await program.kill()

    def is_working(self) -> bool:
        """Return whether a worker process runs."""
        return bool(self._programs) and self.program.code is None

    def _unreadable(self) -> str:
        lines = self.journal.unreadable
        return f"; lines of the journal that are not understood: {lines[:3]}" if lines else ""


@asynccontextmanager
async def opened(place: Place, name: str, *, lease: int = LEASE, own_server: bool = False) -> AsyncIterator[Stage]:
    """Give a stage without a worker; its processes end with it."""
    folder = place.folder / name
    folder.mkdir(parents=True)
    async with AsyncExitStack() as stack:
        server = place.server
        if own_server:
            server = Server(folder / "server")
            await server.start()
            stack.push_async_callback(server.kill)
        namespace = await server.new_namespace()
        wire = TcpProxy(lambda: asyncio.open_connection(*_host_and_port(middle.address)))
        middle = Middleman(server.address, namespace, wire.cut)
        middle.invariants.was_cut = lambda start, end: any(start <= cut <= end for cut in wire.cuts)
        await stack.enter_async_context(middle.open())
        await stack.enter_async_context(wire.open())
        client = await stack.enter_async_context(AsyncClient(server.address, namespace=namespace))
        stage = Stage(place, folder, middle, wire, client, lease=lease)
        stage.server = server
        stack.push_async_callback(stage.kill)
        try:
            yield stage
        finally:
            place.violations.extend(middle.invariants.violations)


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)
