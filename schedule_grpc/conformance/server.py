"""The real server behind the kit: a process, on a SQLite file, that can be killed and started again."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from pathlib import Path

from schedule_grpc.client import AsyncClient
from schedule_grpc.conformance.check import CLOCK

STARTS_WITHIN = 60.0
"""Seconds."""
SERVE = "from schedule_grpc.cli import main; main()"
UNLIMITED = {
    "max_open_executions": None,
    "runs_per_minute": None,
    "writes_per_minute": None,
    "max_streams": None,
    "running_share": None,
}
"""The limits of the kit's namespaces: a check queues as much as it wants."""


class CannotServe(Exception):
    """The kit's own server does not start: no worker can be judged."""


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment without the service's settings, and ``more``."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULE_")} | more


class Server:
    """A server process on a file of its own; its address stays the same over restarts."""

    def __init__(self, folder: Path) -> None:
        """Prepare a server whose file lies in a new folder."""
        folder.mkdir(parents=True)
        self._folder = folder
        self._process: Process | None = None
        self._namespaces = 0
        self.address = ""
        """Of gRPC, once it was started."""

    async def start(self) -> None:
        """Start it and wait until it answers calls.

        Raises:
            CannotServe: if it ends, or does not answer in time.
        """
        log = self._folder / "server.log"
        options = ("--grpc", self.address or "127.0.0.1:0", "--http", "off", "--database", "sqlite:///kit.db")
        with log.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", SERVE, "serve", *options),
                cwd=self._folder,
                env=environment(),
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=errors,
                start_new_session=True,
            )
        greeting = ""
        with suppress(TimeoutError):
            async with CLOCK.timeout(STARTS_WITHIN):
                greeting = await self._greeting(self._process)
        found = re.match(r"gRPC on (\S+)", greeting)
        if found is None:
            await self.kill()
            raise CannotServe(f"the server does not start: {log.read_text(errors='replace')[-2000:]}")
        self.address = found[1]

    async def _greeting(self, process: Process) -> str:
        lines = []
        while process.stdout is not None and (line := await process.stdout.readline()).strip():
            lines.append(line.decode())
        return "".join(lines)

    async def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()
            self._process = None

    async def new_namespace(self) -> str:
        """Create a namespace, so that stages on one server do not meet, and return its name."""
        self._namespaces += 1
        name = f"stage-{self._namespaces}"
        async with AsyncClient(self.address) as client:
            await client.create_namespace(name, limits=UNLIMITED)
        return name
