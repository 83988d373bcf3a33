"""The worker under test: a process that the kit starts, stops and kills."""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from schedule_grpc.conformance.check import CLOCK, Broken

SHOWN = 2000
"""Characters of a worker's output that a failed check shows, from its end."""


class CannotRun(Exception):
    """The command that is to be tested cannot be started at all."""


class Program:
    """One process of the worker, in a group of its own."""

    def __init__(self, process: Process, output: Path) -> None:
        self._process = process
        self._output = output

    @classmethod
    async def started(cls, command: Sequence[str], env: Mapping[str, str], output: Path) -> "Program":
        """Start the command.

        Raises:
            CannotRun: if there is no such program.
        """
        with output.open("wb") as file:
            try:
                process = await asyncio.create_subprocess_exec(
                    *command, env=env, stdin=DEVNULL, stdout=file, stderr=STDOUT, start_new_session=True
                )
            except OSError as error:
                raise CannotRun(f"{command[0]}: {error.strerror}") from error
        return cls(process, output)

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.returncode

    @property
    def output(self) -> str:
        """The end of what it has written."""
        return self._output.read_text(errors="replace")[-SHOWN:]

    def terminate(self) -> None:
        """Ask it to stop."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def pause(self) -> None:
        """Stop it and all that it has started (SIGSTOP)."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on (SIGCONT)."""
        os.killpg(self._process.pid, signal.SIGCONT)

    async def kill(self) -> None:
        """End it and all that it has started, as a power cut would."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    async def ended(self, *, within: float) -> int:
        """Return its exit code once it has ended.

        Raises:
            Broken: if it does not end within this number of seconds.
        """
        try:
            async with CLOCK.timeout(within):
                return await self._process.wait()
        except TimeoutError:
            raise Broken(f"the process has not ended after {within:.0f} s") from None
