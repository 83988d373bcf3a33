"""Defects of the older service (compat.md, section 3) that concern what becomes of a run, and how it is recorded."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from support.rigs.rig import START, Rig, new_rig

from schedule_grpc import TaskContext, handler
from schedule_grpc.domain.execution import ExecutionFilter
from schedule_grpc.domain.paging import Page
from schedule_grpc.domain.policy import Policy, Retention
from schedule_grpc.domain.registration import TaskUpdate
from schedule_grpc.domain.retry import FailureKind, RetryPolicy
from schedule_grpc.domain.task import TaskFilter
from schedule_grpc.errors import DatabaseUnavailable
from schedule_grpc.testing import FakeClock, run

HOUR = 3600


async def test_defect_04_success_false_was_recorded_as_success(rig: Rig):
    """It is a failure with its error, and is tried again."""
    await rig.register("task", "@manual", payload={"fate": "false"})
    await rig.service.run_now("task", detach=True)
    await rig.tick()
    (execution,) = await rig.history()
    assert (execution.state, execution.error, execution.attempt) == ("PENDING", "said so", 1)
    await rig.skip(1)
    assert (await rig.history())[0].attempt == 2


async def test_defect_05_three_tries_after_2_and_4_seconds(rig: Rig):
    """Four attempts, 1 s, 2 s and 4 s after each end, then FAILED."""
    await rig.register("task", "@manual", payload={"fate": "raise"})
    await rig.service.run_now("task", detach=True)
    await rig.tick()
    for wait in (1, 2, 4):
        await rig.skip(wait - 0.001)
        (before,) = await rig.history()
        await rig.skip(0.001)
        (after,) = await rig.history()
        assert (before.state, after.attempt) == ("PENDING", before.attempt + 1)
    starts = [attempt.start_time - START for attempt in after.failed_attempts]
    assert (after.state, starts) == ("FAILED", [timedelta(seconds=seconds) for seconds in (0, 1, 3, 7)])


def test_defect_05_the_cap_of_ten_seconds():
    """It holds for every later attempt."""
    waits = [RetryPolicy(max_retries=9).backoff(attempt).total_seconds() for attempt in range(1, 8)]
    assert waits == [1, 2, 4, 8, 10, 10, 10]


async def test_defect_06_attempts_were_rows_without_a_number(rig: Rig):
    """One row, its attempts numbered."""
    await rig.register("task", "@manual", payload={"fate": "fail-at-first", "times": 2})
    await rig.service.run_now("task", detach=True)
    for _ in range(4):
        await rig.skip(4)
    (execution,) = await rig.history()
    assert (execution.state, execution.attempt) == ("SUCCEEDED", 3)
    assert [attempt.number for attempt in execution.failed_attempts] == [1, 2]


async def test_defect_07_after_a_timeout_the_old_run_went_on_beside_its_retry(rig: Rig, gate):
    """It is cancelled; one that will not stop gets no retry at all."""
    stubborn = gate("g")
    await rig.register("task", "@manual", handler="stubborn", payload={"gate": "g"})
    await rig.service.run_now("task", detach=True)
    await rig.engine.tick()
    await stubborn.came.wait()
    await rig.clock.advance(29)
    await rig.clock.advance(10)
    await rig.engine.idle()
    (execution,) = await rig.history()
    assert (execution.state, execution.failure_kind, execution.attempt) == ("FAILED", FailureKind.TIMEOUT, 1)
    assert len(stubborn.entered) == 1
    stubborn.opened.set()


@handler("blocking")
def blocking(ctx: TaskContext) -> None:
    """Block its thread until it is told to stop."""
    ctx.cancelled.wait(60)
    raise InterruptedError


async def test_defect_08_a_blocking_handler_defeated_its_timeout():
    """It runs in a thread, and its attempt ends in time."""
    clock = FakeClock(START)
    running = asyncio.create_task(run(blocking, clock=clock))
    await clock.advance(29)
    ran = await running
    assert (ran.failure_kind, ran.error) == (FailureKind.TIMEOUT, "Task execution timeout")


async def test_defect_11_history_was_filtered_by_task_after_the_limit(rig: Rig):
    """A quiet task shows its run, however much the others do."""
    await rig.register("quiet", "@manual")
    await rig.register("busy", "@manual")
    await rig.service.run_now("quiet", detach=True)
    await rig.tick()
    for _ in range(30):
        await rig.service.run_now("busy", detach=True)
        await rig.tick()
    page = await rig.service.history("quiet", ExecutionFilter(), Page(size=1))
    assert [execution.task_name for execution in page.executions] == ["quiet"]


async def test_defect_12_recent_executions_were_limited_before_sorting(rig: Rig):
    """The newest ones are shown, newest first."""
    await rig.register("task", "* * * * *")
    for _ in range(5):
        await rig.skip(60)
    page = await rig.service.executions(ExecutionFilter(), Page(size=2))
    assert [execution.create_time - START for execution in page.executions] == [
        timedelta(minutes=5),
        timedelta(minutes=4),
    ]


async def test_defect_13_at_most_1000_tasks_were_listed_and_fired(rig: Rig):
    """Every one of 1,100 fires."""
    for number in range(1100):
        await rig.register(f"t{number:04}", "@hourly")
    await rig.skip(HOUR)
    page = await rig.service.executions(ExecutionFilter(), Page(size=1000))
    rest = await rig.service.executions(ExecutionFilter(), Page(size=1000, token=page.next_page_token))
    names = {execution.task_name for execution in (*page.executions, *rest.executions)}
    assert len(names) == 1100


async def test_defect_15_a_runs_bookkeeping_undid_changes_made_meanwhile(rig: Rig, gate):
    """Disabled, updated or deleted while it runs: so it stays."""
    for name in ("disabled", "updated", "deleted"):
        gate(name)
        await rig.register(name, "@hourly", payload={"gate": name})
        await rig.service.run_now(name, detach=True)
    await rig.engine.tick()
    await rig.service.disable("disabled")
    await rig.service.update(TaskUpdate(name="updated", fields={"description": "new"}, policy={}))
    await rig.service.delete("deleted")
    for name in ("disabled", "updated", "deleted"):
        gate(name).opened.set()
    await rig.tick()
    tasks = (await rig.service.list_tasks(TaskFilter(), Page())).tasks
    assert [(task.name, task.enabled, task.definition.description) for task in tasks] == [
        ("disabled", False, ""),
        ("updated", True, "new"),
    ]
    assert [await rig.states(name) for name in ("disabled", "updated", "deleted")] == [["SUCCEEDED"]] * 3


async def test_defect_16_registering_anew_reset_what_was_known(rig: Rig):
    """Creation time, last run and an operator's pause stay."""
    before = await rig.register("task", "@hourly")
    await rig.service.run_now("task", detach=True)
    await rig.tick()
    await rig.service.disable("task", note="broken")
    await rig.clock.advance(60)
    after = await rig.register("task", "@daily", payload={"new": 1})
    assert (after.create_time, after.uid) == (before.create_time, before.uid)
    assert (after.last_run_time, after.enabled, after.note) == (START, False, "broken")


