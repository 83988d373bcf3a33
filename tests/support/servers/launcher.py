"""A program that starts `schedule-grpc` as often as it is asked to, in a child that has all modules already.

Importing takes a server three quarters of its start, and the suite starts hundreds. A child is a process of its own: it
has the arguments, environment, folder and streams that it was given, and gets every signal. What differs from a program
that was executed is that nothing is imported anew; `support.servers.launched` executes where that would tell.

One request is a datagram: JSON, and with it four descriptors: the child's standard streams, and a pipe on which its end
is told. The answer is the id of its process.
"""

import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schedule_grpc.runtime import failpoints

REQUEST = 1 << 17
"""Bytes of the longest request."""
STREAMS = 3
SERVES = (
    "schedule_grpc.app",
    "schedule_grpc.api.http",
    "schedule_grpc.api.http.server",
    "schedule_grpc.api.http.site",
    "schedule_grpc.api.ui.dashboard",
    "schedule_grpc.api.ui.pages",
    "schedule_grpc.cli.tables",
    "schedule_grpc.database.postgres",
    "schedule_grpc.worker.worker",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
)
CALLS = ("schedule_grpc.client", "schedule_grpc.cli.tables", "schedule_grpc.formats.json_answers")
KINDS = {"serves": SERVES, "calls": CALLS}
"""What is imported for servers and workers, and for commands that call them."""


@dataclass
class Asked:
    """One process, as it is wanted."""

    arguments: list[str]
    folder: str | None
    variables: dict[str, str]
    descriptors: list[int]
    """Standard streams, and the pipe for the end."""


class Launcher:
    """Starts processes, and tells of each how it ended."""

    def __init__(self, asking: socket.socket) -> None:
        """Take the socket on which it is asked; its end is the launcher's."""
        self._asking = asking
        self._pipes: dict[int, int] = {}
        self._woken, self._waker = socket.socketpair()
        for each in (self._woken, self._waker):
            each.setblocking(False)

    def serve(self) -> Asked | None:
        """Start what is asked for, until no one asks; in a process that was started return what it was asked for."""
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # typed at a terminal, where pytest and the servers hear it, too
        with selectors.DefaultSelector() as either:
            either.register(self._asking, selectors.EVENT_READ)
            either.register(self._woken, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in either.select()}
                if self._woken in ready:
                    self._woken.recv(4096)
                    self._tell_ends()
                if self._asking in ready:
                    text, descriptors, _, _ = socket.recv_fds(self._asking, REQUEST, STREAMS + 1)
                    if not text:
                        return None
                    if (asked := self._started(text, descriptors)) is not None:
                        return asked

    def _started(self, text: bytes, descriptors: list[int]) -> Asked | None:
        asked = Asked(**json.loads(text), descriptors=descriptors)
        if (pid := os.fork()) == 0:
            return asked
        *streams, ending = asked.descriptors
        for each in streams:
            os.close(each)
        self._pipes[pid] = ending
        self._asking.send(str(pid).encode())
        return None

    def _tell_ends(self) -> None:
        while self._pipes:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            pipe = self._pipes.pop(pid)
            os.write(pipe, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(pipe)

    def forget(self) -> None:
        """In a process that was started: let go of all that is the launcher's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for pipe in self._pipes.values():
            os.close(pipe)
        for each in (self._asking, self._woken, self._waker):
            each.close()


def become(asked: Asked) -> None:
    """Make this process the one that was asked for."""
    *streams, ending = asked.descriptors
    for number, each in enumerate(streams):
        os.dup2(each, number)
        os.close(each)
    os.close(ending)
    # As the interpreter does at its start: whether a stream can be sought, or is a terminal, is found out then.
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(  # noqa: SIM115
        2, "w", buffering=1, errors="backslashreplace", closefd=False
    )
    os.environ.clear()
    os.environ.update(asked.variables)
    time.tzset()
    tempfile.tempdir = None
    if asked.folder is not None:
        os.chdir(asked.folder)
    failpoints.arm(asked.variables.get(failpoints.VARIABLE, ""))
    sys.modules["__main__"].__package__ = None  # Click says `python -m ...` in its usage where there is one
    sys.argv = [str(Path(sys.executable).with_name("schedule-grpc")), *asked.arguments]


def run(kind: str, descriptor: int) -> Any:
    """Import what a kind of command needs, start processes, and be one of them in the end."""
    for each in KINDS[kind]:
        importlib.import_module(each)
    command = importlib.import_module("schedule_grpc.cli").main
    gc.collect()
    gc.freeze()
    launcher = Launcher(socket.socket(fileno=descriptor))
    asked = launcher.serve()
    if asked is None:
        return None
    launcher.forget()
    become(asked)
    return command()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], int(sys.argv[2])))
