"""The one place where errors become gRPC statuses: every call is answered, and no caller reads a traceback."""

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
"""Stands for a request whose bytes are not a message of the method's type."""

# Generic for type checkers only: at run time these classes take no parameters.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Behavior: TypeAlias = Callable[[Any, Any], Awaitable[Any]]
StreamBehavior: TypeAlias = Callable[[Any, Any], AsyncGenerator[Any, None]]
Answered: TypeAlias = Callable[[str, str], None]
"""Called with each call's method and the name of its status."""

OURS = "/schedule.v1."
GONE = (asyncio.CancelledError, grpc.aio.InternalError)
"""A call that was cancelled, or whose caller was gone when the server sent a message; gRPC handles both."""


class Methods:
    """Stands in for a server where generated code adds methods to it, and adds each method wrapped.

    An interceptor would wrap the methods again at each call. Every unary method is wrapped, and the streams of this
    service; the streams of health and reflection are not.

    A service's methods are added as one generic handler, which finds a method by its name. For each method that is
    registered by itself, grpc.aio keeps a pending future, and waits for all of them at each call.
    """

    def __init__(self, server: grpc.aio.Server, answered: Answered) -> None:
        self._server = server
        self._answered = answered

    def add_generic_rpc_handlers(self, _handlers: Any) -> None:
        """Ignore the handlers: `add_registered_method_handlers` receives the same ones by name."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Add a service's methods."""
        wrapped = {name: self.wrapped(handler, f"/{service}/{name}") for name, handler in handlers.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, wrapped),))

    def wrapped(self, handler: Handler, method: str) -> Handler:
        """Return a method's handler, with its errors answered as statuses."""
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                self._answering(handler.unary_unary, method),
                request_deserializer=_reading(handler.request_deserializer),
                response_serializer=_writing(handler.response_serializer),
            )
        if handler.unary_stream is not None and method.startswith(OURS):
            return grpc.unary_stream_rpc_method_handler(
                self._answering_stream(cast("StreamBehavior", handler.unary_stream), method),
                request_deserializer=_reading(handler.request_deserializer),
                response_serializer=handler.response_serializer,
            )
        return handler

    def _answering(self, behavior: Behavior, method: str) -> Behavior:
        async def answered(request: Any, context: Any) -> Any:
            try:
                answer = await behavior(_readable(request), context)
            except BaseException as error:  # noqa: BLE001 (the caller must be answered, whatever was raised)
                await self._refuse(error, method, context)
            self._answered(method, "OK")
            return answer

        return answered

    def _answering_stream(self, behavior: StreamBehavior, method: str) -> StreamBehavior:
        async def answered(request: Any, context: Any) -> AsyncGenerator[Any, None]:
            try:
                async with aclosing(behavior(_readable(request), context)) as messages:
                    async for message in messages:
                        yield message
            except GeneratorExit:
                self._answered(method, "UNKNOWN")
                raise
            except BaseException as error:  # noqa: BLE001 (the caller must be answered, whatever was raised)
                await self._refuse(error, method, context)
            self._answered(method, "OK")

        return answered

    async def _refuse(self, error: BaseException, method: str, context: Any) -> NoReturn:
        """End a call with an error's status, and count it; gRPC's own errors are raised again."""
        status = "UNKNOWN"
        try:
            answer = _error_for_caller(error, method)
            status = answer.status
            await context.abort_with_status(rpc_status.to_status(status_of(answer)))
        except GONE:
            status = "CANCELLED"
            raise
        finally:
            self._answered(method, status)
        raise AssertionError("abort_with_status raises")


def _error_for_caller(error: BaseException, method: str) -> ScheduleError:
    """Return the error that the caller receives; gRPC's own errors are raised again."""
    if isinstance(error, ScheduleError):
        return error
    if isinstance(error, (*GONE, grpc.aio.AbortError)) and not _comes_from_another_task(error):
        raise error
    internal = Internal(secrets.token_hex(6))
    log.error("rpc.failed", method=method, error_id=internal.error_id, exc_info=error)
    return internal


def _comes_from_another_task(error: BaseException) -> bool:
    """Return whether a call failed by a cancellation that was not its own: gRPC would leave the caller unanswered."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() == 0


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
    """Return the function that serializes an answer, or passes on one that is bytes already."""
    if serializer is None:
        return None

    def write(answer: Any) -> bytes:
        return answer if type(answer) is bytes else serializer(answer)

    return write
