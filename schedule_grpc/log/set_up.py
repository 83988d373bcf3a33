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

SAME_AGAIN = 10.0
"""Seconds in which asyncio says the same thing once."""
MOST_REMEMBERED = 1000
"""Messages that are remembered at most: texts with changing numbers in them are all different."""

BEGIN: Sequence[structlog.typing.Processor] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)
"""What adds to a line what every line has."""

_lines: list[Lines] = []
"""Those that this process writes."""
_texts: list[Texts] = []
"""How it makes their texts: one, once logging is set up."""


def configure(*, style: str, level: str) -> None:
    """Set up logging for this process, by a thread that alone waits for whoever reads it.

    Args:
        style: ``console`` for people, ``json`` for programs, ``auto`` for people on a terminal and programs elsewhere.
        level: The least that is logged: debug, info, warning or error.
    """
    open_standard_streams()
    least = logging.getLevelNamesMapping()[level.upper()]
    texts = _texts_in(style)
    lines = Lines(2, notice=partial(_notice, texts))
    _lines[:] = [lines]
    _texts[:] = [texts]
    atexit.register(flush)
    structlog.configure(
        processors=[*BEGIN, texts],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=lambda *_: _Logger(lines),
        cache_logger_on_first_use=True,
    )
    foreign = logging.StreamHandler(text_of(lines, 2))
    foreign.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=BEGIN,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, texts],
        )
    )
    logging.basicConfig(handlers=[foreign], level=max(least, logging.INFO), force=True)
    logging.getLogger("asyncio").addFilter(_Repeated())
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_no_farewell)


def writer() -> Callable[[Sequence[Line]], None] | None:
    """Return what writes the lines of a batch by one call; None where logging is not set up by `configure`."""
    if not _texts:
        return None
    lines, texts = _lines[0], _texts[0]
    return lambda batch: lines.put(*(f"{text}\n" for text in texts.together(batch)))


@contextmanager
def never_waiting() -> Iterator[None]:
    """Within this context what is printed, and Python's own tracebacks, go the same way: no ``print`` waits."""
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
    """Give the readers of what was logged and printed a moment to take the rest."""
    for each in _lines:
        each.flush()


def count_dropped(dropped: Callable[[int], None]) -> None:
    """Have each number of lines told that nobody read in time."""
    for each in _lines:
        each.dropped = dropped


def open_standard_streams() -> None:
    """Give this process the standard streams that it was started without (``2>&-``): what it says there is lost.

    Else the next file that it opens, such as its database, would be standard error.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 (standard error)
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


class _Logger:
    """What structlog hands finished lines to."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def msg(self, message: str) -> None:
        self._lines.put(message + "\n")

    log = debug = info = warn = warning = error = critical = exception = fatal = failure = msg


class _Repeated(logging.Filter):
    """Lets the same message of the same logger pass once in `SAME_AGAIN` seconds, with the number of those between.

    Out of descriptors, asyncio says so a thousand times a second, each time with a traceback.
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
    """Return the line that stands for lines which were dropped."""
    (text,) = texts.together([("error", "log.lines_dropped", {"count": count})])
    return f"{text}\n"


def _is_no_farewell(record: logging.LogRecord) -> bool:
    """Leave out what gRPC says, with a traceback, when a caller goes away at the moment of its answer.

    Callers may. That the answer could not be sent is no fault of the server's: https://github.com/grpc/grpc/pull/32551
    """
    return not str(record.msg).startswith("ExecuteBatchError raised in core")
