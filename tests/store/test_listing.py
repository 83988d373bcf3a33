"""Tasks as callers look for them: by a text, by what they are, in four orders, page by page."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.rigs.rig import GATES, Gates, Rig

from schedule_grpc.domain.execution import ExecutionFilter
from schedule_grpc.domain.listing import (
    MOST_STRIPS,
    RUNS_IN_STRIP,
    TaskFilter,
    TaskOrder,
    TaskState,
)
from schedule_grpc.domain.paging import Page
from schedule_grpc.domain.states import Reason, State
from schedule_grpc.domain.task import Task
from schedule_grpc.errors import InvalidArgument
from schedule_grpc.service import Service
from schedule_grpc.store.operations import listing

NEVER = datetime.max.replace(tzinfo=UTC)
LONG = {"timeout": timedelta(hours=12)}
LONG_AGO = datetime.min.replace(tzinfo=UTC)

KEYS: dict[TaskOrder, Callable[[Task], Any]] = {
    TaskOrder.NAME: lambda task: task.name,
    TaskOrder.NEXT: lambda task: (task.due_time or NEVER, task.name),
    TaskOrder.LAST: lambda task: (NEVER - (task.last_run_time or LONG_AGO), task.name),
    TaskOrder.FAILURES: lambda task: (-task.stats.consecutive_failures, task.name),
}


async def all_pages(service: Service, chosen: TaskFilter, size: int) -> list[Task]:
    """Return all tasks that a filter chooses, page by page."""
    found: list[Task] = []
    token = ""
    while True:
        page = await service.list_tasks(chosen, Page(size=size, token=token), full=True)
        found += page.tasks
        assert len(page.tasks) <= size
        if not page.next_page_token:
            return found
        assert page.next_page_token != token
        token = page.next_page_token


async def populated(rig: Rig) -> None:
    """Make tasks that are all that a task can be."""
    GATES["held"] = Gates()
    try:
        await rig.register("alpha", "@daily", description="Reads the MAIL of the day")
        await rig.register("beta", "0 11 * * *", payload={"fate": "reject"})
        await rig.register("gamma", "@manual", payload={"fate": "reject"}, metadata={"category": "reports"})
        await rig.register("delta", "@manual", payload={"gate": "held"}, metadata={"category": "reports"}, policy=LONG)
        await rig.register("epsilon_1", "*/5 * * * *", "stubborn", enabled=False)
        await rig.register("epsilonX1", "every 7 minutes", enabled=False)
        await rig.register("zeta", "0 11 * * *", policy={"jitter": timedelta(minutes=10)})
        await rig.register("eta", "2026-01-31T10:05:00Z")
        await rig.register("theta", "0 0 1 * *", policy=LONG | {"overlap": "buffer-one"}, payload={"gate": "held"})
        for name in ("gamma", "beta", "gamma", "alpha"):
            await rig.service.run_now(name, detach=True)
            await rig.tick()
            await rig.clock.advance(1)
        for name in ("delta", "theta", "theta"):
            await rig.service.run_now(name, detach=True)
        await rig.tick(wait=False)
        await rig.clock.advance(2 * 3600)  # eta, beta and zeta are overdue: no look comes
    except BaseException:
        GATES["held"].opened.set()
        raise


@pytest.fixture
async def full(rig: Rig):
    """A service with tasks of all kinds; what runs is let go at the end."""
    await populated(rig)
    yield rig.service
    GATES["held"].opened.set()
    await rig.tick()
    del GATES["held"]


EXPECTED: dict[TaskState, set[str]] = {
    TaskState.FAILING: {"beta", "gamma"},
    TaskState.RUNNING: {"delta", "theta"},
    TaskState.WAITING: {"theta"},
    TaskState.DISABLED: {"epsilon_1", "epsilonX1"},
    TaskState.OVERDUE: {"eta", "beta", "zeta"},
}


@pytest.mark.parametrize("small", [0, 2000])
async def test_states_and_orders(full: Service, monkeypatch: pytest.MonkeyPatch, small: int):
    """Each set of states, each order, in pages of two: those that sorting all tasks gives, each once."""
    monkeypatch.setattr(listing, "_SMALL", small)
    every = (await full.list_tasks(TaskFilter(), Page())).tasks
    sets = [frozenset[TaskState](), *map(frozenset, itertools.combinations(TaskState, 1)), frozenset(TaskState)]
    for order, states in itertools.product(TaskOrder, sets):
        wanted = {task.name for task in every} if not states else set.union(*(EXPECTED[state] for state in states))
        chosen = TaskFilter(states=states, order=order)
        expected = [task.name for task in sorted(every, key=KEYS[order]) if task.name in wanted]
        for size in (2, 100):
            assert [task.name for task in await all_pages(full, chosen, size)] == expected, (order, states)


async def test_a_text_is_found_in_name_handler_and_description(full: Service):
    """Of ASCII letters the case does not matter, and no character stands for others."""

    async def found(query: str, **more: Any) -> list[str]:
        return [task.name for task in await all_pages(full, TaskFilter(query=query, **more), 2)]

    assert await found("ETA") == ["beta", "eta", "theta", "zeta"]
    assert await found("mail") == ["alpha"]
    assert await found("STUBB") == ["epsilon_1"]
    assert await found("n_1") == ["epsilon_1"]
    assert await found("%") == []
    assert await found("\\") == []
    assert await found("eta", order=TaskOrder.FAILURES) == ["beta", "eta", "theta", "zeta"]
    assert await found("eta", order=TaskOrder.NEXT) == ["eta", "beta", "zeta", "theta"]
    assert await found("eta", states=frozenset({TaskState.RUNNING})) == ["theta"]
    assert await found("a", category="reports", order=TaskOrder.LAST) == ["delta", "gamma"]
    assert await found("e", enabled=False, name_prefix="epsilonX") == ["epsilonX1"]


async def test_a_search_goes_on_where_it_had_examined_enough(full: Service, monkeypatch: pytest.MonkeyPatch):
    """A page may be empty, says so, and the next one goes on; what cannot be sorted is refused."""
    monkeypatch.setattr(listing, "MOST_EXAMINED", 2)
    monkeypatch.setattr(listing, "_SMALL", 1)
    first = await full.list_tasks(TaskFilter(query="zeta"), Page(size=5))
    assert (first.tasks, first.is_partial) == ((), True)
    assert [task.name for task in await all_pages(full, TaskFilter(query="zeta"), 5)] == ["zeta"]
    assert [task.name for task in await all_pages(full, TaskFilter(query="eta"), 1)] == ["beta", "eta", "theta", "zeta"]
    assert len(await all_pages(full, TaskFilter(order=TaskOrder.NEXT), 2)) == 9
    for order, query in ((TaskOrder.LAST, ""), (TaskOrder.FAILURES, ""), (TaskOrder.NEXT, "a")):
        with pytest.raises(InvalidArgument, match="narrow the search by states or name_prefix"):
            await full.list_tasks(TaskFilter(order=order, query=query), Page())
        assert await all_pages(full, TaskFilter(order=order, name_prefix="ze"), 5)


async def test_what_the_executions_are_doing(full: Service):
    """The last end, and what is open."""
    tasks = {task.name: task for task in await all_pages(full, TaskFilter(), 100)}
    activities = {name: task.activity for name, task in tasks.items()}
    assert (activities["theta"].running, activities["theta"].waiting, activities["theta"].last) == (1, 1, None)
    assert (activities["eta"].running, activities["eta"].waiting, activities["eta"].last) == (0, 0, None)
    last = activities["beta"].last
    newest = (await full.history("beta", ExecutionFilter(), Page())).executions[0]
    assert (last.execution_id, last.state, last.failure_kind) == (newest.id, State.FAILED, newest.failure_kind)
    assert (last.start_time, last.end_time, last.duration) == (newest.start_time, newest.end_time, newest.duration)
    assert (await full.get_task("beta")).activity is None


async def test_a_skipped_run_is_the_last_outcome(rig: Rig):
    """With its reason, and no duration."""
    GATES["one"] = Gates()
    await rig.register(payload={"gate": "one"}, policy={"overlap": "skip"})
    await rig.service.run_now("task", detach=True)
    await rig.tick(wait=False)
    await rig.service.run_now("task", detach=True)
    (task,) = (await rig.service.list_tasks(TaskFilter(), Page(), full=True)).tasks
    GATES.pop("one").opened.set()
    await rig.tick()
    assert (task.activity.last.state, task.activity.last.reason) == (State.SKIPPED, Reason.OVERLAP)
    assert task.activity.last.duration == timedelta(0)


async def test_strips(rig: Rig):
    """The newest twenty, the oldest first; nothing of other namespaces, nor of tasks that never ran."""
    task = await rig.register(payload={"fate": "reject"})
    idle = await rig.register("idle", "@manual")
    for _ in range(RUNS_IN_STRIP + 3):
        await rig.service.run_now("task", detach=True)
        await rig.tick()
        await rig.clock.advance(1)
    strips = await rig.service.strips([task.uid, idle.uid, "no such uid"])
    history = (await rig.service.history("task", ExecutionFilter(), Page())).executions
    assert [mark.id for mark in strips[task.uid]] == [each.id for each in reversed(history[:RUNS_IN_STRIP])]
    mark, newest = strips[task.uid][-1], history[0]
    for field in mark.__struct_fields__:
        assert getattr(mark, field) == getattr(newest, field)
    assert mark.duration == newest.duration
    assert (strips[idle.uid], strips["no such uid"]) == ((), ())
    await rig.service.create_namespace("reports")
    assert await rig.service.in_namespace("reports").strips([task.uid]) == {task.uid: ()}
    with pytest.raises(InvalidArgument, match="at most 50"):
        await rig.service.strips(["uid"] * (MOST_STRIPS + 1))
