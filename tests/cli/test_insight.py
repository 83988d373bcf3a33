"""Why a task did not run, what comes, and lists that tell the last outcome: in the terminal."""

from datetime import timedelta

import pytest
from support.rigs.rig import at

from schedule_grpc.cli.times import clocks, relative
from schedule_grpc.domain.schedule import parse

NOW = at("2026-01-31T12:00:00")


@pytest.fixture
def task(ask) -> str:
    """The name of a task that is due each hour, in a zone of its own."""
    options = ("--schedule", "0 * * * *", "--zone", "Asia/Kolkata", "--handler", "by-steps")
    assert ask("tasks", "register", "hourly", *options, "--payload", '{"failures": 0, "pages": 1}').code == 0
    return "hourly"


def test_why(ask, task: str):
    """Each occurrence with what became of it, in UTC and in the task's zone; then what doctor says."""
    done = ask("why", task)
    lines = done.out.splitlines()
    assert done.code == 0
    assert lines[0].split() == ["DUE", "LOCAL", "BECAME", "WHY"]
    assert all("NOT_DEFINED" in line and ":00 IST" in line and ":30:00Z" in line for line in lines[1:20])
    assert [line.split()[1] for line in lines[-5:]] == ["task", "schedule", "handler", "failures", "history"]
    at_once = ask("why", task, "--at", "2026-01-31T10:00Z")
    assert at_once.out.startswith("hourly: not due at 2026-01-31 10:00:00Z: due at 2026-01-31 09:30:00Z and 2026-01-31")
    assert len(ask("why", task, "--json").json["occurrences"]) == 24
    assert "end_time: is before start_time" in ask("why", task, "--from", "2026-01-31", "--to", "2026-01-30").err
    assert ask("why", "unheard-of").code == 1


def test_upcoming(ask, task: str):
    """The sum, a bar for each hour, and the next runs by name."""
    done = ask("upcoming", "--hours", "3", "--handler", "by-steps")
    first, bars, header, *rows = done.out.splitlines()
    assert first.startswith("3 runs of 1 tasks until ")
    assert bars == "███  by the hour"
    assert header.split() == ["DUE", "IN", "RUNS", "TASKS"]
    assert [row.split()[-1] for row in rows] == ["hourly"] * 3
    assert ask("upcoming", "--handler", "unheard-of").out.startswith("0 runs of 0 tasks")
    assert ask("upcoming", "--hours", "3", "--handler", "by-steps", "--json").json["total"] == 3


def test_lists_tell_the_last_outcome(ask, task: str):
    """And are searched, filtered and sorted."""
    assert ask("tasks", "run", task).code == 0
    listed = ask("tasks", "list", "--q", "HOURL", "--sort", "last").out.splitlines()
    assert listed[0].split() == ["TASK", "LAST", "NEXT", "SCHEDULE,", "HANDLER"]
    assert listed[1].startswith("hourly  SUCCEEDED ")
    assert " ago  in " in listed[1]
    assert "IST" in listed[1]
    assert ask("tasks", "list", "--q", "hourly", "--state", "disabled", "--state", "FAILING").out == "No tasks.\n"
    refused = ask("tasks", "list", "--state", "broken")
    assert refused.code == 2
    assert "'broken' is none of failing, running, waiting, disabled, overdue" in " ".join(refused.err.split())
    row = ask("executions", "list", "--limit", "1").out.splitlines()[1]
    assert "ago  hourly  SUCCEEDED" in row
    assert "exec_hourly_" in row


@pytest.mark.parametrize(
    ("instant", "shown"),
    [
        (NOW - timedelta(milliseconds=3), "3 ms ago"),
        (NOW - timedelta(seconds=1.25), "1.2 s ago"),
        (NOW + timedelta(seconds=41), "in 41 s"),
        (NOW + timedelta(minutes=59, seconds=59), "in 59 min"),
        (NOW - timedelta(hours=47), "47 h ago"),
        (NOW - timedelta(days=12), "12 days ago"),
        (NOW, "0 ms ago"),
    ],
)
def test_how_long_ago(instant, shown: str):
    """In one number."""
    assert relative(instant, NOW) == shown


@pytest.mark.parametrize(
    ("text", "zone", "hours", "shown"),
    [
        ("@hourly", "UTC", 2, "14:00Z"),
        ("@hourly", "Asia/Kolkata", 2, "14:00Z 19:30 IST"),
        ("@hourly", "Asia/Kolkata", 20, "02-01 08:00Z 13:30 IST"),
        ("every 90 seconds", "Asia/Kolkata", 0.025, "12:01:30Z"),
    ],
)
def test_what_clocks_show(text: str, zone: str, hours: float, shown: str):
    """In UTC, and in the zone of a cron expression; with the date where it is another day."""
    assert clocks(NOW + timedelta(hours=hours), parse(text, zone), NOW) == shown
