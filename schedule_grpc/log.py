"""Log set-up: structlog, to standard error; foreign loggers' lines included."""

import io
import logging
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from schedule_grpc.log_values import presentable
from schedule_grpc.terminal_text import plain_line, plain_traceback

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Loss(io.RawIOBase):
    """A descriptor whose other end may be gone, or its disk full: what it does not take is lost, and nobody is told.

    A line is written in the midst of the service's work, by the database's writer too: an error there would end that.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        with suppress(OSError):
            os.write(self._descriptor, data)
        return memoryview(data).nbytes


def configure(*, style: str, level: str) -> None:
    """Set up logging for this process.

    Args:
        style: ``console`` for people, ``json`` for programs, ``auto`` for people on a terminal and programs elsewhere.
        level: The least that is logged: debug, info, warning or error.
    """
    least = logging.getLevelNamesMapping()[level.upper()]
    lines = io.TextIOWrapper(_Loss(sys.stderr.fileno()), "utf-8", "backslashreplace", write_through=True)  # type: ignore[type-var]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    for_people = style == "console" or (style == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor
    if for_people:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            # rich's own would print every local variable, secrets included.
            exception_formatter=plain_traceback,
        )
        tail: list[structlog.typing.Processor] = [presentable, plain_line, renderer]
    else:
        renderer = structlog.processors.JSONRenderer()
        tail = [presentable, renderer]
    structlog.configure(
        processors=[*shared, *tail],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.WriteLoggerFactory(file=lines),
        cache_logger_on_first_use=True,
    )
    foreign = logging.StreamHandler(lines)
    foreign.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail],
        )
    )
    logging.basicConfig(handlers=[foreign], level=max(least, logging.INFO), force=True)
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_no_farewell)


def _is_no_farewell(record: logging.LogRecord) -> bool:
    """Leave out what gRPC says, with a traceback, when a caller goes away at the moment of its answer.

    Callers may. That the answer could not be sent is no fault of the server's: https://github.com/grpc/grpc/pull/32551
    """
    return not str(record.msg).startswith("ExecuteBatchError raised in core")
