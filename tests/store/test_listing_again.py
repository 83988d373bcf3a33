"""Tasks that are listed again: those that stand where they stood are not read whole, and are no less true."""

from datetime import timedelta

import pytest
from support.rigs.rig import Rig

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.task import Task, TaskFilter
from schedule_grpc.store import listed_tasks
from schedule_grpc.store.listed_tasks import ListedTasks
from schedule_grpc.store.operations import tasks as task_operations


@pytest.fixture(autouse=True)
def learned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the tasks that were read whole."""
    names: list[str] = []

    class Watched(ListedTasks):
        def learn(self, row) -> Task:
            names.append(row["name"])
            return super().learn(row)

    monkeypatch.setattr(task_operations, "LISTED", Watched())
    return names


async def listed(rig: Rig) -> tuple[Task, ...]:
    """Return all tasks, as a list has them; each is as it is alone."""
    tasks = await rig.store.list_tasks(DEFAULT_NAMESPACE, TaskFilter(), after="", limit=100)
    for task in tasks:
        assert task == await rig.store.find_task(task.key)
    return tasks


async def test_what_did_not_change_is_not_read_again(rig: Rig, learned: list[str]):
    """It is the same value."""
    for name in "abc":
        await rig.register(name)
    first = await listed(rig)
    learned.clear()
    again = await listed(rig)
    assert learned == []
    assert all(one is other for one, other in zip(first, again, strict=True))


@pytest.mark.parametrize("change", ["fires", "runs", "fails", "note", "definition", "another"])
async def test_whatever_changes_is_listed(rig: Rig, learned: list[str], change: str):
    """By a look, an end, a caller."""
    for name in "abc":
        await rig.register(name, "@manual")
    await rig.register("b", "@hourly")
    await listed(rig)
    learned.clear()
    match change:
        case "fires":
            await rig.clock.advance(timedelta(hours=1).total_seconds())
            await rig.engine.tick()
            await rig.engine.idle()
        case "runs":
            await rig.service.run_now("b", detach=True)
            await rig.tick()
        case "fails":
            await rig.service.run_now("b", detach=True, payload={"fate": "reject"})
            await rig.tick()
        case "note":
            await rig.service.disable("b", note="why")
            await listed(rig)
            learned.clear()
            await rig.service.disable("b", note="why not")
        case "definition":
            await rig.register("b", "@hourly", description="changed")
        case "another":
            await rig.service.delete("b")
            await rig.register("b", "@hourly")
    tasks = await listed(rig)
    assert learned == ["b"]
    assert [task.name for task in tasks] == ["a", "b", "c"]
    await rig.tick()


async def test_no_more_are_kept_than_are_allowed(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """The oldest one goes."""
    monkeypatch.setattr(listed_tasks, "MOST_KEPT", 2)
    for name in "abc":
        await rig.register(name)
    await listed(rig)
    assert len(task_operations.LISTED._kept) == 2
    assert [task.name for task in await listed(rig)] == ["a", "b", "c"]
