"""Namespaces over gRPC: every request names one, and what is of one is not there for another one."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from support.servers.keyed import caller, serving_keys
from support.servers.live import HANDLER, Code, Live, asked, refused

from schedule_grpc.client import AsyncClient, Limits
from schedule_grpc.client.rpcs import SERVICES
from schedule_grpc.errors import (
    EtagMismatch,
    ExecutionNotFound,
    FailedPrecondition,
    InvalidArgument,
    NamespaceExists,
    NamespaceNotEmpty,
    NamespaceNotFound,
    PermissionDenied,
    ScheduleError,
    TaskNotFound,
)
from schedule_grpc.pb import access_pb2, access_pb2_grpc
from schedule_grpc.pb import schedule_pb2 as pb

WITHOUT = {"PreviewSchedule": "reads and stores nothing"}
"""Rpcs whose requests name no namespace, each with its reason."""
SCHEDULE, *_ = SERVICES


@pytest.fixture
async def reports(live: Live) -> AsyncClient:
    """A client of a namespace of its own, beside the default one."""
    await live.client.create_namespace("reports")
    return live.client.in_namespace("reports")


async def registered(client: AsyncClient, name: str = "task", **fields: Any) -> Any:
    """Register a task that runs by hand only."""
    return await client.register_task(**{"name": name, "schedule": "@manual", "handler": "steps"} | fields)


def test_every_request_names_a_namespace():
    """A new rpc that has no such field, and no reason for that, is found here."""
    fields = {rpc.name: rpc.input_type.fields_by_name.get("namespace") for rpc in SCHEDULE.methods}
    assert {name for name, field in fields.items() if field is None} == set(WITHOUT)
    assert {field.type for field in fields.values() if field is not None} == {grpc_string()}


def grpc_string() -> int:
    """Return the type of a text."""
    return pb.Task.DESCRIPTOR.fields_by_name["name"].type


async def test_one_name_is_two_tasks(live: Live, reports: AsyncClient):
    """Each with its own definition and history; lists and counts of one have nothing of the other."""
    await registered(live.client, description="ours")
    theirs = await registered(reports, description="theirs")
    assert (theirs.namespace, (await live.client.get_task("task")).namespace) == ("reports", "default")
    ran = await reports.run_task_now("task")
    assert ran.execution.namespace == "reports"
    assert [each.description async for each in live_definitions(reports)] == ["theirs"]
    assert [each.id async for each in reports.executions()] == [ran.execution.id]
    assert [each async for each in live.client.executions()] == []
    assert [each async for each in live.client.task_history("task")] == []
    await reports.delete_task("task")
    assert (await live.client.get_task("task")).definition.description == "ours"


async def live_definitions(client: AsyncClient) -> Any:
    """Yield the definitions of all tasks."""
    async for task in client.tasks():
        yield task.definition


async def test_what_is_of_another_namespace_is_not_there(live: Live, reports: AsyncClient):
    """In the words for what was never there."""
    await registered(reports)
    execution = (await reports.run_task_now("task")).execution
    calls = [
        (live.client.get_task("task"), TaskNotFound),
        (live.client.run_task_now("task"), TaskNotFound),
        (live.client.update_task("task", description="d"), TaskNotFound),
        (live.client.enable_task("task"), TaskNotFound),
        (live.client.delete_task("task"), TaskNotFound),
        (live.client.get_execution(execution.id), ExecutionNotFound),
        (live.client.cancel_execution(execution.id), ExecutionNotFound),
    ]
    for call, error in calls:
        with pytest.raises(error) as caught:
            await call
        assert "reports" not in caught.value.message
    assert (await reports.get_execution(execution.id)).id == execution.id


async def test_a_watch_has_events_of_its_namespace_only(live: Live, reports: AsyncClient):
    """Transitions and progress."""
    await registered(live.client)
    await registered(reports)
    async with reports.watch() as events:
        await live.client.run_task_now("task")
        ran = (await reports.run_task_now("task")).execution
        seen = [await anext(events) for _ in range(4)]
    ids = {event.execution_id if hasattr(event, "execution_id") else event.execution.id for event in seen}
    assert ids == {ran.id}
    assert {getattr(event, "namespace", "reports") for event in seen} == {"reports"}


async def test_a_request_id_is_the_namespaces_own(live: Live, reports: AsyncClient):
    """The same id elsewhere is another run."""
    await registered(live.client)
    await registered(reports)
    ours, theirs = await asyncio.gather(
        *(client.run_task_now("task", request_id="one") for client in (live.client, reports))
    )
    assert ours.execution.id != theirs.execution.id


async def test_a_task_that_was_read_is_updated_where_it_was_read(live: Live, reports: AsyncClient):
    """Its own namespace counts if the request names none; another one is refused."""
    await registered(live.client)
    await registered(reports)
    task = pb.Task(name="task", namespace="reports", description="changed")
    changed = await live.stub.UpdateTask(pb.UpdateTaskRequest(task=task, update_mask=FieldMask(paths=["description"])))
    assert (changed.namespace, changed.description) == ("reports", "changed")
    assert (await live.client.get_task("task")).definition.description == ""
    code, _, _, violations = await refused(live.stub.UpdateTask(pb.UpdateTaskRequest(task=task, namespace="default")))
    assert (code, violations) == (
        Code.INVALID_ARGUMENT,
        {"task.namespace": "is not default: one request is of one namespace"},
    )


@pytest.mark.parametrize(
    ("whole", "parts", "found"),
    [("", ["reports", "reports"], "reports"), ("reports", ["", "reports"], "reports"), ("", ["", ""], "default")],
)
async def test_a_batch_is_of_one_namespace(live: Live, reports: AsyncClient, whole: str, parts: list[str], found: str):
    """Its own, or the one that all its requests name."""
    wanted = [asked(name=f"t{number}", handler="steps", namespace=part) for number, part in enumerate(parts)]
    answer = await live.stub.BatchRegisterTasks(pb.BatchRegisterTasksRequest(requests=wanted, namespace=whole))
    assert [task.namespace for task in answer.tasks] == [found, found]
    assert len([task async for task in reports.tasks()]) == (2 if found == "reports" else 0)


@pytest.mark.parametrize(
    ("whole", "parts", "places"),
    [
        ("", ["reports", ""], ["requests[1].namespace"]),
        ("", ["", "reports"], ["requests[1].namespace"]),
        ("default", ["reports", "", "reports"], ["requests[0].namespace", "requests[2].namespace"]),
        ("", ["Reports"], ["requests[0].namespace"]),
    ],
)
async def test_a_batch_of_several_namespaces_is_refused(
    live: Live, reports: AsyncClient, whole: str, parts: list[str], places: list[str]
):
    """Each request that differs is named; nothing is registered."""
    wanted = [asked(name=f"t{number}", handler="steps", namespace=part) for number, part in enumerate(parts)]
    code, _, _, violations = await refused(
        live.stub.BatchRegisterTasks(pb.BatchRegisterTasksRequest(requests=wanted, namespace=whole))
    )
    assert (code, sorted(violations)) == (Code.INVALID_ARGUMENT, places)
    assert [task async for task in reports.tasks()] == []


async def test_a_text_that_is_no_name_is_refused_by_every_rpc(live: Live):
    """As INVALID_ARGUMENT, before anything is looked for."""
    for rpc in SCHEDULE.methods:
        if rpc.name in WITHOUT or rpc.name == "WatchExecutions":
            continue
        request = getattr(pb, rpc.input_type.name)(namespace="No name")
        if rpc.name == "BatchRegisterTasks":
            request.requests.add(name="task", schedule="@daily", handler="steps")
        code, *_ = await refused(getattr(live.stub, rpc.name)(request))
        assert code is Code.INVALID_ARGUMENT, rpc.name


async def test_built_in_tasks_are_in_the_default_namespace_only(live: Live, reports: AsyncClient):
    """And so are their handlers, unless a namespace names one wholly."""
    with pytest.raises(FailedPrecondition):
        await reports.initialize_default_tasks()
    assert HANDLER not in {handler.name for handler in await reports.list_handlers()}
    with pytest.raises(ScheduleError, match="may not use the handler"):
        await registered(reports, handler=HANDLER)
    await live.client.update_namespace("reports", handlers=["*", HANDLER])
    assert HANDLER in {handler.name for handler in await reports.list_handlers()}


async def test_nothing_can_be_registered_where_there_is_no_namespace(live: Live):
    """It must have been created."""
    with pytest.raises(NamespaceNotFound, match="Namespace not found: nowhere"):
        await registered(live.client.in_namespace("nowhere"))


# -- the settings of namespaces


async def test_a_namespace_is_created_changed_listed_and_deleted(live: Live):
    """With the settings that were asked for, and the defaults of the others."""
    made = await live.client.create_namespace("b", handlers=["send-*"], limits={"max_tasks": 7, "max_streams": None})
    assert (made.handlers, made.limits, made.etag) == (("send-*",), Limits(max_tasks=7, max_streams=None), "1")
    await live.client.create_namespace("a")
    changed = await live.client.update_namespace("b", limits={"running_share": 0.25}, etag="1")
    assert changed.limits == Limits(max_tasks=7, max_streams=None, running_share=0.25)
    assert (changed.handlers, changed.etag) == (("send-*",), "2")
    assert [each.name async for each in live.client.namespaces(page_size=1)] == ["a", "b", "default"]
    await live.client.delete_namespace("b", etag="2")
    assert [each.name for each in (await live.client.list_namespaces()).namespaces] == ["a", "default"]


async def test_a_mask_restores_defaults(live: Live):
    """Of what it names and the request does not set; a star names all; without a mask, what is set is changed.

    Handlers that are named and not set are none: an empty list must not allow everything.
    """
    await live.client.create_namespace("a", handlers=["x"], limits={"max_tasks": 7, "max_streams": 8})
    async with grpc.aio.insecure_channel(live.parts.address) as channel:
        stub = access_pb2_grpc.AccessServiceStub(channel)

        async def updated(*paths: str, **fields: Any) -> access_pb2.Namespace:
            return await stub.UpdateNamespace(
                access_pb2.UpdateNamespaceRequest(name="a", update_mask=FieldMask(paths=paths), **fields)
            )

        limits = access_pb2.NamespaceLimits(max_tasks=9, max_streams=-1)
        found = await updated("limits.max_tasks", limits=limits)
        assert (found.limits.max_tasks, found.limits.max_streams) == (9, 8)
        found = await updated(limits=limits)
        assert (found.limits.max_tasks, found.limits.max_streams, list(found.handlers)) == (9, -1, ["x"])
        found = await updated("limits")
        assert (found.limits.max_tasks, found.limits.max_streams) == (1000, 50)
        assert list((await updated("*")).handlers) == []
        code, _, _, violations = await refused(updated("limits.most", "name"))
        assert (code, list(violations)) == (Code.INVALID_ARGUMENT, ["update_mask"])
        code, *_ = await refused(updated(*["handlers"] * 101))
        assert code is Code.INVALID_ARGUMENT


async def test_only_who_administers_every_namespace_may_call_these(place: Path | str):
    """An administrator of one namespace sees and changes none."""
    async with serving_keys(place) as keyed:
        await keyed.client.create_namespace("reports")
        keyed.caller = caller("admin@reports", "read@*")
        for call in (
            keyed.client.create_namespace("other"),
            keyed.client.update_namespace("reports", limits={"max_tasks": None}),
            keyed.client.list_namespaces(),
            keyed.client.delete_namespace("reports"),
        ):
            with pytest.raises(PermissionDenied, match=r"admin@\* is needed"):
                await call
        keyed.caller = caller("admin@*")
        assert [each.limits async for each in keyed.client.namespaces()][1] == Limits()


async def test_what_cannot_be_is_refused(live: Live, reports: AsyncClient):
    """By its own error each."""
    await registered(reports)
    with pytest.raises(NamespaceExists):
        await live.client.create_namespace("reports")
    with pytest.raises(NamespaceNotEmpty):
        await live.client.delete_namespace("reports")
    with pytest.raises(NamespaceNotEmpty):
        await live.client.delete_namespace("default")
    with pytest.raises(NamespaceNotFound):
        await live.client.update_namespace("nowhere", handlers=["x"])
    with pytest.raises(EtagMismatch):
        await live.client.update_namespace("reports", handlers=["x"], etag="7")
    for wrong in ({"running_share": 2}, {"max_tasks": -5}, {"max_tasks": 2**40}, {"most": 1}, {"max_tasks": "7"}):
        with pytest.raises(InvalidArgument) as caught:
            await live.client.update_namespace("reports", limits=wrong)
        (violation,) = caught.value.violations
        assert violation.field == f"limits.{next(iter(wrong))}"
    for handlers in (["a b"], [""], "text", []):
        with pytest.raises(InvalidArgument, match="handlers"):
            await live.client.create_namespace("other", handlers=handlers)
