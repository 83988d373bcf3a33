"""A gRPC server before a server: hands every call on as bytes, and loses or cuts those that a test wants lost."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc

from schedule_grpc.conformance.tcp_proxy import TcpProxy

OPTIONS = (("grpc.so_reuseport", 0), ("grpc.use_local_subchannel_pool", 1))


class CallProxy(grpc.GenericRpcHandler):
    """Where a worker calls; behind it is a server."""

    def __init__(self, upstream: str) -> None:
        self.address = ""
        self.calls: Counter[str] = Counter()
        """How many calls came, by rpc."""
        self.lost: Counter[str] = Counter()
        """How many were lost, by rpc and by ``request`` or ``answer``."""
        self.cut_off = 0
        """How many were ended by `limit`."""
        self.answered_late = 0
        """How many were answered after half of it."""
        self.limit: float | None = None
        """Seconds after which every call is ended."""
        self.loses: Callable[[str, bytes, bytes | None], bool] = lambda _rpc, _request, _answer: False
        """Whether a call gets lost: asked before it is handed on, and again with its answer."""
        self._upstream = upstream
        self._channel: grpc.aio.Channel | None = None
        self._front = TcpProxy(self._connect)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["CallProxy"]:
        """Within this context it answers."""
        server = grpc.aio.server(options=OPTIONS)
        server.add_generic_rpc_handlers((self,))
        self._port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with self._front.open(), grpc.aio.insecure_channel(self._upstream, options=OPTIONS) as self._channel:
            self.address = f"127.0.0.1:{self._front.port}"
            try:
                yield self
            finally:
                await server.stop(0)

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        """Return what answers a method: any of them."""
        method = details.method

        async def answer(request: bytes, context: Any) -> bytes:
            return await self._pass(method, request, context)

        return grpc.unary_unary_rpc_method_handler(answer)

    async def _connect(self) -> Any:
        return await asyncio.open_connection("127.0.0.1", self._port)

    async def _pass(self, method: str, request: bytes, context: Any) -> bytes:
        rpc = method.rpartition("/")[2]
        self.calls[rpc] += 1
        assert self._channel is not None
        came = time.monotonic()
        if self.loses(rpc, request, None):
            await self._lose(f"{rpc} request", context)
        try:
            answer: bytes = await self._channel.unary_unary(method)(request, timeout=self.limit)
        except grpc.aio.AioRpcError as error:
            if self.limit is not None and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                self.cut_off += 1
                await context.abort(grpc.StatusCode.UNAVAILABLE, "upstream timed out")
            await context.abort(error.code(), error.details() or "", tuple(error.trailing_metadata() or ()))
        if self.limit is not None and time.monotonic() - came > self.limit / 2:
            self.answered_late += 1
        if self.loses(rpc, request, answer):
            await self._lose(f"{rpc} answer", context)
        return answer

    async def _lose(self, what: str, context: Any) -> None:
        self.lost[what] += 1
        self._front.cut()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "lost")
