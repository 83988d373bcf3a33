"""The calls of one rpc by Connect and gRPC-Web: admitted, read, answered by the same servicer as gRPC's, counted."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    aclosing,
    asynccontextmanager,
)
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias

from connectrpc.errors import ConnectError
from connectrpc.interceptor import MetadataInterceptor
from connectrpc.request import RequestContext
from google.protobuf.message import Message  # noqa: TC002 (callers of type checkers look it up here)

from schedule_grpc.access.current import current_call
from schedule_grpc.api.call_spans import Answered
from schedule_grpc.api.fetch_context import FetchContext
from schedule_grpc.api.http.connect.forms import Kind, Unread
from schedule_grpc.api.http.connect.refusals import connect_error_of
from schedule_grpc.api.http.envelope import headers_of
from schedule_grpc.api.methods import error_for_caller
from schedule_grpc.errors import PermissionDenied
from schedule_grpc.runtime.threads import Aside

Admission: TypeAlias = AbstractAsyncContextManager[object]
"""The context in which a call is answered; entered before its request is read."""
Context: TypeAlias = RequestContext[Any, Any]

ADMISSION: ContextVar[Admission] = ContextVar("admission")
"""The admission of the present call, which the guard has made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shared:
    """What the calls of all rpcs share."""

    aside: Aside
    answered: Answered
    streams: Callable[[], AbstractContextManager[None]]
    """Counts a stream within the context that it returns."""


class Admitting(MetadataInterceptor[Admission]):
    """Admits each call before its body is read."""

    def __init__(self, answered: Answered) -> None:
        """Take the function that counts calls."""
        self._answered = answered

    async def on_start(self, ctx: Context) -> Admission:
        """Admit a call.

        Raises:
            ConnectError: if it is refused.
        """
        admission = ADMISSION.get()
        rpc = name_of(ctx)
        try:
            await admission.__aenter__()
        except BaseException as error:  # noqa: BLE001 (the caller must be answered, whatever was raised)
            raise refused(error, rpc, ctx, self._answered) from None
        return admission

    async def on_end(self, token: Admission, ctx: Context, error: Exception | None, /) -> None:  # noqa: ARG002
        """Forget a call, also one whose request could not be read."""
        await token.__aexit__(None, None, None)


class Calls:
    """Answers the calls of one rpc by a servicer's method."""

    def __init__(self, method: Callable[[Any, Any], Any], *, request: Kind, answer: Kind, shared: Shared) -> None:
        """Take the method, the classes of its requests and answers, and what all rpcs share."""
        self._method = method
        self._request = request
        self._answer = answer
        self._shared = shared

    async def unary(self, request: Unread, ctx: Context) -> bytes:
        """Answer one call of a unary rpc.

        Raises:
            ConnectError: if it is refused or fails.
        """
        call: Callable[[Any, Any], Awaitable[Message | bytes]] = self._method
        async with self._answering(ctx):
            answer = await call(await request.read(self._request, self._shared.aside), FetchContext())
            return await request.written(answer, self._answer, self._shared.aside)
        raise AssertionError("the context swallows nothing")

    async def stream(self, request: Unread, ctx: Context) -> AsyncGenerator[bytes, None]:
        """Answer one call of an rpc that answers with a stream.

        Raises:
            ConnectError: if it is refused or fails.
        """
        call: Callable[[Any, Any], AsyncGenerator[Message, None]] = self._method
        async with self._answering(ctx):
            asked = await request.read(self._request, self._shared.aside)
            ctx.response_headers["x-accel-buffering"] = "no"  # nginx, for one, would buffer some kilobytes of messages
            with self._shared.streams():
                async with aclosing(call(asked, FetchContext())) as messages:
                    async for message in messages:
                        yield await request.written(message, self._answer, self._shared.aside)

    @asynccontextmanager
    async def _answering(self, ctx: Context) -> AsyncIterator[None]:
        """Answer a call within this context: what it raises reaches the caller as an error, and the call is counted.

        The admission is left here: a call that was ended because its caller's credentials are over is told so.
        """
        rpc = name_of(ctx)
        try:
            async with AsyncExitStack() as stack:
                stack.push_async_exit(ADMISSION.get())
                yield
        except BaseException as error:  # noqa: BLE001 (the caller must be answered, whatever was raised)
            raise refused(error, rpc, ctx, self._shared.answered) from None
        self._shared.answered(rpc, "OK")


def name_of(ctx: Context) -> str:
    """Return the full name of a call's rpc."""
    return f"/{ctx.method.service_name}/{ctx.method.name}"


def refused(error: BaseException, rpc: str, ctx: Context, answered: Answered) -> ConnectError:
    """Return a call's error as its caller receives it, and count the call; the end of the call itself is raised again.

    Raises:
        CancelledError, GeneratorExit: if the caller is gone, or its time is over.
    """
    status = "CANCELLED"
    try:
        if isinstance(error, GeneratorExit):
            raise error
        answer = error_for_caller(error, rpc)
        if isinstance(answer, PermissionDenied):
            current_call().denied(answer)
        status = answer.status
        for name, value in headers_of(answer).items():
            ctx.response_headers[name] = value
        return connect_error_of(answer)
    finally:
        answered(rpc, status)
