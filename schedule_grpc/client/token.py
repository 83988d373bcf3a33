"""The token of a client: a text, or a file that is read again whenever it changes."""

import re
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TypeAlias

from schedule_grpc.tracing import TRACEPARENT, present_span

Metadata: TypeAlias = tuple[tuple[str, str], ...]
CallMetadata: TypeAlias = Callable[[], Metadata]
"""Returns the metadata of a call that is made now."""

_TOKEN = re.compile(r"[!-~]+")


def no_metadata() -> Metadata:
    """Return the metadata of a call without a token."""
    return ()


def with_trace(metadata: CallMetadata) -> CallMetadata:
    """Return what adds the span in progress to the metadata of calls: a traced handler may be the caller."""

    def both() -> Metadata:
        span = present_span()
        return metadata() if span is None else (*metadata(), (TRACEPARENT, span.traceparent))

    return both


def metadata_with(token: str | None, token_file: PathLike[str] | str | None) -> CallMetadata:
    """Return what makes the metadata of calls.

    Raises:
        ValueError: if both are given, or the token is none.
        OSError: if the file cannot be read.
    """
    if token is not None and token_file is not None:
        raise ValueError("token and token_file exclude each other")
    if token_file is not None:
        return TokenFile(Path(token_file)).metadata
    if token is None:
        return no_metadata
    metadata = _bearer(token)
    return lambda: metadata


class TokenFile:
    """A file that holds a token: whoever rotates the key replaces the file, and no program has to start anew."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            ValueError: if it holds no token.
            OSError: if it cannot be read.
        """
        self._path = path
        self._seen = _signature(path)
        self._metadata = _read(path)

    def metadata(self) -> Metadata:
        """Return the metadata with the token as the file has it now; as it had it, while it cannot be read."""
        try:
            seen = _signature(self._path)
            if seen != self._seen:
                self._metadata = _read(self._path)
                self._seen = seen
        except (OSError, ValueError):
            pass  # it is being replaced: the next call looks again
        return self._metadata


def _signature(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_ino, found.st_size


def _read(path: Path) -> Metadata:
    try:
        return _bearer(path.read_text("ascii").strip())
    except ValueError:
        raise ValueError(f"{path} holds no token: one line of printable ASCII characters without blanks") from None


def _bearer(token: str) -> Metadata:
    if not _TOKEN.fullmatch(token):
        raise ValueError("a token consists of printable ASCII characters without blanks")
    return (("authorization", f"Bearer {token}"),)
