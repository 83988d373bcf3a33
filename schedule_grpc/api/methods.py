"""The one place where errors become gRPC statuses: every call is answered, and no caller reads a traceback."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from typing import Any, NoReturn, TypeAlias, cast

import grpc
import structlog
from grpc_status import rpc_status

from schedule_grpc.access.credentials import BY_TCP, Way
from schedule_grpc.access.current import current_call
from schedule_grpc.access.gate import Gate
from schedule_grpc.access.rules import RULES, unruled
from schedule_grpc.api.call_spans import Answered, is_traced, of_grpc
from schedule_grpc.api.grpc_credentials import credentials_of
from schedule_grpc.errors import CannotStart, Internal, InvalidArgument, PermissionDenied, ScheduleError
from schedule_grpc.formats.protobuf import status_of
from schedule_grpc.tracing import Tracer

log = structlog.get_logger(__name__)

# Generic for type checkers only: at run time these classes take no parameters.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Behavior: TypeAlias = Callable[[Any, Any], Awaitable[Any]]
StreamBehavior: TypeAlias = Callable[[Any, Any], AsyncGenerator[Any, None]]
Reader: TypeAlias = Callable[[bytes], Any]
Admitting: TypeAlias = Callable[[Any], AbstractAsyncContextManager[object]]
"""Returns the context in which a call is answered, given gRPC's context of the call."""

OURS = "/schedule.v1."
GONE = (asyncio.CancelledError, grpc.aio.InternalError)
"""A call that was cancelled, or whose caller was gone when the server sent a message; gRPC handles both."""


