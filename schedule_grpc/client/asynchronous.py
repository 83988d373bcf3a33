"""The client for programs with an event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from types import GenericAlias, TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import grpc

from schedule_grpc.client import requests
from schedule_grpc.client.call import Call, Pages, answers, failure
from schedule_grpc.client.channel import ATTEMPTS, DEADLINE, Metadata, Tls, route
from schedule_grpc.errors import ScheduleError
from schedule_grpc.events import Told
from schedule_grpc.pb import schedule_pb2_grpc

P = ParamSpec("P")
T = TypeVar("T")


class AsyncWatch(AsyncIterator[Told]):
    """What happens to executions, as it happens, until the watch or its client is closed, or the server stops.

    It has begun when its context is entered, or else with the first event. It may be closed at any time, and more than
    once. Whoever gives up waiting for an event (a timeout, say) loses none: the next wait gets it.
    """

    def __init__(self, call: Any, read: Callable[[Any], Told | None], is_closed: Callable[[], bool]) -> None:
        self._call = call
        self._read = read
        self._client_is_closed = is_closed
        self._closed = False
        self._reading: asyncio.Task[Told | ScheduleError | None] | None = None

    def __del__(self) -> None:
        # gRPC's own call outlives whoever drops it: the server would stream on into nowhere.
        with suppress(RuntimeError):  # the event loop is closed, and the stream with it
            self._call.cancel()

    async def __aenter__(self) -> Self:
        try:
            await self._call.wait_for_connection()
        except grpc.RpcError as error:
            raise failure(error, closed=False) from None
        except asyncio.CancelledError:
            self._call.cancel()
            if self._is_over() and not being_cancelled():
                raise failure(None, closed=True) from None
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def __anext__(self) -> Told:
        # gRPC ends the whole stream when a read is cancelled: the read is a task of its own, which goes on.
        self._reading = self._reading or asyncio.ensure_future(self._next())
        told = await asyncio.shield(self._reading)
        self._reading = None
        if told is None or self._is_over():
            raise StopAsyncIteration
        if isinstance(told, ScheduleError):
            raise told
        return told

    async def close(self) -> None:
        """End the watch."""
        self._closed = True
        self._call.cancel()
        if self._reading is not None:
            await asyncio.gather(self._reading, return_exceptions=True)

    def _is_over(self) -> bool:
        return self._closed or self._client_is_closed()

    async def _next(self) -> Told | ScheduleError | None:
        """Return the next event, None at the end, or what went wrong: nobody may be there to be raised at."""
        try:
            while not self._is_over() and (response := await self._call.read()) is not grpc.aio.EOF:
                if (told := self._read(response)) is not None:
                    return told
        except grpc.RpcError as error:
            return failure(error, closed=False)
        except asyncio.CancelledError:
            if not self._is_over() or being_cancelled():
                raise
        return None


def being_cancelled() -> bool:
    """Tell whether it is this task that somebody cancels; gRPC also raises CancelledError where a call was cut off."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _method(make: Callable[P, Call[T]]) -> Callable[Concatenate["AsyncClient", P], Coroutine[Any, Any, T]]:
    @answers(make)
    async def method(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._answer(make(*args, **kwargs))

    return method


def _pages(make: Callable[P, Pages[T]]) -> Callable[Concatenate["AsyncClient", P], AsyncIterator[T]]:
    @answers(make, lambda answer: GenericAlias(AsyncIterator, (answer,)))
    async def method(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        pages = make(*args, **kwargs)
        token = ""
        while True:
            page = await self._answer(pages.page(token))
            for item in pages.items(page):
                yield item
            token = page.next_page_token
            if not token:
                return

    return method


def _watch(make: Callable[P, Call[Told | None]]) -> Callable[Concatenate["AsyncClient", P], AsyncWatch]:
    @answers(make, lambda _: AsyncWatch)
    def method(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> AsyncWatch:
        return self._watched(make(*args, **kwargs))

    return method


class AsyncClient:
    """Speaks to one server; made, used and closed within one event loop.

    Every method raises the errors of schedule_grpc.errors; Unavailable where nobody answers within the deadline, or the
    client is closed.

    ::

        async with AsyncClient("127.0.0.1:50051") as client:
            task = await client.register_task(name="report", schedule="@daily", handler="send-report")
            result = await client.run_task_now("report")
    """

    def __init__(
        self,
        address: str,
        *,
        tls: Tls | None = None,
        token: str | None = None,
        deadline: float = DEADLINE,
        attempts: int = ATTEMPTS,
    ) -> None:
        """Nothing is sent yet, and nobody needs to listen yet.

        Args:
            address: ``host:port`` (50051 where no port is named), a URL of it, or another name for a target that gRPC
                knows, such as ``unix:/run/schedule.sock``.
            tls: Who the server must be; None speaks without encryption.
            token: Sent with every call as a bearer token; without TLS to this machine only.
            deadline: Seconds for a call, all attempts included; run_task_now (not detached) and watches have none.
            attempts: How often a call is made, 1 to 5, while the server is unavailable. trigger_cron is made once.

        Raises:
            ValueError: for settings that cannot be, or that would show the token to others.
            OSError: if a file that ``tls`` names cannot be read.
        """
        way = route(address, tls=tls, token=token, attempts=attempts)
        if way.credentials is None:
            channel = grpc.aio.insecure_channel(way.address, options=way.options)
        else:
            channel = grpc.aio.secure_channel(way.address, way.credentials, options=way.options)
        self._begin(channel, deadline, way.metadata)

    @classmethod
    def over(cls, channel: grpc.aio.Channel, *, deadline: float = DEADLINE) -> Self:
        """Return a client over a channel of one's own, with that channel's options; closing it closes the channel."""
        client = cls.__new__(cls)
        client._begin(channel, deadline, ())  # noqa: SLF001 (one of ours)
        return client

    def _begin(self, channel: grpc.aio.Channel, deadline: float, metadata: Metadata) -> None:
        if deadline <= 0:
            raise ValueError(f"deadline must be positive, not {deadline}")
        self._channel = channel
        self._stub = schedule_pb2_grpc.ScheduleServiceStub(channel)
        self._deadline = deadline
        self._metadata = metadata
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection, and with it every call and watch that is under way. Closing again changes nothing."""
        self._closed = True
        await self._channel.close()

    register_task = _method(requests.register_task)
    batch_register_tasks = _method(requests.batch_register_tasks)
    update_task = _method(requests.update_task)
    delete_task = _method(requests.delete_task)
    get_task = _method(requests.get_task)
    list_tasks = _method(requests.list_tasks)
    tasks = _pages(requests.tasks)
    enable_task = _method(requests.enable_task)
    disable_task = _method(requests.disable_task)
    run_task_now = _method(requests.run_task_now)
    trigger_cron = _method(requests.trigger_cron)
    preview_schedule = _method(requests.preview_schedule)
    backfill_task = _method(requests.backfill_task)
    get_task_history = _method(requests.get_task_history)
    task_history = _pages(requests.task_history)
    list_executions = _method(requests.list_executions)
    executions = _pages(requests.executions)
    get_execution = _method(requests.get_execution)
    cancel_execution = _method(requests.cancel_execution)
    watch_executions = _watch(requests.watch_executions)
    watch = watch_executions
    list_handlers = _method(requests.list_handlers)
    initialize_default_tasks = _method(requests.initialize_default_tasks)

    async def _answer(self, call: Call[T]) -> T:
        try:
            return call.read(await self._called(call))
        except grpc.RpcError as error:
            raise failure(error, closed=self._closed) from None
        except asyncio.CancelledError:
            if self._closed and not being_cancelled():
                raise failure(None, closed=True) from None
            raise

    def _watched(self, call: Call[Told | None]) -> AsyncWatch:
        return AsyncWatch(self._called(call), call.read, is_closed=lambda: self._closed)

    def _called(self, call: Call[Any]) -> Any:
        if self._closed:
            raise failure(None, closed=True)
        timeout = None if call.waits else self._deadline
        return getattr(self._stub, call.rpc)(call.request, timeout=timeout, metadata=self._metadata)
