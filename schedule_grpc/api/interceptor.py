"""One place where errors become statuses, whatever was raised: no caller is left waiting, none reads our insides."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import grpc
import structlog
from grpc_status import rpc_status

from schedule_grpc.errors import Internal, InvalidArgument, ScheduleError
from schedule_grpc.wire import status_of

log = structlog.get_logger(__name__)

UNREADABLE = object()
"""Stands for a request whose bytes are not the message they should be."""

# Generic for type checkers only: at run time these classes take no parameters.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"
Behavior: TypeAlias = Callable[[Any, Any], Awaitable[Any]]
StreamBehavior: TypeAlias = Callable[[Any, Any], AsyncGenerator[Any, None]]
Answered: TypeAlias = Callable[[str, str], None]
"""Called with each call's method and the name of its status."""

OURS = "/schedule.v1."
GONE = (asyncio.CancelledError, grpc.aio.InternalError)
"""A call that was cancelled, or whose caller was gone when something was sent; gRPC knows what to do with either."""


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every unary rpc and our own streams; those of health and reflection pass as they are."""

    def __init__(self, answered: Answered) -> None:
        self._answered = answered

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        """Return the method's handler with its errors told."""
        handler = await continuation(handler_call_details)
        method: str = handler_call_details.method
        if handler is not None and handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                self._telling(handler.unary_unary, method),
                request_deserializer=_reading(handler.request_deserializer),
                response_serializer=handler.response_serializer,
            )
        if handler is not None and handler.unary_stream is not None and method.startswith(OURS):
            return grpc.unary_stream_rpc_method_handler(
                self._telling_stream(cast("StreamBehavior", handler.unary_stream), method),
                request_deserializer=_reading(handler.request_deserializer),
                response_serializer=handler.response_serializer,
            )
        return handler

    def _telling(self, behavior: Behavior, method: str) -> Behavior:
        async def tell(request: Any, context: Any) -> Any:
            with self._counted(method) as told:
                try:
                    return await behavior(_readable(request), context)
                except BaseException as error:  # noqa: BLE001 (whatever it was, the caller must hear of it)
                    told.error = _told(error, method)
                await context.abort_with_status(rpc_status.to_status(status_of(told.error)))
                raise AssertionError("abort_with_status raises")

        return tell

    def _telling_stream(self, behavior: StreamBehavior, method: str) -> StreamBehavior:
        async def tell(request: Any, context: Any) -> AsyncGenerator[Any, None]:
            with self._counted(method) as told:
                try:
                    async with aclosing(behavior(_readable(request), context)) as messages:
                        async for message in messages:
                            yield message
                except GeneratorExit:
                    raise
                except BaseException as error:  # noqa: BLE001 (whatever it was, the caller must hear of it)
                    told.error = _told(error, method)
                if told.error is not None:
                    await context.abort_with_status(rpc_status.to_status(status_of(told.error)))

        return tell

    @contextmanager
    def _counted(self, method: str) -> Iterator["_Answer"]:
        answer = _Answer()
        try:
            yield answer
        except GONE:
            self._answered(method, "CANCELLED")
            raise
        except BaseException:
            self._answered(method, answer.error.status if answer.error else "UNKNOWN")
            raise
        self._answered(method, "OK")


@dataclass(slots=True)
class _Answer:
    """How a call was answered; no error, unless one is set."""

    error: ScheduleError | None = None


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
