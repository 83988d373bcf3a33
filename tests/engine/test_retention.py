"""Rounds of retention find what is to leave, without going through all tasks."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support.rigs.rig import Gates, Rig, at, new_rig

from schedule_grpc.domain.access.audit import AuditFilter, Author, Entry
from schedule_grpc.domain.access.caller import Caller
from schedule_grpc.domain.execution import ExecutionFilter
from schedule_grpc.domain.paging import Page
from schedule_grpc.domain.policy import Policy, Retention
from schedule_grpc.domain.registration import Registration, TaskUpdate
from schedule_grpc.domain.task import define
from schedule_grpc.engine.retention import Janitor
from schedule_grpc.errors import DatabaseUnavailable
from schedule_grpc.store import audit_store, execution_store
from schedule_grpc.store.operations.audit import check_chains
from schedule_grpc.testing import FakeClock

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def keeping(count: int = 10_000, age: timedelta = timedelta(days=30)) -> Policy:
    """Return a policy that keeps so many executions, so long."""
    return Policy(retention=Retention(max_age=age, max_count=count))


async def ran(rig: Rig, name: str = "task", times: int = 3) -> None:
    """Let a task run by hand, a second apart."""
    for _ in range(times):
        await rig.service.run_now(name, detach=True)
        await rig.skip(1)


async def kept(rig: Rig, name: str = "task") -> int:
    """Return how many executions a task's history has."""
    return len(await rig.history(name))


