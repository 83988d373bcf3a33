"""Commands that run as processes while a test does something else."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support.servers import keyed_run
from support.servers.launched import COMMAND, environment
from support.servers.process import Server


@contextmanager
def started(server: Server, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Within this context a command runs; afterwards it is gone."""
    process = subprocess.Popen(
        [COMMAND, *arguments, "--server", server.address],
        env=environment(**keyed_run.variables(server.address)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until_it_says(stream: Any, text: str) -> list[str]:
    """Return the lines of a stream up to the first that holds a text."""
    lines = []
    for line in stream:
        lines.append(line.rstrip("\n"))
        if text in line:
            return lines
    raise AssertionError(f"{text!r} never came: {lines}")
