"""Clients that work against a server until it goes away, and keep their own log of what they were told."""

import asyncio
import random
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from support.patience import calling, until
from support.witnesses.checker import check
from support.witnesses.checker.reading import rows
from support.witnesses.effects import contradictions
from support.witnesses.ledger import Ledger

from schedule_grpc.client import AsyncClient
from schedule_grpc.domain.policy import Overlap, Policy, Window
from schedule_grpc.domain.registration import Registration
from schedule_grpc.domain.retry import RetryPolicy
from schedule_grpc.domain.task import define
from schedule_grpc.errors import Unavailable
from schedule_grpc.formats.protobuf import RemoteError

CLIENTS = 4
EVERY_SECOND = ("every-second", "every-second-flaky", "changing")
"""Tasks that fire by themselves; the last one's schedule is changed now and then."""
CRON = "0 0 29 2 *"
BATCH, PAST = 20, 30
"""Tasks registered together, occurrences of a backfill."""
QUICK = RetryPolicy(max_retries=3, initial_backoff=timedelta(milliseconds=50), max_backoff=timedelta(milliseconds=100))


def registrations(names: list[str], schedule: str) -> list[Registration]:
    """Return what asks for tasks that return at once."""
    return [Registration(definition=define(name=name, schedule=schedule, handler="quick")) for name in names]


