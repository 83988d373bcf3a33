"""What an execution keeps of the lines that its handler logged, and of the progress that it reported."""

from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from schedule_grpc.domain.access.key_text import redacted
from schedule_grpc.text.unicode import readable

MAX_LINE_BYTES = 4 * 1024
"""Of one line; a longer one is cut."""
MAX_LINES = 200
"""The newest lines of an attempt that are kept."""
MAX_LOG_BYTES = 64 * 1024
"""Of the lines of an attempt together, as UTF-8."""
SEQUENCES = 2**40
"""Numbers of one run of an attempt. A run that is handed back does not count, so the next one is the same attempt: its
first line is number ``SEQUENCES * hand_backs + 1``."""
DEFAULT_LOG_RETENTION = timedelta(days=7)
"""How long lines are kept, unless the execution leaves the history before."""
LEVELS = ("debug", "info", "warning", "error")


class Keep(StrEnum):
    """Which attempts' lines are stored. Watchers receive all."""

    ALL = "all"
    FAILED = "failed"
    """Those of attempts that did not succeed; while an attempt runs, its lines are stored, too."""
    NONE = "none"


class LogLine(Struct, frozen=True):
    """A line of an attempt."""

    sequence: int
    """From 1 upwards within the attempt; a number that is left out is a line that was dropped. See `SEQUENCES`."""
    time: datetime
    level: str
    """``debug``, ``info``, ``warning`` or ``error``."""
    text: str

    @property
    def size(self) -> int:
        """The bytes of its text."""
        return len(self.text) if self.text.isascii() else len(self.text.encode())


class LogLines(Struct, frozen=True, kw_only=True):
    """Lines of one attempt, in order of their sequence."""

    execution_id: str
    attempt: int
    lines: tuple[LogLine, ...] = ()
    forget: bool = False
    """Whether the stored lines of the attempt go: it succeeded, and only lines of failures are kept."""


class Progress(Struct, frozen=True, kw_only=True):
    """How far an attempt is."""

    execution_id: str
    attempt: int
    fraction: float
    text: str
    report_time: datetime


class KeptLog(Struct, frozen=True, kw_only=True):
    """The newest lines of an execution that are kept, the oldest first."""

    lines: tuple[tuple[int, LogLine], ...] = ()
    """Each with the number of its attempt."""
    dropped: int = 0
    """Lines of these attempts that were logged and are not kept, or were too many for this answer."""


def as_kept(line: LogLine) -> LogLine:
    """Return a line as it is kept: readable, within `MAX_LINE_BYTES`, without the secrets of the service's keys.

    A line that is so already is returned itself.
    """
    text, level = kept_text(line.text), line.level if line.level in LEVELS else "info"
    return line if text == line.text and level == line.level else replace(line, text=text, level=level)


def kept_text(text: str) -> str:
    """Return the text of a line as it is kept; a cut is marked at its end."""
    whole = redacted(readable(text))
    if len(whole) * 4 <= MAX_LINE_BYTES or len(encoded := whole.encode()) <= MAX_LINE_BYTES:
        return whole
    mark = f"… (cut from {len(encoded)} bytes)"
    return encoded[: MAX_LINE_BYTES - len(mark.encode())].decode("utf-8", "ignore") + mark
