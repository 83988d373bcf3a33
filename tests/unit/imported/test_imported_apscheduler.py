"""Jobs of APScheduler as task files: the real library makes them, the snippet prints them, and both run alike."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.schedulers.base import BaseScheduler
from apscheduler.schedulers.blocking import BlockingScheduler
from apscheduler.triggers.combining import AndTrigger, OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger
from hypothesis import given, settings
from hypothesis import strategies as st

from schedule_grpc.cli.snippets import apscheduler_jobs
from schedule_grpc.domain.schedule import parse
from schedule_grpc.formats.imported.apscheduler import read_apscheduler
from schedule_grpc.formats.imported.values import Imported, ImportedTask, NotReadable

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
FUNCTION = "builtins:print"
CRON = {"type": "cron", "timezone": "UTC", "fields": {"minute": "0", "second": "0"}}
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@pytest.fixture
def scheduler() -> Iterator[BackgroundScheduler]:
    """A scheduler in Berlin that runs nothing, with its jobs in memory."""
    scheduler = BackgroundScheduler(timezone="Europe/Berlin")
    scheduler.start(paused=True)
    yield scheduler
    scheduler.shutdown()


def imported(scheduler: BackgroundScheduler, *, handler: str = "") -> Imported:
    """Return what the snippet prints of a scheduler, imported."""
    return read_apscheduler(json.loads(apscheduler_jobs.jobs_json(scheduler)), handler=handler, now=NOW)


def one(scheduler: BackgroundScheduler, *args: Any, **kwargs: Any) -> ImportedTask:
    """Return the task of one job."""
    scheduler.add_job(FUNCTION, *args, **kwargs)
    (task,) = imported(scheduler).tasks
    return task


def of_trigger(trigger: Any) -> Imported:
    """Return what a trigger alone imports."""
    job = {"id": "job", "func": FUNCTION, "trigger": apscheduler_jobs._trigger(trigger)}
    return read_apscheduler({"apscheduler": 3, "jobs": [job]}, now=NOW)


def runs(trigger: Any, after: datetime, count: int) -> list[datetime]:
    """Return the next runs of a trigger, as the library computes them."""
    found: list[datetime] = []
    previous, now = None, after
    while len(found) < count:
        fire = trigger.get_next_fire_time(previous, now)
        if fire is None:
            break
        if fire > after:
            found.append(fire.astimezone(UTC))
        previous = now = fire
    return found


def test_a_job_becomes_a_task(scheduler: BackgroundScheduler):
    """Its function is the handler, its arguments the payload; what APScheduler does by default is the policy."""
    task = one(scheduler, "cron", id="nightly", hour=3, minute=30, day_of_week=0, args=[{"a": 1}], kwargs={"end": ""})
    assert (task.name, task.schedule, task.time_zone, task.handler) == (
        "nightly",
        "30 3 * * 1",
        "Europe/Berlin",
        "builtins.print",
    )
    assert task.payload == {"args": [{"a": 1}], "kwargs": {"end": ""}}
    assert task.enabled is None
    assert (task.policy["overlap"], task.policy["catch_up"]) == ("skip", "latest")
    assert task.notes == ("misfire_grace_time is 1 s; here a run may begin up to 1m late",)


def test_limits_become_policies(scheduler: BackgroundScheduler):
    """Instances, grace, coalescing, jitter; a paused job is a disabled task."""
    options = {"max_instances": 3, "coalesce": False, "misfire_grace_time": 600, "jitter": 30}
    task = one(scheduler, "cron", id="job", hour=3, **options)
    assert {name: task.policy[name] for name in ("overlap", "catch_up", "catch_up_window", "start_deadline")} == {
        "overlap": "allow-all",
        "catch_up": "all",
        "catch_up_window": "10m",
        "start_deadline": "10m",
    }
    assert task.policy["jitter"] == "30s"
    assert [note.partition("=")[0] for note in task.notes] == ["max_instances", "coalesce"]
    scheduler.pause_job("job")
    (paused,) = imported(scheduler).tasks
    assert paused.enabled is False


def test_no_grace_is_any_lateness(scheduler: BackgroundScheduler):
    """As late as our bounds allow; of many missed runs a hundred run."""
    task = one(scheduler, "interval", minutes=5, coalesce=False, misfire_grace_time=None, start_date=NOW)
    assert (task.policy["catch_up_window"], task.policy["start_deadline"]) == ("3650d", "365d")
    assert task.notes == ("coalesce=False: of missed runs the newest hundred run here",)


def test_a_handler_of_choice_gets_the_function(scheduler: BackgroundScheduler):
    """In its payload."""
    scheduler.add_job(FUNCTION, "cron", id="job", hour=3, args=[1])
    (task,) = imported(scheduler, handler="call").tasks
    assert (task.handler, task.payload) == ("call", {"function": FUNCTION, "args": [1]})


@pytest.mark.parametrize(
    ("trigger", "schedule", "window"),
    [
        (CronTrigger(second="*/10", timezone="UTC"), "every 10 seconds", {}),
        (CronTrigger(day="1-7", day_of_week="sun", timezone="UTC"), "0 0 1-7 * */7", {}),
        (CronTrigger(day="1,31", day_of_week="mon", timezone="UTC"), "0 0 */30 * 1", {}),
        (CronTrigger(minute="0-0/1", timezone="UTC"), "0 * * * *", {}),
        (
            CronTrigger(year="2027-2028", timezone="Europe/Berlin"),
            "0 0 1 1 *",
            {
                "start_time": datetime(2026, 12, 31, 23, tzinfo=UTC),
                "end_time": datetime(2028, 12, 31, 23, tzinfo=UTC),
            },
        ),
        (
            CronTrigger(hour=1, start_date=NOW + timedelta(days=9), end_date=NOW + timedelta(days=10), timezone="UTC"),
            "0 1 * * *",
            {
                "start_time": NOW + timedelta(days=9),
                "end_time": NOW + timedelta(days=10, microseconds=1),
            },
        ),
    ],
)
def test_what_cron_has_another_way_for(trigger: CronTrigger, schedule: str, window: dict[str, Any]):
    """Seconds of a step, days of both kinds, years, a first and a last moment."""
    (task,) = of_trigger(trigger).tasks
    assert (task.schedule, task.policy.get("window", {})) == (schedule, window)
    start, end = window.get("start_time", NOW), window.get("end_time", datetime.max.replace(tzinfo=UTC))
    ours = [run for run in parse(task.schedule, task.time_zone).upcoming(start - timedelta(seconds=1), 5) if run < end]
    assert ours == runs(trigger, start - timedelta(seconds=1), 5)


@pytest.mark.parametrize(
    ("trigger", "why"),
    [
        (CronTrigger(day="last", timezone="UTC"), "day=last: cron has no such thing"),
        (CronTrigger(day="2nd fri", timezone="UTC"), "day=2nd fri: cron has no such thing"),
        (CronTrigger(week=3, timezone="UTC"), "week=3: cron has no weeks of the year"),
        (CronTrigger(second="5,7", timezone="UTC"), "second=5,7: cron has no seconds"),
        (CronTrigger(year="2027,2029", timezone="UTC"), "only years that follow one another"),
        (CronTrigger(day="1-7", day_of_week="mon", timezone="UTC"), "must both match"),
        (IntervalTrigger(days=4000, timezone="UTC"), "above the longest"),
        (AndTrigger([CronTrigger(hour=1, timezone="UTC")]), "type 'and'"),
    ],
)
def test_what_has_no_schedule_here_is_left_out(trigger: Any, why: str):
    """With the reason."""
    found = of_trigger(trigger)
    assert found.tasks == ()
    assert why in found.left[0].reason


def test_any_of_several_triggers_is_a_task_of_its_own():
    """Of one job; those that can be kept are."""
    found = of_trigger(OrTrigger([CronTrigger(hour=1, timezone="UTC"), CronTrigger(week=2, timezone="UTC")]))
    assert [task.name for task in found.tasks] == ["job"]
    assert found.tasks[0].notes == ("one of 2 triggers of a job: where two are due at once, both run here",)
    assert [left.place for left in found.left] == ["jobs[0].trigger.triggers[1]"]


def test_an_instant_is_kept(scheduler: BackgroundScheduler):
    """One that is over is noted: apply passes it by."""
    assert one(scheduler, "date", run_date=NOW + timedelta(days=3650)).schedule == "2036-01-29T10:00:00Z"
    job = {"id": "j", "func": "f:g", "trigger": {"type": "date", "run_date": "2026-01-01T00:00:00+01:00"}}
    (over,) = read_apscheduler({"apscheduler": 3, "jobs": [job]}, now=NOW).tasks
    assert (over.schedule, over.notes) == ("2025-12-31T23:00:00Z", ("it is over: tasks apply passes it by",))


def test_arguments_that_are_no_json_are_left_out(scheduler: BackgroundScheduler):
    """The snippet names them, and the import says why."""
    scheduler.add_job(FUNCTION, "cron", id="job", hour=3, args=[object()])
    (left,) = imported(scheduler).left
    assert left.reason.startswith("args [<object object at")


def test_a_scheduler_that_would_block_is_read():
    """Started as the document says, it opens its job stores, and goes on to the next line."""
    scheduler = BlockingScheduler(timezone="UTC")
    scheduler.add_job(FUNCTION, "cron", id="job", hour=3)
    BaseScheduler.start(scheduler, paused=True)
    (task,) = imported(scheduler).tasks
    assert (task.name, task.schedule, task.enabled) == ("job", "0 3 * * *", None)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "is not an object"),
        ({"jobs": []}, "is not what the snippet prints"),
        ({"apscheduler": 3, "jobs": {}}, "jobs: is not a list"),
        ({"apscheduler": 3, "jobs": [{}]}, r"jobs\[0\].id: is missing"),
        ({"apscheduler": 3, "jobs": [{"id": "a", "func": 1}]}, r"jobs\[0\].func: is not a text"),
        ({"apscheduler": 3, "jobs": [{"id": "a", "func": "f", "trigger": 1}]}, r"jobs\[0\].trigger: is not an object"),
        (
            {"apscheduler": 3, "jobs": [{"id": "a", "func": "f", "trigger": {"type": "date", "run_date": "x"}}]},
            "run_date: is no instant",
        ),
        (
            {
                "apscheduler": 3,
                "jobs": [{"id": "a", "func": "f", "trigger": CRON | {"end_date": "9999-12-31T23:59:59Z"}}],
            },
            "end_date: is no instant",
        ),
        ({"apscheduler": 3, "jobs": [{"id": "a", "func": "f", "trigger": {"type": "date"}}]}, "run_date: is missing"),
    ],
)
def test_what_the_snippet_does_not_print_is_an_error(document: object, message: str):
    """With its place."""
    with pytest.raises(NotReadable, match=message):
        read_apscheduler(document, now=NOW)


def _stepped(drawn: tuple[list[int], int]) -> str:
    """Return a range with a step, which the library does not take if it is longer than the range."""
    (first, last), step = drawn
    return f"{first}-{last}/{step}" if step <= last - first else f"{first}-{last}"


def _field(low: int, high: int, names: tuple[str, ...] = ()) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    ranges = st.tuples(number, number).map(sorted)
    step = st.integers(1, max(high - low, 1))
    kinds = [
        st.just("*"),
        st.just("*"),
        step.map(lambda each: f"*/{each}"),
        number.map(str),
        ranges.map(lambda pair: f"{pair[0]}-{pair[1]}"),
        st.tuples(ranges, step).map(_stepped),
        number.map(lambda each: f"{each}/2" if high - each >= 2 else str(each)),
    ]
    if names:
        kinds.append(ranges.map(lambda pair: f"{names[pair[0]]}-{names[pair[1]]}"))
    return st.lists(st.one_of(kinds), min_size=1, max_size=2).map(",".join)


triggers = st.fixed_dictionaries(
    {
        "month": _field(1, 12),
        "day": _field(1, 28),
        "day_of_week": _field(0, 6, WEEKDAYS),
        "hour": _field(0, 23),
        "minute": _field(0, 59),
    }
)


@settings(derandomize=True, deadline=None, database=None, max_examples=200)
@given(triggers)
def test_tasks_are_due_when_the_library_fires(drawn: dict[str, str]):
    """The next five runs of cron triggers."""
    trigger = CronTrigger(**drawn, second=0, timezone="UTC")
    found = of_trigger(trigger)
    if found.tasks:
        assert list(parse(found.tasks[0].schedule).upcoming(NOW, 5)) == runs(trigger, NOW, 5)
    else:
        assert "must both match" in found.left[0].reason


@settings(derandomize=True, deadline=None, database=None, max_examples=200)
@given(
    st.sampled_from([1, 5, 7, 15, 20, 30, 45, 60, 90, 120, 360, 420, 720, 1440, 2880, 10_080]),
    st.integers(0, 20_000),
    st.sampled_from([0, 0, 7]),
)
def test_intervals_are_due_when_the_library_fires(minutes: int, began: int, second: int):
    """At the same moments where a note says nothing else, within the minute where it says so, else as far apart."""
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=began, seconds=second)
    trigger = IntervalTrigger(minutes=minutes, start_date=start, timezone="UTC")
    after = max(NOW, start + timedelta(minutes=minutes))
    (task,) = of_trigger(trigger).tasks
    ours, theirs = list(parse(task.schedule).upcoming(after, 5)), runs(trigger, after, 5)
    if not task.notes:
        assert ours == theirs
    elif "earlier here" in task.notes[0]:
        whole = [time.replace(second=0) for time in theirs]
        assert list(parse(task.schedule).upcoming(whole[0] - timedelta(seconds=1), 5)) == whole
    else:
        assert "at other moments" in task.notes[0]
        assert {after - before for before, after in pairwise(ours)} == {timedelta(minutes=minutes)}
