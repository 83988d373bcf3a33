"""Worker processes for tests: started, asked, killed."""

import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from support.patience import AT_MOST
from support.servers import keyed_run, launched
from support.servers.launched import COMMAND, Launched, environment, greeting_of, written

HANDLERS = "support.handlers.remote"


@dataclass(eq=False)
class WorkerProcess:
    """A worker that has registered."""

    process: "Launched | subprocess.Popen[str]"
    greeting: str
    log: IO[str]

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self.process.pid

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def ended(self) -> int:
        """Wait until it has ended, and return its exit code."""
        return self.process.wait(AT_MOST)

    def written(self) -> str:
        """Return what it has written to standard error so far."""
        return written(self.log)

    def close(self) -> None:
        """End it, if it has not ended yet."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(AT_MOST)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.log.close()


@contextmanager
def worker(
    address: str, *options: str, module: str = HANDLERS, folder: Path | None = None, **variables: str
) -> Iterator[WorkerProcess]:
    """Within this context a worker of a server runs; whatever happens it is gone afterwards."""
    shown = keyed_run.variables("--server", address)
    command = [COMMAND, "worker", module, "--server", address, *options]
    made = started(command, folder=folder, **(shown | variables))
    try:
        yield made
    finally:
        made.close()


def started(command: Sequence[str], *, folder: Path | None = None, **variables: str) -> WorkerProcess:
    """Start a program of a worker, or of several, and wait for the empty line that ends its greeting.

    Raises:
        AssertionError: if it ends before that, with what it wrote to standard error.
    """
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (it lives as long as the worker)
    process = launched.start_program(
        command, folder=folder, variables=environment(**variables), stdout=subprocess.PIPE, stderr=log
    )
    assert process.stdout is not None
    greeting, is_whole = greeting_of(process.stdout)
    made = WorkerProcess(process, greeting, log)
    if is_whole:
        return made
    process.wait(AT_MOST)
    errors = made.written()
    made.close()
    raise AssertionError(f"exit {process.returncode}: {errors}")
