"""One task that this program cannot read is in trouble alone: it does not fire, it says why, all others go on."""

from pathlib import Path

import pytest
from support.rigs.rig import Rig, at, new_rig

from schedule_grpc.domain.paging import Page
from schedule_grpc.domain.policy import Retention
from schedule_grpc.domain.registration import Registration, TaskUpdate, registered
from schedule_grpc.domain.schedule import Unreadable
from schedule_grpc.domain.task import Policy, TaskFilter, define
from schedule_grpc.errors import InvalidArgument, TaskUnreadable
from schedule_grpc.formats.json_answers import task_json
from schedule_grpc.formats.protobuf import task_from, task_to
from schedule_grpc.testing import FakeClock

DAMAGES = {
    "a zone": ("time_zone", "Moon/Tycho", "time_zone: 'Moon/Tycho' is not a time zone"),
    "a policy": ("policy", '{"overlap":"QUEUE"}', "policy.overlap: this program does not know"),
    "a payload": ("payload", '{"a":', "payload: the stored text is not JSON"),
}
"""What each column can hold that cannot be read stands in tests/unit/test_rows.py."""
damages = pytest.mark.parametrize(("column", "stored", "trouble"), DAMAGES.values(), ids=DAMAGES)


async def damage(rig: Rig, column: str, stored: str, name: str = "task") -> None:
    """Write into a task's row what this program cannot read, as another one would."""

    def operation():
        yield f"UPDATE scheduled_tasks SET {column} = :stored WHERE name LIKE :name", {"stored": stored, "name": name}

    await rig.store._database.write(operation)


async def kept(rig: Rig, column: str, name: str = "task") -> str:
    """Return what a task's row holds."""

    def operation():
        rows = yield f"SELECT {column} FROM scheduled_tasks WHERE name = :name", {"name": name}
        return rows[0][column]

    return await rig.store._database.read(operation)


async def alerts(rig: Rig) -> list[tuple[str, str]]:
    """Return what is to be told now, and tell it."""
    found = []
    while untold := await rig.store.unsent_alerts():
        for alert in untold:
            found.append((alert.task_name, f"{alert.key} {alert.phase}"))
            await rig.store.mark_alert_sent(alert)
    return found


@damages
async def test_the_others_go_on(unchecked: Rig, column: str, stored: str, trouble: str):
    """At its time the task does not fire and is told of once; the others fire then and later."""
    await unchecked.register("task")
    await unchecked.register("other")
    await damage(unchecked, column, stored)
    for _ in range(3):
        await unchecked.skip(3600)
    assert await unchecked.history("task") == ()
    assert await unchecked.states("other") == ["SUCCEEDED"] * 3
    assert await alerts(unchecked) == [("task", "unreadable STARTED")]
    assert unchecked.engine.next_time == at("2026-01-31T14:00")
    assert await unchecked.engine.prune() == 0


@damages
async def test_a_server_starts(place: Path | str, column: str, stored: str, trouble: str):
    """It tells what is wrong with the task, in the log, in lists, and as an alert."""
    clock = FakeClock(at("2026-01-31T10:00"))
    async with new_rig(place, clock=clock) as rig:
        await rig.register("task")
        await damage(rig, column, stored)
    async with new_rig(place, clock=clock, recover=True) as rig:
        page = await rig.service.list_tasks(TaskFilter(), Page())
        (task,) = page.tasks
        assert task.trouble.startswith(trouble)
        assert task_json(task)["trouble"] == task.trouble
        assert task_from(task_to(task)).trouble == task.trouble
        assert await alerts(rig) == [("task", "unreadable STARTED")]


@damages
async def test_it_can_be_disabled_and_deleted(unchecked: Rig, column: str, stored: str, trouble: str):
    """What cannot be read stays as it is for those who can, and the task is not enabled again unread."""
    await unchecked.register("task")
    await damage(unchecked, column, stored)
    await unchecked.service.disable("task", note="wait")
    assert await kept(unchecked, column) == stored
    with pytest.raises(TaskUnreadable, match="cannot be read by this server"):
        await unchecked.service.enable("task")
    with pytest.raises(TaskUnreadable):
        await unchecked.service.update(TaskUpdate(name="task", fields={}, policy={}, enabled=True))
    await unchecked.service.delete("task")
    assert (await unchecked.service.list_tasks(TaskFilter(), Page())).tasks == ()


@damages
async def test_registered_anew_it_fires(unchecked: Rig, column: str, stored: str, trouble: str):
    """Nothing of the trouble is left, and its alert ends."""
    before = await unchecked.register("task")
    await damage(unchecked, column, stored)
    await unchecked.skip(1800)
    await unchecked.tick()
    await unchecked.store.note_unreadable([await unchecked.service.get_task("task")], now=unchecked.clock.now())
    task = await unchecked.register("task")
    assert (task.trouble, task.definition) == ("", before.definition)
    await unchecked.skip(1800)
    assert await unchecked.states("task") == ["SUCCEEDED"]
    assert await alerts(unchecked) == [("task", "unreadable STARTED"), ("task", "unreadable ENDED")]


