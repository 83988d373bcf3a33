"""The first page: what needs a person, what runs, what ended, what comes."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import starmap

from schedule_grpc.api.ui.views.runs import RunRow, run_row, run_rows
from schedule_grpc.api.ui.views.words import duration_text
from schedule_grpc.domain.execution import Execution, State
from schedule_grpc.domain.summary import Attention, AttentionKind, NextRun, Pulse, PulseBucket, Summary

STEP = timedelta(minutes=15)
"""The span of a bar of the histogram."""
LONG_LAG = timedelta(milliseconds=100)
"""A lag of the event loop that is worth a line."""
HEIGHT = 100
RUNNING_SHOWN, NEXT_SHOWN, ENDS_SHOWN = 8, 8, 10
OTHERS = (State.MISSED, State.SKIPPED, State.CANCELLED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Numbers:
    """What the head of every page counts."""

    running: int
    waiting: int
    failing: int
    lag: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionRow:
    """One thing that needs a person."""

    id: str
    tone: str
    subject: str
    text: str
    since: datetime | None
    kind: str
    execution_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningRow:
    """An execution that runs."""

    row: RunRow
    progress: float | None
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """The executions of one span that have ended; each height is from 0 to 100."""

    x: int
    start: datetime
    end: datetime
    ok: int
    bad: int
    other: int
    heights: tuple[float, float, float]

    @property
    def words(self) -> str:
        """The bar for those who do not see it."""
        return f"{self.ok} succeeded, {self.bad} failed, {self.other} missed, skipped or cancelled"


@dataclass(frozen=True, kw_only=True, slots=True)
class Histogram:
    """What ended within the last 24 hours."""

    bars: tuple[Bar, ...]
    ok: int
    bad: int
    other: int
    complete_from: datetime | None
    """Earlier spans are not counted yet; None: all are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NowView:
    """The first page."""

    attention: tuple[AttentionRow, ...]
    running: tuple[RunningRow, ...]
    running_count: int
    histogram: Histogram | None
    next: tuple[NextRun, ...]
    ends: tuple[RunRow, ...]
    last_failure: datetime | None
    task_count: int


def numbers_of(summary: Summary) -> Numbers:
    """Return what the head of every page counts."""
    counts, lag = summary.counts, summary.lag
    return Numbers(
        running=counts.running,
        waiting=counts.waiting,
        failing=counts.failing,
        lag=duration_text(lag) if lag is not None and lag >= LONG_LAG else "",
    )


def now_view(summary: Summary, pulse: Pulse | None) -> NowView:
    """Return the first page."""
    return NowView(
        attention=tuple(starmap(_attention, enumerate(summary.attention))),
        running=tuple(map(_running, summary.running[:RUNNING_SHOWN])),
        running_count=summary.counts.running,
        histogram=None if pulse is None else histogram(pulse),
        next=summary.next_runs[:NEXT_SHOWN],
        ends=run_rows(summary.newest_ends[:ENDS_SHOWN]),
        last_failure=summary.last_failure_time,
        task_count=summary.counts.tasks,
    )


def histogram(pulse: Pulse) -> Histogram:
    """Return what ended as bars of `STEP`. A square root makes single failures visible beside thousands of others."""
    buckets = pulse.by(STEP)
    parts = [_parts(bucket) for bucket in buckets]
    most = max((sum(part) for part in parts), default=0) or 1
    bars = tuple(
        _bar(place, bucket, part, most) for place, (bucket, part) in enumerate(zip(buckets, parts, strict=True))
    )
    return Histogram(
        bars=bars,
        ok=sum(part[0] for part in parts),
        bad=sum(part[1] for part in parts),
        other=sum(part[2] for part in parts),
        complete_from=pulse.complete_from if pulse.complete_from > pulse.start_time else None,
    )


def _parts(bucket: PulseBucket) -> tuple[int, int, int]:
    counts = bucket.counts
    others = sum(counts.get(state, 0) for state in OTHERS)
    return counts.get(State.SUCCEEDED, 0), counts.get(State.FAILED, 0), others


def _bar(place: int, bucket: PulseBucket, part: tuple[int, int, int], most: int) -> Bar:
    whole = sum(part)
    tall = HEIGHT * (whole / most) ** 0.5
    heights = [round(tall * each / whole, 1) if whole else 0.0 for each in part]
    if part[1] and heights[1] < 3:  # noqa: PLR2004 (a failure is always seen)
        heights[1] = 3.0
    return Bar(
        x=place,
        start=bucket.start_time,
        end=bucket.start_time + STEP,
        ok=part[0],
        bad=part[1],
        other=part[2],
        heights=(heights[0], heights[1], heights[2]),
    )


def _attention(number: int, found: Attention) -> AttentionRow:
    place = found.subject or number  # troubles of a server have no subject
    tones = {AttentionKind.FAILING: "bad", AttentionKind.HEALTH: "bad"}
    return AttentionRow(
        id=f"a-{found.kind.value.lower()}-{place}-{found.key}",
        tone=tones.get(found.kind, "warn"),
        subject=found.subject,
        text=found.text,
        since=found.since,
        kind=found.kind.value,
        execution_id=found.execution_id,
    )


def _running(execution: Execution) -> RunningRow:
    progress = execution.progress
    return RunningRow(
        row=run_row(execution),
        progress=progress.fraction if progress else None,
        text=progress.text if progress else "",
    )
