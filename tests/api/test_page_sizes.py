"""Pages end before 3 MiB, whatever their items hold: a client with gRPC's defaults accepts every answer."""

from typing import Any

from support.servers.live import Live, asked, struct

from schedule_grpc.domain.paging import MAX_PAGE_BYTES
from schedule_grpc.pb import schedule_pb2 as pb

TEXT = "x" * 60_000


async def pages(rpc: Any, request: Any) -> list[Any]:
    """Return all pages, as they follow each other."""
    found = []
    while True:
        found.append(await rpc(request))
        request.page_token = found[-1].next_page_token
        if not request.page_token:
            return found


async def test_large_tasks_come_in_more_pages(live: Live):
    """Each task once, in the order of the names, and no page beyond the bound."""
    names = [f"t{number:03}" for number in range(100)]
    for name in names:
        await live.stub.RegisterTask(asked(name=name, schedule="@manual", payload=struct({"text": TEXT})))
    found = await pages(live.stub.ListTasks, pb.ListTasksRequest())
    assert [task.name for page in found for task in page.tasks] == names
    assert len(found) == 2
    assert max(page.ByteSize() for page in found) < MAX_PAGE_BYTES + 1000
    assert [task.name async for task in live.client.tasks()] == names


async def test_large_executions_come_in_more_pages(live: Live):
    """In the lists of one task and of all: each execution once, newest first."""
    await live.stub.RegisterTask(asked(schedule="@manual"))
    for number in range(60):
        payload = struct({"text": TEXT, "number": number})
        await live.stub.RunTaskNow(pb.RunTaskNowRequest(name="task", payload=payload, detach=True))
    for rpc, request in (
        (live.stub.ListExecutions, pb.ListExecutionsRequest(page_size=1000)),
        (live.stub.GetTaskHistory, pb.GetTaskHistoryRequest(name="task")),
    ):
        found = await pages(rpc, request)
        assert [each.payload["number"] for page in found for each in page.executions] == list(range(59, -1, -1))
        assert len(found) == 2
        assert max(page.ByteSize() for page in found) < MAX_PAGE_BYTES + 1000
