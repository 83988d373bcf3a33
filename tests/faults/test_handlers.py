"""Handlers of the worst kind, in real server processes: each harms itself at most, and its end is recorded."""

import asyncio
import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from support.callers.load import registrations
from support.handlers.hostile import KINDS, LEAKED, MEGABYTE
from support.patience import calling, until
from support.servers.process import code_of_the_next, served
from support.stories import checked, story
from support.witnesses.checker import Acknowledged

from schedule_grpc.client import AsyncClient
from schedule_grpc.domain.execution import Execution, State
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.retry import FailureKind, RetryPolicy
from schedule_grpc.errors import Unavailable

ONCE = Policy(retry=RetryPolicy(max_retries=0), timeout=timedelta(seconds=40))


async def run_once(client: AsyncClient, handler: str, **payload: str) -> Execution:
    """Run a handler, without retries, and return its execution."""
    name = "-".join([handler, *payload.values()])
    await client.register_task(name=name, schedule="@manual", handler=handler, payload=payload, policy=ONCE)
    return (await client.run_task_now(name)).execution


async def ended(client: AsyncClient, execution_id: str) -> Execution:
    """Wait for an execution's end."""

    async def found() -> Execution | None:
        execution = await client.get_execution(execution_id)
        return execution if execution.state.is_terminal else None

    return await until(found)


@story
async def test_what_a_handler_must_not_raise(tmp_path: Path):
    """SystemExit, KeyboardInterrupt and their like, on the loop and in a thread: one failed attempt each, no more."""
    async with served(tmp_path, handlers="support.handlers.hostile") as server:
        async with calling(server.address) as client:
            ends = [
                await run_once(client, handler, kind=kind)
                for handler in ("raises", "raises-in-a-thread")
                for kind in KINDS
            ]
            ends.append(await run_once(client, "not-json"))
        code, _ = await asyncio.to_thread(server.terminate)
    assert code == 0
    assert {(each.task_name, each.state, each.failure_kind) for each in ends} == {
        (each.task_name, State.FAILED, FailureKind.ERROR) for each in ends
    }
    told = {each.task_name: each.error for each in ends}
    assert "Own" in (told["raises-Own"] or "")
    assert "Unspeakable" in (told["raises-Unspeakable"] or "")
    acknowledged = Acknowledged(executions=[each.id for each in ends])
    assert await checked(tmp_path / "schedule.db", acknowledged, at_rest=True) == []


@story
async def test_a_handler_that_ends_the_process(tmp_path: Path):
    """os._exit: found at the next start as LEASE_LOST; after its retries it is FAILED, and the server stays up."""
    retries = 2
    async with served(tmp_path, handlers="support.handlers.hostile") as server:
        async with calling(server.address) as client:
            policy = Policy(retry=RetryPolicy(max_retries=retries, initial_backoff=timedelta(seconds=1)))
            await client.register_task(name="task", schedule="@manual", handler="exits", policy=policy)
            with suppress(Unavailable):  # the process may end before it has sent the answer
                await client.run_task_now("task", detach=True)
        assert await asyncio.to_thread(server.ended) == 3
    for _ in range(retries):
        assert await asyncio.to_thread(code_of_the_next, tmp_path, handlers="support.handlers.hostile") == 3
    async with served(tmp_path, handlers="support.handlers.hostile") as server, calling(server.address) as client:
        [recorded] = [each async for each in client.task_history("task")]
        execution = await ended(client, recorded.id)
        assert (await run_once(client, "quick")).state is State.SUCCEEDED
    assert (execution.state, execution.failure_kind) == (State.FAILED, FailureKind.LEASE_LOST)
    assert [each.failure_kind for each in execution.failed_attempts] == [FailureKind.LEASE_LOST] * (retries + 1)


@story
async def test_a_handler_that_never_gives_way(tmp_path: Path):
    """It is named in the log while it holds the loop; killed and started anew, the server runs all the others."""
    async with served(tmp_path, handlers="support.handlers.hostile") as server:
        async with calling(server.address) as client:
            await client.register_task(name="endless", schedule="@manual", handler="endless", policy=ONCE)
            execution = (await client.run_task_now("endless", detach=True)).execution

        async def named() -> bool:
            return "event_loop.blocked" in server.written()

        await until(named)
        assert "handlers/hostile.py" in server.written()
        await asyncio.to_thread(server.kill)
    async with served(tmp_path, handlers="support.handlers.hostile") as server, calling(server.address) as client:
        execution = await ended(client, execution.id)
        assert (await run_once(client, "quick")).state is State.SUCCEEDED
    assert (execution.state, execution.failure_kind) == (State.FAILED, FailureKind.LEASE_LOST)


