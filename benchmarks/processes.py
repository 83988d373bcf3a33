"""The processes of a benchmark: the real server and its peers, with the CPU and memory that they use (Linux)."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
COMMAND = str(Path(sys.executable).with_name("schedule-grpc"))
TICK = 1 / os.sysconf("SC_CLK_TCK")
STARTS_WITHIN = 600.0
"""Seconds that a server may take to start: it checks a large file first."""
ENDS_WITHIN = 1800.0
"""Seconds that a peer or a driver may take."""
STOPS_WITHIN = 60.0
"""Seconds."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process that serves, and its address."""

    pid: int
    address: str
    http_address: str = ""
    addresses: tuple[str, ...] = ()
    """All of gRPC, where there are several."""

    def cpu(self) -> float:
        """Return the CPU seconds of the process, its threads and its ended children included."""
        return cpu(self.pid)

    def resident(self) -> float:
        """Return the memory of the process in MB."""
        found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1]) / 1024


def cpu(pid: int) -> float:
    """Return the seconds of CPU that a process has used, its ended children included.

    Its own by its clock, in nanoseconds: /proc counts in hundredths of a second, which is much for ten executions.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return _own_cpu(pid) + sum(map(int, fields[13:15])) * TICK


def cpu_of_family(pid: int) -> float:
    """Return the CPU seconds of a process and all its children, the ended ones included."""
    total = cpu(pid)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended: its time is its parent's now
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                total += _own_cpu(int(stat.parent.name))
    return total


def _own_cpu(pid: int) -> float:
    return time.clock_gettime(~pid << 3 | 2)  # what clock_getcpuclockid(3) gives: the scheduler's count, all threads


def environment() -> dict[str, str]:
    """Return an environment in which the benchmark's own modules are found, and nothing configures a server.

    Compiled modules are kept, as they are where a server is installed.
    """
    ours = ("SCHEDULE_", "COVERAGE_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {"PYTHONPATH": str(ROOT)}


@dataclass(frozen=True, kw_only=True)
class Launched:
    """A started process, which may not serve yet. Its output goes to files: a pipe would fill up."""

    process: "subprocess.Popen[bytes]"
    output: Path
    errors: Path

    def until_written(self, pattern: str) -> "re.Match[str]":
        """Return what matches in its output, once it is there.

        Raises:
            RuntimeError: with its last errors, if it ends or is silent for too long.
        """
        ends = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < ends and self.process.poll() is None:
            if found := re.search(pattern, self.output.read_text(), re.MULTILINE):
                return found
            time.sleep(0.01)
        raise RuntimeError(f"{self.process.args!r} did not start: {self.errors.read_text()[-2000:]}")


def serve_command(folder: Path, **settings: Any) -> list[str]:
    """Return the command of a real server with a configuration: its log at info, our handlers, a file in the folder."""
    values = {"database": f"sqlite:///{folder}/bench.db", "grpc": "127.0.0.1:0", "http": "off", "concurrency": 500}
    values |= {"handlers": ["benchmarks.handlers"], "log_level": "info", "log_format": "json", "drain_timeout": "0s"}
    config = folder / f"{time.monotonic_ns()}.toml"
    config.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in (values | settings).items()))
    return [COMMAND, "serve", "--config", str(config)]


@contextmanager
def server(folder: Path, **settings: Any) -> Iterator[Process]:
    """Within this context a real server serves, as `serve_command` says."""
    with launched(serve_command(folder, **settings), folder) as started:
        started.until_written(r"^Try[:,]")  # it has greeted
        found = started.until_written(r"\AgRPC on ([^\n]+)(?:\nHTTP on http://(\S+))?")
        addresses = tuple(each.split()[0] for each in found[1].split(", "))
        yield Process(pid=started.process.pid, address=addresses[0], http_address=found[2] or "", addresses=addresses)


@contextmanager
def peer(module: str, *arguments: str, folder: Path, python: str | Path = sys.executable) -> Iterator[Process]:
    """Within this context a peer serves; its first line of output is its address."""
    with launched([str(python), "-m", f"benchmarks.peers.{module}", *arguments], folder) as started:
        address = started.until_written(r"\A(\S+)\n")[1]
        yield Process(pid=started.process.pid, address=address)


def result_of(module: str, *arguments: str, folder: Path, python: str | Path = sys.executable) -> dict[str, Any]:
    """Run one of the benchmark's modules to its end, and return what it prints as JSON.

    Raises:
        RuntimeError: if it fails.
    """
    command = [str(python), "-m", f"benchmarks.{module}", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=ENDS_WITHIN
    )
    if done.returncode:
        raise RuntimeError(f"{module}: {done.stderr[-2000:]}")
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


@contextmanager
def launched(command: list[str], folder: Path) -> Iterator[Launched]:
    """Within this context a process runs; afterwards it is asked to stop, and killed if it does not."""
    name = time.monotonic_ns()
    output, errors = folder / f"{name}.out", folder / f"{name}.log"
    with output.open("wb") as out, errors.open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=out, stderr=log)
    try:
        yield Launched(process=process, output=output, errors=errors)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
