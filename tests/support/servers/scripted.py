"""A real gRPC server that answers what a test says."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_status import rpc_status

from schedule_grpc.client.rpcs import SERVICES
from schedule_grpc.errors import ScheduleError
from schedule_grpc.formats.protobuf import status_of

RPCS = {rpc.name: rpc for service in SERVICES for rpc in service.methods}
HEALTH = "/grpc.health.v1.Health/Check"
Reply: TypeAlias = Message | ScheduleError | grpc.StatusCode | Callable[[grpc.ServicerContext], Message]


@dataclass
class Seen:
    """A call that arrived: which, with what, and how many seconds its caller would wait."""

    rpc: str
    request: Message
    metadata: dict[str, str | bytes]
    timeout: float | None


@dataclass
class Scripted(grpc.GenericRpcHandler):
    """Answers each rpc with the replies given for it, one for each call; the last one stays."""

    address: str = ""
    replies: dict[str, deque[Reply]] = field(default_factory=lambda: defaultdict(deque))
    seen: list[Seen] = field(default_factory=list)

    def answer(self, rpc: str, *replies: Reply) -> None:
        """Say how calls of an rpc are answered: with a message, an error, a status, or what a function returns."""
        self.replies[rpc].extend(replies)

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of a method; the server is healthy."""
        if handler_call_details.method == HEALTH:
            healthy = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING).SerializeToString()
            return grpc.unary_unary_rpc_method_handler(lambda _request, _context: healthy)
        rpc = handler_call_details.method.rpartition("/")[2]
        method = RPCS[rpc]

        def behavior(request: Message, context: Any) -> Any:
            remaining = context.time_remaining()
            timeout = None if remaining is None or remaining > 1e6 else remaining
            self.seen.append(Seen(rpc, request, dict(context.invocation_metadata()), timeout))
            replies = self.replies[rpc]
            reply = replies.popleft() if len(replies) > 1 else replies[0]
            if isinstance(reply, ScheduleError):
                context.abort_with_status(rpc_status.to_status(status_of(reply)))
            if isinstance(reply, grpc.StatusCode):
                context.abort(reply, "as scripted")
            return reply(context) if callable(reply) else reply

        wrap = grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
        return wrap(
            behavior,
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )


@contextmanager
def answering() -> Iterator[Scripted]:
    """Within this context the server answers on a free port of this machine."""
    handler = Scripted()
    with ThreadPoolExecutor(8) as threads:
        server = grpc.server(threads, handlers=[handler], options=[("grpc.so_reuseport", 0)])
        handler.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        yield handler
        server.stop(0).wait()
