"""Compression and checksums of backups: zstd where the package zstandard is there, else gzip."""

import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from schedule_grpc.errors import ConfigurationError, InvalidArgument
from schedule_grpc.runtime import private_files
from schedule_grpc.runtime.threads import Stopped

CHUNK = 1 << 20
PACKED_CHUNK = 4096
"""Compressed bytes that are decompressed at once: a page of zeros becomes thousands of pages."""
ZSTD_LEVEL = 3
GZIP_LEVEL = 6
ENDINGS = {"zstd": "zst", "gzip": "gz"}
"""Of file names, by compression."""


def chosen(compression: str | None) -> str:
    """Return the requested compression, if it is available.

    Raises:
        InvalidArgument: if it is unknown.
        ConfigurationError: if the package for it is missing.
    """
    if compression is None:
        return "zstd" if _zstandard(required=False) else "gzip"
    if compression not in ENDINGS:
        raise InvalidArgument.of("payload.compression", f"{compression!r} is neither zstd nor gzip")
    if compression == "zstd":
        _zstandard()
    return compression


@contextmanager
def packing(path: Path, compression: str, *, now: datetime) -> Iterator[BinaryIO]:
    """Within this context bytes are written compressed to a new file; at its end they have reached the disk."""
    file = open(path, "xb", opener=private_files.opener)  # noqa: SIM115 (see below)
    if compression == "zstd":
        packer: Any = _zstandard().ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True)
        writer: Any = packer.stream_writer(file, closefd=False)
    else:
        writer = gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=int(now.timestamp()))
    try:
        yield writer
        writer.close()
        synced(file)
    except BaseException:
        # On a full disk closing fails too, and would take the place of the error that says what happened.
        for each in (writer, file):
            with suppress(OSError):
                each.close()
        raise
    file.close()


@contextmanager
def unpacking(path: Path, compression: str) -> Iterator[io.BufferedReader]:
    """Within this context what was compressed is read.

    Raises:
        ValueError: from the reading too, if it was not compressed so, or only in part.
    """
    broken: tuple[type[Exception], ...] = (EOFError, zlib.error, gzip.BadGzipFile)
    with path.open("rb") as file:
        if compression == "zstd":
            zstandard = _zstandard()
            broken += (zstandard.ZstdError,)
            opened: Any = _Unpacked(file, zstandard.ZstdDecompressor().decompressobj())
        else:
            opened = gzip.GzipFile(fileobj=file, mode="rb")
        try:
            with io.BufferedReader(opened, CHUNK) as reader:
                yield reader
        except broken as error:
            raise ValueError(f"cannot be decompressed: {error}") from error


class _Unpacked(io.RawIOBase):
    """What was compressed by zstd, to its end. zstandard's own reader takes a part of a frame for the whole of it."""

    def __init__(self, file: BinaryIO, frame: Any) -> None:
        self._file = file
        self._frame = frame
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest and not self._frame.eof:
            packed = self._file.read(PACKED_CHUNK)
            if not packed:
                raise EOFError("it ends too early")
            self._rest = memoryview(self._frame.decompress(packed))
        part = self._rest[: len(buffer)]
        buffer[: len(part)] = part
        self._rest = self._rest[len(part) :]
        return len(part)


def chunks(file: BinaryIO, *, unwanted: Callable[[], bool]) -> Iterator[bytes]:
    """Return what a file holds, piece by piece.

    Raises:
        Stopped: because it was unwanted.
    """
    while chunk := file.read(CHUNK):
        if unwanted():
            raise Stopped
        yield chunk


def checksum(path: Path, *, unwanted: Callable[[], bool]) -> str:
    """Return the SHA-256 of a file as it is on the disk, in hexadecimal.

    Raises:
        Stopped: because it was unwanted.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in chunks(file, unwanted=unwanted):
            digest.update(chunk)
    return digest.hexdigest()


def synced(file: BinaryIO) -> None:
    """Return once what was written to a file is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def _zstandard(*, required: bool = True) -> Any:
    try:
        import zstandard  # noqa: PLC0415 (optional)
    except ImportError:
        if not required:
            return None
        raise ConfigurationError(
            "zstd needs the package zstandard: pip install zstandard, or 'schedule-grpc[storage]'"
        ) from None
    return zstandard
