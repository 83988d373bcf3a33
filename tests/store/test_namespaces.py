"""The same names and request ids in two namespaces never meet."""

import asyncio

import pytest
from msgspec import structs
from support.rigs.begin_scene import told_by
from support.rigs.namespaces import listed, reports, wanted
from support.rigs.rig import Rig
from support.witnesses.checker.reading import rows

from schedule_grpc.domain.access.namespace import (
    DEFAULT_NAMESPACE,
)
from schedule_grpc.domain.execution import ExecutionFilter, State, Trigger, planned
from schedule_grpc.domain.paging import Page
from schedule_grpc.domain.registration import TaskChange, TaskUpdate
from schedule_grpc.domain.task import TaskFilter
from schedule_grpc.errors import (
    ExecutionNotFound,
    FailedPrecondition,
    InvalidArgument,
    NamespaceNotFound,
    TaskNotFound,
)
from schedule_grpc.events import TaskChanged
from schedule_grpc.store import NEWEST, ManualRun


async def test_the_same_name_is_two_tasks(rig: Rig):
    """Each has its own definition, etag, history and end."""
    there = await reports(rig)
    here, other = await rig.register("task", "@manual"), await there.register(wanted(payload={"fate": "raise"}))
    assert (here.key, other.key) == (("default", "task"), ("reports", "task"))
    await there.update(TaskUpdate(name="task", fields={"description": "other"}, policy={}))
    assert await rig.service.get_task("task") == here
    await there.register(wanted("only-there"))
    assert (await listed(rig.service), await listed(there)) == (["task"], ["only-there", "task"])
    ran = await there.run_now("task", detach=True)
    await rig.tick()
    assert ran.namespace == "reports"
    assert await rig.states("task") == []
    assert [each.id for each in (await there.executions(ExecutionFilter(), Page())).executions] == [ran.id]
    assert (await rig.service.executions(ExecutionFilter(), Page())).executions == ()
    await there.delete("task")
    assert await rig.service.get_task("task") == here
    assert await rig.states("task") == []


@pytest.mark.parametrize("states", [set(), {State.PENDING}, {State.RUNNING}, {State.FAILED, State.SUCCEEDED}])
async def test_a_list_is_of_one_namespace(rig: Rig, gate, states: set[State]):
    """In each state."""
    gate("g")
    there = await reports(rig)
    for service in (rig.service, there):
        await service.register(wanted("fails", payload={"fate": "reject"}))
        await service.register(wanted("works"))
        await service.register(wanted("waits", payload={"gate": "g"}, policy={"overlap": "buffer-one"}))
        for name in ("fails", "works", "waits", "waits"):
            await service.run_now(name, detach=True)
    await rig.tick(wait=False)
    chosen = ExecutionFilter(states=frozenset(states))
    here = (await rig.service.executions(chosen, Page())).executions
    other = (await there.executions(chosen, Page())).executions
    assert {each.namespace for each in here} == {"default"}
    assert {each.namespace for each in other} == {"reports"}
    assert [(each.task_name, each.state) for each in here] == [(each.task_name, each.state) for each in other]
    gate("g").opened.set()
    await rig.tick()


async def test_an_execution_is_found_by_id_in_its_namespace_only(rig: Rig):
    """In another one nobody reads, cancels or gives it up, and the answer is that of an id that never was."""
    there = await reports(rig)
    await there.register(wanted())
    execution = await there.run_now("task", detach=True)
    now = rig.clock.now()
    for ask in (rig.service.execution, rig.service.cancel):
        with pytest.raises(ExecutionNotFound, match=f"^Execution not found: {execution.id}$"):
            await ask(execution.id)
    assert await rig.store.cancel(DEFAULT_NAMESPACE, execution.id, note="", now=now) is None
    assert await rig.store.give_up(DEFAULT_NAMESPACE, execution.id, now=now) is None
    assert await there.execution(execution.id) == execution
    assert (await there.cancel(execution.id)).state is State.CANCELLED


async def test_request_ids_belong_to_their_namespace(rig: Rig):
    """The same one, at the same moment too: two executions, each told again to its own callers."""
    there = await reports(rig)
    await rig.register("task", "@manual")
    await there.register(wanted())
    runs = [ManualRun(namespace=each, name="task", request_id="r") for each in ("default", "reports", "default")]
    here, other, again = (await rig.store.submit(runs, now=rig.clock.now())).answers
    assert here == again
    assert (here.namespace, other.namespace) == ("default", "reports")  # type: ignore[union-attr]
    assert await there.run_now("task", detach=True, request_id="r") == other
    await rig.tick()


async def test_a_cron_trigger_stays_within_its_namespace(rig: Rig):
    """It runs every task there, and none of another one."""
    there = await reports(rig)
    for service in (rig.service, there):
        await service.register(wanted("a"))
        await service.register(wanted("b"))
    assert {each.task_key for each in await there.trigger_cron("* * * * *")} == {("reports", "a"), ("reports", "b")}
    await rig.tick()
    assert await rig.states("a") == []


