"""kill -9 around the writes of log lines and progress: lines may be lost, outcomes are not, and nothing runs unseen."""

import asyncio
from itertools import pairwise
from pathlib import Path

from support.callers.load import QUICK
from support.patience import calling, until
from support.servers.process import served, start
from support.stories import checked, story
from support.witnesses.checker.reading import rows

from schedule_grpc.domain.execution import State
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.runtime.failpoints import STEPS, VARIABLE

LINES = 20
TALKS = '''"""A handler that logs, in its first attempt for longer than a flush takes."""

import asyncio

from schedule_grpc.handlers import handler


@handler("talks")
async def talks(ctx):
    for number in range(1, 21):
        ctx.log.info("line", number=number)
        ctx.progress(number / 20, "")
        await asyncio.sleep(0.1 if ctx.attempt == 1 else 0)
'''


async def killed_at(folder: Path, point: str) -> None:
    """Kill a server at a point, and start it again.

    The attempt counts as lost, unless its outcome was committed; what stands of its lines is in order, once each.
    """
    folder.mkdir()
    (folder / "talking.py").write_text(TALKS)
    server = await asyncio.to_thread(start, folder, handlers="talking", **{VARIABLE: f"{point}=kill"})
    async with calling(server.address) as client:
        await client.register_task(name="task", schedule="@manual", handler="talks", policy=Policy(retry=QUICK))
        execution = (await client.run_task_now("task", detach=True)).execution
    assert (point, await asyncio.to_thread(server.ended)) == (point, -9)
    async with served(folder, handlers="talking") as server:
        async with calling(server.address) as client:

            async def has_ended() -> bool:
                return (await client.get_execution(execution.id)).state.is_terminal

            await until(has_ended)
            found = await client.get_execution(execution.id)
        code, _ = await asyncio.to_thread(server.terminate)
    assert (code, found.state) == (0, State.SUCCEEDED)
    lost = [] if point == "record.committed" else [FailureKind.LEASE_LOST]
    assert (point, [each.failure_kind for each in found.failed_attempts]) == (point, lost)
    stored = rows(folder / "schedule.db", "SELECT * FROM execution_logs ORDER BY attempt, first_sequence")
    assert sum(each["line_count"] for each in stored if each["attempt"] == found.attempt) == LINES
    for former, later in pairwise(stored):
        assert former["attempt"] < later["attempt"] or former["last_sequence"] < later["first_sequence"]
    assert await checked(folder / "schedule.db", at_rest=True) == []


@story
async def test_killed_at_a_flush_of_lines(tmp_path: Path):
    """Before it, in its transaction, after its commit."""
    for step in STEPS:
        await killed_at(tmp_path / step, f"append_logs.{step}")


@story
async def test_killed_at_a_write_of_progress(tmp_path: Path):
    """The same."""
    for step in STEPS:
        await killed_at(tmp_path / step, f"note_progress.{step}")


@story
async def test_killed_at_an_outcome_with_lines(tmp_path: Path):
    """Between the flush and the record: the lines that it takes along are written with it, or not at all."""
    for step in STEPS:
        await killed_at(tmp_path / step, f"record.{step}")
