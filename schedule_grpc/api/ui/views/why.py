"""Why a task did not run: what became of each occurrence."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby

from schedule_grpc.api.ui.views.words import Look, zone_of
from schedule_grpc.domain.explanation import Cause, DefinitionChange, Explained, Explanation
from schedule_grpc.domain.finding import Finding, Verdict

LOOKS = {
    Cause.ON_TIME: Look(tone="ok", word="On time"),
    Cause.LATE: Look(tone="warn", word="Late"),
    Cause.RUNNING: Look(tone="run", word="Running"),
    Cause.WAITING: Look(tone="wait", word="Waiting"),
    Cause.COVERED: Look(tone="idle", word="Covered"),
    Cause.SKIPPED: Look(tone="idle", word="Skipped"),
    Cause.MISSED: Look(tone="warn", word="Missed"),
    Cause.FAILED: Look(tone="bad", word="Failed"),
    Cause.CANCELLED: Look(tone="idle", word="Cancelled"),
    Cause.DISABLED: Look(tone="idle", word="Disabled"),
    Cause.NOT_DEFINED: Look(tone="idle", word="Not defined"),
    Cause.NOT_DUE: Look(tone="wait", word="Not due yet"),
    Cause.REMOVED: Look(tone="idle", word="Removed"),
    Cause.LOST: Look(tone="bad", word="Lost"),
}
ALIKE = frozenset({Cause.ON_TIME, Cause.COVERED, Cause.DISABLED, Cause.NOT_DEFINED, Cause.NOT_DUE, Cause.REMOVED})
"""Causes of which many in a row tell no more than one."""
APART = 3
"""So many in a row are shown one by one all the same."""
TONES = {Verdict.OK: "ok", Verdict.WARN: "warn", Verdict.FAIL: "bad"}
"""By the verdict of a finding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OccurrenceRow:
    """An occurrence."""

    time: datetime
    look: Look
    text: str
    execution_id: str
    count: int = 1
    """How many occurrences in a row it stands for, whose cause is the same."""
    until: datetime | None = None
    """The oldest of them, if there are several."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FindingRow:
    """What was found out about the task as it is now."""

    tone: str
    subject: str
    text: str
    advice: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WhyView:
    """The page that explains."""

    name: str
    zone: str
    schedule: str
    english: str
    start: datetime
    end: datetime
    note: str
    is_cut: bool
    rows: tuple[OccurrenceRow, ...]
    """The newest first."""
    counts: tuple[tuple[str, str, int], ...]
    """How many occurrences had each cause: tone, word, number."""
    changes: tuple[DefinitionChange, ...]
    findings: tuple[FindingRow, ...]
    is_deleted: bool


def why_view(found: Explanation) -> WhyView:
    """Return the page that explains."""
    schedule = found.task.schedule
    causes = [each.cause for each in found.occurrences]
    return WhyView(
        name=found.task.name,
        zone=zone_of(schedule.time_zone),
        schedule=schedule.text,
        english=schedule.description,
        start=found.start_time,
        end=found.end_time,
        note=found.note,
        is_cut=found.is_cut,
        rows=tuple(_rows(found.occurrences)),
        counts=tuple((LOOKS[each].tone, LOOKS[each].word, causes.count(each)) for each in Cause if each in causes),
        changes=found.changes,
        findings=tuple(map(_finding, found.findings)),
        is_deleted=found.task.delete_time is not None,
    )


def _rows(occurrences: Sequence[Explained]) -> Iterator[OccurrenceRow]:
    """Yield rows, the newest first: one for many occurrences in a row that are alike."""
    for cause, alike in groupby(reversed(occurrences), key=lambda each: each.cause):
        group = list(alike)
        if cause in ALIKE and len(group) > APART:
            newest = replace(_row(group[0]), execution_id="")
            yield replace(newest, count=len(group), until=group[-1].scheduled_time)
        else:
            yield from map(_row, group)


def _row(explained: Explained) -> OccurrenceRow:
    execution = explained.execution
    return OccurrenceRow(
        time=explained.scheduled_time,
        look=LOOKS[explained.cause],
        text=explained.text,
        execution_id=execution.id if execution else "",
    )


def _finding(found: Finding) -> FindingRow:
    return FindingRow(tone=TONES[found.verdict], subject=found.subject, text=found.finding, advice=found.advice)
