"""The calls of a worker to its server, and what their failures mean."""

import asyncio
import json
from os import PathLike
from typing import Any

import grpc

from schedule_grpc.client.channel import Route, Tls, route
from schedule_grpc.client.unreachable import in_words
from schedule_grpc.errors import ScheduleError, Unavailable
from schedule_grpc.formats import protobuf
from schedule_grpc.pb import worker_pb2 as pb
from schedule_grpc.pb.worker_pb2_grpc import WorkerServiceStub
from schedule_grpc.runtime.clock import Clock

DEADLINE = 10.0
"""Seconds for a call; a Pull gets them beyond what it may wait."""

_FINAL = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
_CUT_OFF = frozenset({grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE})
_CONFIG = json.dumps({"loadBalancingConfig": [{"pick_first": {"shuffleAddressList": True}}]})
"""Of a name's several addresses each worker takes one at random: a server knows best the sessions that call it only."""
CONNECTS_AGAIN_AFTER = 5.0
"""Seconds between two new connections at least, while the server says that it stops."""


def is_final(error: grpc.RpcError) -> bool:
    """Return whether a call would fail in the same way however often it is made; everything else is tried again.

    A server that is killed, or a proxy, may answer any other status: CANCELLED, INTERNAL, UNKNOWN.
    """
    return error.code() in _FINAL


def is_cut_off(error: grpc.RpcError) -> bool:
    """Return whether a call was not answered in time, or lost its connection."""
    return error.code() in _CUT_OFF


def is_session_unknown(error: grpc.RpcError) -> bool:
    """Return whether the server does not know the session of a call."""
    return bool(error.code() is grpc.StatusCode.NOT_FOUND)


def is_too_much(error: grpc.RpcError) -> bool:
    """Return whether a call was refused for its size, or because the worker calls too often."""
    return bool(error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED)


def reason_of(error: grpc.RpcError) -> ScheduleError:
    """Return the error of a failed call, its text in plain words."""
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        text = "the server does not take workers: it is older than this worker, or this is not its gRPC address"
        return protobuf.RemoteError(text, code="UNIMPLEMENTED", status="UNIMPLEMENTED")
    found = protobuf.error_from(error)
    return Unavailable(in_words(found.message)) if isinstance(found, Unavailable) else found


def way_to(address: str, *, tls: Tls | None, token: str | None, token_file: PathLike[str] | str | None) -> Route:
    """Return the route of a worker to an address: gRPC makes no call again, for the worker does.

    Raises:
        ValueError: for invalid settings, and for a token that would leave this machine without TLS.
        OSError: if the file of the token, or one that ``tls`` names, cannot be read.
    """
    found = route(address, tls=tls, token=token, token_file=token_file, attempts=1)
    others = tuple((name, value) for name, value in found.options if name != "grpc.service_config")
    # A new channel is to connect anew, and not to share the connection of the former one.
    own = ("grpc.service_config", _CONFIG), ("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)
    options = (*others, *own)
    return Route(address=found.address, credentials=found.credentials, options=options, metadata=found.metadata)


class Calls:
    """The rpcs of a worker, over one channel; each raises grpc.RpcError."""

    def __init__(self, way: Route, clock: Clock) -> None:
        """Open the channel, in the running event loop; it connects with the first call."""
        self._way = way
        self._clock = clock
        self._former: set[asyncio.Task[None]] = set()
        self._connected_time = float("-inf")
        """When a new connection was asked for."""
        self._open()

    async def register(self, request: pb.RegisterWorkerRequest) -> pb.RegisterWorkerResponse:
        """Call RegisterWorker."""
        answer: pb.RegisterWorkerResponse = await self._stub.RegisterWorker(request, **self._how())
        return answer

    def pull(self, request: pb.PullRequest) -> Any:
        """Begin Pull, and return the call: to be awaited, or cancelled."""
        return self._stub.Pull(request, **self._how(request.wait.ToTimedelta().total_seconds()))

    async def report(self, request: pb.ReportRequest) -> pb.ReportResponse:
        """Call Report."""
        answer: pb.ReportResponse = await self._stub.Report(request, **self._how())
        return answer

    async def unregister(self, request: pb.UnregisterWorkerRequest) -> None:
        """Call UnregisterWorker."""
        await self._stub.UnregisterWorker(request, **self._how())

    def connect_anew(self) -> None:
        """Make the next calls over a new connection, which may lead to another server; calls in progress go on.

        Behind one name, or one address of a load balancer, are servers that do not stop.
        """
        if self._clock.monotonic() - self._connected_time < CONNECTS_AGAIN_AFTER:
            return
        self._connected_time = self._clock.monotonic()
        closing = asyncio.create_task(self._channel.close(DEADLINE))
        self._former.add(closing)
        closing.add_done_callback(self._former.discard)
        self._open()

    async def close(self) -> None:
        """Close the connection; calls in progress end."""
        for closing in tuple(self._former):
            closing.cancel()
        await self._channel.close()

    def _open(self) -> None:
        way = self._way
        if way.credentials is None:
            self._channel = grpc.aio.insecure_channel(way.address, options=way.options)
        else:
            self._channel = grpc.aio.secure_channel(way.address, way.credentials, options=way.options)
        self._stub: Any = WorkerServiceStub(self._channel)

    def _how(self, waits: float = 0.0) -> dict[str, Any]:
        return {"timeout": waits + DEADLINE, "metadata": self._way.metadata()}