async def test_defect_22_database_errors_appeared_as_not_found(rig: Rig, monkeypatch):
    """They are errors, told as such."""

    async def away(*_, **__):
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(rig.store._database, "read", away)
    with pytest.raises(DatabaseUnavailable):
        await rig.service.get_task("task")
    with pytest.raises(DatabaseUnavailable):
        await rig.service.history("task", ExecutionFilter(), Page())


async def test_defect_23_a_failed_write_of_a_result_was_only_logged(rig: Rig, monkeypatch):
    """It is kept, and written when the database is back."""
    await rig.register("task", "@manual")
    await rig.service.run_now("task", detach=True)
    record, tries = rig.store.record, 0

    async def away_at_first(reports):
        nonlocal tries
        tries += 1
        if tries < 3:
            raise DatabaseUnavailable("away")
        return await record(reports)

    monkeypatch.setattr(rig.store, "record", away_at_first)
    await rig.engine.tick()
    while await rig.states() != ["SUCCEEDED"]:
        await rig.clock.advance(1)
    assert tries == 3


async def test_defect_24_a_crash_left_running_for_ever(database: Path, gate):
    """The next start takes it over: the attempt counts as lost, and the work is done again."""
    clock = FakeClock(START)
    gate("g")
    async with new_rig(database, clock=clock) as before:
        await before.register("task", "@manual", payload={"gate": "g"})
        await before.service.run_now("task", detach=True)
        await before.engine.tick()
        for task in tuple(before.engine._runner._tasks):
            task.cancel()
    gate("g").opened.set()
    async with new_rig(database, clock=clock, recover=True) as after:
        await after.skip(1)
        (execution,) = await after.history()
    assert (execution.state, execution.attempt) == ("SUCCEEDED", 2)
    assert execution.failed_attempts[0].failure_kind is FailureKind.LEASE_LOST


async def test_defect_25_history_grew_without_end(rig: Rig):
    """By age and by number, as the task's retention says."""
    policy = Policy(retention=Retention(max_age=timedelta(hours=2), max_count=3))
    await rig.register("task", "*/10 * * * *", policy=policy)
    for _ in range(6):
        await rig.skip(600)
    assert await rig.engine.prune() == 3
    assert len(await rig.history()) == 3
    await rig.service.disable("task")
    await rig.clock.advance(3 * HOUR)
    assert await rig.engine.prune() == 3
    assert (await rig.service.get_task("task")).stats.success_count == 6


async def test_defect_25_a_deleted_task_goes_with_its_last_execution(rig: Rig, database: Path):
    """Until then its history can be read."""
    await rig.register("task", "@manual")
    await rig.service.run_now("task", detach=True)
    await rig.tick()
    await rig.service.delete("task")
    await rig.engine.prune()
    assert await rig.states() == ["SUCCEEDED"]
    await rig.clock.advance(timedelta(days=31))
    await rig.engine.prune()
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM scheduled_tasks").fetchone() == (0,)