class Methods:
    """Stands in for a server where generated code adds methods to it, and adds each method wrapped.

    An interceptor would wrap the methods again at each call. Every method is wrapped but those of health: they are open
    to strangers, and answer without our errors.

    A service's methods are added as one generic handler, which finds a method by its name. For each method that is
    registered by itself, grpc.aio keeps a pending future, and waits for all of them at each call.
    """

    def __init__(
        self,
        server: grpc.aio.Server,
        answered: Answered,
        gate: Gate | None = None,
        way: Way = BY_TCP,
        *,
        tracer: Tracer | None = None,
    ) -> None:
        """Take a server.

        Args:
            server: The server that receives the methods.
            answered: Called with the method and the status of each call.
            gate: Admits each call; None: all are admitted.
            way: What the server's listener says of its callers.
            tracer: Makes a span of each call; None: there are none.
        """
        self._server = server
        self._answered = answered
        self._gate = gate
        self._way = way
        self._tracer = tracer

    def add_generic_rpc_handlers(self, _handlers: Any) -> None:
        """Ignore the handlers: `add_registered_method_handlers` receives the same ones by name."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Add a service's methods.

        Raises:
            CannotStart: if no rule says who may call one of them.
        """
        if self._gate is not None and (missing := unruled(f"/{service}/{name}" for name in handlers)):
            raise CannotStart(f"no rule says who may call {', '.join(missing)}")
        wrapped = {name: self.wrapped(handler, f"/{service}/{name}") for name, handler in handlers.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, wrapped),))

    def wrapped(self, handler: Handler, method: str) -> Handler:
        """Return a method's handler: it admits the call, and answers errors as statuses.

        It gets the bytes of the request, which are read once the caller is known: a stranger's are not.

        Raises:
            CannotStart: if it is of a kind that cannot be wrapped, and is not open to strangers.
        """
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                self._answering(handler.unary_unary, _reading(handler.request_deserializer), method),
                response_serializer=_writing(handler.response_serializer),
            )
        if handler.unary_stream is not None and method.startswith(OURS):
            behavior = cast("StreamBehavior", handler.unary_stream)
            return grpc.unary_stream_rpc_method_handler(
                self._answering_stream(behavior, _reading(handler.request_deserializer), method),
                response_serializer=handler.response_serializer,
            )
        if handler.stream_stream is not None:
            return grpc.stream_stream_rpc_method_handler(
                self._answering_stream(cast("StreamBehavior", handler.stream_stream), _as_it_is, method),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        if self._gate is not None and not RULES[method].open:
            raise CannotStart(f"{method} takes a stream and gives one answer: no gate admits such calls")
        return handler

    def _answering(self, behavior: Behavior, read: Reader, method: str) -> Behavior:
        admitted = self._admission(method)

        async def answered(request: Any, context: Any) -> Any:
            try:
                async with admitted(context):
                    answer = await behavior(read(request), context)
            except BaseException as error:  # noqa: BLE001 (the caller must be answered, whatever was raised)
                await self._refuse(error, method, context)
            self._answered(method, "OK")
            return answer

        return self._traced(answered, method)

    def _answering_stream(self, behavior: StreamBehavior, read: Reader, method: str) -> Behavior:
        admitted = self._admission(method)

        async def answered(request: Any, context: Any) -> None:
            try:
                async with admitted(context), aclosing(behavior(read(request), context)) as messages:
                    async for message in messages:
                        await _sent(context, message)
            except BaseException as error:  # noqa: BLE001 (the caller must be answered, whatever was raised)
                await self._refuse(error, method, context)
            self._answered(method, "OK")

        return self._traced(answered, method)

    def _traced(self, behavior: Behavior, method: str) -> Behavior:
        """Return a method that is a span of its caller's trace, if there is a tracer."""
        tracer = self._tracer
        if tracer is None or not is_traced(method):
            return behavior

        async def traced(request: Any, context: Any) -> Any:
            with tracer.call(method[1:], context.invocation_metadata() or (), of_grpc(method)):
                return await behavior(request, context)

        return traced

    def _admission(self, method: str) -> Admitting:
        gate = self._gate
        if gate is None or RULES[method].open:
            return _admit_all
        return lambda context: gate.admitting(method, credentials_of(context, self._way))

    async def _refuse(self, error: BaseException, method: str, context: Any) -> NoReturn:
        """End a call with an error's status, and count it; gRPC's own errors are raised again."""
        status = "UNKNOWN"
        try:
            answer = error_for_caller(error, method)
            if isinstance(answer, PermissionDenied):
                current_call().denied(answer)
            status = answer.status
            await context.abort_with_status(rpc_status.to_status(status_of(answer)))
        except GONE:
            status = "CANCELLED"
            raise
        finally:
            self._answered(method, status)
        raise AssertionError("abort_with_status raises")


async def _sent(context: Any, message: Any) -> None:
    """Send a message of a stream. A call that is cancelled meanwhile waits for it: gRPC sends no status before that."""
    sending = asyncio.ensure_future(context.write(message))
    try:
        await asyncio.shield(sending)
    except asyncio.CancelledError:
        await sending
        raise


def _admit_all(_: Any) -> AbstractAsyncContextManager[object]:
    return nullcontext()


def error_for_caller(error: BaseException, method: str) -> ScheduleError:
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


def _as_it_is(message: Any) -> Any:
    return message


def _reading(deserializer: Reader | None) -> Reader:
    """Return the function that reads a request.

    Raises:
        InvalidArgument: if the bytes are no message of that kind; gRPC would answer INTERNAL.
    """
    if deserializer is None:
        return _as_it_is

    def read(message: bytes) -> Any:
        try:
            return deserializer(message)
        except Exception:  # noqa: BLE001 (protobuf's own DecodeError, and others)
            raise InvalidArgument.of("request", "cannot be read: not this message, or nested too deep") from None

    return read


def _writing(serializer: Callable[[Any], bytes] | None) -> Callable[[Any], bytes] | None:
    """Return the function that serializes an answer, or passes on one that is bytes already."""
    if serializer is None:
        return None

    def write(answer: Any) -> bytes:
        return answer if type(answer) is bytes else serializer(answer)

    return write