@pytest.fixture
def looked_at(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The uids of the tasks whose histories rounds look at."""
    seen: list[str] = []
    prune = rig.store.prune

    async def watched(task_uids: Sequence[str], **when: object) -> object:
        seen.extend(task_uids)
        return await prune(task_uids, **when)

    monkeypatch.setattr(rig.store, "prune", watched)
    return seen


async def test_only_what_grew_changed_or_waits_is_looked_at(
    rig: Rig, looked_at: list[str], monkeypatch: pytest.MonkeyPatch
):
    """A round costs what came since the one before, however many tasks there are; a few others have their turn."""
    monkeypatch.setattr("schedule_grpc.store.operations.retention_round.OTHERS", 1)
    tasks = {name: await rig.register(name, "@manual") for name in ("grows", "changes", *"abcdef")}
    for name in tasks:
        await ran(rig, name, times=1)
    await rig.engine.prune()
    assert sorted(looked_at) == sorted(task.uid for task in tasks.values())
    await rig.clock.advance(HOUR)
    await rig.engine.prune()  # what was created shortly before the other round is looked at again
    turns = []
    for _ in range(2 * len(tasks)):
        await rig.clock.advance(HOUR)
        looked_at.clear()
        await rig.engine.prune()
        turns += looked_at
        assert len(looked_at) <= 1
    assert {*turns} == {task.uid for task in tasks.values()}
    await rig.clock.advance(HOUR)
    await ran(rig, "grows")
    await rig.service.update(TaskUpdate(name="changes", fields={"description": "new"}, policy={}))
    looked_at.clear()
    await rig.engine.prune()
    assert {*looked_at[:2]} == {tasks["grows"].uid, tasks["changes"].uid}
    assert len(looked_at) <= 3


async def test_a_history_that_nothing_happens_to_leaves_at_its_age(rig: Rig):
    """It says itself when to look."""
    await rig.register("task", "@manual", policy=keeping(age=5 * HOUR))
    await ran(rig)
    await rig.engine.prune()
    await rig.clock.advance(4 * HOUR)
    assert await rig.engine.prune() == 0
    await rig.clock.advance(HOUR + MINUTE)
    assert await rig.engine.prune() == 3


async def test_what_was_open_in_one_round_is_looked_at_in_those_after_its_end(rig: Rig, gate: Callable[[str], Gates]):
    """It was created long before the round that finds it surplus, and nothing comes after it."""
    held = gate("held")
    policy = Policy(retention=Retention(max_count=1), timeout=timedelta(hours=20))
    await rig.register("task", "@manual", policy=policy, payload={"gate": "held"})
    await rig.service.run_now("task", detach=True)
    await rig.engine.tick()
    await held.came.wait()
    held.opened.set()
    await rig.engine.idle()
    held.opened.clear()
    await rig.service.run_now("task", detach=True)
    await rig.engine.tick()
    for _ in range(3):
        await rig.clock.advance(HOUR)
        assert await rig.engine.prune() == 0
    held.opened.set()
    await rig.engine.idle()
    await rig.clock.advance(HOUR)
    assert await rig.engine.prune() == 1


async def test_a_shorter_retention_is_seen_though_nothing_runs(rig: Rig):
    """And a longer one saves what is there."""
    await rig.register("task", "@manual")
    await ran(rig)
    await rig.engine.prune()
    await rig.clock.advance(24 * HOUR)
    await rig.engine.prune()
    await rig.register("task", "@manual", policy=keeping(age=10 * HOUR, count=2))
    assert await rig.engine.prune() == 3
    await ran(rig)
    await rig.service.update(TaskUpdate(name="task", fields={}, policy={"retention.max_count": 1}))
    assert await rig.engine.prune() == 2
    await rig.register("task", "@manual", policy=keeping(age=100 * HOUR))
    await rig.clock.advance(50 * HOUR)
    assert await rig.engine.prune() == 0
    await rig.clock.advance(50 * HOUR + MINUTE)
    assert await rig.engine.prune() == 1


async def test_a_deleted_task_without_history_goes_in_the_next_round(rig: Rig):
    """So does one whose history has gone before."""
    await rig.engine.prune()
    await rig.register("never-ran", "@manual")
    await rig.register("ran", "@manual", policy=keeping(age=HOUR))
    await ran(rig, "ran", times=1)
    await rig.clock.advance(2 * HOUR)
    assert await rig.engine.prune() == 1
    await rig.service.delete("never-ran")
    await rig.service.delete("ran")
    assert await rig.engine.prune() == 2


async def test_the_clock_was_set_back(place: Path | str):
    """What comes then lies before what the round before looked at, and leaves all the same."""
    clock = FakeClock(at("2026-01-31T10:00"))
    async with new_rig(place, clock=clock) as rig:
        await rig.register("task", "@manual", policy=keeping(count=1))
        await ran(rig)
        assert await rig.engine.prune() == 2
    async with new_rig(place, clock=FakeClock(at("2026-01-31T08:00"))) as rig:
        await ran(rig)
        await rig.engine.prune()
        assert await kept(rig) == 1


async def test_a_round_that_a_server_did_not_end_is_gone_again(place: Path | str):
    """Nothing says that it came to an end, so the next one begins where it began."""
    clock = FakeClock(at("2026-01-31T10:00"))
    async with new_rig(place, clock=clock) as rig:
        await rig.register("task", "@manual", policy=keeping(count=1))
        await rig.engine.prune()
        await ran(rig)
        begun = await rig.store.begin_round(now=clock.now())
        await rig.store.next_histories(begun)
    await clock.advance(9 * HOUR)
    async with new_rig(place, clock=clock, recover=True) as rig:
        assert await rig.engine.prune() == 2


async def test_a_large_surplus_leaves_in_steps(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """Of several tasks, each step a few rows; none is forgotten."""
    monkeypatch.setattr(execution_store, "REMOVED_AT_ONCE", 2)
    monkeypatch.setattr(execution_store, "TASKS_AT_ONCE", 2)
    for name in "abc":
        await rig.register(name, "@manual", policy=keeping(count=1))
        await ran(rig, name, times=5)
    assert await rig.engine.prune() == 3 * 4
    assert [await kept(rig, name) for name in "abc"] == [1] * 3


async def test_what_could_not_be_read_is_looked_at_once_it_can(rig: Rig):
    """Its history was left alone meanwhile."""
    await rig.register("task", "@manual", policy=keeping(count=1))
    await ran(rig)

    def damage(stored: str):
        def operation():
            yield "UPDATE scheduled_tasks SET policy = :stored", {"stored": stored}

        return operation

    await rig.store._database.write(damage('{"max_count":"all"}'))
    await rig.clock.advance(HOUR)
    assert await rig.engine.prune() == 0
    await rig.service.update(TaskUpdate(name="task", fields={}, policy=keeping(count=2).fields()))
    assert await rig.engine.prune() == 1


async def test_histories_of_every_namespace_grow(rig: Rig, looked_at: list[str], monkeypatch: pytest.MonkeyPatch):
    """A round finds what came since the one before in each of them."""
    monkeypatch.setattr("schedule_grpc.store.operations.retention_round.OTHERS", 1)
    monkeypatch.setattr("schedule_grpc.store.operations.retention_round.READ_AT_ONCE", 2)
    uids = set()
    for namespace in ("default", "a", "zoo"):
        if namespace != "default":
            await rig.service.create_namespace(namespace)
        there = rig.service.in_namespace(namespace)
        for name in ("one", "two"):
            definition = define(name=name, schedule="@manual", handler="fate", policy=keeping(count=1))
            uids.add((await there.register(Registration(definition=definition))).uid)
    await rig.engine.prune()
    await rig.clock.advance(HOUR)
    await rig.engine.prune()
    await rig.clock.advance(HOUR)
    looked_at.clear()
    for namespace in ("default", "a", "zoo"):
        for name in ("one", "two", "one", "two"):
            await rig.service.in_namespace(namespace).run_now(name, detach=True)
            await rig.tick()
    await rig.engine.prune()
    assert {*looked_at} == uids
    for namespace in ("default", "a", "zoo"):
        history = await rig.service.in_namespace(namespace).history("one", ExecutionFilter(), Page())
        assert len(history.executions) == 1


async def test_the_age_of_retention_is_that_of_its_last_whole_round(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """A round that the database refuses leaves it as it was, however far it came; before the first, from the start."""

    async def refused(*, before: datetime) -> int:
        raise DatabaseUnavailable(f"away, with what was logged before {before}")

    janitor = Janitor(store=rig.store, clock=rig.clock)
    await rig.clock.advance(MINUTE)
    assert janitor.age() == 60
    await janitor.go_round()
    assert janitor.age() == 0
    await rig.clock.advance(10 * MINUTE)
    with monkeypatch.context() as patch, pytest.raises(DatabaseUnavailable):
        patch.setattr(rig.store, "prune_logs", refused)
        await janitor.go_round()
    assert janitor.age() == 600
    await janitor.go_round()
    assert janitor.age() == 0


async def test_the_audit_log_keeps_its_rows_as_long_as_it_is_told(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """Older ones leave, a few at a time; what is left is a whole chain."""
    monkeypatch.setattr(audit_store, "REMOVED_AT_ONCE", 2)
    author = Author(caller=Caller(name="key:ci", grants=()), method="GetTask", time=rig.clock.now())
    await rig.store.record_calls([Entry(author=author)] * 5)
    await rig.clock.advance(timedelta(days=30))
    await rig.store.record_calls([Entry(author=replace(author, time=rig.clock.now()))])
    janitor = Janitor(store=rig.store, clock=rig.clock, audit_retention=timedelta(days=31))
    assert await janitor.sweep_audit() == 0
    await rig.clock.advance(timedelta(days=2))
    assert await janitor.sweep_audit() == 5
    assert [each.seq for each in await rig.store.list_audit(AuditFilter(), limit=10)] == [6]
    (report,) = await rig.store._database.read(check_chains)
    assert (report.first, report.whole_to, report.trouble) == (6, 6, "")
