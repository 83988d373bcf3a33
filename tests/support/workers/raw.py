"""A worker of four calls and nothing else, in the test's process: it says what a test wants it to say, true or not."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from support.patience import AT_MOST

from schedule_grpc.pb import worker_pb2 as pb
from schedule_grpc.pb.worker_pb2_grpc import WorkerServiceStub

Verdict = pb.ReportResponse
Outcome = pb.Update.Outcome
DONE = Outcome(succeeded=Outcome.Succeeded(result_json="true"), duration=Duration(nanos=1000))


class RawWorker:
    """A session."""

    def __init__(self, stub: Any) -> None:
        self.stub = stub
        self.session = ""

    async def register(
        self, *handlers: str, slots: int = 8, lease: timedelta = timedelta(seconds=30), held: tuple[str, ...] = ()
    ) -> pb.RegisterWorkerResponse:
        """Begin the session."""
        request = pb.RegisterWorkerRequest(
            name="raw", protocol=1, slots=slots, handlers=[pb.OfferedHandler(name=each) for each in handlers]
        )
        request.lease.FromTimedelta(lease)
        request.held_tokens.extend(held)
        answer: pb.RegisterWorkerResponse = await self.stub.RegisterWorker(request, timeout=AT_MOST)
        self.session = answer.session_id
        return answer

    async def pull(self, *held: str, capacity: int = 0, wait: float = 20) -> pb.PullResponse:
        """Say what is held, and wait."""
        request = pb.PullRequest(session_id=self.session, capacity=capacity)
        request.held.extend(pb.PullRequest.Held(lease_token=token) for token in held)
        request.wait.FromTimedelta(timedelta(seconds=wait))
        answer: pb.PullResponse = await self.stub.Pull(request, timeout=AT_MOST)
        return answer

    async def given(self, number: int = 1) -> list[pb.Assignment]:
        """Pull until so many attempts are given."""
        found: dict[str, pb.Assignment] = {}
        while len(found) < number:
            answer = await self.pull(*found, capacity=number - len(found))
            found |= {each.lease_token: each for each in answer.assignments}
        return list(found.values())

    async def report(self, *updates: pb.Update) -> pb.ReportResponse:
        """Report."""
        request = pb.ReportRequest(session_id=self.session, updates=updates)
        answer: pb.ReportResponse = await self.stub.Report(request, timeout=AT_MOST)
        return answer

    async def verdict(self, token: str, outcome: pb.Update.Outcome = DONE) -> Any:
        """Report an outcome; return the verdict."""
        (verdict,) = (await self.report(pb.Update(lease_token=token, outcome=outcome))).verdicts
        return verdict

    async def leave(self) -> None:
        """End the session."""
        await self.stub.UnregisterWorker(pb.UnregisterWorkerRequest(session_id=self.session), timeout=AT_MOST)


@asynccontextmanager
async def raw_workers(address: str, number: int = 1) -> AsyncIterator[list[RawWorker]]:
    """Within this context so many can be registered, over one connection."""
    async with grpc.aio.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
        stub = WorkerServiceStub(channel)
        yield [RawWorker(stub) for _ in range(number)]


def succeeded(result: Any) -> pb.Update.Outcome:
    """Return an outcome with a result."""
    return Outcome(succeeded=Outcome.Succeeded(result_json=json.dumps(result)))
