"""Output for people of what comes, and of why a task ran or did not."""

from datetime import datetime
from zoneinfo import ZoneInfo

from rich.text import Text

from schedule_grpc.cli.tables import print_table
from schedule_grpc.cli.times import relative, zone_of
from schedule_grpc.domain.explanation import Cause, Explanation
from schedule_grpc.domain.upcoming import Upcoming
from schedule_grpc.text.instants import time_shown
from schedule_grpc.text.terminal import plain

BARS = " ▁▂▃▄▅▆▇█"
PER_LINE = 12
"""Steps of five minutes that one bar stands for: an hour."""
NAMED = 3
"""Names beside a time."""
_STYLES = {
    Cause.ON_TIME: "green",
    Cause.LATE: "yellow",
    Cause.FAILED: "red",
    Cause.LOST: "red",
    Cause.MISSED: "yellow",
    Cause.SKIPPED: "yellow",
    Cause.RUNNING: "cyan",
}


def print_explanation(explanation: Explanation) -> None:
    """Print what became of each occurrence, the changes of the task, and what there is to say of it now."""
    task = explanation.task
    zone = zone_of(task.schedule)
    if explanation.note:
        print(plain(f"{task.name}: {explanation.note}"))
    if explanation.is_cut:
        print("There are more occurrences; these are the newest. Ask for a shorter range with --from and --to.")
    if explanation.occurrences:
        print_table(
            ("DUE", *(("LOCAL",) if zone else ()), "BECAME", "WHY"),
            [
                (
                    time_shown(each.scheduled_time),
                    *((_local(each.scheduled_time, zone),) if zone else ()),
                    Text(each.cause.value, style=_STYLES.get(each.cause, "")),
                    each.text,
                )
                for each in explanation.occurrences
            ],
        )
    else:
        print(f"Nothing was due from {time_shown(explanation.start_time)} to {time_shown(explanation.end_time)}.")
    for change in explanation.changes:
        fields = f" ({', '.join(change.changed)})" if change.changed else ""
        print(plain(f"{time_shown(change.time)}  {change.method} by {change.by}{fields}"))
    print()
    width = max(len(finding.subject) for finding in explanation.findings)
    for finding in explanation.findings:
        advice = f"; {finding.advice}" if finding.advice else ""
        print(plain(f"{finding.verdict:<4}  {finding.subject:<{width}}  {finding.finding}{advice}"))


def print_upcoming(upcoming: Upcoming, now: datetime) -> None:
    """Print how many occurrences each hour has, the next ones, and what changes of the clocks do."""
    busiest = ""
    if upcoming.busiest_time is not None:
        busiest = f"; busiest minute {time_shown(upcoming.busiest_time)} ({upcoming.busiest_count:,})"
    print(f"{upcoming.total:,} runs of {upcoming.task_count:,} tasks until {time_shown(upcoming.end_time)}{busiest}")
    hours = [sum(upcoming.counts[first : first + PER_LINE]) for first in range(0, len(upcoming.counts), PER_LINE)]
    most = max(hours, default=0)
    if most:
        print("".join(BARS[-(-count * (len(BARS) - 1) // most)] for count in hours) + "  by the hour")
        print_table(
            ("DUE", "IN", "RUNS", "TASKS"),
            [
                (
                    time_shown(each.time),
                    relative(each.time, now).removeprefix("in "),
                    f"{each.count:,}",
                    ", ".join(each.names[:NAMED]) + (f", {each.count - NAMED:,} more" if each.count > NAMED else ""),
                )
                for each in upcoming.next
            ],
        )
    for note in upcoming.notes:
        names = ", ".join(note.names[:NAMED])
        more = f" and {note.count - NAMED:,} more" if note.count > NAMED else ""
        print(plain(f"Note: {note.time_zone} {note.text}: {names}{more}."))


def _local(instant: datetime, zone: ZoneInfo) -> str:
    return instant.astimezone(zone).strftime("%a %H:%M %Z")
