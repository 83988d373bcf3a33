"""One place where errors become statuses, whatever was raised: no caller is left waiting, none reads our insides."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

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


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every unary rpc; health and reflection streams pass as they are."""

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        """Return the method's handler with its errors told."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        return grpc.unary_unary_rpc_method_handler(
            _telling(handler.unary_unary, handler_call_details.method),
            request_deserializer=_reading(handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )


def _telling(behavior: Behavior, method: str) -> Behavior:
    async def tell(request: Any, context: Any) -> Any:
        try:
            return await behavior(_readable(request), context)
        except ScheduleError as error:
            told = error
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if isinstance(error, grpc.aio.AbortError):
                raise
            told = Internal(secrets.token_hex(6))
            log.exception("rpc.failed", method=method, error_id=told.error_id)
        await context.abort_with_status(rpc_status.to_status(status_of(told)))
        raise AssertionError("abort_with_status raises")

    return tell


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
