"""Declared tasks, as a server registers them at each start: the quick way ends in the same rows as one by one."""

from collections.abc import Mapping
from typing import Any

import pytest
from support.rigs.rig import Rig, at

from schedule_grpc.domain.registration import Registration, TaskUpdate
from schedule_grpc.domain.task import define
from schedule_grpc.errors import SchedulePassed
from schedule_grpc.events import Event, TaskChanged

TOLD: Mapping[str, Any] = {
    "schedule": "0 9 * * 1-5",
    "time_zone": "Europe/Berlin",
    "handler": "fate",
    "payload": {"n": 1.5, "deep": [{"x": None}], "text": "ü'\"\n"},
    "metadata": {"category": "c"},
    "description": "told",
    "policy": {"timeout": "5m", "overlap": "buffer-one", "retry": {"max_retries": 5, "multiplier": 3}},
}
"""How each task is declared at the first start."""
DECLARED_ANEW: Mapping[str, Mapping[str, Any]] = {
    "same": {},
    "schedule": {"schedule": "@hourly"},
    "zone": {"time_zone": "UTC"},
    "handler": {"handler": "other"},
    "payload": {"payload": {}},
    "metadata": {"metadata": {"category": "d"}},
    "description": {"description": ""},
    "policy": {"policy": {"timeout": "6m"}},
    "manual": {"schedule": "@manual"},
    "over": {"schedule": "2020-01-01T00:00:00Z"},
    "enabled": {"enabled": True},
    "disabled": {"enabled": False},
}
"""What a declaration says else at the next start."""
BY_HAND: Mapping[str, Mapping[str, Any]] = {
    "as it was": {},
    "changed": {"fields": {"description": "by hand"}},
    "with a policy": {"policy": {"timeout": None}},
    "switched off": {"enabled": False},
}
"""What an operator did in between."""
IN_THE_ROW = {
    "a zone": ("time_zone", "Moon/Tycho"),
    "a payload": ("payload", '{"a":'),
    "a policy": ("policy", '{"overlap":"QUEUE"}'),
    "an older policy": ("policy", '{"timeout_us":300000000}'),
    "spaced JSON": ("metadata", '{ "category": "c" }'),
}
UNREADABLE_PLACE = {"a next run": ("next_run_time", "soon"), "a settled time": ("settled_time", "never")}
"""What only SQLite lets another program write."""
OWN = ("uid", "name")
"""Columns in which two tasks differ that are otherwise the same."""


def declared(name: str, **changes: Any) -> Registration:
    """Return a task as the configuration declares it."""
    told = {**TOLD, **changes}
    enabled = told.pop("enabled", None)
    return Registration(definition=define(name=name, **told), enabled=enabled, allow_unknown_handler=True)


async def one_by_one(rig: Rig, wanted: list[Registration]) -> list[str]:
    """Register the tasks each by itself; return the names of those whose instant is over."""
    passed = []
    for each in wanted:
        try:
            await rig.service.register(each)
        except SchedulePassed:
            passed.append(each.definition.name)
    return passed


async def rows(rig: Rig, kind: str) -> dict[str, Any]:
    """Return the rows of a kind's tasks and of their executions, without what is each one's own."""

    def operation():
        tasks = yield (
            "SELECT * FROM scheduled_tasks WHERE name LIKE :like ORDER BY name, delete_time IS NULL",
            {"like": f"{kind}.%"},
        )
        names = {row["uid"]: row["name"].removeprefix(f"{kind}.") for row in tasks}
        executions = yield "SELECT * FROM task_executions ORDER BY scheduled_time, id", {}
        return {
            "tasks": [(names[row["uid"]], {key: row[key] for key in row.keys() if key not in OWN}) for row in tasks],  # noqa: SIM118 (sqlite3.Row)
            "executions": sorted(
                (names[row["task_uid"]], row["scheduled_time"], row["state"], row["reason"] or "")
                for row in executions
                if row["task_uid"] in names
            ),
        }

    return await rig.store._database.read(operation)


async def damage(rig: Rig, name: str, column: str, stored: str) -> None:
    """Write into a task's row what another program would."""

    def operation():
        yield f"UPDATE scheduled_tasks SET {column} = :stored WHERE name = :name", {"stored": stored, "name": name}

    await rig.store._database.write(operation)


