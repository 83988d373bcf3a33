"""The lines of one attempt, as its handler logs them: rendered, numbered and bounded, on their way to the execution.

A server and a worker process elsewhere use it alike; it knows no store and no connection. Each gives it a ``sink``,
which is called with every line, in the order of their sequence, in the thread that logs: the server's hands lines to
its `LogBook`, a worker's sends them to a server. What is used, in this order::

    kept = AttemptLog(sink, clock=clock)
    ctx.log = kept.logger(execution=..., task=..., attempt=...)   # writes the process's own log, too
    ...                                                           # the handler runs, and perhaps raises
    kept.end(error)                                               # after its fate, before its outcome is sent

A handler that fails leaves at least one line: its traceback, as `perform` logs it, else the text of its error.
"""

import logging
import os
import reprlib
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from schedule_grpc.domain.access.key_text import redacted
from schedule_grpc.domain.execution.log_lines import MAX_LINE_BYTES, LogLine, kept_text
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.text.unicode import readable

if TYPE_CHECKING:
    from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

RAISED = "attempt.raised"
"""The event by which `perform` logs a handler's exception."""
RATE = 50
"""Lines a second that an attempt may keep, ..."""
BURST = 200
"""... after so many at once. Lines beyond it are dropped, and their numbers left out."""
MAX_TRACEBACK_BYTES = 16 * 1024
"""Of a traceback: a longer one loses its middle."""
MAX_FIELDS = 100
"""Fields of one line."""

_LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "critical": "error"}
_MARK_BYTES = 100
"""Room for the words that stand for the middle of a traceback."""
_QUOTED = frozenset(" \t\r\n=\"'")
"""Characters of a value that is shown in quotes, as on the console."""


class AttemptLog:
    """Takes the lines of one attempt, from any thread; a call never raises and never waits."""

    def __init__(self, sink: Callable[[LogLine], None], *, clock: Clock) -> None:
        """Take the receiver of lines, which must be quick; the time is that of the lines, and of their rate."""
        self._sink = sink
        self._clock = clock
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._sequence = 0
        self._left = float(BURST)
        self._filled = clock.monotonic()
        self._missing = 0
        """Lines that were dropped since the last one that was not."""
        self._failure_kept = False
        self._ended = False

    def logger(self, **names: Any) -> "FilteringBoundLogger":
        """Return a logger with these fields that writes the log of this process as others do, and each line here, too.

        The names stand on every line of the process's log, and on none here. Lines of level info and above are taken
        here even where the process logs less.
        """
        import structlog  # noqa: PLC0415 (65 ms, which handler modules that only import a context need not pay)

        own = structlog.get_logger(__name__, **names).bind()
        least = own.get_effective_level() if hasattr(own, "get_effective_level") else logging.NOTSET
        here = min(least, logging.INFO)

        def both(logger: "WrappedLogger", method: str, line: "EventDict") -> Any:
            self._keep(method, {**structlog.contextvars.get_contextvars(), **line}, names)
            if logging.getLevelNamesMapping().get(method.upper(), logging.CRITICAL) < least:
                raise structlog.DropEvent
            written: Any = line
            for process in structlog.get_config()["processors"]:  # as they are now: tests replace them
                written = process(logger, method, written)
            return written

        made: FilteringBoundLogger = structlog.wrap_logger(
            None,
            processors=[both],
            wrapper_class=type(own) if here == least else structlog.make_filtering_bound_logger(here),
            logger_factory_args=(__name__,),
            **names,
        )
        return made

    def add(self, level: str, text: str) -> None:
        """Take a line, unless the attempt has logged too many just now, or has ended."""
        self._put(_LEVELS.get(level, "info"), text, counts=True)

    def end(self, failure: str | None = None) -> None:
        """Take the last lines: a mark if the newest ones were dropped, and a failure whose traceback is not here yet.

        What an abandoned handler logs later is not taken.
        """
        if self._missing:
            lines = "1 line was" if self._missing == 1 else f"{self._missing} lines were"
            self._put("warning", f"({lines} dropped: an attempt keeps {RATE} a second)", counts=False)
        if failure is not None and not self._failure_kept:
            self._put("error", failure, counts=False)
        self._ended = True

    def _keep(self, method: str, line: Mapping[str, Any], names: Mapping[str, Any]) -> None:
        try:
            raised = _exception_in(line.get("exc_info"))
            is_failure = not self._failure_kept and line.get("event") == RAISED
            level = "error" if is_failure or raised is not None else _LEVELS.get(method, "info")
            if raised is None:
                self._put(level, _rendered(line, names), counts=not is_failure)
            else:
                head = "" if is_failure else f"{_rendered(line, names)}\n"
                for text in _pieces(head + "".join(traceback.format_exception(raised)).rstrip("\n")):
                    self._put(level, text, counts=not is_failure)
            self._failure_kept = self._failure_kept or is_failure
        except BaseException as error:  # noqa: BLE001 (an object's repr, an exception's text may be any program's own)
            self._put("error", f"(a line is not kept: rendering it raised {type(error).__name__})", counts=True)

    def _put(self, level: str, text: str, *, counts: bool) -> None:
        if (
            os.getpid() != self._process
        ):  # a fork of a handler's: it has no loop to hand lines to, and the lock for ever
            return
        text = kept_text(text)
        with self._lock:
            if self._ended:
                return
            self._sequence += 1
            if counts and not self._is_within_rate():
                self._missing += 1
                return
            self._missing = 0
            with suppress(Exception):
                self._sink(LogLine(self._sequence, self._clock.now(), level, text))

    def _is_within_rate(self) -> bool:
        now = self._clock.monotonic()
        self._left = min(self._left + (now - self._filled) * RATE, BURST)
        self._filled = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def _exception_in(given: Any) -> BaseException | None:
    """Return the exception that a log call names by ``exc_info``."""
    if isinstance(given, BaseException):
        return given
    if isinstance(given, tuple):
        given = given[1] if len(given) > 1 else None
        return given if isinstance(given, BaseException) else None
    return sys.exc_info()[1] if given else None


