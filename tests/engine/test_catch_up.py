"""Catch-up, window and jitter: which occurrences run, when, and what accounts for the rest."""

from datetime import timedelta

import pytest
from msgspec.structs import replace
from support.rigs.rig import START, Rig, at

from schedule_grpc.domain.execution import CoveredRange, Execution, Reason, State, Trigger
from schedule_grpc.domain.planning import plan
from schedule_grpc.domain.policy import CatchUp, Overlap, Policy, Window
from schedule_grpc.domain.registration import registered
from schedule_grpc.domain.schedule import MAX_COUNTED
from schedule_grpc.domain.task import Task, define

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def task(schedule: str = "* * * * *", **policy) -> Task:
    """Return a task that is registered at 10:00."""
    definition = define(name="t", schedule=schedule, handler="h", policy=Policy(**policy))
    return registered(None, definition, enabled=None, now=START).after


def told(execution: Execution) -> tuple[str, int | None, tuple[int, int, int] | None]:
    """Return a row's trigger or reason, its minute after 10:00, and the minutes it covers with their count."""
    covers = execution.covers
    said = execution.reason.value if execution.reason else execution.trigger.value
    return (
        said,
        _minute(execution.scheduled_time),
        covers and (_minute(covers.from_time), _minute(covers.to_time), covers.count),  # type: ignore[return-value]
    )


def _minute(instant) -> int | None:
    return None if instant is None else (instant - START) // MINUTE


def rows(found: Task, after: timedelta) -> list[tuple[str, int | None, tuple[int, int, int] | None]]:
    """Return what a look writes, so much later."""
    return [told(execution) for execution in plan(found, START + after).executions]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (59 * SECOND, []),
        (MINUTE, [("SCHEDULE", 1, None)]),
        (MINUTE + 59 * SECOND, [("SCHEDULE", 1, None)]),
        (2 * MINUTE + 30 * SECOND, [("CATCH_UP", 1, None), ("SCHEDULE", 2, None)]),
        (2 * MINUTE + 31 * SECOND, [("CATCH_UP", 1, None), ("CATCH_UP", 2, None)]),
    ],
)
def test_all_of_a_few_run(after: timedelta, expected: list):
    """Each has its row; what is at most 30 s late, or alone, is on schedule."""
    assert rows(task(catch_up=CatchUp.ALL), after) == expected


@pytest.mark.parametrize(
    ("minutes", "missed"),
    [
        (100, []),
        (101, [("CATCH_UP_LIMIT", 1, None)]),
        (102, [("CATCH_UP_LIMIT", 2, (1, 1, 1))]),
        (250, [("CATCH_UP_LIMIT", 150, (1, 149, 149))]),
    ],
)
def test_all_is_a_hundred_at_most(minutes: int, missed: list):
    """One MISSED row stands for the older ones: its own is the newest of them."""
    found = rows(task(catch_up=CatchUp.ALL), minutes * MINUTE)
    assert found[: len(missed)] == missed
    ran = [("CATCH_UP", minute, None) for minute in range(minutes - 99, minutes)]
    assert found[len(missed) :] == [*ran, ("SCHEDULE", minutes, None)]


def test_more_than_can_be_counted_is_told_as_at_least():
    """The range is whole, the count a lower bound."""
    firing = plan(task(catch_up=CatchUp.ALL), START + 20_000 * MINUTE)
    limit = firing.executions[0]
    assert (limit.reason, limit.scheduled_time) == (Reason.CATCH_UP_LIMIT, START + 19_900 * MINUTE)
    assert limit.covers == CoveredRange(
        from_time=START + MINUTE, to_time=START + 19_899 * MINUTE, count=MAX_COUNTED - 101, exact=False
    )
    assert len(firing.executions) == 101


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (MINUTE + 30 * SECOND, [("SCHEDULE", 1, None)]),
        (MINUTE + 31 * SECOND, [("CATCH_UP_NONE", 1, None)]),
        (2 * MINUTE, [("CATCH_UP_NONE", 1, None), ("SCHEDULE", 2, None)]),
        (3 * MINUTE, [("CATCH_UP_NONE", 2, (1, 1, 1)), ("SCHEDULE", 3, None)]),
        (9 * MINUTE + 31 * SECOND, [("CATCH_UP_NONE", 9, (1, 8, 8))]),
    ],
)
def test_none_runs_what_is_on_time(after: timedelta, expected: list):
    """And tells of the rest in one MISSED row."""
    assert rows(task(catch_up=CatchUp.NONE), after) == expected


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        (CatchUp.LATEST, [("CATCH_UP_WINDOW", 4, (1, 3, 3)), ("SCHEDULE", 10, (5, 9, 5))]),
        (
            CatchUp.ALL,
            [
                ("CATCH_UP_WINDOW", 4, (1, 3, 3)),
                *[("CATCH_UP", minute, None) for minute in range(5, 10)],
                ("SCHEDULE", 10, None),
            ],
        ),
        (CatchUp.NONE, [("CATCH_UP_WINDOW", 4, (1, 3, 3)), ("CATCH_UP_NONE", 9, (5, 8, 4)), ("SCHEDULE", 10, None)]),
    ],
)
def test_what_is_older_than_the_window_is_missed(catch_up: CatchUp, expected: list):
    """Five minutes: exactly so old is not older."""
    assert rows(task(catch_up=catch_up, catch_up_window=5 * MINUTE), 10 * MINUTE) == expected


