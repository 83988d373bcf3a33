"""The ends of a command's process: exit codes, and the messages on standard error."""

import sys
from typing import NoReturn

from schedule_grpc.text.terminal import plain

FAILED = 1
USAGE = 2
UNREACHABLE = 3
INTERRUPTED = 130


def fail(message: str, *, code: int) -> NoReturn:
    """End the process with a message on standard error."""
    print(plain(message), file=sys.stderr)
    raise SystemExit(code)


def warn(message: str) -> None:
    """Write a message on standard error; the command goes on."""
    print(plain(message), file=sys.stderr)
