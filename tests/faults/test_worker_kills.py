"""kill -9 at every step of every write that workers cause; the server comes back, and so do its workers."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from itertools import count
from pathlib import Path

from support.callers.raw_worker import Manner, RawWorker
from support.patience import calling, until
from support.servers.process import Server, start
from support.stories import checked, story
from support.witnesses.checker import Acknowledged
from support.witnesses.checker.reading import rows

from schedule_grpc.domain.policy import Overlap, Policy
from schedule_grpc.domain.retry import RetryPolicy
from schedule_grpc.errors import Unavailable
from schedule_grpc.formats.protobuf import RemoteError
from schedule_grpc.runtime.failpoints import VARIABLE

OPERATIONS = (
    *("register_worker", "give", "renew_workers", "end_worker", "lapse_workers", "end_overtime", "remove_workers"),
)
AT_ONCE = RetryPolicy(
    max_retries=100, initial_backoff=timedelta(milliseconds=50), max_backoff=timedelta(milliseconds=50)
)
TASKS = {
    "diligent": Policy(overlap=Overlap.ALLOW_ALL, retry=AT_ONCE),
    "gone": Policy(overlap=Overlap.ALLOW_ALL, retry=AT_ONCE),
    "deaf": Policy(timeout=timedelta(seconds=1), retry=AT_ONCE),
}


class Crew:
    """Workers of every manner, and a caller that gives them work."""

    def __init__(self) -> None:
        self.diligent = RawWorker("diligent")
        self._numbers = count(1)
        self._others = (RawWorker("deaf", Manner.DEAF), RawWorker("gone", Manner.GONE))

    async def work(self, address: str) -> None:
        """Work until cancelled, or the server is gone."""
        workers = (self.diligent, *self._others)
        await asyncio.gather(self._ask(address), *(each.work(address) for each in workers))

    async def finish(self, address: str) -> None:
        """Do what is left: every worker is diligent now."""
        workers = [self.diligent, RawWorker("deaf"), RawWorker("gone")]
        await asyncio.gather(*(each.work(address) for each in workers))

    async def _ask(self, address: str) -> None:
        async with calling(address, patience=0) as client:
            with suppress(Unavailable):
                while True:
                    number = next(self._numbers)
                    for name in TASKS if number % 20 == 1 else ("diligent",):
                        with suppress(RemoteError):
                            await client.run_task_now(name, detach=True, request_id=f"{name}-{number}")
                    await asyncio.sleep(0.1)


async def cancelled(work: "asyncio.Task[None]") -> None:
    """Let go of what still works."""
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work


async def killed_once(folder: Path, crew: Crew, point: str) -> None:
    """Let them work until the server dies at a point; it may do so before it greets."""
    try:
        server = await asyncio.to_thread(start, folder, **{VARIABLE: point})
    except AssertionError as ended:
        if "exit -9" not in str(ended):
            raise
        return
    working = asyncio.create_task(crew.work(server.address))
    assert (point, await asyncio.to_thread(server.ended)) == (point, -9)
    await cancelled(working)


async def killed_at(folder: Path, step: str) -> None:
    """Kill a server at this step of each write, one after the other; then let all that is left be done, and look."""
    crew, place = Crew(), folder / "schedule.db"
    server = await asyncio.to_thread(start, folder)
    async with calling(server.address) as client:
        for name, policy in TASKS.items():
            await client.register_task(
                name=name, schedule="@manual", handler=name, policy=policy, allow_unknown_handler=True
            )
    await asyncio.to_thread(server.terminate)
    for operation in OPERATIONS:
        await killed_once(folder, crew, f"{operation}.{step}=kill")
    await finished(folder, crew, place)
    told = Acknowledged(executions=crew.diligent.answered, succeeded=crew.diligent.answered)
    assert await checked(place, told, at_rest=True) == []


async def finished(folder: Path, crew: Crew, place: Path) -> None:
    """Return once nothing is open any more."""
    server: Server = await asyncio.to_thread(start, folder)
    working = asyncio.create_task(crew.finish(server.address))

    async def nothing_open() -> bool:
        return not await asyncio.to_thread(rows, place, "SELECT 1 FROM task_executions WHERE gate IS NOT NULL LIMIT 1")

    await until(nothing_open)
    await cancelled(working)
    code, _ = await asyncio.to_thread(server.terminate)
    assert code == 0


@story
async def test_killed_before_each_write_of_workers(tmp_path: Path):
    """Nothing of it has happened: the worker does it again."""
    await killed_at(tmp_path, "begun")


@story
async def test_killed_in_each_open_transaction_of_workers(tmp_path: Path):
    """All of it is written, nothing is committed."""
    await killed_at(tmp_path, "written")


@story
async def test_killed_after_each_commit_of_workers(tmp_path: Path):
    """It is on disk, and the worker has not been told: what it was given comes again, what it gave back is taken."""
    await killed_at(tmp_path, "committed")