@story
async def test_threads_left_behind(tmp_path: Path):
    """Threads of a handler's own that never end do not keep a stopping server, and are spoken of."""
    async with served(tmp_path, handlers="support.handlers.hostile") as server:
        async with calling(server.address) as client:
            assert (await run_once(client, "leaks")).state is State.SUCCEEDED
        assert server.count("task") > LEAKED
        code, _ = await asyncio.to_thread(server.terminate)
    assert code == 0


@story
async def test_a_result_of_100_megabytes(tmp_path: Path):
    """It is cut to what is kept, says so, and its memory is given back."""
    async with served(tmp_path, handlers="support.handlers.hostile") as server:
        async with calling(server.address) as client:
            await run_once(client, "quick")
            before = server.resident()
            execution = await run_once(client, "huge")
            again = await client.get_execution(execution.id)
        assert server.resident(at_most=True) > before + 90 * MEGABYTE
        assert server.resident() < before + 20 * MEGABYTE
    assert execution.state is State.SUCCEEDED
    assert "truncated" in str(again.result)
    assert len(str(again.result)) < MEGABYTE


@story
async def test_a_poison_task_beside_a_thousand_healthy_ones(tmp_path: Path):
    """It fails every second and is retried; each of the others runs and succeeds."""
    names = [f"healthy-{number}" for number in range(1000)]
    async with served(tmp_path, handlers="support.handlers.hostile") as server:
        async with calling(server.address) as client:
            retry = RetryPolicy(max_retries=3, initial_backoff=timedelta(milliseconds=100))
            await client.register_task(
                name="poison", schedule="every 1 second", handler="poison", policy=Policy(retry=retry)
            )
            await client.batch_register_tasks(registrations(names, "@manual"))
            runs = await asyncio.gather(*(client.run_task_now(name) for name in names))

            async def poisoned() -> bool:
                found = (await client.get_task_history("poison")).executions
                return any(each.state is State.FAILED for each in found)

            await until(poisoned)
        code, _ = await asyncio.to_thread(server.terminate)
    assert (code, {run.execution.state for run in runs}) == (0, {State.SUCCEEDED})
    told = Acknowledged(tasks=names, succeeded=[run.execution.id for run in runs])
    assert await checked(tmp_path / "schedule.db", told) == []


async def test_a_slow_task_beside_those_of_every_second(tmp_path: Path, long: bool):
    """Whatever one takes, the others start within their second."""
    seconds = 20 if long else 4
    async with served(tmp_path, handlers="support.handlers.hostile") as server:
        async with calling(server.address) as client:
            for number in range(10):
                await client.register_task(name=f"quick-{number}", schedule="every 1 second", handler="quick")
            await client.register_task(
                name="slow", schedule="@manual", handler="slow", payload={"seconds": seconds}, policy=ONCE
            )
            slow = await client.run_task_now("slow")
            histories = [(await client.get_task_history(f"quick-{number}")).executions for number in range(10)]
        await asyncio.to_thread(server.terminate)
    assert slow.execution.state is State.SUCCEEDED
    for executions in histories:
        assert len(executions) >= seconds - 1
        late = [each.start_time - each.scheduled_time for each in executions if each.start_time and each.scheduled_time]
        assert max(late) < timedelta(seconds=1)
    assert await checked(tmp_path / "schedule.db") == []


@story
async def test_thousands_due_at_one_second(tmp_path: Path):
    """All of them run, once each, and callers are answered meanwhile."""
    number = 10_000 if os.environ.get("FAULTS") == "long" else 1_000
    async with served(tmp_path, handlers="support.handlers.hostile") as server:
        async with calling(server.address) as client:
            instant = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=15 + number // 300)
            names = [f"task-{each}" for each in range(number)]
            for first in range(0, number, 1000):
                await client.batch_register_tasks(registrations(names[first : first + 1000], instant.isoformat()))
            assert datetime.now(UTC) < instant
            ran: set[str] = set()

            async def all_ran() -> bool:
                async for each in client.executions():
                    if each.state is State.SUCCEEDED:
                        ran.add(each.task_name)
                return len(ran) == number

            await until(all_ran)
        await asyncio.to_thread(server.terminate)
    told = Acknowledged(tasks=names)
    assert await checked(tmp_path / "schedule.db", told, at_rest=True) == []
