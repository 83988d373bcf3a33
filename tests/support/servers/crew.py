"""Worker processes in one folder, beside what their handlers note there: killed, stopped, put to sleep."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from support.patience import until
from support.servers.launched import COMMAND
from support.servers.worker_process import WorkerProcess, started
from support.witnesses import effects

NOTING = "support.handlers.noting"
SHORTEST = "10s"
"""The shortest lease."""
FAULTS = ("never retrieved", "never awaited", "outcome_not_made")
"""What no worker writes, whatever befalls it."""


class Workers:
    """Worker processes in one folder, beside what their handlers note."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.alive: list[WorkerProcess] = []

    async def start(
        self,
        address: str,
        *options: str,
        module: str = NOTING,
        name: str = "worker",
        slots: int = 8,
        lease: str = SHORTEST,
        offers: str = "",
    ) -> WorkerProcess:
        """Start one, and wait until it is registered; ``offers``: of the module's handlers these alone, by commas."""
        named = ("--name", name, "--slots", str(slots), "--lease", lease, "--log-format", "console")
        command = [COMMAND, "worker", module, "--server", address, *named, *options]
        return await self._started(command, OFFERED_HANDLERS=offers)

    async def start_many(
        self, address: str, number: int, *, slots: int, seconds: float = 0.0, handler: str = "quick", lease: float = 30
    ) -> WorkerProcess:
        """Start so many workers in one process; their handler takes some seconds."""
        how = [str(each) for each in (number, slots, seconds, handler, lease)]
        return await self._started([sys.executable, "-m", "support.workers.many", address, *how])

    async def _started(self, command: list[str], **variables: str) -> WorkerProcess:
        worker = await asyncio.to_thread(started, command, folder=self.folder, **variables)
        self.alive.append(worker)
        return worker

    async def kill(self, worker: WorkerProcess) -> None:
        """End one as a power cut would."""
        self.alive.remove(worker)
        await asyncio.to_thread(worker.close)
        effects.note_killed(self.folder, worker.pid)

    def pause(self, worker: WorkerProcess) -> None:
        """Stop one as a machine that sleeps: what it runs is not at work."""
        worker.tell(signal.SIGSTOP)
        effects.note_killed(self.folder, worker.pid)

    def resume(self, worker: WorkerProcess) -> None:
        """Let it go on."""
        worker.tell(signal.SIGCONT)

    async def stop(self, worker: WorkerProcess) -> str:
        """Ask one to stop; it does so cleanly. Return what it wrote."""
        self.alive.remove(worker)
        worker.tell(signal.SIGTERM)
        code = await asyncio.to_thread(worker.ended)
        written = worker.written()
        await asyncio.to_thread(worker.close)
        assert code == 0, f"exit code {code}: {written[-2000:]}"
        assert not [fault for fault in FAULTS if fault in written], written[-4000:]
        return written

    async def stop_all(self) -> None:
        """Ask all to stop; they do so cleanly."""
        await asyncio.gather(*(self.stop(worker) for worker in tuple(self.alive)))

    async def begun(self, execution_id: str, *, attempts: int = 1) -> effects.Effect:
        """Wait until an execution has begun so often; return where it did so last."""

        async def found() -> effects.Effect | None:
            marks = [each for each in effects.begun(self.folder) if each.execution == execution_id]
            return marks[-1] if len(marks) >= attempts else None

        return await until(found)


@asynccontextmanager
async def workers(folder: Path) -> AsyncIterator[Workers]:
    """Within this context workers can be started; none is left afterwards."""
    made = Workers(folder)
    try:
        yield made
    finally:
        for worker in made.alive:
            await asyncio.to_thread(worker.close)
