"""Real server processes for tests: started, asked, killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

COMMAND = str(Path(sys.executable).with_name("schedule-grpc"))
GRPCURL = str(Path(sys.executable).with_name("grpcurl"))
TESTS = Path(__file__).parent


def environment() -> dict[str, str]:
    """Return an environment in which the handlers of tests can be imported."""
    paths = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULE_")}
    return kept | {"PYTHONPATH": os.pathsep.join(paths)}


@dataclass
class Server:
    """A server process that answers calls on ``address``."""

    process: subprocess.Popen[str]
    address: str
    greeting: str

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def terminate(self) -> tuple[int, str]:
        """Ask it to stop; return its exit code and what it wrote to standard error."""
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=45)
        return self.process.returncode, errors


def start(folder: Path, *options: str) -> Server:
    """Start a server in a folder and wait until it answers."""
    process = subprocess.Popen(
        [COMMAND, "serve", "--grpc", "127.0.0.1:0", "--handlers", "process_handlers", *options],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    greeting = ""
    assert process.stdout is not None
    for line in process.stdout:
        if line == "\n":
            break
        greeting += line
    first, _, _ = greeting.partition("\n")
    if not first.startswith("gRPC on "):
        _, errors = process.communicate(timeout=10)
        raise AssertionError(f"exit {process.returncode}: {errors}")
    return Server(process, first.removeprefix("gRPC on "), greeting)


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Server]:
    """Within this context a server runs; whatever happens it is gone afterwards."""
    server = start(folder, *options)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()
        for stream in (server.process.stdout, server.process.stderr):
            if stream is not None:
                stream.close()


def run(*arguments: str, folder: Path | None = None, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
