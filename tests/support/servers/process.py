"""Real server processes for tests: started, asked, killed."""

import asyncio
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.patience import AT_MOST
from support.servers import keyed_run, launched
from support.servers.launched import Launched, environment, greeting_of, written

GRPCURL = str(Path(sys.executable).with_name("grpcurl"))
ASKED_TO_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def let_children_hear() -> None:
    """Let every process that a test starts hear the signals that ask it to stop.

    A shell without a terminal starts `make test &` with SIGINT ignored, and nohup does so with SIGHUP: a process that
    is started inherits both, and would never end. What is handled here is as usual there; here nothing changes.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKED_TO_STOP)
    for each in ASKED_TO_STOP:
        if signal.getsignal(each) is signal.SIG_IGN:
            signal.signal(each, _unheard)


def _unheard(_number: int, _frame: object) -> None:
    """Ignore a signal, but for oneself alone."""


STARTED: "list[Server]" = []
"""Those that nobody has seen the end of yet."""


@dataclass
class Server:
    """A server process that answers calls on ``address``, its first."""

    process: "Launched | subprocess.Popen[str]"
    address: str
    greeting: str
    http_address: str | None
    """None where it was not asked to speak HTTP."""
    log: IO[str]
    """What it writes to standard error: a file, for a pipe that nobody reads would fill up and stop the server."""

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.ended()

    def end(self) -> None:
        """End it, if it has not ended yet."""
        if self.process.poll() is None:
            self.kill()
        self.close()

    def ended(self) -> int:
        """Wait until it has ended, let go of what it wrote, and return its exit code."""
        code = self.process.wait(AT_MOST)
        self.close()
        return code

    def terminate(self) -> tuple[int, str]:
        """Ask it to stop; return its exit code and what it wrote to standard error."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(AT_MOST)
        errors = self.written()
        self.close()
        return self.process.returncode, errors

    def written(self) -> str:
        """Return what it has written to standard error so far."""
        return written(self.log)

    def resident(self, *, at_most: bool = False) -> int:
        """Return how many bytes of memory it holds, or held at most so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"^{'VmHWM' if at_most else 'VmRSS'}:\s+(\d+) kB", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    def count(self, what: str) -> int:
        """Return how many descriptors (``fd``) or threads (``task``) it has open."""
        return len(list(Path(f"/proc/{self.process.pid}/{what}").iterdir()))

    def asleep(self) -> bool:
        """Return whether it is stopped (SIGSTOP)."""
        return stopped(self.process.pid)

    def close(self) -> None:
        """Let go of what it wrote."""
        if self in STARTED:
            STARTED.remove(self)
        for stream in (self.process.stdout, self.log):
            if stream is not None:
                stream.close()


def start(folder: Path, *options: str, handlers: str | None = "support.handlers.ordinary", **variables: str) -> Server:
    """Start a server in a folder and wait until it answers.

    ``handlers`` None leaves them to its configuration; ``variables`` are put into its environment.
    """
    chosen = [] if handlers is None else ["--handlers", handlers]
    file = keyed_run.new_file()
    is_keyed = keyed_run.is_on and "--bootstrap-key-file" not in options
    if is_keyed:
        chosen += ["--bootstrap-key-file", str(file)]
        variables = {"SCHEDULE_AUTH__MODE": "required"} | variables
    server = start_as_written(folder, "serve", "--grpc", "127.0.0.1:0", "--http", "off", *chosen, *options, **variables)
    keyed_run.learn(_database(folder, options), file, server.address, server.http_address)
    assert not is_keyed or keyed_run.key_for(server.address)
    return server


def start_as_written(folder: Path, *arguments: str, **variables: str) -> Server:
    """Start `schedule-grpc` with just these arguments and variables, and wait until it answers."""
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (it lives as long as the server)
    process = launched.start(
        arguments, folder=folder, variables=environment(**variables), stdout=subprocess.PIPE, stderr=log
    )
    assert process.stdout is not None
    greeting, _ = greeting_of(process.stdout)
    first, _, _ = greeting.partition("\n")
    if not first.startswith("gRPC on "):
        process.wait(AT_MOST)
        errors = written(log)
        process.stdout.close()
        log.close()
        raise AssertionError(f"exit {process.returncode}: {errors}")
    found = re.search(r"^HTTP on http://([^\s,]+)", greeting, re.MULTILINE)
    server = Server(
        process, first.removeprefix("gRPC on ").partition(", ")[0], greeting, found[1] if found else None, log
    )
    STARTED.append(server)
    return server


def _database(folder: Path, options: tuple[str, ...]) -> str:
    """Return what tells a server's database from others: its name in PostgreSQL, whatever leads there, or a file."""
    url = options[options.index("--database") + 1] if "--database" in options else ""
    return urlsplit(url).path if url.startswith("postgresql") else f"{folder} {url}"


def code_of_the_next(folder: Path, *, handlers: str, **variables: str) -> int:
    """Start a server that ends by itself; return its exit code. At work that was left it may end before it greets."""
    try:
        return start(folder, handlers=handlers, **variables).ended()
    except AssertionError as ended:
        return int(str(ended).partition(":")[0].removeprefix("exit "))


def end_all() -> None:
    """End every server that a test which failed has left."""
    for server in tuple(STARTED):
        server.kill()


@contextmanager
def serving(
    folder: Path, *options: str, handlers: str | None = "support.handlers.ordinary", **variables: str
) -> Iterator[Server]:
    """Within this context a server runs; whatever happens it is gone afterwards."""
    server = start(folder, *options, handlers=handlers, **variables)
    try:
        yield server
    finally:
        server.end()


@asynccontextmanager
async def served(
    folder: Path, *options: str, handlers: str | None = "support.handlers.ordinary", **variables: str
) -> AsyncIterator[Server]:
    """The same, for stories: while their event loop stood still, the deadlines of others' calls would pass."""
    server = await asyncio.to_thread(start, folder, *options, handlers=handlers, **variables)
    try:
        yield server
    finally:
        await asyncio.to_thread(server.end)


def stopped(pid: int) -> bool:
    """Return whether a process is stopped (SIGSTOP)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


async def serves(server: Server) -> bool:
    """Return whether a server says that it is healthy."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def run(*arguments: str, folder: Path | None = None, timeout: float = AT_MOST) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    proof = {} if "--token-file" in arguments else keyed_run.variables(*arguments)
    return launched.run(arguments, folder=folder, variables=environment(**proof), timeout=timeout)
