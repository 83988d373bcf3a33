"""The namespace of a client: in every request that can name one, and of nothing else."""

import pytest
from support.callers.rpc_rows import EXECUTION, ROWS, TASK_TOLD, TOLD, Row

from schedule_grpc.client import AsyncClient, Client
from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.registration import Registration
from schedule_grpc.domain.task import define
from schedule_grpc.formats.protobuf import task_from
from schedule_grpc.pb import schedule_pb2 as pb

EACH = [pytest.param(row, id=f"{row.rpc}-{number}") for number, row in enumerate(ROWS)]


@pytest.mark.parametrize("row", EACH)
async def test_a_client_of_a_namespace_names_it_in_every_request(row: Row, scripted):
    """The rest of the request is as it is without."""
    scripted.answer(row.rpc, row.answer)
    async with AsyncClient(scripted.address, namespace="reports") as client:
        await row.call(client)
    with Client(scripted.address, namespace="reports") as blocking:
        row.call(blocking)
    for seen in scripted.seen:
        named = getattr(seen.request, "namespace", "reports")
        assert named == "reports"
        seen.request.ClearField("namespace") if seen.rpc != "PreviewSchedule" else None
        assert seen.request == row.request


async def test_a_watch_names_it_too(asker, scripted):
    """It is a stream, and begins in another way."""
    scripted.answer("WatchExecutions", lambda _: iter([pb.WatchExecutionsResponse()]))
    watch = await asker.watch(asker(scripted.address, namespace="reports", patience=0))
    await asker.close(watch)
    assert scripted.seen[0].request.namespace == "reports"


async def test_a_view_of_another_namespace_shares_the_connection(asker, scripted):
    """Each keeps its own namespace; closing the view closes the client."""
    scripted.answer("GetTask", TASK_TOLD)
    client = asker(scripted.address, namespace="reports")
    view = client.in_namespace("billing")
    for each in (client, view, view.in_namespace("")):
        await asker.ask(each, "get_task", "report")
    assert [seen.request.namespace for seen in scripted.seen] == ["reports", "billing", ""]
    await asker.close(view)
    with pytest.raises(Exception, match="The client is closed"):
        await asker.ask(client, "get_task", "report")


@pytest.mark.parametrize("text", ["Reports", "-a", "a_b", "a" * 64, "a\n", " "])
async def test_a_text_that_is_no_name_is_refused_when_the_client_is_made(text: str):
    """And when a view of it is."""
    for kind in (Client, AsyncClient):
        with pytest.raises(ValueError, match=r"namespace: .* is not a small letter"):
            kind("127.0.0.1:1", namespace=text)
    with Client("127.0.0.1:1") as client, pytest.raises(ValueError, match="namespace: "):
        client.in_namespace(text)


async def test_a_registration_of_a_batch_names_its_own(asker, scripted):
    """Unless it is the default one, which is also what a definition has that names none."""
    scripted.answer("BatchRegisterTasks", pb.BatchRegisterTasksResponse())
    wanted = [
        Registration(definition=define(name="a", namespace=namespace, schedule="@daily", handler="h"))
        for namespace in (DEFAULT_NAMESPACE, "reports")
    ]
    await asker.ask(asker(scripted.address), "batch_register_tasks", wanted)
    assert [each.namespace for each in scripted.seen[0].request.requests] == ["", "reports"]


async def test_tasks_and_executions_tell_their_namespace(asker, scripted):
    """And the principals; an older server tells none, and has nothing but the default namespace."""
    told = pb.Task()
    told.MergeFrom(TASK_TOLD)
    told.namespace, told.changed_by = "reports", "key:reports-ci"
    execution = pb.Execution()
    execution.MergeFrom(TOLD)
    execution.namespace, execution.triggered_by = "reports", "schedule"
    scripted.answer("GetTask", told)
    scripted.answer("GetExecution", execution)
    client = asker(scripted.address)
    task = await asker.ask(client, "get_task", "report")
    assert (task.namespace, task.changed_by) == ("reports", "key:reports-ci")
    found = await asker.ask(client, "get_execution", EXECUTION.id)
    assert (found.namespace, found.triggered_by) == ("reports", "schedule")
    told.ClearField("namespace")
    assert task_from(told).namespace == DEFAULT_NAMESPACE