async def declared_by_both_ways(rig: Rig, anew: Mapping[str, Mapping[str, Any]]) -> None:
    """Declare twins, one by one and all at once, and find the same in their rows, and said of them."""
    said: dict[str, list[Event]] = {"slow": [], "fast": []}
    kinds: dict[str, list[Registration]] = {
        kind: [declared(f"{kind}.{name}", **changes) for name, changes in anew.items()] for kind in said
    }
    with rig.hub.listening(said["slow"].extend):
        passed_slow = await one_by_one(rig, kinds["slow"])
    with rig.hub.listening(said["fast"].extend):
        passed_fast = [each.definition.name for each in await rig.service.declare(kinds["fast"])]
    assert [name.removeprefix("slow.") for name in passed_slow] == [name.removeprefix("fast.") for name in passed_fast]
    assert await rows(rig, "slow") == await rows(rig, "fast")
    changed = [
        sorted(event.name.removeprefix(f"{kind}.") for event in events if isinstance(event, TaskChanged))
        for kind, events in said.items()
    ]
    assert changed[0] == changed[1]


async def registered(rig: Rig, names: Mapping[str, Any]) -> None:
    """Register twins of these names, both one by one."""
    for kind in ("slow", "fast"):
        assert await one_by_one(rig, [declared(f"{kind}.{name}") for name in names]) == []


@pytest.mark.parametrize("by_hand", BY_HAND.values(), ids=BY_HAND)
@pytest.mark.parametrize("days", [0, 4])
async def test_both_ways_end_in_the_same_rows(unchecked: Rig, by_hand: Mapping[str, Any], days: int):
    """Whatever the declaration says else, whatever was done by hand, whether something is due meanwhile."""
    await registered(unchecked, DECLARED_ANEW)
    for kind in ("slow", "fast"):
        for name in DECLARED_ANEW if by_hand else ():
            change = {"fields": {}, "policy": {}, **by_hand}
            await unchecked.service.update(TaskUpdate(name=f"{kind}.{name}", **change))
    await unchecked.clock.advance(days * 86_400)
    await declared_by_both_ways(unchecked, DECLARED_ANEW)
    await declared_by_both_ways(unchecked, DECLARED_ANEW)


async def test_new_ones_and_deleted_ones_are_registered(unchecked: Rig):
    """A fresh database, and names whose tasks were deleted."""
    await declared_by_both_ways(unchecked, DECLARED_ANEW)
    for kind in ("slow", "fast"):
        await unchecked.service.delete(f"{kind}.same")
    await declared_by_both_ways(unchecked, DECLARED_ANEW)


async def test_what_cannot_be_read_is_written_anew(unchecked: Rig):
    """Texts of other programs, read or not; what says the same is left as it is."""
    damages = IN_THE_ROW | ({} if unchecked.store.is_shared else UNREADABLE_PLACE)
    names = {name.replace(" ", "-"): {} for name in damages}
    await registered(unchecked, names)
    for kind in ("slow", "fast"):
        for name, (column, stored) in zip(names, damages.values(), strict=True):
            await damage(unchecked, f"{kind}.{name}", column, stored)
    await declared_by_both_ways(unchecked, names)
    for name in names:
        assert (await unchecked.service.get_task(f"fast.{name}")).trouble == ""


async def test_unchanged_ones_are_one_comparison(rig: Rig):
    """Nothing is written, and no definition is read from its row."""
    wanted = [declared(f"task-{number}") for number in range(20)]
    assert await rig.service.declare(wanted) == ()
    assert await rig.store.differing(wanted) == ()
    ((first, task),) = await rig.store.differing([declared("task-1", description="new"), *wanted[2:]])
    assert (first.definition.description, task and task.definition.description) == ("new", "told")
    events: list[Event] = []
    with rig.hub.listening(events.extend):
        assert await rig.service.declare(wanted) == ()
    assert events == []


async def test_one_that_another_changes_meanwhile_is_registered_all_the_same(rig: Rig):
    """Overtaken between the reading and the writing, all are registered one by one; what is over is told."""
    wanted = [declared("a"), declared("b"), declared("over", schedule="2020-01-01T00:00:00Z")]
    await rig.service.declare(wanted)
    change_tasks = rig.store.change_tasks

    async def overtaking(changes, *, now, limited):
        rig.store.change_tasks = change_tasks
        await rig.service.disable("a", note="by hand")
        return await change_tasks(changes, now=now, limited=limited)

    rig.store.change_tasks = overtaking
    again = [declared("a", description="new"), declared("b", description="new"), wanted[2]]
    assert [each.definition.name for each in await rig.service.declare(again)] == ["over"]
    task = await rig.service.get_task("a")
    assert (task.enabled, task.note, task.definition.description) == (False, "by hand", "new")
    assert (await rig.service.get_task("b")).definition.description == "new"
    assert task.update_time == at("2026-01-31T10:00")
