"""What comes within the next hours, as a map of the days and a list."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from schedule_grpc.domain.upcoming import ClockNote, Upcoming, UpcomingRuns

LEVELS = 5
"""Shades of a cell that is not empty."""
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
CROWD = 20
"""Occurrences in one minute that are worth a word."""
LISTED = 60
"""Times that are listed one by one."""
CELL, ROW = 4, 22
"""Width of a cell and height of a row, in units of the picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HourCell:
    """An hour of the map."""

    x: int
    y: int
    start: datetime
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DueView:
    """The runs that are due in one hour of the map."""

    start: datetime
    next: tuple[UpcomingRuns, ...]
    rest: int
    """Runs of the hour that are still to come, and not listed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UpcomingView:
    """The page of what comes."""

    days: tuple[tuple[int, datetime], ...]
    """The rows of the map: the place and the day, in UTC."""
    shades: tuple[str, ...]
    """Paths of the cells, by shade, the lightest first."""
    hours: tuple[HourCell, ...]
    height: int
    width: int
    total: int
    task_count: int
    busiest_time: datetime | None
    busiest_count: int
    is_crowded: bool
    most: int
    """The occurrences in the fullest cell."""
    next: tuple[UpcomingRuns, ...]
    notes: tuple[ClockNote, ...]


def upcoming_view(found: Upcoming) -> UpcomingView:
    """Return the page of what comes."""
    first_day = found.start_time.replace(hour=0, minute=0)
    most = max(found.counts, default=0)
    shades: list[list[str]] = [[] for _ in range(LEVELS)]
    hours: dict[datetime, int] = {}
    for start, count in _cells(found):
        hour = start.replace(minute=0, second=0)
        hours[hour] = hours.get(hour, 0) + count
        if count:
            x, y = _place(start, first_day, found.step)
            shades[_level(count, most)].append(f"M{x} {y}h{CELL - 1}v{ROW - 4}h-{CELL - 1}z")
    last_row = (found.end_time - timedelta(minutes=1) - first_day) // DAY
    return UpcomingView(
        days=tuple((row * ROW, first_day + row * DAY) for row in range(last_row + 1)),
        shades=tuple("".join(each) for each in shades),
        hours=tuple(_hour(start, count, first_day, found.step) for start, count in hours.items()),
        height=(last_row + 1) * ROW,
        width=CELL * (DAY // found.step),
        total=found.total,
        task_count=found.task_count,
        busiest_time=found.busiest_time,
        busiest_count=found.busiest_count,
        is_crowded=found.busiest_count >= CROWD,
        most=most,
        next=found.next[:LISTED],
        notes=found.notes,
    )


def due_view(found: Upcoming) -> DueView:
    """Return the runs of an hour, with what comes in it."""
    listed = found.next[:LISTED]
    over = sum(each.count for each in found.next[LISTED:])
    return DueView(start=found.start_time, next=listed, rest=over + found.unlisted)


def _cells(found: Upcoming) -> Iterator[tuple[datetime, int]]:
    for number, count in enumerate(found.counts):
        yield found.start_time + number * found.step, count


def _place(start: datetime, first_day: datetime, step: timedelta) -> tuple[int, int]:
    row, rest = divmod(start - first_day, DAY)
    return CELL * (rest // step), row * ROW


def _hour(start: datetime, count: int, first_day: datetime, step: timedelta) -> HourCell:
    x, y = _place(start, first_day, step)
    return HourCell(x=x, y=y, start=start, count=count)


def _level(count: int, most: int) -> int:
    """Return 0 to 4: an even share of the square root, so that few runs are told apart beside a crowd."""
    return min(int((count / most) ** 0.5 * LEVELS), LEVELS - 1)
