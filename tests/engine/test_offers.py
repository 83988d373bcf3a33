"""Who offers what, as callers are told: handlers with their workers, workers, and tasks that would wait."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from support.rigs.namespaces import reports, wanted
from support.rigs.rig import START, Rig
from support.rigs.worker_rows import worker_there, workers_gone

from schedule_grpc.domain.offers import Offers
from schedule_grpc.domain.paging import Page
from schedule_grpc.domain.registration import TaskUpdate
from schedule_grpc.domain.task import Handler, Task, TaskFilter
from schedule_grpc.domain.worker import OfferedHandler, Worker
from schedule_grpc.errors import DatabaseUnavailable, HandlerNotFound, InvalidArgument, NamespaceNotFound, NoWorker
from schedule_grpc.service import offers
from schedule_grpc.service.known_offers import KNOWN_FOR

SECOND = timedelta(seconds=1)


async def marked(service: Any) -> dict[str, bool]:
    """Return whether each task of a list is marked, by name."""
    return {task.name: task.no_worker for task in (await service.list_tasks(TaskFilter(), Page())).tasks}


async def test_a_task_whose_handler_nothing_offers_is_marked(rig: Rig):
    """In every answer that shows it; a task beside it is not."""
    lacking: Task = await rig.service.register(wanted("lacking", "nothing"))
    assert lacking.no_worker
    await rig.register("served")
    assert await marked(rig.service) == {"lacking": True, "served": False}
    (first, second) = await rig.service.register_all([wanted("lacking", "nothing"), wanted("other", "fate")])
    assert (first.no_worker, second.no_worker) == (True, False)
    assert (await rig.service.get_task("lacking")).no_worker
    assert (await rig.service.disable("lacking")).no_worker
    assert (await rig.service.enable("lacking")).no_worker
    assert not (await rig.service.update(TaskUpdate(name="lacking", fields={"handler": "fate"}, policy={}))).no_worker
    stored = await rig.store.find_task(("default", "served"))
    assert stored is not None
    assert stored == await rig.service.get_task("served")


async def test_a_worker_that_comes_or_goes_is_heeded_within_a_second(rig: Rig):
    """What is offered is read once a second, however many ask."""
    await rig.service.register(wanted("task", "remote"))
    assert await marked(rig.service) == {"task": True}
    await worker_there(rig.store, "s", START, "remote")
    assert await marked(rig.service) == {"task": True}
    await rig.clock.advance(KNOWN_FOR)
    assert await marked(rig.service) == {"task": False}
    await workers_gone(rig.store)
    assert await marked(rig.service) == {"task": False}
    await rig.clock.advance(KNOWN_FOR)
    assert await marked(rig.service) == {"task": True}


async def test_nothing_is_read_where_this_server_offers_all_handlers(rig: Rig):
    """A list costs what it did without workers."""
    await rig.register("task")
    await marked(rig.service)
    await rig.service.get_task("task")
    assert rig.service._offers._read is None


async def test_calls_at_once_share_a_reading(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """The others go on with what was read before; after one that failed the next call reads."""
    readings = 0
    read = rig.store.offers

    async def counted(*, now: datetime) -> Offers:
        nonlocal readings
        readings += 1
        if readings == 2:
            raise DatabaseUnavailable("away")
        return await read(now=now)

    monkeypatch.setattr(rig.store, "offers", counted)
    await rig.service.register(wanted("task", "remote"))
    assert readings == 1
    await rig.clock.advance(KNOWN_FOR)
    with pytest.raises(DatabaseUnavailable):
        await marked(rig.service)
    found = await asyncio.gather(*(rig.service.get_task("task") for _ in range(20)))
    assert (readings, {task.no_worker for task in found}) == (3, {True})


async def test_a_worker_serves_its_own_namespace(rig: Rig):
    """Or every one."""
    there = await reports(rig)
    for service in (rig.service, there):
        await service.register(wanted("task", "remote"))
        await service.register(wanted("shared", "everywhere"))
    await worker_there(rig.store, "own", START, "remote", namespace="reports")
    await worker_there(rig.store, "all", START, "everywhere", namespace="*")
    await rig.clock.advance(KNOWN_FOR)
    assert await marked(rig.service) == {"task": True, "shared": False}
    assert await marked(there) == {"task": False, "shared": False}


async def test_a_handler_of_workers_can_be_registered_and_is_listed(rig: Rig):
    """With their number and versions; a handler of this server that workers offer, too, is both."""
    with pytest.raises(HandlerNotFound):
        await rig.register("task", handler="remote")
    await worker_there(rig.store, "a", START, "remote", "fate", version="2", schemas={"remote": "{}", "fate": "{}"})
    await worker_there(rig.store, "b", START, "remote", version="1", started=SECOND)
    await rig.register("task", handler="remote")
    known = {handler.name: handler for handler in await rig.service.handlers()}
    assert known["remote"] == Handler(
        name="remote", description="Does remote", payload_schema="{}", worker_count=2, worker_versions=("1", "2")
    )
    fate = known["fate"]
    assert (fate.offered, fate.worker_count, fate.worker_versions, fate.payload_schema) == (True, 1, ("2",), "{}")
    assert fate.description != "Does fate"
    assert "remote" not in await (await reports(rig)).known_handlers()


async def test_a_run_that_waits_is_not_given_up_while_a_worker_offers_its_handler(rig: Rig):
    """Once none does, the call fails: the execution never ran."""
    await worker_there(rig.store, "a", START, "remote")
    await rig.register("task", "@manual", handler="remote")
    call = asyncio.create_task(rig.service.run_now("task"))
    while not await rig.history("task"):
        await rig.clock.advance(0)
    rig.clock.set_wall(START + timedelta(seconds=40))
    for _ in range(20):
        await rig.clock.advance(0.1)
    assert not call.done()
    await workers_gone(rig.store)
    while not call.done():
        await rig.clock.advance(0.1)
    with pytest.raises(NoWorker):
        await call


async def test_a_handler_that_was_offered_once_is_known_and_not_offered(rig: Rig):
    """Executions of its tasks wait."""
    await rig.store.offer_handlers([Handler(name="remote")], now=START)
    assert not (await rig.service.known_handlers())["remote"].offered
    await worker_there(rig.store, "a", START, "remote")
    assert (await rig.service.known_handlers())["remote"].offered


async def test_schemas_beyond_what_one_answer_holds_are_left_out(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """The handlers are listed all the same."""
    monkeypatch.setattr(offers, "MOST_SCHEMA_BYTES", 10)
    await worker_there(rig.store, "a", START, "one", "three", "two", schemas=dict.fromkeys(("one", "two"), '"12345"'))
    listed = {handler.name: handler.payload_schema for handler in await rig.service.handlers()}
    assert (listed["one"], listed["two"]) == ('"12345"', "")


async def test_workers_are_listed_without_their_secret(rig: Rig):
    """As a session registered; the id is the same in each answer."""
    worker = Worker(
        session="secret",
        namespace="default",
        name="host",
        version="3",
        labels={"zone": "eu"},
        offers=(OfferedHandler(name="remote", description="Far away", payload_schema="{}"),),
        slots=2,
        lease=timedelta(seconds=30),
        start_time=START,
        seen_time=START,
        registered_by="key:workers",
    )
    await rig.store.register_worker(worker)
    (listed,) = await rig.service.workers()
    assert (listed.id, listed.name, listed.version, listed.handlers) == (worker.id, "host", "3", ("remote",))
    assert (listed.slots, listed.running, listed.labels) == (2, 0, {"zone": "eu"})
    assert "secret" not in repr(listed)
    assert (await rig.service.workers("remote"), await rig.service.workers("near")) == ((listed,), ())
    (handler,) = await rig.store.handlers_of_workers("default", now=START)
    assert (handler.description, handler.payload_schema) == ("Far away", "{}")


async def test_of_a_worker_of_all_namespaces_each_sees_the_handlers_that_it_may_use(rig: Rig):
    """One whose handlers it may not use is not shown to it."""
    there = await reports(rig, handlers=("report-*",))
    await worker_there(rig.store, "all", START, "report-send", "backup", namespace="*")
    await worker_there(rig.store, "other", START, "backup", namespace="*", started=SECOND)
    assert [worker.handlers for worker in await there.workers()] == [("report-send",)]
    assert await there.workers("backup") == ()
    assert [worker.handlers for worker in await rig.service.workers()] == [("backup", "report-send"), ("backup",)]


async def test_a_list_of_workers_is_refused_for_what_is_no_name(rig: Rig):
    """Of a handler, or of a namespace."""
    with pytest.raises(InvalidArgument, match="NUL"):
        await rig.service.workers("a\0b")
    with pytest.raises(NamespaceNotFound):
        await rig.service.in_namespace("nowhere").workers()
    with pytest.raises(NamespaceNotFound):
        await rig.service.in_namespace("nowhere").handlers()
