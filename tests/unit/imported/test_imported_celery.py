"""Entries of Celery beat as task files: the real library makes them, the snippet prints them, and both run alike."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from celery.schedules import crontab, schedule, solar
from hypothesis import given, settings
from hypothesis import strategies as st

from schedule_grpc.cli.snippets import celery_beat as snippet
from schedule_grpc.domain.schedule import parse
from schedule_grpc.formats.imported.celery_beat import read_celery_beat
from schedule_grpc.formats.imported.values import Imported, ImportedTask, NotReadable

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
ENTRY = {"task": "shop.tasks.send", "schedule": crontab(minute=0, hour=3)}


def app_of(entry: dict[str, Any], **settings: Any) -> Celery:
    """Return an app with one entry."""
    app = Celery("shop", set_as_current=False)
    app.conf.update(beat_schedule={"Nightly mail": entry}, timezone="Europe/Berlin", **settings)
    return app


def imported(entry: dict[str, Any], *, handler: str = "", **settings: Any) -> Imported:
    """Return what the snippet prints of an app with one entry, imported."""
    printed = json.loads(snippet.beat_json(app_of(entry, **settings)))
    return read_celery_beat(printed, handler=handler, now=NOW)


def one(entry: dict[str, Any], **settings: Any) -> ImportedTask:
    """Return the task of one entry."""
    (task,) = imported(entry, **settings).tasks
    return task


def runs(due: crontab, after: datetime, count: int) -> list[datetime]:
    """Return the next runs of a crontab, as the library computes them."""
    found: list[datetime] = []
    last = after
    due.nowfun = lambda: last
    while len(found) < count:
        start, remaining, _ = due.remaining_delta(last, tz=UTC)
        last = start + remaining
        found.append(last)
    return found


def test_an_entry_becomes_a_task():
    """Celery's task is the handler, its arguments the payload; beat runs late what was due while it was down."""
    task = one(ENTRY | {"args": (1, "two"), "kwargs": {"deep": {"a": [None]}}})
    assert (task.name, task.schedule, task.time_zone, task.handler) == (
        "Nightly-mail",
        "0 3 * * *",
        "Europe/Berlin",
        "shop.tasks.send",
    )
    assert task.payload == {"args": [1, "two"], "kwargs": {"deep": {"a": [None]}}}
    assert (task.policy["overlap"], task.policy["catch_up"], task.policy["retry"]) == (
        "allow-all",
        "latest",
        {"max_retries": 0},
    )


def test_options_become_policies_or_notes():
    """How long it may wait and last; what has no counterpart is named."""
    options = {"expires": 300, "time_limit": 60, "queue": "mail", "priority": 5}
    task = one(ENTRY | {"options": options}, beat_cron_starting_deadline=120)
    assert (task.policy["start_deadline"], task.policy["timeout"], task.policy["catch_up_window"]) == ("5m", "1m", "2m")
    assert task.notes == ("option queue=mail is not kept", "option priority=5 is not kept")
    (note,) = one(ENTRY | {"options": {"expires": NOW}}).notes
    assert note.startswith("expires=2026-01-31T10:00:00+00:00 is one instant")
    assert one(ENTRY | {"options": {"expires": timedelta(minutes=2)}}).policy["start_deadline"] == "2m"
    assert one(ENTRY, task_time_limit=1_000_000).policy["timeout"] == "1d"


def test_a_handler_of_choice_gets_the_name_of_the_task():
    """In its payload."""
    (task,) = imported(ENTRY, handler="call").tasks
    assert (task.handler, task.payload) == ("call", {"function": "shop.tasks.send"})


@pytest.mark.parametrize("every", [90, 90.0, timedelta(seconds=90), schedule(run_every=90)])
def test_an_interval_is_kept_but_not_its_beginning(every: Any):
    """Which is beat's start, or the last run."""
    task = one(ENTRY | {"schedule": every})
    assert (task.schedule, task.time_zone) == ("every 90 seconds", "UTC")
    (note,) = task.notes
    assert note.startswith("here intervals count from Sunday 1970-01-04 00:00 UTC, Celery beat counts from its own")


def sunset() -> solar:
    """Return a solar schedule without the library ephem, which it needs to know the time."""
    made: solar = solar.__new__(solar)
    made.event, made.lat, made.lon = "sunset", 52.5, 13.4
    return made


