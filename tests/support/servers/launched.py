"""Processes of `schedule-grpc` in tests: started by a launcher, which has imported everything, or executed."""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import IO

from support.servers.launcher import REQUEST

COMMAND = str(Path(sys.executable).with_name("schedule-grpc"))
TESTS = Path(__file__).parents[2]
READ_AT_THE_START = ("COVERAGE_", "FAKETIME", "GRPC_", "LD_", "LC_", "LANG", "PYTHON")
"""Variables, by how their names begin, that the loader, the interpreter or a module reads once: where one of them
differs from the launcher's, the program is executed."""
OF_KIND = {"serves": {}, "calls": {"GRPC_VERBOSITY": "NONE"}}
"""What commands set before they import gRPC, by the kind of launcher."""
forks = True
"""Whether processes may be forked: a test of what a program imports has it executed."""
usual: dict[str, str] = {}
"""The environment of launchers: the suite's, before a test has changed it."""
measured = True
"""Whether coverage, where it is measured, is measured in servers too; those that it measures are executed."""


class Launched:
    """A process that a launcher started: what tests use of `subprocess.Popen`."""

    def __init__(self, arguments: Sequence[str], pid: int, ending: int, stdout: IO[str] | None) -> None:
        """Take how it was started, and the pipe on which its end will be told."""
        self.args = [COMMAND, *arguments]
        self.pid = pid
        self.returncode: int | None = None
        self.stdout = stdout
        self._ending: int | None = ending
        self._lock = Lock()

    def poll(self) -> int | None:
        """Return its exit code, or minus the signal that ended it; None while it runs."""
        return self._learned(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, and return the same.

        Raises:
            subprocess.TimeoutExpired: if it has not ended within ``timeout`` seconds.
        """
        code = self._learned(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def _learned(self, seconds: float | None) -> int | None:
        with self._lock:
            if self._ending is None:
                return self.returncode
            waiting = select.poll()  # not `select.select`, whose descriptors end at 1,024
            waiting.register(self._ending, select.POLLIN)
            if not waiting.poll(None if seconds is None else seconds * 1000):
                return None
            told = os.read(self._ending, 16)
            os.close(self._ending)
            self._ending = None
            assert told, f"the launcher of {self.args} has ended"
            self.returncode = int(told)
            return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send it SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self.send_signal(signal.SIGTERM)


class _Launcher:
    """A launcher that runs."""

    def __init__(self, kind: str, variables: dict[str, str]) -> None:
        self._variables = variables
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "support.servers.launcher", kind, str(theirs.fileno())],
                env=variables | OF_KIND[kind],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._asking = ours
        self._lock = Lock()

    def fits(self, variables: dict[str, str]) -> bool:
        """Return whether its processes are what the program would be, executed with these variables."""
        differing = {name for name, _ in variables.items() ^ self._variables.items()}
        return not any(name.startswith(READ_AT_THE_START) for name in differing)

    def start(self, text: bytes, descriptors: list[int]) -> int:
        """Ask for a process; return its id."""
        with self._lock:
            socket.send_fds(self._asking, [text], descriptors)
            answer = self._asking.recv(32)
        assert answer, f"the launcher has ended: {self._process.wait()}"
        return int(answer)

    def end(self) -> None:
        """End the launcher; what it started goes on."""
        self._asking.close()
        self._process.wait()


_launchers: dict[str, _Launcher] = {}
_launching = Lock()


def start(
    arguments: Sequence[str], *, folder: Path | None, variables: dict[str, str], stdout: int, stderr: IO[str]
) -> "Launched | subprocess.Popen[str]":
    """Start `schedule-grpc` with these arguments, in an environment that is exactly ``variables``.

    ``stdout`` may be a descriptor, or `subprocess.PIPE`: then the process has it as a stream.
    """
    launcher = _launcher(arguments, variables)
    if launcher is None:
        return subprocess.Popen(
            [COMMAND, *arguments], cwd=folder, env=variables, stdout=stdout, stderr=stderr, text=True
        )
    asked = {"arguments": list(arguments), "folder": None if folder is None else str(folder), "variables": variables}
    text = json.dumps(asked).encode()
    assert len(text) <= REQUEST
    stream, written = os.pipe() if stdout == subprocess.PIPE else (None, os.dup(stdout))
    ended, ending = os.pipe()
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        pid = launcher.start(text, [nothing, written, stderr.fileno(), ending])
    finally:
        for each in (nothing, written, ending):
            os.close(each)
    return Launched(arguments, pid, ended, None if stream is None else os.fdopen(stream, "r"))


def start_program(
    command: Sequence[str], *, folder: Path | None, variables: dict[str, str], stdout: int, stderr: IO[str]
) -> "Launched | subprocess.Popen[str]":
    """Start a program, which is executed if it is another than `schedule-grpc`."""
    if command[0] == COMMAND:
        return start(command[1:], folder=folder, variables=variables, stdout=stdout, stderr=stderr)
    return subprocess.Popen(command, cwd=folder, env=variables, stdout=stdout, stderr=stderr, text=True)


def run(
    arguments: Sequence[str], *, folder: Path | None, variables: dict[str, str], timeout: float
) -> "subprocess.CompletedProcess[str]":
    """Run it to its end, and return what it wrote.

    Raises:
        subprocess.TimeoutExpired: if it has not ended within ``timeout`` seconds; it is killed.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = start(arguments, folder=folder, variables=variables, stdout=out.fileno(), stderr=errors)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        return subprocess.CompletedProcess(process.args, code, written(out), written(errors))


def greeting_of(stdout: IO[str]) -> tuple[str, bool]:
    """Return the lines that a process writes at its start up to the empty one, and whether that came."""
    greeting = ""
    for line in stdout:
        if line == "\n":
            return greeting, True
        greeting += line
    return greeting, False


def written(file: IO[str]) -> str:
    """Return what stands in a file, read at an offset of its own: a process writes at the one that both share."""
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0).decode()


def environment(**more: str) -> dict[str, str]:
    """Return an environment in which the handlers of tests can be imported, and ``more``.

    Without what commands of the command line have set in the test's own process.
    """
    paths = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    dropped = ("SCHEDULE_", "GRPC_VERBOSITY") if measured else ("SCHEDULE_", "GRPC_VERBOSITY", "COVERAGE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return kept | {"PYTHONPATH": os.pathsep.join(paths)} | more


def _launcher(arguments: Sequence[str], variables: dict[str, str]) -> _Launcher | None:
    """Return one for a command with these variables; None if it is executed: coverage is measured in no fork."""
    if not forks or "COVERAGE_PROCESS_START" in variables:
        return None
    kind = "serves" if arguments and arguments[0] in ("serve", "worker") else "calls"
    with _launching:
        if kind not in _launchers:
            _launchers[kind] = _Launcher(kind, usual or environment())
            atexit.register(_launchers[kind].end)
        return _launchers[kind] if _launchers[kind].fits(variables) else None