async def test_events_are_told_in_their_namespace(rig: Rig):
    """A watch of all tasks, and one of a name that both have."""
    there = await reports(rig)
    await rig.register("task", "@manual")
    await there.register(wanted())
    with rig.service.watching() as here, rig.service.watching("task") as named, there.watching() as other:
        await there.run_now("task", detach=True)
        await rig.tick()
        assert [len(each._kept) for each in (here, named)] == [0, 0]
        assert {event.execution.namespace for event in other._kept} == {"reports"}  # type: ignore[union-attr]


async def test_registrations_that_come_together_keep_their_namespaces(rig: Rig):
    """One write, in which the same name is created twice; each change is told with its namespace."""
    there = await reports(rig)
    told = told_by(rig)
    here, other = await asyncio.gather(rig.register("task", "@manual"), there.register(wanted()))
    assert here.uid != other.uid
    assert {(each.namespace, each.name) for each in told if isinstance(each, TaskChanged)} == {here.key, other.key}


async def test_a_definition_is_taken_into_the_namespace_of_the_call(rig: Rig):
    """One that names none, and one that names the same; another one is refused, with its place in a batch."""
    there = await reports(rig)
    assert (await there.register(wanted("a"))).namespace == "reports"
    assert (await there.register(wanted("b", namespace="reports"))).namespace == "reports"
    with pytest.raises(InvalidArgument, match="namespace: reports is not default, in which this call works"):
        await rig.service.register(wanted("c", namespace="reports"))
    with pytest.raises(InvalidArgument) as refused:
        await there.register_all([wanted("d"), wanted("e", namespace="sales")])
    assert [each.field for each in refused.value.violations] == ["requests[1].namespace"]
    assert await listed(there) == ["a", "b"]


async def test_registrations_need_a_namespace_that_exists(rig: Rig):
    """New tasks, batches, validations and declared tasks; all others just find nothing."""
    nowhere = rig.service.in_namespace("nowhere")
    for ask in (
        nowhere.register(wanted()),
        nowhere.register_all([wanted()]),
        nowhere.register_all([wanted()], validate_only=True),
        nowhere.handlers(),
        rig.service.declare([wanted("here"), wanted(namespace="nowhere")]),
    ):
        with pytest.raises(NamespaceNotFound, match=r"^Namespace not found: nowhere$"):
            await ask
    with pytest.raises(TaskNotFound):
        await nowhere.run_now("task")
    assert await listed(nowhere) == await listed(rig.service) == []


async def test_declared_tasks_keep_their_own_namespaces(rig: Rig):
    """The same name in two; declared again they are as they were."""
    there = await reports(rig)
    declared = [wanted(), wanted(namespace="reports", description="other")]
    assert await rig.service.declare(declared) == ()
    first = await rig.service.get_task("task"), await there.get_task("task")
    assert await rig.service.declare(declared) == ()
    assert (await rig.service.get_task("task"), await there.get_task("task")) == first
    assert [task.definition for task in first] == [each.definition for each in declared]


async def test_built_in_tasks_exist_in_the_default_namespace_only(rig: Rig):
    """A service in another one neither creates nor names them."""
    there = await reports(rig)
    for asked in (there, rig.service.in_namespace("nowhere")):
        with pytest.raises(FailedPrecondition, match="only in the namespace default"):
            await asked.initialize_defaults()


async def test_a_server_says_which_schema_it_knows(rig: Rig):
    """In its lease, for those who must not be alone with old ones."""
    if rig.store.is_shared:
        held = await rig.hold_lease("me")
        assert held is not None
        assert held.program == NEWEST
        assert [row["program"] for row in rows(rig.place, "SELECT program FROM replicas")] == [NEWEST]


async def test_who_changed_a_task_and_who_asked_for_a_run_is_kept(rig: Rig):
    """As values, written and read: nothing fills them yet but the callers of the store."""
    before = await rig.register("task", "@manual")
    after = structs.replace(before, changed_by="key:reports-ci", revision=2)
    assert await rig.store.change_tasks([TaskChange(before=before, after=after)], now=rig.clock.now())
    assert await rig.service.get_task("task") == after
    assert (await rig.service.list_tasks(TaskFilter(), Page())).tasks == (after,)
    execution = structs.replace(planned(after, trigger=Trigger.BACKFILL, now=rig.clock.now()), triggered_by="socket")
    recorded = await rig.store.backfill(after, [execution], now=rig.clock.now())
    assert recorded is not None
    assert [each.triggered_by for each in recorded.executions] == ["socket"]
    await rig.tick()
    assert (await rig.service.execution(execution.id)).triggered_by == "socket"
