"""Quotas of namespaces: what is beyond one is refused whole, and says when to come back; all else is as without."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.rigs.namespaces import listed, wanted
from support.rigs.quotas import limited, refused, stored
from support.rigs.rig import START, Rig, new_rig
from support.witnesses.checker.reading import rows

from schedule_grpc.domain.access.quota import QuotaExceeded
from schedule_grpc.domain.execution import ExecutionFilter
from schedule_grpc.domain.paging import Page
from schedule_grpc.domain.registration import Registration, TaskUpdate
from schedule_grpc.domain.task import define
from schedule_grpc.errors import EtagMismatch, InvalidArgument, ScheduleError, TaskNotFound
from schedule_grpc.service import Service

Calling = Callable[[Service], Awaitable[Any]]


# -- open executions


async def test_a_namespace_with_enough_open_executions_gets_no_more(rig: Rig):
    """As soon as one ended, the next one is taken: it is counted anew before any is refused."""
    there = await limited(rig, max_open_executions=3)
    for name in ("one", "two", "three", "four"):
        await there.register(wanted(name))
    for name in ("one", "two", "three"):
        await there.run_now(name, detach=True)
    error = await refused(rig, there.run_now("four", detach=True), "max_open_executions")
    assert error.retry_after is None
    await rig.register("one", "@manual")
    await rig.service.run_now("one", detach=True)
    await rig.tick()
    for _ in range(2):
        for name in ("one", "two", "three"):
            await there.run_now(name, detach=True)
        await refused(rig, there.run_now("four", detach=True), "max_open_executions")
        await rig.tick()


async def test_a_repeated_request_is_answered_at_any_limit(rig: Rig):
    """It asks for no more than what was recorded: a client that lost the answer gets it."""
    told: list[tuple[str, str]] = []
    rig.service = Service(
        store=rig.store, clock=rig.clock, hub=rig.hub, registry=rig.registry, refused=lambda *each: told.append(each)
    )
    there = await limited(rig, max_open_executions=1, runs_per_minute=1)
    await there.register(wanted("task"))
    await there.register(wanted("other"))
    first = await there.run_now("task", detach=True, request_id="r1")
    assert (await there.run_now("task", detach=True, request_id="r1")).id == first.id
    with pytest.raises(InvalidArgument, match="request_id"):
        await there.run_now("other", detach=True, request_id="r1")
    assert told == []
    await refused(rig, there.run_now("task", detach=True, request_id="r2"), "max_open_executions")
    await rig.tick()
    await refused(rig, there.run_now("task", detach=True, request_id="r2"), "runs_per_minute")
    assert told == [("reports", "max_open_executions"), ("reports", "runs_per_minute")]


async def hourly(service: Service, name: str) -> None:
    """Register a task that fires each hour."""
    await service.register(Registration(definition=define(name=name, schedule="@hourly", handler="fate")))


async def test_many_at_once_are_all_allowed_or_none(rig: Rig):
    """TriggerCron and BackfillTask record nothing if not all fit."""
    there = await limited(rig, max_open_executions=2)
    for name in ("one", "two", "three"):
        await hourly(there, name)
    await refused(rig, there.trigger_cron("0 * * * *"), "max_open_executions")
    await refused(rig, there.backfill("one", START - timedelta(hours=9), START), "max_open_executions")
    done = await there.backfill("one", START - timedelta(hours=2), START)
    assert len(done.executions) == 2
    await refused(rig, there.run_now("two", detach=True), "max_open_executions")
    await there.delete("three")
    await rig.tick()
    assert len(await there.trigger_cron("0 * * * *")) == 2


async def test_occurrences_are_never_refused(rig: Rig):
    """Whatever the limits are: each is recorded, and runs."""
    there = await limited(rig, max_open_executions=0, runs_per_minute=0, max_tasks=2)
    for name in ("one", "two"):
        await hourly(there, name)
    await rig.skip(3600)
    ended = (await there.executions(ExecutionFilter(), Page())).executions
    assert [(each.task_name, each.state.value) for each in sorted(ended, key=lambda each: each.task_name)] == [
        ("one", "SUCCEEDED"),
        ("two", "SUCCEEDED"),
    ]
    await refused(rig, there.run_now("one", detach=True), "max_open_executions")


async def test_open_executions_are_not_counted_for_each_call(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """Once a second at most while there is room; never where there is no limit."""
    there = await limited(rig, max_open_executions=1_000)
    counts = []
    count_open_of = rig.store.count_open_of

    async def counted(namespace: str, *, most: int) -> int:
        counts.append(namespace)
        return await count_open_of(namespace, most=most)

    monkeypatch.setattr(rig.store, "count_open_of", counted)
    for service in (there, rig.service):
        await service.register(wanted("task"))
        for _ in range(30):
            await service.run_now("task", detach=True)
    assert counts == ["reports"]
    await rig.clock.advance(1)
    await there.run_now("task", detach=True)
    assert counts == ["reports"] * 2


async def test_what_is_open_is_counted(rig: Rig, gate):
    """Waiting ones and running ones of the namespace."""
    held = gate("held")
    there = await limited(rig)
    for name in ("one", "two", "three"):
        await there.register(wanted(name, payload={"gate": "held"}))
        await there.run_now(name, detach=True)
    await rig.register("one", "@manual")
    await rig.service.run_now("one", detach=True)
    assert await rig.store.count_open_of("reports", most=9) == 3
    assert await rig.store.count_open_of("reports", most=2) == 2
    while await rig.engine.tick():
        pass
    await there.run_now("one", detach=True)
    await rig.written()
    assert await rig.store.count_open_of("reports", most=9) == 3
    held.opened.set()
    await rig.tick()
    assert await rig.store.count_open_of("reports", most=9) == 0


async def test_calls_at_once_do_not_exceed_it(rig: Rig):
    """Executions that are just being recorded count."""
    there = await limited(rig, max_open_executions=5)
    for number in range(20):
        await there.register(wanted(f"task-{number}"))
    calls = [there.run_now(f"task-{number}", detach=True) for number in range(20)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(each, QuotaExceeded) for each in answers) == 15
    assert await rig.store.count_open_of("reports", most=99) == 5


# -- rates


async def test_runs_a_minute(rig: Rig):
    """A minute's worth at once, then one each time that one came back; the refusal says when."""
    there = await limited(rig, runs_per_minute=6)
    await there.register(wanted("task"))
    for _ in range(6):
        await there.run_now("task", detach=True)
    error = await refused(rig, there.run_now("task", detach=True), "runs_per_minute")
    assert error.retry_after == timedelta(seconds=10)
    assert str(error).endswith("runs_per_minute is 6; try again in 10.0 s")
    await rig.clock.advance(10)
    await there.run_now("task", detach=True)
    await refused(rig, there.run_now("task", detach=True), "runs_per_minute")


