"""A server process, and the command line asked in this process: a hundred times faster than one of its own."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import pytest
from support.servers.process import Server, serving

from schedule_grpc.cli.main import app

HANDLERS = "support.handlers.on_call"


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed to standard output, which is JSON and nothing else."""
        return json.loads(self.out)


Ask = Callable[..., Done]


def command(*arguments: str, stdin: str = "") -> Done:
    """Run a command to its end."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        try:
            app(arguments, prog_name="schedule-grpc")
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the module, with the built-in tasks, and handlers that do as they are told."""
    folder = tmp_path_factory.mktemp("server")
    # Nobody reads its log here, and a pipe that is full would stop it.
    with serving(folder, "--init", "--handlers", HANDLERS, "--log-level", "error") as started:
        yield started


@pytest.fixture
def ask(server: Server) -> Ask:
    """Run a command that asks the server."""

    def run(*arguments: str, stdin: str = "") -> Done:
        return command(*arguments, "--server", server.address, stdin=stdin)

    return run


@pytest.fixture
def tell() -> Ask:
    """Run a command that asks nobody, or whom it names itself."""
    return command
