"""One place where errors become statuses, whatever was raised: no caller is left waiting, none reads our insides."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, NoReturn, TypeAlias, cast

import grpc
import structlog
from grpc_status import rpc_status

from schedule_grpc.errors import Internal, InvalidArgument, ScheduleError
from schedule_grpc.formats.protobuf import status_of

log = structlog.get_logger(__name__)

UNREADABLE = object()
"""Stands for a request whose bytes are not the message they should be."""

# Generic for type checkers only: at run time these classes take no parameters.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Behavior: TypeAlias = Callable[[Any, Any], Awaitable[Any]]
StreamBehavior: TypeAlias = Callable[[Any, Any], AsyncGenerator[Any, None]]
Answered: TypeAlias = Callable[[str, str], None]
"""Called with each call's method and the name of its status."""

OURS = "/schedule.v1."
GONE = (asyncio.CancelledError, grpc.aio.InternalError)
"""A call that was cancelled, or whose caller was gone when something was sent; gRPC knows what to do with either."""


class Methods:
    """Takes a server's place where methods are added to it, and adds each of them wrapped.

    An interceptor would wrap them anew at each call. Every unary method is wrapped, and our own streams; those of
    health and reflection pass as they are.

    A service's methods are added as one generic handler, which finds a method by its name. Of each method that is
    registered by itself, grpc.aio keeps a pending future, and waits for all of them anew at each call.
    """

    def __init__(self, server: grpc.aio.Server, answered: Answered) -> None:
        self._server = server
        self._answered = answered

    def add_generic_rpc_handlers(self, _handlers: Any) -> None:
        """Pass over what `add_registered_method_handlers` is given by name."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Add a service's methods."""
        wrapped = {name: self.wrapped(handler, f"/{service}/{name}") for name, handler in handlers.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, wrapped),))

    def wrapped(self, handler: Handler, method: str) -> Handler:
        """Return a method's handler with its errors told."""
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                self._telling(handler.unary_unary, method),
                request_deserializer=_reading(handler.request_deserializer),
                response_serializer=_writing(handler.response_serializer),
            )
        if handler.unary_stream is not None and method.startswith(OURS):
            return grpc.unary_stream_rpc_method_handler(
                self._telling_stream(cast("StreamBehavior", handler.unary_stream), method),
                request_deserializer=_reading(handler.request_deserializer),
                response_serializer=handler.response_serializer,
            )
        return handler

    def _telling(self, behavior: Behavior, method: str) -> Behavior:
        async def tell(request: Any, context: Any) -> Any:
            try:
                answer = await behavior(_readable(request), context)
            except BaseException as error:  # noqa: BLE001 (whatever it was, the caller must hear of it)
                await self._refuse(error, method, context)
            self._answered(method, "OK")
            return answer

        return tell

    def _telling_stream(self, behavior: StreamBehavior, method: str) -> StreamBehavior:
        async def tell(request: Any, context: Any) -> AsyncGenerator[Any, None]:
            try:
                async with aclosing(behavior(_readable(request), context)) as messages:
                    async for message in messages:
                        yield message
            except GeneratorExit:
                self._answered(method, "UNKNOWN")
                raise
            except BaseException as error:  # noqa: BLE001 (whatever it was, the caller must hear of it)
                await self._refuse(error, method, context)
            self._answered(method, "OK")

        return tell

    async def _refuse(self, error: BaseException, method: str, context: Any) -> NoReturn:
        """End a call with an error's status, and count it; what is not for its caller goes on its way."""
        status = "UNKNOWN"
        try:
            told = _told(error, method)
            status = told.status
            await context.abort_with_status(rpc_status.to_status(status_of(told)))
        except GONE:
            status = "CANCELLED"
            raise
        finally:
            self._answered(method, status)
        raise AssertionError("abort_with_status raises")


def _told(error: BaseException, method: str) -> ScheduleError:
    """Return what a caller is told of an error; what is not for them goes on its way."""
    if isinstance(error, ScheduleError):
        return error
    if isinstance(error, (*GONE, grpc.aio.AbortError)):
        raise error
    internal = Internal(secrets.token_hex(6))
    log.error("rpc.failed", method=method, error_id=internal.error_id, exc_info=error)
    return internal


def _readable(request: Any) -> Any:
    if request is UNREADABLE:
        raise InvalidArgument.of("request", "cannot be read: not this message, or nested too deep")
    return request


def _reading(deserializer: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    if deserializer is None:
        return None

    def read(message: bytes) -> Any:
        try:
            return deserializer(message)
        except Exception:  # noqa: BLE001 (protobuf's own DecodeError; gRPC would answer INTERNAL for it)
            return UNREADABLE

    return read


def _writing(serializer: Callable[[Any], bytes] | None) -> Callable[[Any], bytes] | None:
    """Return what writes an answer, or passes on one that is written already."""
    if serializer is None:
        return None

    def write(answer: Any) -> bytes:
        return answer if type(answer) is bytes else serializer(answer)

    return write