async def test_what_is_not_recorded_costs_nothing(rig: Rig):
    """A run of a task that is not there, and occurrences that have their rows already."""
    there = await limited(rig, runs_per_minute=6)
    await hourly(there, "task")
    for _ in range(9):
        with pytest.raises(TaskNotFound):
            await there.run_now("none", detach=True)
    span = START - timedelta(hours=3), START
    assert len((await there.backfill("task", *span)).executions) == 3
    assert (await there.backfill("task", *span)).existing_count == 3
    for _ in range(3):
        await there.run_now("task", detach=True)
    await refused(rig, there.run_now("task", detach=True), "runs_per_minute")


async def test_servers_share_a_rate(rig: Rig):
    """Each gives its part."""
    service = Service(store=rig.store, clock=rig.clock, hub=rig.hub, registry=rig.registry, servers=lambda: 3)
    await limited(rig, runs_per_minute=6)
    there = service.in_namespace("reports")
    await there.register(wanted("task"))
    for _ in range(2):
        await there.run_now("task", detach=True)
    error = await refused(rig, there.run_now("task", detach=True), "runs_per_minute")
    assert error.retry_after == timedelta(seconds=30)


WRITES: dict[str, Calling] = {
    "register": lambda service: service.register(wanted("new")),
    "the same again": lambda service: service.register(wanted("task")),
    "batch": lambda service: service.register_all([wanted("new"), wanted("newer")]),
    "update": lambda service: service.update(TaskUpdate(name="task", fields={"description": "changed"}, policy={})),
    "disable": lambda service: service.disable("task"),
    "enable": lambda service: service.enable("task"),
    "delete": lambda service: service.delete("task"),
}
"""Calls that change tasks."""


