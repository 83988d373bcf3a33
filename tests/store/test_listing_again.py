"""Tasks that are listed again: those that stand where they stood are not read whole, and are no less true."""

from datetime import timedelta

import pytest
from support.rigs.rig import Rig

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


async def listed(service: Rig) -> tuple[Task, ...]:
    """Return all tasks, as a list has them; each is as it is alone."""
    tasks = await service.store.list_tasks(TaskFilter(), after="", limit=100)
    for task in tasks:
        assert task == await service.store.find_task(task.name)
    return tasks


async def test_what_did_not_change_is_not_read_again(service: Rig, learned: list[str]):
    """It is the same value."""
    for name in "abc":
        await service.register(name)
    first = await listed(service)
    learned.clear()
    again = await listed(service)
    assert learned == []
    assert all(one is other for one, other in zip(first, again, strict=True))


@pytest.mark.parametrize("change", ["fires", "runs", "fails", "note", "definition", "another"])
async def test_whatever_changes_is_listed(service: Rig, learned: list[str], change: str):
    """By a look, an end, a caller."""
    for name in "abc":
        await service.register(name, "@manual")
    await service.register("b", "@hourly")
    await listed(service)
    learned.clear()
    match change:
        case "fires":
            await service.clock.advance(timedelta(hours=1).total_seconds())
            await service.engine.tick()
            await service.engine.idle()
        case "runs":
            await service.service.run_now("b", detach=True)
            await service.work()
        case "fails":
            await service.service.run_now("b", detach=True, payload={"fate": "reject"})
            await service.work()
        case "note":
            await service.service.disable("b", note="why")
            await listed(service)
            learned.clear()
            await service.service.disable("b", note="why not")
        case "definition":
            await service.register("b", "@hourly", description="changed")
        case "another":
            await service.service.delete("b")
            await service.register("b", "@hourly")
    tasks = await listed(service)
    assert learned == ["b"]
    assert [task.name for task in tasks] == ["a", "b", "c"]
    await service.work()


async def test_no_more_are_kept_than_are_allowed(service: Rig, monkeypatch: pytest.MonkeyPatch):
    """The oldest one goes."""
    monkeypatch.setattr(listed_tasks, "MOST_KEPT", 2)
    for name in "abc":
        await service.register(name)
    await listed(service)
    assert len(task_operations.LISTED._kept) == 2
    assert [task.name for task in await listed(service)] == ["a", "b", "c"]
