"""A real gRPC server that answers what a test says, and both clients behind one way to ask."""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_status import rpc_status

from schedule_grpc.client import AsyncClient, AsyncWatch, Client, Watch
from schedule_grpc.errors import ScheduleError
from schedule_grpc.formats.protobuf import status_of
from schedule_grpc.pb import schedule_pb2 as pb

RPCS = pb.DESCRIPTOR.services_by_name["ScheduleService"].methods_by_name
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
        """Return the handler of a method."""
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


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """A server on a free port of this machine."""
    handler = Scripted()
    with ThreadPoolExecutor(8) as threads:
        server = grpc.server(threads, handlers=[handler], options=[("grpc.so_reuseport", 0)])
        handler.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        yield handler
        server.stop(0).wait()


@dataclass
class Asker:
    """Makes clients of one kind and asks them, so that one test speaks of both."""

    kind: type[Client] | type[AsyncClient]
    made: list[Client | AsyncClient] = field(default_factory=list)

    def __call__(self, *arguments: Any, **settings: Any) -> Client | AsyncClient:
        """Return a client that is closed after the test."""
        client = self.kind(*arguments, **settings)
        self.made.append(client)
        return client

    async def ask(self, client: Client | AsyncClient, rpc: str, *arguments: Any, **named: Any) -> Any:
        """Return what a client's method answers; the blocking one's in a thread, iterators as lists."""
        method = getattr(client, rpc)
        if isinstance(client, AsyncClient):
            answer = method(*arguments, **named)
            return [each async for each in answer] if isinstance(answer, AsyncIterator) else await answer

        def wait() -> Any:
            answer = method(*arguments, **named)
            return list(answer) if isinstance(answer, Iterator) else answer

        return await asyncio.to_thread(wait)

    async def watch(self, client: Client | AsyncClient, *arguments: Any, **named: Any) -> Watch | AsyncWatch:
        """Return a watch that has begun; its user closes it, or the client's end does."""
        if isinstance(client, Client):
            return await asyncio.to_thread(client.watch_executions, *arguments, **named)
        async with AsyncExitStack() as begun:
            watch = await begun.enter_async_context(client.watch_executions(*arguments, **named))
            begun.pop_all()
        return watch

    async def events(self, watch: Watch | AsyncWatch, count: int | None = None) -> list[Any]:
        """Return so many events of a watch, or all to its end."""
        if isinstance(watch, Watch):
            return await asyncio.to_thread(lambda: list(islice(watch, count)))
        return [event async for event in watch] if count is None else [await anext(watch) for _ in range(count)]

    async def close(self, what: Client | AsyncClient | Watch | AsyncWatch) -> None:
        """Close a client or a watch."""
        if isinstance(what, AsyncClient | AsyncWatch):
            await what.close()
        else:
            what.close()


@pytest.fixture(params=[Client, AsyncClient], ids=["blocking", "async"])
async def asker(request: pytest.FixtureRequest) -> AsyncIterator[Asker]:
    """Each test runs once for each kind of client."""
    made = Asker(request.param)
    yield made
    for client in made.made:
        await made.close(client)
