"""How pages say durations, sizes and states."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from schedule_grpc.domain.execution import Execution, State

SECOND = timedelta(seconds=1)
ON_TIME = timedelta(milliseconds=1)
UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))
LEVELS = 9
"""Heights of a bar of a strip."""
TONES = {
    State.PENDING: "wait",
    State.RUNNING: "run",
    State.SUCCEEDED: "ok",
    State.FAILED: "bad",
    State.CANCELLED: "idle",
    State.SKIPPED: "idle",
    State.MISSED: "warn",
    State.UNKNOWN: "idle",
}
"""Colour and shape by state: a tone is a class of the style sheet, and the name of an icon."""
LETTERS = {
    State.PENDING: "p",
    State.RUNNING: "r",
    State.SUCCEEDED: "s",
    State.FAILED: "f",
    State.CANCELLED: "c",
    State.SKIPPED: "k",
    State.MISSED: "m",
    State.UNKNOWN: "u",
}
"""By which a strip names states."""


class Mark(Protocol):
    """What a strip shows of an execution."""

    @property
    def state(self) -> State:
        """Where it is."""

    @property
    def duration(self) -> timedelta | None:
        """How long it took; None while it has not ended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """How a state is shown: never by colour alone."""

    tone: str
    word: str
    detail: str = ""
    """The reason or the kind of failure, in capitals as the contract has it."""


def look_of(execution: Execution) -> Look:
    """Return how an execution's state is shown."""
    state = execution.state
    word = state.value.capitalize()
    if state is State.PENDING and execution.start_time is not None:
        word = "Retrying"
    elif state is State.PENDING:
        word = "Waiting"
    if state is State.RUNNING and execution.cancel_requested_time is not None:
        word = "Stopping"
    detail = execution.reason or execution.failure_kind or ""
    return Look(tone=TONES[state], word=word, detail=str(detail))


def duration_text(length: timedelta | None) -> str:
    """Return a duration as people read it: ``3 ms``, ``1.2 s``, ``41 s``, ``12 min 5 s``, ``3 h 20 min``."""
    if length is None:
        return ""
    seconds = length / SECOND
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < 10:  # noqa: PLR2004 (a digit more tells nothing above)
        return f"{seconds:.1f} s"
    if seconds < 60:  # noqa: PLR2004
        return f"{round(seconds)} s"
    whole = round(seconds)
    for (unit, size), (lesser, part) in zip(UNITS, (*UNITS[1:], ("s", 1)), strict=True):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {lesser}" if rest else "")
    raise AssertionError("a minute is the least of them")


def run_length(execution: Execution) -> timedelta | None:
    """Return how long an execution that ran took; None while it runs, and for what never ran."""
    return None if execution.start_time is None else execution.duration


def strip_of(marks: Sequence[Mark]) -> str:
    """Return executions as a strip, in their order: a letter for the state, a digit for the height.

    The height is the logarithm of the duration, measured by the longest of the strip.
    """
    lengths = [(mark.duration or timedelta(0)) / SECOND for mark in marks]
    longest = max(lengths, default=0.0)
    return "".join(LETTERS[mark.state] + str(_height(each, longest)) for mark, each in zip(marks, lengths, strict=True))


def _height(length: float, longest: float) -> int:
    """Return 1 to 9: 9 for the longest, 1 for a thousandth of it or less."""
    if length <= 0 or longest <= 0:
        return 1
    return max(1, round(LEVELS + math.log10(length / longest) * (LEVELS - 1) / 3))


def first_line(text: str | None, most: int = 160) -> str:
    """Return the first line of a text, cut."""
    line = (text or "").strip().partition("\n")[0]
    return line if len(line) <= most else line[: most - 1] + "…"


def byte_text(size: int) -> str:
    """Return a number of bytes as people read it."""
    if size < 1024:  # noqa: PLR2004 (a kibibyte)
        return f"{size} B"
    return f"{size / 1024:.1f} KiB"


def zone_of(zone: str) -> str:
    """Return the zone in which a task's times are also shown; empty for UTC."""
    return "" if zone in ("UTC", "Etc/UTC") else zone


def sooner(one: datetime | None, other: datetime | None) -> datetime | None:
    """Return the earlier of two instants that may be missing."""
    return min((each for each in (one, other) if each is not None), default=None)
