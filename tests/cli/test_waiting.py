"""What a run that has not begun waits for: told at once, and again when the reason is another one."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.callers.rpc_rows import EXECUTION
from support.rigs.worker_rows import worker_there
from support.servers.live import Live, serving

from schedule_grpc.cli import waiting
from schedule_grpc.cli.progress import Lines
from schedule_grpc.cli.waiting import telling_why, why_waiting
from schedule_grpc.domain.execution import Execution, Reason, State
from schedule_grpc.runtime.clock import SystemClock


@pytest.fixture
async def live(database: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Live]:
    """A server that runs one attempt at a time; what an execution waits for is looked up again and again."""
    monkeypatch.setattr(waiting, "AGAIN", 0.01)
    async with serving(database, concurrency=1) as live:
        yield live


async def detached(live: Live, name: str, handler: str = "held", *, until: Path | None = None) -> Execution:
    """Register a task by hand and run it; return the run as it was recorded."""
    await live.client.register_task(
        name=name,
        schedule="@manual",
        handler=handler,
        payload={"until": str(until)},
        policy={"overlap": "BUFFER_ONE"},
        allow_unknown_handler=True,
    )
    return (await live.client.run_task_now(name, detach=True)).execution


class Told:
    """The reasons, as they come."""

    def __init__(self) -> None:
        self._reasons: asyncio.Queue[str] = asyncio.Queue()

    def __call__(self, reason: str) -> None:
        """Take a reason."""
        self._reasons.put_nowait(reason)

    async def next(self) -> str:
        """Return the next reason."""
        return await self._reasons.get()

    @property
    def is_empty(self) -> bool:
        """Whether none is left."""
        return self._reasons.empty()


async def test_a_run_that_nothing_takes_says_so(live: Live):
    """And says the next reason, once a worker offers the handler."""
    waits, told = await detached(live, "task", "remote"), Told()
    async with telling_why(live.client, waits, told):
        assert await told.next() == "waits: no server and no worker offers remote"
        await worker_there(live.parts.store, "w", live.parts.service.clock.now(), "remote")
        assert await told.next() == "waits for a free slot: all that offer remote are busy"
    assert told.is_empty


async def test_a_run_behind_another_names_it(live: Live, tmp_path: Path):
    """At the gate of its task; once it has begun nothing more is told."""
    until = tmp_path / "until"
    first, second = [await detached(live, "task", until=until) for _ in range(2)]
    told = Told()
    async with telling_why(live.client, second, told):
        assert await told.next() in (
            f"waits at the gate of task behind {first.id} ({state})" for state in ("RUNNING", "PENDING")
        )
        until.touch()
        while not (await live.client.get_execution(second.id)).state.is_terminal:
            pass


async def test_a_run_without_a_slot_says_so(live: Live, tmp_path: Path):
    """If it was not begun at once: a run that is about to begin says nothing."""
    until = tmp_path / "until"
    await detached(live, "first", until=until)
    second, told = await detached(live, "second", until=until), Told()
    async with telling_why(live.client, second, told):
        assert await told.next() == "waits for a free slot: all that offer held are busy"
        until.touch()
    ended = (await live.client.run_task_now("second")).execution
    told = Told()
    async with telling_why(live.client, ended, told):
        pass
    assert told.is_empty


async def test_a_run_that_is_not_available_yet_says_until_when(live: Live):
    """As a retry is not, or an occurrence with jitter."""
    waits = await detached(live, "task", "steps")
    later = SystemClock().now() + timedelta(days=1)
    reason = await why_waiting(live.client, replace(waits, state=State.PENDING, available_time=later))
    assert reason == f"waits until {later:%Y-%m-%d %H:%M:%SZ}"


async def test_a_deleted_task_ends_no_run_here(live: Live):
    """What cannot be looked up is not told; the run's own answer counts."""
    waits, told = await detached(live, "task", "remote"), Told()
    await live.client.delete_task("task")
    async with telling_why(live.client, waits, told):
        while (await live.client.get_execution(waits.id)).reason is not Reason.TASK_DELETED:
            pass
    assert told.is_empty


def test_a_reason_that_comes_too_late_is_not_shown(capsys: pytest.CaptureFixture[str]):
    """The run was shown to have begun meanwhile."""
    shown = Lines()
    waits = replace(EXECUTION, state=State.PENDING)
    shown.changed(waits)
    shown.waits("waits for a bus")
    shown.changed(replace(EXECUTION, state=State.RUNNING))
    shown.waits("waits for another bus")
    assert [line.partition("  ")[2] for line in capsys.readouterr().err.splitlines()] == [
        "PENDING",
        "PENDING  waits for a bus",
        "RUNNING  attempt 1",
    ]
