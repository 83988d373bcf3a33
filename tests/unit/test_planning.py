"""What is due, what covers it, and what becomes of it when the task changes."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from support.rigs.rig import START, at

from schedule_grpc.domain.execution import CoveredRange, Reason, State, Trigger
from schedule_grpc.domain.planning import plan
from schedule_grpc.domain.registration import registered, switched
from schedule_grpc.domain.task import Definition, Task, define
from schedule_grpc.errors import InvalidArgument

SECOND = timedelta(seconds=1)


def definition(schedule: str = "@hourly", **changes: Any) -> Definition:
    """Return a definition of the task."""
    return define(**({"name": "t", "schedule": schedule, "handler": "h"} | changes))


def task(schedule: str = "@hourly", *, enabled: bool | None = None) -> Task:
    """Return a task registered at 10:00."""
    return registered(None, definition(schedule), enabled=enabled, now=START).after


def covered(first: str, last: str, count: int) -> CoveredRange:
    """Return an exact range of 2026-01-31."""
    return CoveredRange(from_time=at(f"2026-01-31T{first}"), to_time=at(f"2026-01-31T{last}"), count=count)


@pytest.mark.parametrize(
    ("schedule", "now", "scheduled", "trigger", "covers"),
    [
        ("@hourly", "11:00:00", "11:00", Trigger.SCHEDULE, None),
        ("@hourly", "11:00:30", "11:00", Trigger.SCHEDULE, None),
        ("@hourly", "11:59:59", "11:00", Trigger.SCHEDULE, None),
        ("@hourly", "12:00:30", "12:00", Trigger.SCHEDULE, covered("11:00", "11:00", 1)),
        ("@hourly", "12:00:30.000001", "12:00", Trigger.CATCH_UP, covered("11:00", "11:00", 1)),
        ("@hourly", "15:59:59", "15:00", Trigger.CATCH_UP, covered("11:00", "14:00", 4)),
        ("every 90 minutes", "16:00:00", "15:00", Trigger.CATCH_UP, covered("10:30", "13:30", 3)),
        ("30 10,12 * * *", "13:00:00", "12:30", Trigger.CATCH_UP, covered("10:30", "10:30", 1)),
        ("2026-01-31T10:30:00Z", "10:30:00", "10:30", Trigger.SCHEDULE, None),
        ("2026-01-31T10:30:00Z", "23:00:00", "10:30", Trigger.SCHEDULE, None),
    ],
)
def test_the_newest_occurrence_covers_the_older_ones(
    schedule: str, now: str, scheduled: str, trigger: Trigger, covers: CoveredRange | None
):
    """One row for everything that is due at one look; on schedule means alone and at most 30 s late."""
    firing = plan(task(schedule), at(f"2026-01-31T{now}"))
    (execution,) = firing.executions
    assert execution.scheduled_time == at(f"2026-01-31T{scheduled}")
    assert (execution.trigger, execution.covers) == (trigger, covers)
    assert (execution.state, execution.create_time) == (State.PENDING, firing.settled_time)
    assert firing.settled_time == at(f"2026-01-31T{now}")


def test_looking_twice_finds_nothing_new():
    """What a plan settled is not due again, and the next run follows the settled time."""
    before = task()
    firing = plan(before, at("2026-01-31T12:30"))
    settled = switching_time(before, firing.settled_time)
    assert plan(settled, at("2026-01-31T12:30")).executions == ()
    assert firing.next_run_time == at("2026-01-31T13:00")


def switching_time(before: Task, settled: datetime) -> Task:
    """Return the task as the store keeps it after a firing."""
    return replace(before, settled_time=settled, next_run_time=before.schedule.next_after(settled))


def test_a_clock_that_was_set_back_fires_nothing_twice():
    """Two hours back: nothing is due, and the next run stays where it was."""
    settled = switching_time(task(), at("2026-01-31T12:30"))
    firing = plan(settled, at("2026-01-31T10:30"))
    assert (firing.executions, firing.settled_time) == ((), at("2026-01-31T12:30"))
    assert firing.next_run_time == at("2026-01-31T13:00")


def test_a_once_that_has_fired_will_not_again():
    """It has no next run; the task stays."""
    firing = plan(task("2026-01-31T10:30:00Z"), at("2026-01-31T11:00"))
    assert (len(firing.executions), firing.next_run_time) == (1, None)


def test_a_manual_schedule_is_never_due():
    """Not in a hundred years."""
    firing = plan(task("@manual"), START + timedelta(days=36_500))
    assert (firing.executions, firing.next_run_time) == ((), None)


# -- registering


def test_registering_never_fires():
    """A new task counts from now: neither the occurrence just passed, nor one at this very instant."""
    fresh = registered(None, definition(), enabled=None, now=START)
    assert (fresh.before, fresh.settlement) == (None, None)
    assert (fresh.after.settled_time, fresh.after.next_run_time) == (START, at("2026-01-31T11:00"))
    assert (fresh.after.revision, fresh.after.enabled) == (1, True)


def test_registering_anew_what_is_there_changes_nothing():
    """Neither revision nor times, whenever it is done."""
    before = task()
    change = registered(before, definition(), enabled=None, now=at("2026-01-31T12:30"))
    assert (change.after, change.settlement) == (before, None)


def test_registering_anew_keeps_an_operators_pause():
    """And the creation time, the identity; the revision counts."""
    paused = switched(task(), enabled=False, note="broken", now=START + SECOND).after
    change = registered(paused, definition(payload={"a": 1}), enabled=None, now=START + 2 * SECOND)
    assert (change.after.enabled, change.after.note, change.after.next_run_time) == (False, "broken", None)
    assert (change.after.uid, change.after.create_time, change.after.revision) == (paused.uid, START, 3)
    woken = registered(paused, definition(), enabled=True, now=START + 2 * SECOND).after
    assert (woken.enabled, woken.note, woken.next_run_time) == (True, "", at("2026-01-31T11:00"))


def test_a_change_of_the_payload_leaves_the_schedule_alone():
    """What is due stays due: the settled time does not move."""
    before = task()
    change = registered(before, definition(payload={"a": 1}), enabled=None, now=at("2026-01-31T11:30"))
    assert (change.after.settled_time, change.after.next_run_time) == (START, at("2026-01-31T11:00"))
    assert change.settlement is None


def test_a_new_schedule_counts_from_now_and_the_old_one_is_settled_first():
    """What was due until then gets its row under the old definition."""
    before = task()
    change = registered(before, definition("0 9 * * *"), enabled=None, now=at("2026-01-31T12:30"))
    assert change.settlement is not None
    (execution,) = change.settlement.executions
    assert (execution.scheduled_time, execution.state) == (at("2026-01-31T12:00"), State.PENDING)
    assert execution.covers == covered("11:00", "11:00", 1)
    assert (change.after.settled_time, change.after.next_run_time) == (at("2026-01-31T12:30"), at("2026-02-01T09:00"))


@pytest.mark.parametrize("before", [None, task(), task("2026-01-31T10:30:00Z")])
def test_an_instant_in_the_past_is_refused(before: Task | None):
    """New or changed; naming the field and the instant."""
    with pytest.raises(InvalidArgument, match="schedule: 2026-01-31T10:15:00Z lies in the past"):
        registered(before, definition("2026-01-31T10:15:00Z"), enabled=None, now=at("2026-01-31T11:00"))


def test_a_past_instant_that_was_registered_in_time_may_be_changed():
    """Its payload, its pause: the schedule is not new."""
    fired = switching_time(task("2026-01-31T10:30:00Z"), at("2026-01-31T11:00"))
    later = at("2026-01-31T12:00")
    changed = registered(fired, definition("2026-01-31T10:30:00Z", payload={"a": 1}), enabled=None, now=later)
    assert changed.after.next_run_time is None
    assert switched(fired, enabled=False, note="", now=later).after.enabled is False


# -- enabling and disabling


def test_disabling_skips_what_was_due_at_once():
    """It could not start any more: SKIPPED/TASK_DISABLED, still accounting for what it covers."""
    change = switched(task(), enabled=False, note="broken", now=at("2026-01-31T13:30"))
    assert change.settlement is not None
    (execution,) = change.settlement.executions
    assert (execution.state, execution.reason) == (State.SKIPPED, Reason.TASK_DISABLED)
    assert (execution.scheduled_time, execution.covers) == (at("2026-01-31T13:00"), covered("11:00", "12:00", 2))
    assert (change.after.next_run_time, change.after.note) == (None, "broken")


def test_enabling_counts_from_now():
    """What fell into the pause is not due, and the next run is in the future."""
    paused = switched(task(), enabled=False, note="broken", now=START + SECOND).after
    change = switched(paused, enabled=True, note="ignored", now=at("2026-01-31T13:30"))
    assert change.settlement is None
    assert (change.after.settled_time, change.after.next_run_time) == (at("2026-01-31T13:30"), at("2026-01-31T14:00"))
    assert (change.after.note, change.after.revision) == ("", 3)


def test_a_pause_and_its_end_on_a_clock_set_back_unsettle_nothing():
    """Up to 12:30 everything has its row; at 10:30 by the new clock the task is paused and woken: next run 13:00."""
    settled = switching_time(task(), at("2026-01-31T12:30"))
    paused = switched(settled, enabled=False, note="", now=at("2026-01-31T10:30")).after
    woken = switched(paused, enabled=True, note="", now=at("2026-01-31T10:31")).after
    assert (woken.settled_time, woken.next_run_time) == (at("2026-01-31T12:30"), at("2026-01-31T13:00"))
    assert plan(woken, at("2026-01-31T12:29")).executions == ()


@pytest.mark.parametrize("enabled", [True, False])
def test_switching_to_what_it_is_changes_nothing(enabled: bool):
    """A repeated call may be repeated."""
    before = task(enabled=enabled)
    change = switched(before, enabled=enabled, note="", now=START + SECOND)
    assert change.after == before


def test_a_new_note_on_a_paused_task_is_a_change():
    """An empty one is not."""
    paused = switched(task(), enabled=False, note="first", now=START + SECOND).after
    assert switched(paused, enabled=False, note="", now=START + 2 * SECOND).after == paused
    again = switched(paused, enabled=False, note="second", now=START + 2 * SECOND).after
    assert (again.note, again.revision) == ("second", paused.revision + 1)