def test_periodic_tasks_that_a_program_adds_are_entries():
    """As Celery keeps them: `add_periodic_task` is read like `beat_schedule`."""
    app = Celery("shop", set_as_current=False)

    @app.task(name="shop.tidy", time_limit=7)
    def tidy() -> None:
        """Do nothing."""

    app.add_periodic_task(30, tidy.s(1), name="tidy up", expires=10)
    (task,) = read_celery_beat(json.loads(snippet.beat_json(app)), now=NOW).tasks
    assert (task.name, task.schedule, task.handler, task.payload) == (
        "tidy-up",
        "every 30 seconds",
        "shop.tidy",
        {"args": [1]},
    )
    assert (task.policy["timeout"], task.policy["start_deadline"]) == ("7s", "10s")


class Moody(schedule):
    """A schedule of a program's own."""


@pytest.mark.parametrize(
    ("due", "why"),
    [
        (sunset(), "a solar event is at another time each day"),
        (0.5, "is not of whole seconds"),
        (crontab(minute=0, hour=0, day_of_month="1-7", day_of_week="mon"), "must both match"),
        (crontab(minute=0, hour=0, day_of_month=31, month_of_year=2), "can never fire"),
        (Moody(run_every=60), "type 'Moody'"),
    ],
)
def test_what_has_no_schedule_here_is_left_out(due: Any, why: str):
    """With the reason."""
    found = imported(ENTRY | {"schedule": due})
    assert found.tasks == ()
    assert why in found.left[0].reason


def test_arguments_that_are_no_json_are_left_out():
    """The snippet names them."""
    (left,) = imported(ENTRY | {"kwargs": {"when": NOW}}).left
    assert left.reason.startswith("kwargs {'when': datetime.datetime(")


def test_a_night_when_clocks_change_is_noted():
    """Where the time may be one that does not exist, or comes twice."""
    (note,) = one(ENTRY | {"schedule": crontab(minute=30, hour=2)}).notes
    assert note.startswith("in nights when clocks of Europe/Berlin change, Celery beat may leave out")
    assert one(ENTRY | {"schedule": crontab(minute=30, hour=4)}).notes == ()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("text", "is not an object"),
        ({"entries": []}, "is not what the snippet prints"),
        ({"celery_beat": 1, "entries": [{"name": "a"}]}, r"entries\[0\].task: is missing"),
        (
            {
                "celery_beat": 1,
                "entries": [{"name": "a", "task": "b", "schedule": {"type": "crontab", "minute": [60]}}],
            },
            r"schedule.minute: has a value that is not between 0 and 59",
        ),
        (
            {
                "celery_beat": 1,
                "entries": [{"name": "a", "task": "b", "schedule": {"type": "interval", "seconds": "x"}}],
            },
            r"schedule.seconds: is not a number",
        ),
    ],
)
def test_what_the_snippet_does_not_print_is_an_error(document: object, message: str):
    """With its place."""
    with pytest.raises(NotReadable, match=message):
        read_celery_beat(document, now=NOW)


def _field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    ranges = st.tuples(number, number)
    step = st.integers(1, high)
    kinds = [
        st.just("*"),
        st.just("*"),
        step.map(lambda each: f"*/{each}"),
        number.map(str),
        ranges.map(lambda pair: f"{pair[0]}-{pair[1]}"),
        st.tuples(ranges, step).map(lambda each: f"{min(each[0])}-{max(each[0])}/{each[1]}"),
    ]
    return st.lists(st.one_of(kinds), min_size=1, max_size=2).map(",".join)


crontabs = st.fixed_dictionaries(
    {
        "minute": _field(0, 59),
        "hour": _field(0, 23),
        "day_of_month": _field(1, 28),
        "month_of_year": _field(1, 12),
        "day_of_week": _field(0, 6),
    }
)


@settings(derandomize=True, deadline=None, database=None, max_examples=200)
@given(crontabs)
def test_tasks_are_due_when_the_library_says(drawn: dict[str, str]):
    """The next five runs of crontabs, ranges that run backwards too."""
    due = crontab(**drawn)
    timing = snippet._schedule(due)
    entry = {"name": "a", "task": "b", "schedule": timing}
    found = read_celery_beat({"celery_beat": 1, "timezone": "UTC", "entries": [entry]}, now=NOW)
    if found.tasks:
        assert list(parse(found.tasks[0].schedule).upcoming(NOW, 5)) == runs(due, NOW, 5)
    else:
        assert "must both match" in found.left[0].reason
