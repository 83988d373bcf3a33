"""ListWorkers and what a session changes in other answers, over the wire."""

from typing import Any

import pytest
from google.protobuf.message import Message
from support.patience import until
from support.servers.live import Code, Live, refused

from schedule_grpc.errors import InvalidArgument, NamespaceNotFound
from schedule_grpc.pb import worker_pb2 as pb
from schedule_grpc.pb import worker_pb2_grpc


async def worker(live: Live, rpc: str, request: Message) -> Any:
    """Return the answer to an rpc of workers."""
    stub = worker_pb2_grpc.WorkerServiceStub(live.client._channel)
    return await getattr(stub, rpc)(request, metadata=live.client._metadata())


async def test_a_session_is_seen_until_it_ends_and_after(live: Live):
    """By its public id; its handlers are offered, and the tasks that name them are not marked any more."""
    task = await live.client.register_task(
        name="task", schedule="@manual", handler="remote", allow_unknown_handler=True
    )
    assert task.no_worker
    schema = '{"type":"object"}'
    registered = await worker(
        live,
        "RegisterWorker",
        pb.RegisterWorkerRequest(
            name="host-7",
            version="invoices 3",
            protocol=1,
            handlers=[pb.OfferedHandler(name="remote", description="Far away", payload_schema_json=schema)],
            slots=8,
            labels={"zone": "eu"},
        ),
    )
    (seen,) = await live.client.list_workers()
    assert (seen.name, seen.version, seen.handlers) == ("host-7", "invoices 3", ("remote",))
    assert (seen.slots, seen.running, seen.labels, seen.namespace) == (8, 0, {"zone": "eu"}, "default")
    assert (seen.is_living, seen.draining) == (True, False)
    assert registered.session_id not in repr(seen)
    assert await live.client.list_workers("remote") == (seen,)
    assert await live.client.list_workers("other") == ()
    (handler,) = [each for each in await live.client.list_handlers() if each.name == "remote"]
    assert (handler.description, handler.offered, handler.payload_schema) == ("Far away", True, schema)
    assert (handler.worker_count, handler.worker_versions) == (1, ("invoices 3",))

    async def is_served() -> bool:
        return not (await live.client.get_task("task")).no_worker

    await until(is_served)
    await worker(live, "UnregisterWorker", pb.UnregisterWorkerRequest(session_id=registered.session_id))
    (gone,) = await live.client.list_workers()
    assert (gone.id, gone.is_living) == (seen.id, False)
    (handler,) = [each for each in await live.client.list_handlers() if each.name == "remote"]
    assert (handler.offered, handler.worker_count) == (False, 0)


async def test_the_namespace_of_a_list_is_one(live: Live):
    """That there is: neither all, nor none."""
    code, *_ = await refused(worker(live, "ListWorkers", pb.ListWorkersRequest(namespace="*")))
    assert code is Code.INVALID_ARGUMENT
    with pytest.raises(NamespaceNotFound):
        await live.client.in_namespace("nowhere").list_workers()
    with pytest.raises(InvalidArgument):
        await live.client.list_workers("n" * 200)
