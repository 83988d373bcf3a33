"""One row with a number or a time that cannot be one is in trouble alone: every column of tasks and executions."""

from pathlib import Path

import pytest
from support.rigs.rig import Rig, at, new_rig

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.execution import ExecutionFilter
from schedule_grpc.domain.paging import Page
from schedule_grpc.domain.task import Policy, TaskFilter
from schedule_grpc.formats.protobuf import execution_to, task_to
from schedule_grpc.store.operations.replicas import replicas
from schedule_grpc.testing import FakeClock

PLACE = ("settled_time", "next_run_time", "start_delay", "revision")
PAST = ("create_time", "update_time", "last_run_time", "last_success_time", "last_failure_time")
COUNTS = ("success_count", "failure_count", "consecutive_failures", "overdue_grace")
TASK = (*PLACE, *PAST, *COUNTS)
EXECUTION = (
    *("scheduled_time", "covers_from", "create_time", "available_time", "deadline_time", "start_time"),
    *("attempt_start_time", "end_time", "attempt", "hand_backs", "cancel_requested_time", "revision"),
)
NUMBERS = (2**63 - 1, -(2**63), -1, 253402300800000000)
"""The last one is the first instant that is too late for a datetime."""
OTHERS = ("text", 1.5, b"\xff\x00", 9e99)
"""What SQLite takes in every column."""


async def damage(rig: Rig, table: str, column: str, stored: object, name: str = "task") -> None:
    """Write a value into a column of the rows of a task."""
    key = "name" if table == "scheduled_tasks" else "task_name"

    def operation():
        yield f"UPDATE {table} SET {column} = :stored WHERE {key} = :name", {"stored": stored, "name": name}

    await rig.store._database.write(operation)


def stored_in(place: Path | str, column: str) -> tuple[object, ...]:
    """Return what a column of an engine can hold: PostgreSQL refuses a sum with a next run that is no number."""
    numbers = [number for number in NUMBERS if column != "start_delay" or number < 2**62]
    return tuple(numbers) if isinstance(place, str) else (*NUMBERS, *OTHERS)


def damages(place: Path | str, column: str) -> dict[str, object]:
    """Return a task for each value that its column can hold."""
    return {f"task-{number}": stored for number, stored in enumerate(stored_in(place, column))}


async def shown(rig: Rig, *damaged: str) -> None:
    """Everything can be listed, and sent."""
    page = await rig.service.list_tasks(TaskFilter(), Page())
    assert {task_to(task).name for task in page.tasks} == {*damaged, "other"}
    for execution in (await rig.service.executions(ExecutionFilter(), Page())).executions:
        execution_to(execution)


@pytest.mark.slow
@pytest.mark.parametrize("column", TASK)
async def test_a_task_is_in_trouble_alone(place: Path | str, column: str):
    """A server starts with it, fires the others, looks after alerts and history; it can be put right and deleted.

    There is a task for each value: what one of them does to the server, it does to all.
    """
    clock = FakeClock(at("2026-01-31T10:00"))
    damaged = damages(place, column)
    async with new_rig(place, clock=clock) as rig:
        for name in (*damaged, "other"):
            await rig.register(name, policy=Policy(alert_after=1))
        for name, stored in damaged.items():
            await damage(rig, "scheduled_tasks", column, stored, name)
    async with new_rig(place, clock=clock, recover=True) as rig:
        runs = len(await rig.history("other"))
        await rig.skip(3600)
        assert len(await rig.history("other")) == runs + 1
        await rig.store.note_overdue(now=clock.now())
        await rig.engine.prune()
        await shown(rig, *damaged)
        before = {}
        for name, stored in damaged.items():
            task = await rig.service.get_task(name)
            assert (column in task.trouble) <= (column in PLACE), stored
            task = await rig.register(name, description="put right")
            assert task.trouble == "", stored
            before[name] = len(await rig.history(name))
        await rig.skip(3600)
        for name, stored in damaged.items():
            assert len(await rig.history(name)) == before[name] + 1, stored
            await damage(rig, "scheduled_tasks", column, stored, name)
            await rig.service.disable(name)
            await damage(rig, "scheduled_tasks", column, stored, name)
            await rig.service.delete(name)
        await rig.skip(3600)


@pytest.mark.slow
@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "WAITING"])
@pytest.mark.parametrize("column", EXECUTION)
async def test_an_execution_is_in_trouble_alone(place: Path | str, column: str, state: str):
    """A server starts with one that waits, one that runs, one that waits at the gate; it shows them and runs others.

    There is a task for each value.
    """
    clock = FakeClock(at("2026-01-31T10:00"))
    damaged = damages(place, column)
    executions = {}
    async with new_rig(place, clock=clock) as rig:
        for name in (*damaged, "other"):
            await rig.register(name)
        for name in damaged:
            executions[name] = await rig.service.run_now(name, payload={}, detach=True)
        if state == "RUNNING":
            assert len(await rig.claim("gone")) == len(damaged)
        for name, stored in damaged.items():
            if state == "WAITING":
                await rig.service.run_now(name, payload={}, detach=True)
            await damage(rig, "task_executions", column, stored, name)
    async with new_rig(place, clock=clock, recover=True) as rig:
        runs = len(await rig.history("other"))
        await rig.skip(3600)
        assert len(await rig.history("other")) == runs + 1
        await shown(rig, *damaged)
        await rig.store.shorten_waits(now=clock.now())
        await rig.store.note_overdue(now=clock.now())
        for execution in executions.values():
            assert await rig.store.find_execution(DEFAULT_NAMESPACE, execution.id) is not None
            await rig.service.cancel(execution.id)
        await rig.engine.prune()
        for name in damaged:
            await rig.service.delete(name)
        await rig.skip(3600)


async def test_what_the_newest_settled_time_is_damages_no_start(place: Path | str):
    """Neither too late for a datetime nor a text."""
    for stored in stored_in(place, "settled_time"):
        async with new_rig(place, clock=FakeClock(at("2026-01-31T10:00"))) as rig:
            await rig.register("task")
            await damage(rig, "scheduled_tasks", "settled_time", stored)
            latest = await rig.store.latest_settled()
            assert latest is None or latest <= at("2026-01-31T10:00")


async def test_alerts_and_servers_whose_times_cannot_be_read_are_passed_over(unchecked: Rig):
    """The other alerts are told; a server keeps its lease."""
    await unchecked.register("task")
    await unchecked.register("other")
    await unchecked.store.note_unreadable(
        [await unchecked.service.get_task(name) for name in ("task", "other")], now=unchecked.clock.now()
    )
    await damage(unchecked, "alert_states", "start_time", 2**63 - 1)

    def operation():
        yield (
            "INSERT INTO replicas (id, start_time, seen_time, handlers) VALUES ('odd', :odd, 0, '[]')",
            {"odd": NUMBERS[0]},
        )

    await unchecked.store._database.write(operation)
    assert [alert.task_name for alert in await unchecked.store.unsent_alerts()] == ["other"]
    assert "odd" in [replica.id for replica in await unchecked.store._database.read(replicas)]
