"""A worker without any library: it keeps the rules of the protocol, or breaks one of them as a test says."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

import grpc
from google.protobuf.duration_pb2 import Duration

from schedule_grpc.pb import worker_pb2 as pb
from schedule_grpc.pb import worker_pb2_grpc

SUCCEEDED = pb.Update.Outcome(succeeded=pb.Update.Outcome.Succeeded(result_json="true"))


class Manner(Enum):
    """How a worker behaves."""

    DILIGENT = auto()
    """It reports each attempt, and leaves now and then with what it holds."""
    DEAF = auto()
    """It keeps its lease, and never ends an attempt."""
    GONE = auto()
    """It takes an attempt, and is not heard of again."""


@dataclass
class RawWorker:
    """A worker of one handler. It outlives servers: what it holds it takes to its next session."""

    handler: str
    manner: Manner = Manner.DILIGENT
    held: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    """Executions whose outcomes the service has acknowledged."""

    async def work(self, address: str) -> None:
        """Work until the server is gone."""
        async with grpc.aio.insecure_channel(address) as channel:
            stub = worker_pb2_grpc.WorkerServiceStub(channel)
            while True:
                try:
                    await self._session(stub)
                except grpc.aio.AioRpcError as error:
                    if error.code() is grpc.StatusCode.UNAVAILABLE:
                        return
                    if error.code() is not grpc.StatusCode.NOT_FOUND and error.code() is not grpc.StatusCode.INTERNAL:
                        raise
                await asyncio.sleep(0.1)

    async def _session(self, stub: "worker_pb2_grpc.WorkerServiceAsyncStub") -> None:
        asked = pb.RegisterWorkerRequest(
            name="raw",
            protocol=1,
            handlers=[{"name": self.handler}],
            slots=4,
            lease=Duration(seconds=10),
            held_tokens=self.held,
        )
        registered = await stub.RegisterWorker(asked, timeout=20)
        self._drop(registered.lost_tokens)
        for number in range(40):
            answer = await stub.Pull(self._pull(registered.session_id), timeout=20)
            self._drop(answer.lost_tokens)
            new = [each.lease_token for each in answer.assignments if each.lease_token not in self.held]
            self.held += new
            if self.manner is Manner.GONE and self.held:
                self.held.clear()
                await asyncio.Event().wait()
            if self.manner is Manner.DILIGENT and number % 5 < 4:  # it leaves with what the last Pull brought
                await self._report(stub, registered.session_id)
            if self.manner is Manner.DILIGENT and number % 5 == 4 and self.held:
                await stub.UnregisterWorker(pb.UnregisterWorkerRequest(session_id=registered.session_id), timeout=20)
                return

    def _pull(self, session: str) -> pb.PullRequest:
        held = [{"lease_token": token} for token in self.held]
        return pb.PullRequest(session_id=session, held=held, capacity=4 - len(held), wait=Duration(seconds=1))

    async def _report(self, stub: "worker_pb2_grpc.WorkerServiceAsyncStub", session: str) -> None:
        if not self.held:
            return
        updates = [pb.Update(lease_token=token, outcome=SUCCEEDED) for token in self.held]
        answer = await stub.Report(pb.ReportRequest(session_id=session, updates=updates), timeout=20)
        known = (pb.ReportResponse.APPLIED, pb.ReportResponse.REPEATED)
        for update, verdict in zip(updates, answer.verdicts, strict=True):
            if verdict in known:
                self.answered.append(update.lease_token.rpartition(".")[0])
        self.held.clear()

    def _drop(self, tokens: Iterable[str]) -> None:
        gone = frozenset(tokens)
        self.held = [token for token in self.held if token not in gone]
