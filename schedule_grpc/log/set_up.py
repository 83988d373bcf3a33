"""Log set-up: structlog, to standard error; foreign loggers' lines included."""

import atexit
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import structlog

from schedule_grpc.log.lines import Lines, text_of
from schedule_grpc.log.text import Line, Texts
from schedule_grpc.log.values import presentable
from schedule_grpc.text.terminal import plain_line, plain_traceback
from schedule_grpc.tracing import present_span

SAME_AGAIN = 10.0
"""Seconds in which the same warning of a foreign logger is logged once."""
MOST_REMEMBERED = 1000
"""Remembered messages at most: texts with changing numbers in them are all different."""

BEGIN: Sequence[structlog.typing.Processor] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)
"""Processors that add the fields of every line."""


def _with_span(_logger: object, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Add the ids of the span in progress, but to a line of the engine's own: that names its execution's trace."""
    span = present_span()
    if span is not None and "trace_id" not in line and not ("execution" in line and "task" in line):
        line.update(span.names)
    return line


_BEGIN_ALONE = (*BEGIN, _with_span)
"""Processors that add the fields of a line that is not one of a batch."""

_lines: list[Lines] = []
"""The queues that this process writes: the log's, and that of ``print``."""
_texts: list[Texts] = []
"""The maker of the log's texts: one, once logging is set up."""


def configure(*, style: str, level: str) -> None:
    """Set up logging for this process; a thread writes the lines, so that no other thread waits for their reader.

    Args:
        style: ``console`` for people, ``json`` for programs, ``auto`` for people on a terminal and programs elsewhere.
        level: The lowest level that is logged: debug, info, warning or error.
    """
    open_standard_streams()
    least = logging.getLevelNamesMapping()[level.upper()]
    texts = _texts_in(style)
    lines = Lines(2, notice=partial(_notice, texts))
    _lines[:] = [lines]
    _texts[:] = [texts]
    atexit.register(flush)
    structlog.configure(
        processors=[*_BEGIN_ALONE, texts],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=lambda *_: _Logger(lines),
        cache_logger_on_first_use=True,
    )
    foreign = logging.StreamHandler(text_of(lines, 2))
    foreign.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_BEGIN_ALONE,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, texts],
        )
    )
    logging.basicConfig(handlers=[foreign], level=max(least, logging.INFO), force=True)
    logging.getLogger("asyncio").addFilter(_Repeated())
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_no_farewell)


def writer() -> Callable[[Sequence[Line]], None] | None:
    """Return a function that writes a batch of lines by one call; None if `configure` has not set up logging."""
    if not _texts:
        return None
    lines, texts = _lines[0], _texts[0]
    return lambda batch: lines.put(*(f"{text}\n" for text in texts.together(batch)))


@contextmanager
def never_waiting() -> Iterator[None]:
    """Within this context printed text and Python's own tracebacks go through a queue, too: no ``print`` waits."""
    printed = Lines(1, notice="({} lines were dropped here)\n".format)
    _lines.append(printed)
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = text_of(printed, 1), text_of(_lines[0], 2)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
        flush()


def flush() -> None:
    """Give the readers of log and prints a moment to take the rest."""
    for each in _lines:
        each.flush()


def count_dropped(dropped: Callable[[int], None]) -> None:
    """Call ``dropped`` with each number of dropped lines."""
    for each in _lines:
        each.dropped = dropped


def open_standard_streams() -> None:
    """Open the standard streams that this process was started without (``2>&-``), on the null device.

    Else the next file that it opens, such as its database, would be standard error.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 (standard error)
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


class _Logger:
    """The sink of structlog's finished lines."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def msg(self, message: str) -> None:
        self._lines.put(message + "\n")

    log = debug = info = warn = warning = error = critical = exception = fatal = failure = msg


class _Repeated(logging.Filter):
    """Lets the same message of a logger pass once in `SAME_AGAIN` seconds, with the number of those it held back.

    Out of descriptors, asyncio logs the same warning a thousand times a second, each time with a traceback.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, str], float] = {}
        self._held: dict[tuple[str, str], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        repeated = record.name, str(record.msg)
        last = self._last.get(repeated)
        if last is not None and abs(record.created - last) < SAME_AGAIN:
            self._held[repeated] = self._held.get(repeated, 0) + 1
            return False
        if len(self._last) >= MOST_REMEMBERED:
            self._last.clear()
        self._last[repeated] = record.created
        if held := self._held.pop(repeated, 0):
            record.msg = f"{record.msg} (and {held} times before)"
        return True


def _texts_in(style: str) -> Texts:
    on_terminal = os.isatty(2)
    if style == "console" or (style == "auto" and on_terminal):
        # rich's own tracebacks would print every local variable, secrets included.
        renderer = structlog.dev.ConsoleRenderer(colors=on_terminal, exception_formatter=plain_traceback)
        return Texts(BEGIN, [presentable, plain_line, renderer], plain=False)
    return Texts(BEGIN, [presentable, structlog.processors.JSONRenderer()], plain=True)


def _notice(texts: Texts, count: int) -> str:
    """Return the line that stands for dropped lines."""
    (text,) = texts.together([("error", "log.lines_dropped", {"count": count})])
    return f"{text}\n"


def _is_no_farewell(record: logging.LogRecord) -> bool:
    """Hold back gRPC's traceback about a caller that disconnects at the moment of its answer.

    An answer that could not be sent is no fault of the server's: https://github.com/grpc/grpc/pull/32551
    """
    return not str(record.msg).startswith("ExecuteBatchError raised in core")
