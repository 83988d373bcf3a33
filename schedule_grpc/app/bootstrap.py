"""The first key of a service, written to a file by the server that starts: never handed to the first caller."""

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import structlog

from schedule_grpc.domain.access.caller import EVERYTHING, Caller
from schedule_grpc.domain.access.keys import KeyRequest
from schedule_grpc.errors import CannotStart, KeyExists
from schedule_grpc.runtime import private_files
from schedule_grpc.service.keys import KeyService

log = structlog.get_logger(__name__)

NAME = "bootstrap"
SERVER = Caller(name="server", grants=EVERYTHING)


async def write_first_key(path: Path, keys: KeyService, learn: Callable[[], Awaitable[None]]) -> None:
    """Make the key ``bootstrap``, which may do everything, and write its text to a new file that only its owner reads.

    Where another server has just made it, there is nothing to write, and this one learns of it by ``learn``: until it
    knows a key it would answer everybody.

    Raises:
        CannotStart: if the file exists, or cannot be written: then there is no key, either.
        ScheduleError: as `KeyService.create_key`.
    """
    try:
        descriptor = private_files.opener(str(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except OSError as error:
        raise CannotStart(f"auth.bootstrap_key_file: {path}: {error.strerror}") from error
    is_written = False
    try:
        with os.fdopen(descriptor, "w") as file:
            made = await keys.create_key(SERVER, KeyRequest(name=NAME, grants=tuple(map(str, EVERYTHING))))
            file.write(made.text + "\n")
        is_written = True
        log.info("auth.first_key_written", file=str(path), key=NAME)
    except KeyExists:
        await learn()
        log.info("auth.first_key_exists", key=NAME)
    except OSError as error:
        await keys.revoke_key(SERVER, NAME)
        raise CannotStart(f"auth.bootstrap_key_file: {path}: {error.strerror}") from error
    finally:
        if not is_written:
            with suppress(OSError):
                path.unlink()  # noqa: ASYNC240 (a name of a folder, in a moment)