@damages
async def test_an_update_must_replace_what_cannot_be_read(unchecked: Rig, column: str, stored: str, trouble: str):
    """Another field alone is refused, with the reason; nothing is lost by it."""
    await unchecked.register("task")
    await damage(unchecked, column, stored)
    with pytest.raises(InvalidArgument) as refused:
        await unchecked.service.update(TaskUpdate(name="task", fields={"description": "new"}, policy={}))
    assert str(refused.value).startswith(trouble)
    assert await kept(unchecked, column) == stored
    good = {"schedule": "0 9 * * *", "time_zone": "UTC", "payload": {}, "metadata": {}}
    fields = {column: good[column]} if column in good else {}
    task = await unchecked.service.update(TaskUpdate(name="task", fields=fields, policy=Policy().fields()))
    assert task.trouble == ""


async def test_five_hundred_that_cannot_be_read_crowd_out_no_other(unchecked: Rig):
    """All of them are due longer than the one that fires."""
    moons = [define(name=f"moon-{number}", schedule="0 * * * *", handler="fate") for number in range(520)]
    await unchecked.service.register_all([Registration(definition=moon) for moon in moons])
    await unchecked.register("task", "1 * * * *")
    await damage(unchecked, "time_zone", "Moon/Tycho", "moon-%")
    await unchecked.skip(3600 + 60)
    assert await unchecked.states("task") == ["SUCCEEDED"]
    assert len(await alerts(unchecked)) == 520
    await unchecked.skip(3600)
    assert await unchecked.states("task") == ["SUCCEEDED"] * 2
    assert await alerts(unchecked) == []


async def test_by_hand_a_task_runs_whose_schedule_alone_cannot_be_read(unchecked: Rig):
    """All else is known. With another part unread it does not run: not with a guess."""
    await unchecked.register("task")
    await damage(unchecked, "time_zone", "Moon/Tycho")
    await unchecked.service.run_now("task", detach=True)
    await unchecked.tick()
    assert await unchecked.states("task") == ["SUCCEEDED"]
    await damage(unchecked, "payload", "{")
    with pytest.raises(TaskUnreadable, match="payload: the stored text is not JSON"):
        await unchecked.service.run_now("task", detach=True)
    assert await unchecked.service.trigger_cron("* * * * *") == ()
    with pytest.raises(TaskUnreadable):
        await unchecked.service.backfill("task", at("2026-01-31T00:00"), at("2026-01-31T09:00"))


async def test_what_was_due_when_it_was_put_right_runs(unchecked: Rig):
    """Of all that came due unread only the stored next run is known: it runs once, late."""
    await unchecked.register("task")
    await damage(unchecked, "time_zone", "Moon/Tycho")
    await unchecked.skip(3 * 3600 + 60)
    await unchecked.register("task")
    await unchecked.tick()
    (execution,) = await unchecked.history("task")
    assert execution.scheduled_time == at("2026-01-31T11:00")
    await unchecked.skip(3600)
    assert len(await unchecked.history("task")) == 2


async def test_read_again_it_goes_on_where_it_stood(place: Path | str):
    """A server that knows the zone catches up from what was settled, and ends the alert."""
    clock = FakeClock(at("2026-01-31T10:00"))
    async with new_rig(place, clock=clock) as rig:
        await rig.register("task")
        await damage(rig, "time_zone", "Moon/Tycho")
        await rig.skip(3 * 3600)
        assert await alerts(rig) == [("task", "unreadable STARTED")]
        await damage(rig, "time_zone", "UTC")
    async with new_rig(place, clock=clock, recover=True) as rig:
        await rig.tick()
        (execution,) = await rig.history("task")
        assert execution.covers is not None
        assert (execution.scheduled_time, execution.covers.count) == (at("2026-01-31T13:00"), 2)
        assert await alerts(rig) == [("task", "unreadable ENDED")]


async def test_the_history_of_a_task_whose_retention_cannot_be_read_is_kept(unchecked: Rig):
    """It may keep more than the default."""
    await unchecked.register("task", "every 1 minute", policy=Policy(retention=Retention(max_count=1)))
    for _ in range(3):
        await unchecked.skip(60)
    await damage(unchecked, "policy", '{"max_count":"all"}')
    assert await unchecked.engine.prune() == 0
    assert len(await unchecked.history("task")) == 3


def test_a_client_with_other_tz_data_reads_the_task():
    """It has the server's word for the next run, and no words of its own for the schedule."""
    definition = define(name="task", schedule="@hourly", handler="fate")
    message = task_to(registered(None, definition, enabled=None, now=at("2026-01-31T10:00")).after)
    message.time_zone = "Moon/Tycho"
    task = task_from(message)
    assert isinstance(task.schedule, Unreadable)
    assert (task.schedule.text, task.next_run_time, task.trouble) == ("@hourly", at("2026-01-31T11:00"), "")