def test_a_window_of_nothing_keeps_what_is_due_this_very_moment():
    """And only that."""
    assert rows(task(catch_up_window=timedelta(0)), 2 * MINUTE) == [("CATCH_UP_WINDOW", 1, None), ("SCHEDULE", 2, None)]
    assert rows(task(catch_up_window=timedelta(0)), 2 * MINUTE + SECOND) == [("CATCH_UP_WINDOW", 2, (1, 1, 1))]


def test_every_plan_accounts_for_every_minute_once():
    """Whatever the policy and however long the downtime."""
    for catch_up in CatchUp:
        for window in (timedelta(0), 7 * MINUTE, timedelta(days=365)):
            for minutes in (0, 1, 2, 3, 99, 100, 101, 103, 500):
                for late in (timedelta(0), 31 * SECOND):
                    seen: list[int] = []
                    for _, own, covers in rows(
                        task(catch_up=catch_up, catch_up_window=window), minutes * MINUTE + late
                    ):
                        seen += [own or 0] + (list(range(covers[0], covers[1] + 1)) if covers else [])
                    assert sorted(seen) == list(range(1, minutes + 1)), (catch_up, window, minutes, late)


async def test_all_runs_one_by_one_in_order(rig: Rig):
    """Under SKIP too: what is caught up queues; the one that is on time obeys its policy and is skipped."""
    await rig.register("task", "* * * * *", policy=Policy(catch_up=CatchUp.ALL, overlap=Overlap.SKIP))
    await rig.skip(5 * 60)
    history = sorted(await rig.history(), key=lambda each: each.scheduled_time or START)
    assert [(each.trigger, each.state) for each in history] == [
        *[(Trigger.CATCH_UP, State.SUCCEEDED)] * 4,
        (Trigger.SCHEDULE, State.SKIPPED),
    ]


# -- window


def test_a_window_has_its_start_and_not_its_end():
    """10:02 to 10:05: at 2, 3 and 4."""
    found = task(
        catch_up=CatchUp.ALL, window=Window(start_time=at("2026-01-31T10:02"), end_time=at("2026-01-31T10:05"))
    )
    assert found.next_run_time == at("2026-01-31T10:02")
    firing = plan(found, START + 10 * MINUTE)
    assert [told(each)[1] for each in firing.executions] == [2, 3, 4]
    assert firing.next_run_time is None


async def test_a_change_of_the_window_settles_what_was_due(rig: Rig):
    """Under the old one; the new one counts from now."""
    await rig.register("task", "@hourly")
    await rig.clock.advance(2 * 3600 + 60)
    after = await rig.register("task", "@hourly", policy=Policy(window=Window(start_time=at("2026-02-01T00:30"))))
    assert after.next_run_time == at("2026-02-01T01:00")
    await rig.tick()
    (execution,) = await rig.history()
    assert (execution.scheduled_time, execution.state) == (at("2026-01-31T12:00"), State.SUCCEEDED)


async def test_a_task_outside_its_window_rests(rig: Rig):
    """It stays, and can be run by hand."""
    await rig.register("task", "@hourly", policy=Policy(window=Window(end_time=at("2026-01-31T11:00"))))
    await rig.skip(3 * 3600)
    assert await rig.states() == []
    await rig.service.run_now("task", detach=True)
    await rig.tick()
    assert await rig.states() == ["SUCCEEDED"]


