"""The ends of a command's process: exit codes, and the messages on standard error."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def exiting_on_refusals() -> Iterator[None]:
    """Within this context wrong settings, and a database that must not be used, end a command that asks no server."""
    from schedule_grpc.errors import ConfigurationError, DatabaseRefused
    from schedule_grpc.settings.config import WrongSettings

    try:
        yield
    except WrongSettings as error:
        fail("\n".join(error.complaints), code=USAGE)
    except ConfigurationError as error:
        fail(str(error), code=USAGE)
    except DatabaseRefused as error:
        fail(str(error), code=FAILED)
