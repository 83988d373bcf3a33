"""What tasks will do: the sums are those of their schedules, one by one, and the first ones are named."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from support.rigs.rig import at

from schedule_grpc.domain.policy import Policy, Window
from schedule_grpc.domain.schedule import parse
from schedule_grpc.domain.upcoming import MOST_LISTED, MOST_NAMES, TaskGroup, upcoming
from schedule_grpc.store.operations.upcoming import Schedules
from schedule_grpc.store.policies import policy_text

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
START = datetime(2026, 3, 28, 22, 0, tzinfo=UTC)
"""Three hours before clocks go forward in Berlin."""


def group(text: str, *names: str, zone: str = "UTC", window: Window | None = None) -> TaskGroup:
    """Return tasks with one schedule."""
    return TaskGroup(schedule=parse(text, zone), names=names or (text,), window=window or Window())


GROUPS = [
    group("* * * * *", "a", "b", "c"),
    group("*/5 8-17 * * 1-5", "weekdays", zone="America/New_York"),
    group("30 2 * * *", "night", "night-2", zone="Europe/Berlin"),
    group("*/20 2 * * *", "often", zone="Europe/Berlin"),
    group("every 7 seconds", "seven"),
    group("every 90 seconds", "ninety", "ninety-2"),
    group("every 35 minutes", "thirty-five"),
    group("2026-03-29T03:04:05Z", "once"),
    group("@manual", "never"),
    group("0 * * * *", "short", window=Window(start_time=at("2026-03-29T01:00"), end_time=at("2026-03-29T04:00"))),
    group("every 10 seconds", "ten", window=Window(end_time=at("2026-03-28T22:10"))),
    group(
        "every 9 seconds",
        "cut",
        window=Window(start_time=at("2026-03-28T22:01:33"), end_time=at("2026-03-28T22:07:20")),
    ),
    group(
        "every 90 seconds",
        "cut-90",
        window=Window(start_time=at("2026-03-28T22:01:20"), end_time=at("2026-03-28T22:04:40")),
    ),
    group(
        "* * * * *", "cut-cron", window=Window(start_time=at("2026-03-28T22:03:10"), end_time=at("2026-03-28T22:05:20"))
    ),
    group(
        "every second",
        "a-blink",
        window=Window(start_time=at("2026-03-28T22:03:10"), end_time=at("2026-03-28T22:03:12")),
    ),
]


def one_by_one(hours: int) -> Counter[datetime]:
    """Return how many tasks are due at each time."""
    found: Counter[datetime] = Counter()
    for each in GROUPS:
        instant = START - timedelta(microseconds=1)
        end = START + hours * HOUR
        while (instant := each.schedule.next_after(instant)) is not None and instant < end:
            if each.window.start_time is not None and instant < each.window.start_time:
                continue
            if each.window.end_time is None or instant < each.window.end_time:
                found[instant] += len(each.names)
    return found


@pytest.mark.parametrize("hours", [1, 12])
def test_sums_are_those_of_the_schedules(hours: int):
    """For each step, in all, and in the busiest minute."""
    expected = one_by_one(hours)
    shown = upcoming(GROUPS, START, hours)
    cells = [0] * (hours * 12)
    minutes: Counter[datetime] = Counter()
    for instant, count in expected.items():
        cells[(instant - START) // (5 * MINUTE)] += count
        minutes[instant.replace(second=0)] += count
    assert shown.counts == tuple(cells)
    assert (shown.total, shown.end_time) == (sum(cells), START + hours * HOUR)
    busiest = max(minutes.values())
    assert shown.busiest_count == busiest
    assert shown.busiest_time == min(minute for minute, count in minutes.items() if count == busiest)


def test_tasks_that_are_due_at_the_same_times_are_counted_together():
    """Whatever else their policies say: each count of a schedule takes some milliseconds."""
    window = Window(start_time=at("2026-03-29T01:00"))
    policies = [Policy(jitter=timedelta(seconds=number)) for number in range(3)] + [Policy(window=window)]
    rows = [(f"task-{number}", "every second", "UTC", policy_text(policy)) for number, policy in enumerate(policies)]
    found = [(each.window, each.names) for each in Schedules(rows).groups()]
    assert found == [(Window(), ["task-0", "task-1", "task-2"]), (window, ["task-3"])]


def test_the_next_ones_are_listed_with_names():
    """Those after an instant, until there are two hundred."""
    expected = one_by_one(1)
    now = START + timedelta(seconds=61)
    listed = upcoming(GROUPS, START, 12).as_of(now).next
    times = sorted(time for time in expected if time > now)[: len(listed)]
    assert [(each.time, each.count) for each in listed] == [(time, expected[time]) for time in times]
    assert sum(each.count for each in listed[:-1]) < MOST_LISTED <= sum(each.count for each in listed)
    at_two = next(each for each in listed if each.time == START + 2 * MINUTE)
    assert at_two.names == ("a", "b", "c", "ten")


def test_many_at_one_time_are_counted_and_some_are_named():
    """The first ones by name."""
    many = [TaskGroup(schedule=parse("0 0 * * *"), names=[f"task-{number:03}" for number in range(500)])]
    (one,) = upcoming(many, START, 24).as_of(START).next
    assert (one.time, one.count) == (at("2026-03-29T00:00"), 500)
    assert one.names == tuple(f"task-{number:03}" for number in range(MOST_NAMES))
    assert upcoming(many, START, 1).busiest_time is None


def test_what_changes_of_the_clocks_do():
    """By zone and effect, for the tasks that are due in the time left out, or there twice."""
    notes = upcoming(GROUPS, START, 12).notes
    assert [(each.text, each.count, each.names, each.time_zone) for each in notes] == [
        ("2026-03-29: 02:00 to 03:00 does not exist; what is due in it does not run", 1, ("often",), "Europe/Berlin"),
        (
            "2026-03-29: 02:00 to 03:00 does not exist; what is due in it runs at 03:00",
            2,
            ("night", "night-2"),
            "Europe/Berlin",
        ),
    ]
    assert notes[0].time == at("2026-03-29T01:00")
    back = upcoming(GROUPS, at("2026-10-24T22:00"), 12).notes
    assert [each.text.partition("; ")[2] for each in back] == [
        "what is due in it runs both times",
        "what is due in it runs the first time only",
    ]
