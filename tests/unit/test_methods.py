"""What the wrapped methods leave to gRPC, and what they do not: callers who are gone are no fault of ours."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from schedule_grpc.api.methods import OURS, Methods

METHOD = f"{OURS}ScheduleService/Any"


async def gone(_request: object, _context: object) -> Any:
    """Answer a caller who is not there any more."""
    raise grpc.aio.InternalError("Failed execute_batch: (SendInitialMetadataOperation,)")


async def gone_before_the_first(request: object, context: object) -> AsyncGenerator[Any, None]:
    """The same, of a stream."""
    yield await gone(request, context)


async def called(handler: "grpc.RpcMethodHandler[Any, Any]") -> None:
    """Call it as it is wrapped."""
    answered: list[tuple[str, str]] = []
    server: Any = object()
    wrapped: Any = Methods(server, lambda *told: answered.append(told)).wrapped(handler, METHOD)
    with capture_logs() as logged, pytest.raises(grpc.aio.InternalError):
        if wrapped.unary_unary:
            await wrapped.unary_unary(object(), object())
        else:
            await anext(wrapped.unary_stream(object(), object()))
    assert (answered, logged) == ([(METHOD, "CANCELLED")], [])


async def test_who_is_gone_before_an_answer_is_no_fault():
    """It is counted as cancelled, and nothing is logged."""
    await called(grpc.unary_unary_rpc_method_handler(gone))


async def test_who_is_gone_before_a_stream_begins_is_no_fault():
    """Its initial metadata could not be sent: WatchExecutions sends them before anything else."""
    await called(grpc.unary_stream_rpc_method_handler(gone_before_the_first))


async def cancelled_elsewhere(_request: object, _context: object) -> Any:
    """Wait for what another task cancels."""
    shared = asyncio.get_running_loop().create_future()
    shared.cancel()
    return await shared


async def streams_what_is_cancelled_elsewhere(request: object, context: object) -> AsyncGenerator[Any, None]:
    """The same, of a stream."""
    yield await cancelled_elsewhere(request, context)


@pytest.mark.parametrize("streams", [False, True])
async def test_a_caller_whose_call_another_task_cancelled_is_answered(streams: bool):
    """As a fault of ours: gRPC would answer nothing, and the caller would wait for ever."""
    server = grpc.aio.server()
    answered: list[tuple[str, str]] = []
    methods = Methods(server, lambda *told: answered.append(told))
    handler = (
        grpc.unary_stream_rpc_method_handler(streams_what_is_cancelled_elsewhere)
        if streams
        else grpc.unary_unary_rpc_method_handler(cancelled_elsewhere)
    )
    methods.add_registered_method_handlers("schedule.v1.ScheduleService", {"Any": handler})
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = (channel.unary_stream if streams else channel.unary_unary)(METHOD)(b"", timeout=60)
        with capture_logs() as logged, pytest.raises(grpc.aio.AioRpcError, match="Internal error"):
            await (call.read() if streams else call)
    await server.stop(0)
    assert (answered, [line["event"] for line in logged]) == ([(METHOD, "INTERNAL")], ["rpc.failed"])


class GenericOnly:
    """A server to which methods can be added by a generic handler, and in no other way."""

    def __init__(self) -> None:
        self.added: list[grpc.GenericRpcHandler] = []

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Take handlers."""
        self.added += handlers


def test_no_method_is_registered_by_itself():
    """For each that is, grpc.aio waits for one more future, made anew at each call of any."""
    server: Any = GenericOnly()
    methods = Methods(server, lambda *_: None)
    methods.add_registered_method_handlers("schedule.v1.Service", {"Any": grpc.unary_unary_rpc_method_handler(gone)})
    (handler,) = server.added
    assert handler.service(SimpleNamespace(method="/schedule.v1.Service/Any")).unary_unary is not None
    assert handler.service(SimpleNamespace(method="/schedule.v1.Service/None")) is None
