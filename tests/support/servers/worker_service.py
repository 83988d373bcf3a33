"""A WorkerService on a real socket that answers as a test says, and remembers what workers said."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc
from google.protobuf.duration_pb2 import Duration
from grpc_status import rpc_status
from support.patience import until

from schedule_grpc.errors import ScheduleError
from schedule_grpc.formats.protobuf import status_of
from schedule_grpc.pb import worker_pb2 as pb
from schedule_grpc.pb.worker_pb2_grpc import WorkerServiceServicer, add_WorkerServiceServicer_to_server

Reply: TypeAlias = Any
"""Of a call: a message, a status, an error, or an async function of the request and the context."""
Verdict = pb.ReportResponse


@dataclass
class WorkerService(WorkerServiceServicer):
    """Assigns what a test gives, and accepts every report, but for the replies that are scripted for the next calls."""

    lease: float = 30.0
    parks: float = 0.3
    """How many seconds a Pull waits at most."""
    address: str = ""
    registered: list[pb.RegisterWorkerRequest] = field(default_factory=list)
    pulls: list[pb.PullRequest] = field(default_factory=list)
    reports: list[pb.ReportRequest] = field(default_factory=list)
    unregistered: list[str] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    timeouts: dict[str, float] = field(default_factory=dict)
    """By rpc: how many seconds the newest caller would wait."""
    most_pulls: int = 0
    """Pulls of one session that were in progress at once."""
    next: dict[str, deque[Reply]] = field(default_factory=dict)
    assigned: dict[str, pb.Assignment] = field(default_factory=dict)
    """What a worker was given, and has not ended: given again while a Pull does not name it."""
    ended: dict[str, pb.Update.Outcome] = field(default_factory=dict)
    news: list[pb.Update] = field(default_factory=list)
    """Every update that was applied."""
    stops: dict[str, Any] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    waiting: deque[pb.Assignment] = field(default_factory=deque)
    _in_pull: int = 0
    _some: asyncio.Event = field(default_factory=asyncio.Event)

    # -- what a test says

    def script(self, rpc: str, *replies: Reply) -> None:
        """Say how the next calls of an rpc are answered: with a message, a status, an error, or by a function."""
        self.next.setdefault(rpc, deque()).extend(replies)

    def give(self, handler: str, *, number: int = 1, **more: Any) -> str:
        """Let an attempt wait for a worker; return its token."""
        payload = json.dumps(more.pop("payload", {}))
        token = f"{handler}-{number}.token"
        fields = {"execution_id": f"{handler}-{number}", "task_name": "some-task", "attempt": 1} | more
        timeout = Duration(seconds=fields.pop("timeout", 60))
        made = pb.Assignment(lease_token=token, handler=handler, payload_json=payload, timeout=timeout, **fields)
        self.waiting.append(made)
        self._some.set()
        return token

    def order(self, token: str, reason: Any = pb.Stop.CANCELLED) -> None:
        """Order an attempt to stop, in every answer until its outcome is here."""
        self.stops[token] = reason
        self._some.set()

    def lose(self, token: str) -> None:
        """Take an attempt away from its worker."""
        self.assigned.pop(token, None)
        self.lost.add(token)
        self._some.set()

    def forget_sessions(self) -> None:
        """Know no session that was registered so far."""
        self._forgotten = len(self.registered)
        self._some.set()

    async def outcome(self, token: str) -> pb.Update.Outcome:
        """Return the outcome of an attempt once it is reported."""

        async def ended() -> pb.Update.Outcome | None:
            return self.ended.get(token)

        return await until(ended)  # type: ignore[return-value]

    # -- the rpcs

    _forgotten: int = 0

    async def RegisterWorker(self, request: Any, context: Any) -> Any:
        """See the contract."""
        self._note("RegisterWorker", request, context, self.registered)
        if (reply := await self._scripted("RegisterWorker", request, context)) is not None:
            return reply
        lost = [token for token in request.held_tokens if token not in self.assigned]
        lease = Duration(seconds=int(self.lease))
        return pb.RegisterWorkerResponse(
            session_id=f"session-{len(self.registered)}", protocol=1, lease=lease, lost_tokens=lost
        )

    async def Pull(self, request: Any, context: Any) -> Any:
        """See the contract."""
        self._in_pull += 1
        self.most_pulls = max(self.most_pulls, self._in_pull)
        try:
            self._note("Pull", request, context, self.pulls)
            if (reply := await self._scripted("Pull", request, context)) is not None:
                return reply
            await self._check_session(request.session_id, context)
            held = {each.lease_token for each in request.held}
            while not (answer := self._answer(request, held)):
                self._some.clear()
                try:
                    async with asyncio.timeout(min(request.wait.seconds, self.parks)):
                        await self._some.wait()
                except TimeoutError:
                    break
                await self._check_session(request.session_id, context)
            return pb.PullResponse(lease=Duration(seconds=int(self.lease)), **answer)
        finally:
            self._in_pull -= 1

    async def Report(self, request: Any, context: Any) -> Any:
        """See the contract."""
        self._note("Report", request, context, self.reports)
        if (reply := await self._scripted("Report", request, context)) is not None:
            return reply
        await self._check_session(request.session_id, context)
        return self.accept(request)

    async def UnregisterWorker(self, request: Any, context: Any) -> Any:
        """See the contract."""
        if (reply := await self._scripted("UnregisterWorker", request, context)) is not None:
            return reply
        self.unregistered.append(request.session_id)
        return pb.UnregisterWorkerResponse()

    def accept(self, request: pb.ReportRequest) -> pb.ReportResponse:
        """Apply a report, and return the verdicts."""
        return pb.ReportResponse(verdicts=[self._apply(each) for each in request.updates])

    # -- inside

    def _apply(self, update: pb.Update) -> Any:
        token = update.lease_token
        if token in self.ended:
            return Verdict.REPEATED if update.HasField("outcome") else Verdict.STALE
        if token not in self.assigned:
            return Verdict.STALE
        self.news.append(update)
        if update.HasField("outcome"):
            self.ended[token] = update.outcome
            del self.assigned[token]
            self.stops.pop(token, None)
            self._some.set()
        return Verdict.APPLIED

    def _answer(self, request: pb.PullRequest, held: set[str]) -> dict[str, Any]:
        # A slot is free once its outcome is here, as the real server counts.
        capacity = 0 if request.draining else request.capacity + sum(token in self.ended for token in held)
        capacity = min(capacity, self.registered[-1].slots - len(self.assigned))
        begin = [each for token, each in self.assigned.items() if token not in held]
        while self.waiting and capacity > 0:
            begin.append(self.waiting.popleft())
            capacity -= 1
        self.assigned |= {each.lease_token: each for each in begin}
        stops = [pb.Stop(lease_token=token, reason=why) for token, why in self.stops.items() if token in held]
        lost = [token for token in held if token in self.lost]
        found = {"assignments": begin, "stops": stops, "lost_tokens": lost}
        return found if any(found.values()) else {}

    def _note(self, rpc: str, request: Any, context: Any, seen: list[Any]) -> None:
        seen.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.timeouts[rpc] = context.time_remaining()

    async def _check_session(self, session: str, context: Any) -> None:
        if int(session.rpartition("-")[2]) <= self._forgotten:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such session")

    async def _scripted(self, rpc: str, request: Any, context: Any) -> Any:
        replies = self.next.get(rpc)
        reply = replies.popleft() if replies else None
        if isinstance(reply, ScheduleError):
            await context.abort_with_status(rpc_status.to_status(status_of(reply)))
        if isinstance(reply, grpc.StatusCode):
            await context.abort(reply, "as scripted")
        made: Callable[..., Awaitable[Any]] | None = reply if callable(reply) else None
        return reply if made is None else await made(request, context)


@asynccontextmanager
async def worker_service(port: int = 0, **how: Any) -> AsyncIterator[WorkerService]:
    """Within this context the service answers on a port of this machine."""
    service = WorkerService(**how)
    async with serving(service, port):
        yield service


@asynccontextmanager
async def serving(service: WorkerService, port: int = 0) -> AsyncIterator[None]:
    """Within this context a service answers; one that answered before comes back."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    add_WorkerServiceServicer_to_server(service, server)
    service.address = f"127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)
