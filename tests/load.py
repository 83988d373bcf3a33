"""Clients that work against a server until it goes away, and keep their own log of what they were told."""

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import TypeVar

from checker import Acknowledged, check

from schedule_grpc.client import AsyncClient
from schedule_grpc.errors import ScheduleError
from schedule_grpc.execution import State
from schedule_grpc.policy import Overlap, Policy
from schedule_grpc.registration import Registration
from schedule_grpc.retry import RetryPolicy
from schedule_grpc.task import define

T = TypeVar("T")

CLIENTS = 4
QUICK = RetryPolicy(max_retries=3, initial_backoff=timedelta(milliseconds=50), max_backoff=timedelta(milliseconds=100))


async def until(condition: Callable[[], Awaitable[T]], seconds: float = 20) -> T:
    """Return what an async condition gives once it is true.

    Raises:
        AssertionError: if it is not in time.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                if found := await condition():
                    return found
                await asyncio.sleep(0.02)
    raise AssertionError(f"not within {seconds} s")


def registrations(names: list[str], schedule: str) -> list[Registration]:
    """Return what asks for tasks that return at once."""
    return [Registration(definition=define(name=name, schedule=schedule, handler="quick")) for name in names]


@dataclass
class Log:
    """What callers were told, and what they asked for without an answer."""

    tasks: list[str] = field(default_factory=list)
    executions: list[str] = field(default_factory=list)
    succeeded: list[str] = field(default_factory=list)
    unanswered: dict[str, str] = field(default_factory=dict)
    """Task by the request id of a run."""
    answered: dict[str, str] = field(default_factory=dict)
    """Execution by the request id of a run."""

    def told(self) -> Acknowledged:
        """Return it as the checker reads it."""
        return Acknowledged(tasks=self.tasks, executions=self.executions, succeeded=self.succeeded)


class Load:
    """Registers, runs and waits, over schedules of every second and handlers that fail and are retried."""

    def __init__(self, seed: int = 1) -> None:
        self.log = Log()
        self._random = random.Random(seed)  # noqa: S311 (a load, not a secret)
        self._numbers = count(1)

    async def prepare(self, address: str) -> None:
        """Register the tasks that fire by themselves, once."""
        async with AsyncClient(address) as client:
            for name, handler in (("every-second", "quick"), ("every-second-flaky", "flaky")):
                await client.register_task(
                    name=name, schedule="every 1 second", handler=handler, policy=Policy(retry=QUICK)
                )
                self.log.tasks.append(name)

    async def work(self, address: str) -> None:
        """Work until the server goes away."""
        async with AsyncClient(address) as client:
            await asyncio.gather(*(self._client(client) for _ in range(CLIENTS)))

    async def repeat(self, address: str) -> None:
        """Ask again for every run that was not answered: each is then there once."""
        async with AsyncClient(address) as client:
            for request_id, name in list(self.log.unanswered.items()):
                result = await client.run_task_now(name, detach=True, request_id=request_id)
                del self.log.unanswered[request_id]
                self.log.answered[request_id] = result.execution.id
                self.log.executions.append(result.execution.id)
            for request_id, execution_id in list(self.log.answered.items())[-20:]:
                execution = await client.get_execution(execution_id)
                result = await client.run_task_now(execution.task_name, detach=True, request_id=request_id)
                assert result.execution.id == execution_id

    async def _client(self, client: AsyncClient) -> None:
        with suppress(ScheduleError):
            while True:
                number = next(self._numbers)
                name, request_id = f"task-{number}", f"request-{number}"
                handler = self._random.choice(["quick", "flaky", "slow"])
                await client.register_task(
                    name=name,
                    schedule="@manual",
                    handler=handler,
                    policy=Policy(retry=QUICK, overlap=self._random.choice(list(Overlap))),
                )
                self.log.tasks.append(name)
                self.log.unanswered[request_id] = name
                result = await client.run_task_now(name, detach=self._random.random() < 0.5, request_id=request_id)
                del self.log.unanswered[request_id]
                self.log.answered[request_id] = result.execution.id
                self.log.executions.append(result.execution.id)
                if result.execution.state is State.SUCCEEDED:
                    self.log.succeeded.append(result.execution.id)


async def settled(address: str, database: Path, log: Log) -> list[str]:
    """Stop what fires by itself, wait until nothing is open, and return what the checker finds then."""
    async with AsyncClient(address) as client:
        for name in log.tasks[:2]:
            await client.disable_task(name)

    async def nothing_open() -> bool:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            (number,) = connection.execute("SELECT count(*) FROM task_executions WHERE gate IS NOT NULL").fetchone()
        return number == 0

    await until(nothing_open, 30)
    return check(database, log.told(), at_rest=True) + requests_with_two_rows(database)


def requests_with_two_rows(database: Path) -> list[str]:
    """Return request ids that stand in more than one row."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT request_id, count(*) FROM task_executions WHERE request_id IS NOT NULL"
            " GROUP BY request_id HAVING count(*) > 1"
        ).fetchall()
    return [f"{request_id} ran {number} times" for request_id, number in rows]