# -- jitter


def test_jitter_moves_the_start_and_not_the_occurrence():
    """Always by the same amount for one occurrence, by another for the next; never up to the next occurrence."""
    found = task(jitter=timedelta(hours=5))
    amounts = []
    for minute in range(1, 60):
        now = START + minute * MINUTE
        firing = plan(_settled(found, now - SECOND), now)
        (execution,) = firing.executions
        (again,) = plan(_settled(found, now - SECOND), now).executions
        assert execution.scheduled_time == now
        assert execution.available_time == again.available_time
        amounts.append(execution.available_time - now)
    assert all(timedelta(0) <= amount < 59 * SECOND for amount in amounts)
    assert len(set(amounts)) == len(amounts)
    assert max(amounts) - min(amounts) > 30 * SECOND


def _settled(found: Task, settled) -> Task:

    return replace(found, settled_time=settled)


async def test_a_jittered_occurrence_starts_later_and_its_deadline_with_it(rig: Rig):
    """The start deadline counts from when it could start."""
    policy = Policy(jitter=timedelta(minutes=30), start_deadline=timedelta(seconds=5))
    delay = (await rig.register("task", "@hourly", policy=policy)).start_delay
    assert timedelta(0) < delay < timedelta(minutes=30)
    await rig.skip(3600 + delay.total_seconds() - 1)
    assert await rig.history() == ()
    assert rig.engine.next_time == at("2026-01-31T11:00") + delay
    await rig.skip(1)
    (execution,) = await rig.history()
    assert (execution.state, execution.scheduled_time) == (State.SUCCEEDED, at("2026-01-31T11:00"))
    assert execution.start_time == at("2026-01-31T11:00") + delay


async def test_what_is_settled_before_its_start_waits_for_it(rig: Rig):
    """A changed schedule records what has come due; that starts when it would have, as does its deadline."""
    policy = Policy(jitter=timedelta(minutes=30), start_deadline=timedelta(seconds=5))
    delay = (await rig.register("task", "@hourly", policy=policy)).start_delay
    await rig.skip(3600)
    await rig.register("task", "@daily", policy=policy)
    (waiting,) = await rig.history()
    assert (waiting.state, waiting.available_time) == (State.PENDING, at("2026-01-31T11:00") + delay)
    assert waiting.deadline_time == waiting.available_time + timedelta(seconds=5)
    await rig.skip(delay.total_seconds())
    assert await rig.states() == ["SUCCEEDED"]


async def test_another_jitter_counts_at_once(rig: Rig):
    """For the next run that is planned already, too."""
    await rig.register("task", "@hourly", policy=Policy(jitter=timedelta(minutes=30)))
    assert (await rig.register("task", "@hourly")).start_delay == timedelta(0)
    await rig.skip(3600)
    assert await rig.states() == ["SUCCEEDED"]


async def test_a_task_of_an_older_program_starts_no_sooner(rig: Rig):
    """Its row tells no delay yet: it is fired at its occurrence, and waits in the queue as it always did."""
    delay = (await rig.register("task", "@hourly", policy=Policy(jitter=timedelta(minutes=30)))).start_delay

    def as_it_was():
        yield "UPDATE scheduled_tasks SET start_delay = 0", {}

    await rig.store._database.write(as_it_was)
    await rig.skip(3600)
    assert await rig.states() == ["PENDING"]
    await rig.skip(delay.total_seconds())
    assert await rig.states() == ["SUCCEEDED"]
    assert (await rig.service.get_task("task")).start_delay > timedelta(0)


async def test_what_is_run_by_hand_backfilled_or_caught_up_has_no_jitter(rig: Rig):
    """They run now."""
    await rig.register("task", "@hourly", policy=Policy(jitter=timedelta(minutes=30)))
    await rig.service.run_now("task", detach=True)
    await rig.service.backfill("task", at("2026-01-30T00:00"), at("2026-01-30T00:30"))
    await rig.tick()
    assert await rig.states() == ["SUCCEEDED"] * 2
    await rig.skip(5 * 3600 + 60)
    assert (await rig.states())[2:] == ["SUCCEEDED"]
