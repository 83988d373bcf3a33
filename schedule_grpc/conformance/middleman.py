"""A server between worker and server: hands every call on, records it, and lies where a check wants it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias, TypeVar

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from schedule_grpc.conformance.check import CLOCK
from schedule_grpc.conformance.invariants import Invariants
from schedule_grpc.conformance.tape import PULL, REGISTER, REPORT, UNREGISTER, Seen, Tape
from schedule_grpc.pb import worker_pb2 as pb
from schedule_grpc.pb import worker_pb2_grpc as pb_grpc

OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 300),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.use_local_subchannel_pool", 1),
)
SESSION_UNKNOWN = "SESSION_UNKNOWN"
DOMAIN = "schedule.v1"
LIST = "ListWorkers"

R = TypeVar("R")
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Refused(Exception):
    """Raised by a trick: the worker gets a status instead of an answer."""

    def __init__(self, code: grpc.StatusCode, text: str = "as the check wants it", *, reason: str = "") -> None:
        super().__init__(text)
        self.code, self.text, self.reason = code, text, reason


class Dropped(Exception):
    """Raised by a trick: the worker gets nothing, and its connection ends."""


class Answered(Exception):
    """Raised by a trick before a call is handed on: the worker gets this answer, and the server no call."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer


def _leave_it(_: Seen) -> None:
    """Change nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trick:
    """What becomes of calls while a check lies: functions that may change a call, or raise one of the above."""

    before: Callable[[Seen], None] = _leave_it
    """Looks at a call that has come."""
    after: Callable[[Seen], None] = _leave_it
    """Looks at an answer (`Seen.answer`) on its way back, and may change it."""


class Middleman(pb_grpc.WorkerServiceServicer):
    """The WorkerService as the worker under test sees it."""

    def __init__(self, upstream: str, namespace: str, cut: Callable[[], None]) -> None:
        """Prepare it.

        Args:
            upstream: The address of the real server.
            namespace: The namespace in which every worker registers, whatever it asks for.
            cut: Ends the connections of the worker.
        """
        self.tape = Tape()
        self.invariants = Invariants()
        self.believed: set[str] = set()
        """Tokens that the server is told the worker holds, whatever the worker names."""
        self.address = ""
        """Where it listens, once it is open."""
        self._namespace = namespace
        self._cut = cut
        self._tricks: list[Trick] = []
        self._channel = grpc.aio.insecure_channel(upstream, options=OPTIONS)
        self.server = pb_grpc.WorkerServiceStub(self._channel)
        """The real server, for checks that call it themselves."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Middleman"]:
        """Within this context it answers calls."""
        server = grpc.aio.server(options=OPTIONS)
        pb_grpc.add_WorkerServiceServicer_to_server(self, server)
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        try:
            yield self
        finally:
            await server.stop(0)
            await self._channel.close()

    @contextmanager
    def trick(self, **functions: Callable[[Seen], None]) -> Iterator[None]:
        """Within this context calls pass a `Trick` of these functions."""
        trick = Trick(**functions)
        self._tricks.append(trick)
        try:
            yield
        finally:
            self._tricks.remove(trick)

    async def RegisterWorker(self, request: pb.RegisterWorkerRequest, context: Context) -> pb.RegisterWorkerResponse:
        """Hand it on."""
        return await self._pass(REGISTER, self.server.RegisterWorker, request, context)

    async def Pull(self, request: pb.PullRequest, context: Context) -> pb.PullResponse:
        """Hand it on."""
        return await self._pass(PULL, self.server.Pull, request, context)

    async def Report(self, request: pb.ReportRequest, context: Context) -> pb.ReportResponse:
        """Hand it on."""
        return await self._pass(REPORT, self.server.Report, request, context)

    async def UnregisterWorker(
        self, request: pb.UnregisterWorkerRequest, context: Context
    ) -> pb.UnregisterWorkerResponse:
        """Hand it on."""
        return await self._pass(UNREGISTER, self.server.UnregisterWorker, request, context)

    async def ListWorkers(self, request: pb.ListWorkersRequest, context: Context) -> pb.ListWorkersResponse:
        """Hand it on."""
        return await self._pass(LIST, self.server.ListWorkers, request, context)

    async def _pass(self, method: str, rpc: Callable[..., Awaitable[R]], request: Any, context: Context) -> R:
        seen = self.tape.begin(method, request, context.time_remaining())
        try:
            return await self._answer(seen, rpc)
        except Refused as refused:
            seen.answer, seen.status = None, refused.code
            await _refuse(context, refused)
        except Dropped:
            seen.answer, seen.status = None, grpc.StatusCode.UNAVAILABLE
            self._cut()
            await context.abort(grpc.StatusCode.UNAVAILABLE, "dropped")
        except grpc.aio.AioRpcError as error:
            seen.status = error.code()
            trailing = tuple(error.trailing_metadata() or ())
            await context.abort(error.code(), error.details() or "", trailing)
        except asyncio.CancelledError:
            seen.answer, seen.status = None, grpc.StatusCode.CANCELLED
            raise
        finally:
            seen.ended = CLOCK.monotonic()
            self.invariants.ended(seen)

    async def _answer(self, seen: Seen, rpc: Callable[..., Awaitable[R]]) -> R:
        await self.invariants.before(seen)
        try:
            for trick in tuple(self._tricks):
                trick.before(seen)
            answer = await rpc(self._forwarded(seen), timeout=seen.deadline)
            seen.answer = answer
            for assignment in getattr(seen.answer, "assignments", ()):
                self.tape.assignments.setdefault(assignment.lease_token, assignment)
            for trick in tuple(self._tricks):
                trick.after(seen)
        except Answered as answered:
            answer = seen.answer = answered.answer
        seen.status = grpc.StatusCode.OK
        self.invariants.after(seen)
        return answer

    def _forwarded(self, seen: Seen) -> Any:
        """Return the request as the server gets it."""
        if seen.method == PULL and self.believed:
            named = {each.lease_token for each in seen.request.held}
            request = pb.PullRequest()
            request.CopyFrom(seen.request)
            request.held.extend(pb.PullRequest.Held(lease_token=token) for token in self.believed - named)
            return request
        if seen.method == REGISTER:
            begins = pb.RegisterWorkerRequest()
            begins.CopyFrom(seen.request)
            begins.namespace = self._namespace
            return begins
        return seen.request


async def _refuse(context: Context, refused: Refused) -> NoReturn:
    """Answer with a status, and with a reason as the service gives reasons."""
    metadata: tuple[Any, ...] = ()
    if refused.reason:
        info = AnyMessage()
        info.Pack(error_details_pb2.ErrorInfo(reason=refused.reason, domain=DOMAIN))
        status = status_pb2.Status(code=refused.code.value[0], message=refused.text, details=[info])
        metadata = rpc_status.to_status(status).trailing_metadata
    await context.abort(refused.code, refused.text, metadata)