@pytest.mark.parametrize("name", WRITES)
async def test_writes_a_minute(rig: Rig, name: str):
    """Each call is one, whatever it finds or changes; reads and runs are none, nor is what only validates."""
    there = await limited(rig, writes_per_minute=2)
    await there.register(wanted("task"))
    with pytest.raises(EtagMismatch):
        await there.delete("task", etag="other")
    error = await refused(rig, WRITES[name](there), "writes_per_minute")
    assert error.retry_after == timedelta(seconds=30)
    await there.register_all([wanted("new")], validate_only=True)
    await there.get_task("task")
    await there.run_now("task", detach=True)
    await rig.service.register(wanted("task"))
    await rig.clock.advance(30)
    await WRITES[name](there)


# -- streams


async def test_streams_at_a_time(rig: Rig):
    """One that ends makes room for the next; another namespace has its own."""
    there = await limited(rig, max_streams=2)
    async with there.streaming():
        async with there.streaming():
            with pytest.raises(QuotaExceeded, match="max_streams is 2"):
                async with there.streaming():
                    raise AssertionError("it is refused")
            async with rig.service.streaming(), rig.service.streaming(), rig.service.streaming():
                pass
        async with there.streaming():
            pass


async def test_a_limit_of_none_at_all(rig: Rig):
    """Zero lets nothing in, and names no time."""
    there = await limited(rig, runs_per_minute=0, max_streams=0, max_open_executions=0, max_tasks=0)
    await refused(rig, there.register(wanted("task")), "max_tasks")
    await rig.service.update_namespace("reports", limits={"max_tasks": 1, "writes_per_minute": 0})
    error = await refused(rig, there.register(wanted("task")), "writes_per_minute")
    assert error.retry_after is None
    await refused(rig, there.run_now("task", detach=True), "max_open_executions")
    with pytest.raises(QuotaExceeded):
        async with there.streaming():
            raise AssertionError("it is refused")


async def test_a_namespace_that_is_not_there_has_no_quotas(rig: Rig):
    """The call finds out what is wrong by itself."""
    nowhere = rig.service.in_namespace("nowhere")
    with pytest.raises(TaskNotFound):
        await nowhere.run_now("task", detach=True)
    with pytest.raises(TaskNotFound):
        await nowhere.delete("task")


# -- all of them


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_is_asked_a_refusal_writes_nothing_and_an_answer_is_kept(place: Path | str, seed: int):
    """Calls in any order, many of them refused: what was answered is there, and what was refused is not."""
    chance = random.Random(seed)  # noqa: S311 (no secret)
    async with new_rig(place) as rig:
        there = await limited(
            rig, max_tasks=4, max_open_executions=4, runs_per_minute=30, writes_per_minute=40, max_streams=1
        )
        answered: set[str] = set()
        refusals = 0
        for number in range(60):
            name = f"task-{chance.randrange(6)}"
            hours = timedelta(hours=chance.randrange(1, 8))
            calls: list[Calling] = [
                lambda service, name=name: hourly(service, name),
                lambda service, name=name, key=f"r{number % 40}": service.run_now(name, detach=True, request_id=key),
                lambda service, name=name: service.run_now(name, detach=True),
                lambda service: service.trigger_cron("0 * * * *"),
                lambda service, name=name, hours=hours: service.backfill(name, START - hours, START),
                lambda service, name=name: service.delete(name),
            ]
            weights = (4, 2, 4, 1, 2, 1)
            before = stored(rig)
            try:
                answer = await chance.choices(calls, weights)[0](there)
            except QuotaExceeded:
                refusals += 1
                assert stored(rig) == before
            except ScheduleError:
                assert stored(rig) == before
            else:
                made = getattr(answer, "executions", answer)
                made = made if isinstance(made, tuple) else (made,)
                answered |= {each.id for each in made if hasattr(each, "task_name")}
            if chance.random() < 0.25:
                await rig.skip(chance.choice((1, 20, 1800)))
            assert len(await listed(there)) <= 4
        kept = {row["id"] for row in rows(rig.place, "SELECT id FROM task_executions")}
        assert refusals > 5
        assert answered <= kept
