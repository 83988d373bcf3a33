"""Standard output and standard error, as they are: of any encoding, read to the end or not, on a disk that is full."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

CANNOT_WRITE = 1
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


@contextmanager
def writing() -> Iterator[None]:
    """Within this context output that cannot be written ends the process without a traceback.

    Characters that the encoding lacks are escaped. A reader that is gone (`| head`) ends the process quietly, a
    full disk with a message.
    """
    for stream in _streams():
        stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]
    try:
        try:
            yield
        finally:
            for stream in _streams():
                stream.flush()
    except BrokenPipeError:
        _give_up()
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        with suppress(OSError):
            print(f"cannot write the output: {error.strerror}", file=sys.stderr)
        _give_up()


def is_unicode(stream: TextIO | None) -> bool:
    """Return whether a stream can encode every character."""
    return stream is None or (stream.encoding or "utf-8").lower().replace("_", "-").startswith(("utf-8", "utf8"))


def _streams() -> list[TextIO]:
    """Return the standard streams that are open: a shell can start a process without them (``>&-``)."""
    return [stream for stream in (sys.stdout, sys.stderr) if stream is not None]


def _give_up() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in _streams():
        try:
            stream.flush()
        except OSError:
            os.dup2(nowhere, stream.fileno())  # else Python tries again as it exits, and prints the error
    raise SystemExit(CANNOT_WRITE)