def _rendered(line: Mapping[str, Any], names: Mapping[str, Any]) -> str:
    """Return a line as the console shows it, without time, level and names: ``rows.counted count=3``."""
    shown = [_value(line.get("event", ""), quoted=False)]
    for name, value in line.items():
        if name in {"event", "exc_info"} or (name in names and _is_same(value, names[name])):
            continue
        if len(shown) > MAX_FIELDS:
            shown.append("…")
            break
        shown.append(f"{name}={_value(value, quoted=True)}")
    return " ".join(shown)


def _is_same(value: Any, name: Any) -> bool:
    return value is name or (type(value) is str and type(name) is str and value == name)


def _value(value: Any, *, quoted: bool) -> str:
    if isinstance(value, str):
        text = str.__str__(value)[: MAX_LINE_BYTES + 1]
        return repr(text) if quoted and not _QUOTED.isdisjoint(text) else text
    return _BOUNDED.repr(value)


def _pieces(text: str) -> Iterator[str]:
    """Cut a traceback at its line ends into texts of at most `MAX_LINE_BYTES`; a long one without its middle."""
    piece: list[str] = []
    size = 0
    for row in _without_middle([kept_text(row) for row in redacted(readable(text)).split("\n")]):
        added = len(row.encode()) + 1
        if piece and size + added > MAX_LINE_BYTES:
            yield "\n".join(piece)
            piece, size = [], 0
        piece.append(row)
        size += added
    yield "\n".join(piece)


def _without_middle(rows: list[str]) -> list[str]:
    """Return rows of at most `MAX_TRACEBACK_BYTES`: the calls begin a traceback, the error ends it."""
    sizes = [len(row.encode()) + 1 for row in rows]
    if sum(sizes) <= MAX_TRACEBACK_BYTES:
        return rows
    half = (MAX_TRACEBACK_BYTES - _MARK_BYTES) // 2
    first = _count_within(half, sizes)
    last = _count_within(half, sizes[::-1])
    return [*rows[:first], f"  … ({len(rows) - first - last} lines are left out here)", *rows[len(rows) - last :]]


def _count_within(most: int, sizes: list[int]) -> int:
    total = 0
    for number, size in enumerate(sizes):
        total += size
        if total > most:
            return number
    return len(sizes)


def _bounded_repr() -> reprlib.Repr:
    made = reprlib.Repr()
    made.maxlevel = 8
    made.maxdict = made.maxlist = made.maxtuple = made.maxset = made.maxfrozenset = made.maxdeque = made.maxarray = 100
    made.maxstring = made.maxother = MAX_LINE_BYTES
    made.maxlong = 100
    return made


_BOUNDED = _bounded_repr()
