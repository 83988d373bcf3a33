"""What a worker reports of its attempt is read with the execution, as if a server ran it: its name, lines, progress."""

from datetime import timedelta
from typing import Any

import httpx2
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from support.patience import AT_MOST
from support.servers.live import Live

from schedule_grpc.api.http import shown
from schedule_grpc.client import Logged
from schedule_grpc.formats.protobuf import instant_to
from schedule_grpc.pb import schedule_pb2, worker_pb2_grpc
from schedule_grpc.pb import worker_pb2 as pb

NAME = "host-7 (invoices 3)"


class Worker:
    """A worker that does as a test says, with one attempt at a time."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._session = ""
        self._token = ""

    async def call(self, rpc: str, request: Message) -> Any:
        """Return the answer to an rpc."""
        stub = worker_pb2_grpc.WorkerServiceStub(self._live.client._channel)
        return await getattr(stub, rpc)(request, metadata=self._live.client._metadata(), timeout=AT_MOST)

    async def take(self, handler: str) -> pb.Assignment:
        """Offer a handler; return the attempt that is given to it."""
        request = pb.RegisterWorkerRequest(
            name="host-7", version="invoices 3", protocol=1, handlers=[pb.OfferedHandler(name=handler)], slots=1
        )
        self._session = (await self.call("RegisterWorker", request)).session_id
        pull = pb.PullRequest(session_id=self._session, capacity=1, wait=Duration(seconds=20))
        while not (answer := await self.call("Pull", pull)).assignments:
            pass
        assignment: pb.Assignment = answer.assignments[0]
        self._token = assignment.lease_token
        return assignment

    async def report(self, **news: Any) -> None:
        """Report something of the attempt."""
        update = pb.Update(lease_token=self._token, **news)
        answer = await self.call("Report", pb.ReportRequest(session_id=self._session, updates=[update]))
        assert list(answer.verdicts) == [pb.ReportResponse.APPLIED]

    async def log(self, *texts: str, level: str = "info", first: int = 1) -> None:
        """Report lines."""
        now = instant_to(self._live.parts.service.clock.now())
        lines = [
            pb.Update.LogLine(sequence=number, time=now, level=level, text=text)
            for number, text in enumerate(texts, start=first)
        ]
        await self.report(log=pb.Update.Log(lines=lines))


@pytest.fixture
async def worker(inside: Live) -> Worker:
    """A worker of the server."""
    return Worker(inside)


async def started(inside: Live, worker: Worker) -> str:
    """Let a worker take an execution; return its id."""
    once = {"retry.max_retries": 0, "timeout": timedelta(minutes=5)}
    await inside.client.register_task(
        name="task", schedule="@manual", handler="remote", policy=once, allow_unknown_handler=True
    )
    begun = (await inside.client.run_task_now("task", detach=True)).execution
    assert (await worker.take("remote")).execution_id == begun.id
    return begun.id


async def test_an_execution_tells_what_its_worker_reports(inside: Live, caller: httpx2.AsyncClient, worker: Worker):
    """While it runs and after it failed; a failed attempt names the worker that ran it."""
    execution_id = await started(inside, worker)
    async with inside.client.watch_executions(execution_id=execution_id, log_lines=True) as events:
        await worker.log("began", "read a\x1b[2Jb")
        logged = await anext(events)
        assert isinstance(logged, Logged)
        assert [line.text for line in logged.lines] == ["began", "read a\x1b[2Jb"]
    await worker.report(progress=pb.Update.Progress(fraction=0.25, text="a quarter"))
    running = (await caller.get(f"/executions/{execution_id}")).json()["execution"]
    assert (running["state"], running["worker"]) == ("RUNNING", NAME)
    assert (running["progress"]["fraction"], running["progress"]["text"]) == (0.25, "a quarter")
    assert (await caller.get(f"/executions/{execution_id}/logs")).json()["count"] == 2
    await worker.log("Traceback ...\nKeyError: 'by'", level="error", first=3)
    failed = pb.Update.Outcome.Failed(error="KeyError: 'by'", failure_kind=schedule_pb2.Execution.ERROR)
    await worker.report(outcome=pb.Update.Outcome(failed=failed, duration=Duration(seconds=1)))
    ended = (await caller.get(f"/executions/{execution_id}")).json()["execution"]
    assert shown.Execution.model_validate(ended)
    assert (ended["state"], ended["worker"]) == ("FAILED", NAME)
    assert [attempt["worker"] for attempt in ended["failedAttempts"]] == [NAME]
    lines = (await caller.get(f"/executions/{execution_id}/logs")).json()["lines"]
    assert [(line["level"], line["text"]) for line in lines[1:]] == [
        ("info", "read a\x1b[2Jb"),
        ("error", "Traceback ...\nKeyError: 'by'"),
    ]


@pytest.mark.parametrize("handler", ["steps", "fail"])
async def test_an_attempt_of_a_server_names_no_worker(inside: Live, caller: httpx2.AsyncClient, handler: str):
    """Neither does the execution, nor an attempt that failed."""
    await inside.client.register_task(name="task", schedule="@manual", handler=handler, policy={"retry.max_retries": 0})
    ran = (await inside.client.run_task_now("task")).execution
    execution = (await caller.get(f"/executions/{ran.id}")).json()["execution"]
    assert "worker" not in execution
    assert all("worker" not in attempt for attempt in execution["failedAttempts"])