class Load:
    """Registers, runs, waits, cancels, changes and deletes, over schedules of every second and handlers that fail."""

    def __init__(self, seed: int = 1) -> None:
        self.log = Ledger()
        self._random = random.Random(seed)  # noqa: S311 (a load, not a secret)
        self._numbers = count(1)
        self._begun = datetime.now(UTC).replace(second=0, microsecond=0)
        self._past: list[str] = []

    async def prepare(self, address: str) -> None:
        """Register the tasks that fire by themselves, and two for the cron trigger, once."""
        async with calling(address, patience=0) as client:  # what a kill cuts off is noted as unanswered
            for name in EVERY_SECOND:
                handler = "flaky" if "flaky" in name else "quick"
                await client.register_task(
                    name=name, schedule="every 1 second", handler=handler, policy=Policy(retry=QUICK)
                )
                self.log.tasks.append(name)
            for name in ("by-cron-1", "by-cron-2"):
                await client.register_task(name=name, schedule=CRON, handler="quick")
                self.log.tasks.append(name)

    async def work(self, address: str) -> None:
        """Work until the server goes away."""
        async with calling(address, patience=0) as client:  # what a kill cuts off is noted as unanswered
            await asyncio.gather(*(self._client(client) for _ in range(CLIENTS)))

    async def acknowledged(self, number: int) -> None:
        """Return once more executions than that have been acknowledged, which takes a slow machine its time.

        Raises:
            AssertionError: if they are not in time: a server without work would survive anything.
        """

        async def enough() -> bool:
            return len(self.log.executions) > number

        await until(enough)

    async def repeat(self, address: str) -> None:
        """Ask again for every run and backfill that was not answered: each is then there once."""
        async with calling(address) as client:
            for request_id, name in list(self.log.unanswered.items()):
                result = await client.run_task_now(name, detach=True, request_id=request_id)
                del self.log.unanswered[request_id]
                self.log.answered[request_id] = result.execution.id
                self.log.note(result.execution)
            for request_id, execution_id in list(self.log.answered.items())[-20:]:
                execution = await client.get_execution(execution_id)
                result = await client.run_task_now(execution.task_name, detach=True, request_id=request_id)
                assert result.execution.id == execution_id
            while self._past:
                await self._fill(client, self._past[-1])
                self._past.pop()

    async def _client(self, client: AsyncClient) -> None:
        others = (self._batch, self._backfill, self._cancel, self._trigger, self._change, self._delete, self._miss)
        with suppress(Unavailable):
            while True:
                name = f"task-{next(self._numbers)}"
                other = self._random.choice(others) if self._random.random() < 0.5 else self._run
                with suppress(RemoteError):  # told of a fault of ours, a caller goes on
                    await other(client, name)

    async def _run(self, client: AsyncClient, name: str) -> None:
        handler = self._random.choice(["quick", "flaky", "slow"])
        overlap = self._random.choice(list(Overlap))
        await client.register_task(
            name=name, schedule="@manual", handler=handler, policy=Policy(retry=QUICK, overlap=overlap)
        )
        self.log.tasks.append(name)
        request_id = f"request-{name}"
        self.log.unanswered[request_id] = name
        result = await client.run_task_now(name, detach=self._random.random() < 0.5, request_id=request_id)
        del self.log.unanswered[request_id]
        self.log.answered[request_id] = result.execution.id
        self.log.note(result.execution)

    async def _batch(self, client: AsyncClient, name: str) -> None:
        names = [f"{name}-{number}" for number in range(BATCH)]
        self.log.batches.append(names)
        await client.batch_register_tasks(registrations(names, "@manual"))
        self.log.tasks += names

    async def _backfill(self, client: AsyncClient, name: str) -> None:
        ended = Policy(retry=QUICK, window=Window(end_time=self._begun))
        await client.register_task(name=name, schedule="* * * * *", handler="quick", policy=ended)
        self.log.tasks.append(name)
        self._past.append(name)
        await self._fill(client, name)
        self._past.remove(name)

    async def _fill(self, client: AsyncClient, name: str) -> None:
        begin = self._begun - timedelta(minutes=PAST)
        filled = await client.backfill_task(name, start_time=begin, end_time=self._begun)
        for execution in filled.executions:
            self.log.note(execution)
        assert len(filled.executions) + filled.existing_count == PAST

    async def _cancel(self, client: AsyncClient, name: str) -> None:
        await client.register_task(name=name, schedule="@manual", handler="slow")
        self.log.tasks.append(name)
        execution = (await client.run_task_now(name, detach=True)).execution
        self.log.note(execution)
        await asyncio.sleep(self._random.uniform(0, 0.1))
        self.log.note(await client.cancel_execution(execution.id, note="enough"))

    async def _miss(self, client: AsyncClient, name: str) -> None:
        soon = Policy(start_deadline=timedelta(seconds=1))
        await client.register_task(
            name=name, schedule="@manual", handler="nobody-offers", policy=soon, allow_unknown_handler=True
        )
        self.log.tasks.append(name)
        self.log.note((await client.run_task_now(name, detach=True)).execution)

    async def _trigger(self, client: AsyncClient, _: str) -> None:
        for execution in await client.trigger_cron(CRON):
            self.log.note(execution)

    async def _change(self, client: AsyncClient, _: str) -> None:
        changing = EVERY_SECOND[-1]
        if self._random.random() < 0.3:
            await client.disable_task(changing, note="for a while")
        await client.update_task(changing, schedule=f"every {self._random.randint(1, 3)} seconds")
        await client.enable_task(changing)

    async def _delete(self, client: AsyncClient, name: str) -> None:
        await client.register_task(name=name, schedule="every 1 second", handler="quick")
        self.log.note((await client.run_task_now(name, detach=True)).execution)
        await client.delete_task(name)
        self.log.deleted.append(name)


async def settled(address: str, place: Path | str, log: Ledger, *, replicas: Path | None = None) -> list[str]:
    """Stop what fires by itself, wait until nothing is open, and return every broken promise that is found then.

    ``replicas`` is the folder of several servers, whose database is elsewhere.
    """
    async with calling(address) as client:
        async for task in client.tasks():
            if task.definition.schedule.text.startswith("every "):
                await client.disable_task(task.name)

    async def nothing_open() -> bool:
        return not await asyncio.to_thread(rows, place, "SELECT 1 FROM task_executions WHERE gate IS NOT NULL LIMIT 1")

    await until(nothing_open)
    found = await asyncio.to_thread(check, place, log.told(), at_rest=True)
    found += await asyncio.to_thread(log.broken, place)
    return found + await asyncio.to_thread(contradictions, place, replicas)
