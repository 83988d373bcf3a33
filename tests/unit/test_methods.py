"""What the wrapped methods leave to gRPC, and what they do not: callers who are gone are no fault of ours."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs
from support.rigs.gate_house import House
from support.rigs.rig import START

from schedule_grpc.access.authenticator import Mode
from schedule_grpc.access.rules import SCHEDULE
from schedule_grpc.api.methods import OURS, Methods
from schedule_grpc.domain.access.keys import revoked
from schedule_grpc.errors import CannotStart

METHOD = f"{OURS}ScheduleService/Any"
WATCH = SCHEDULE + "WatchExecutions"
MORE_THAN_IS_READ = 64 * 1024 * 1024
"""Bytes: more than gRPC takes in before its caller reads."""


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
            await wrapped.unary_stream(object(), object())
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


async def test_a_stream_whose_reader_is_slow_ends_with_its_callers_key():
    """While a message waits to be sent: a cancellation there is gRPC's own, and would leave the caller unanswered."""
    house, sends = House(Mode.REQUIRED), asyncio.Event()
    text = house.keys.make("observe@default")
    await house.ring.refresh()

    async def streams_more_than_is_read(_request: object, _context: object) -> AsyncGenerator[Any, None]:
        sends.set()
        yield b"x" * MORE_THAN_IS_READ

    server, answered = grpc.aio.server(), list[tuple[str, str]]()
    methods = Methods(server, lambda *told: answered.append(told), house.gate)
    handler = grpc.unary_stream_rpc_method_handler(streams_more_than_is_read)
    methods.add_registered_method_handlers("schedule.v1.ScheduleService", {"WatchExecutions": handler})
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    unbounded = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=unbounded) as channel:
        told = (("authorization", f"Bearer {text.text}"),)
        call: Any = channel.unary_stream(WATCH)(b"", metadata=told, timeout=10)
        await sends.wait()
        house.keys.put(revoked(house.keys.kept[text.id], START))
        await house.ring.refresh()
        house.gate.end_lapsed()
        with pytest.raises(grpc.aio.AioRpcError, match="Authentication required"):
            while await call.read() is not grpc.aio.EOF:
                pass
    await server.stop(0)
    assert answered == [(WATCH, "UNAUTHENTICATED")]


def test_a_method_that_no_gate_would_admit_is_not_served():
    """It would be served to everybody: only the kinds of methods that there are can be wrapped."""
    server: Any = GenericOnly()
    methods = Methods(server, lambda *_: None, House(Mode.REQUIRED).gate)
    with pytest.raises(CannotStart, match="ListTasks takes a stream"):
        methods.add_registered_method_handlers(
            "schedule.v1.ScheduleService", {"ListTasks": grpc.stream_unary_rpc_method_handler(gone)}
        )
    assert server.added == []


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
