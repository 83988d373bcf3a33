"""The client for programs with an event loop, and its watch."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from copy import copy
from functools import partial
from os import PathLike
from types import GenericAlias, TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar
from weakref import WeakSet

import grpc

from schedule_grpc.client import requests
from schedule_grpc.client.call import Call, Pages, Run, answers, failure, within
from schedule_grpc.client.channel import ATTEMPTS, DEADLINE, Tls, route
from schedule_grpc.client.patience import PATIENCE, pauses
from schedule_grpc.client.rpcs import rpcs_over
from schedule_grpc.client.token import CallMetadata, no_metadata, with_trace
from schedule_grpc.client.values import namespace_given
from schedule_grpc.errors import ScheduleError, Unavailable
from schedule_grpc.events import Lost, WatchEvent
from schedule_grpc.runtime.clock import SystemClock

P = ParamSpec("P")
T = TypeVar("T")


class AsyncWatch(AsyncIterator[WatchEvent]):
    """An iterator of events of executions, as they happen, until the watch or its client is closed.

    The watch has begun when its context is entered, or else with the first event. After a restart of the server it
    begins again and yields ``Lost(count=0)``. It may be closed at any time, and more than once. A cancelled wait for an
    event loses no event: the next wait gets it.
    """

    def __init__(
        self,
        call: Any,
        begin: Callable[[], Any],
        read: Callable[[Any], WatchEvent | None],
        *,
        is_closed: Callable[[], bool],
        patience: float,
    ) -> None:
        self._call = call
        self._begin = begin
        self._read = read
        self._client_is_closed = is_closed
        self._patience = patience
        self._has_begun = False
        self._closed = False
        self._ending = asyncio.Event()
        self._reading: asyncio.Task[WatchEvent | ScheduleError | None] | None = None

    def __del__(self) -> None:
        # A gRPC call outlives its last reference: the server would go on streaming.
        with suppress(RuntimeError):  # the event loop is closed, and the stream with it
            self._call.cancel()

    async def __aenter__(self) -> Self:
        try:
            await self._wait_until_begun()
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

    async def __anext__(self) -> WatchEvent:
        # gRPC ends the whole stream when a read is cancelled: the read is a task of its own, which goes on.
        self._reading = self._reading or asyncio.ensure_future(self._next())
        found = await asyncio.shield(self._reading)
        self._reading = None
        if found is None or self._is_over():
            raise StopAsyncIteration
        if isinstance(found, ScheduleError):
            raise found
        return found

    async def close(self) -> None:
        """End the watch."""
        self._closed = True
        self.wake()
        self._call.cancel()
        if self._reading is not None:
            await asyncio.gather(self._reading, return_exceptions=True)

    def wake(self) -> None:
        """Check at once whether the watch or its client is closed."""
        self._ending.set()

    def _is_over(self) -> bool:
        return self._closed or self._client_is_closed()

    async def _next(self) -> WatchEvent | ScheduleError | None:
        """Return the next event, None at the end, or the error: this task may have no caller that could catch it."""
        try:
            return await self._read_next()
        except asyncio.CancelledError:
            if not self._is_over() or being_cancelled():
                raise
        return None

    async def _read_next(self) -> WatchEvent | ScheduleError | None:
        gone: ScheduleError | None = None
        try:
            await self._wait_until_begun()
            while not self._is_over() and (response := await self._call.read()) is not grpc.aio.EOF:
                if (event := self._read(response)) is not None:
                    return event
        except grpc.RpcError as error:
            gone = failure(error, closed=False)
        return await self._begun_anew(gone) if self._has_begun else gone

    async def _wait_until_begun(self) -> None:
        if not self._has_begun:
            await self._call.wait_for_connection()
            self._has_begun = True

    async def _begun_anew(self, gone: ScheduleError | None) -> WatchEvent | ScheduleError | None:
        """Begin again once the server is back, and return Lost; None if the watch is closed or ends.

        ``gone`` is the error that broke the stream, None if the server ended it.
        """
        if gone is not None and not isinstance(gone, Unavailable):
            return gone
        for pause in pauses(0 if self._is_over() else self._patience):
            if await set_within(self._ending, pause):
                return None
            try:
                self._call = self._begin()
                await self._call.wait_for_connection()
            except grpc.RpcError as error:
                gone = failure(error, closed=False)
                if not isinstance(gone, Unavailable):
                    break
            else:
                return Lost(count=0)
        return gone


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait until an event is set, at most ``seconds``; return whether it is set."""
    with suppress(TimeoutError):
        async with SystemClock().timeout(seconds):
            await event.wait()
    return event.is_set()


def being_cancelled() -> bool:
    """Return whether this task is being cancelled; gRPC also raises CancelledError for a call that was cut off."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _method(make: Callable[P, Call[T]]) -> Callable[Concatenate["AsyncClient", P], Coroutine[Any, Any, T]]:
    @answers(make)
    async def method(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._answer(make(*args, **kwargs))

    return method


def _run(make: Callable[P, Run[T]]) -> Callable[Concatenate["AsyncClient", P], Coroutine[Any, Any, T]]:
    @answers(make)
    async def method(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._wait_for_end(make(*args, **kwargs))

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


def _watch(make: Callable[P, Call[WatchEvent | None]]) -> Callable[Concatenate["AsyncClient", P], AsyncWatch]:
    @answers(make, lambda _: AsyncWatch)
    def method(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> AsyncWatch:
        return self._watched(make(*args, **kwargs))

    return method


class AsyncClient:
    """Speaks to one server; made, used and closed within one event loop.

    Every method raises errors of `schedule_grpc.errors`; Unavailable if no server answers within the deadline, or the
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
        token_file: PathLike[str] | str | None = None,
        deadline: float = DEADLINE,
        attempts: int = ATTEMPTS,
        patience: float = PATIENCE,
        namespace: str = "",
    ) -> None:
        """Prepare a client; it connects with the first call.

        Args:
            address: ``host:port`` (50051 where no port is named), its URL, or a target of gRPC's: ``unix:/run/s.sock``.
            tls: How the server proves its identity, and the client its own; None connects without encryption.
            token: Sent with every call as a bearer token; without TLS to this machine only.
            token_file: A file that holds the token instead, and is read again whenever it changes.
            deadline: Seconds for a call over all its attempts; run_task_now (not detached) and watches have none.
            attempts: How often a call is made, 1 to 5; once for trigger_cron, create_key and rotate_key.
            patience: Seconds for which a begun watch, or a waiting run_task_now, tries to reach a server that is gone.
            namespace: The namespace of every call; empty: the one that the token's grants name, or ``default``.

        Raises:
            ValueError: for invalid settings, and for a token that would be sent to another machine without TLS.
            OSError: if the token's file, or one that ``tls`` names, cannot be read.
        """
        way = route(address, tls=tls, token=token, token_file=token_file, attempts=attempts)
        if way.credentials is None:
            channel = grpc.aio.insecure_channel(way.address, options=way.options)
        else:
            channel = grpc.aio.secure_channel(way.address, way.credentials, options=way.options)
        self._begin(channel, deadline, way.metadata, patience, namespace)

    @classmethod
    def over(
        cls, channel: grpc.aio.Channel, *, deadline: float = DEADLINE, patience: float = PATIENCE, namespace: str = ""
    ) -> Self:
        """Return a client over an existing gRPC channel, with that channel's options; closing the client closes it."""
        client = cls.__new__(cls)
        client._begin(channel, deadline, no_metadata, patience, namespace)  # noqa: SLF001 (one of ours)
        return client

    def _begin(
        self, channel: grpc.aio.Channel, deadline: float, metadata: CallMetadata, patience: float, namespace: str
    ) -> None:
        if deadline <= 0:
            raise ValueError(f"deadline must be positive, not {deadline}")
        if not 0 <= patience < math.inf:
            raise ValueError(f"patience must be a number of seconds, 0 or more, not {patience}")
        self._channel = channel
        self._rpcs = rpcs_over(channel)
        self._deadline = deadline
        self._metadata = with_trace(metadata)
        self._patience = patience
        self._namespace = namespace_given(namespace)
        self._was_answered = False
        self._closing = asyncio.Event()
        self._watches: WeakSet[AsyncWatch] = WeakSet()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection, and end every call and watch under way. Closing again changes nothing."""
        self._closing.set()
        for watch in tuple(self._watches):
            watch.wake()
        await self._channel.close()

    def in_namespace(self, namespace: str) -> Self:
        """Return a client of another namespace over the same connection; closing one of the two closes both.

        Raises:
            ValueError: if the text is no namespace's name.
        """
        other = copy(self)
        other._namespace = namespace_given(namespace)  # noqa: SLF001 (one of ours)
        return other

    register_task = _method(requests.register_task)
    batch_register_tasks = _method(requests.batch_register_tasks)
    update_task = _method(requests.update_task)
    delete_task = _method(requests.delete_task)
    get_task = _method(requests.get_task)
    list_tasks = _method(requests.list_tasks)
    tasks = _pages(requests.tasks)
    enable_task = _method(requests.enable_task)
    disable_task = _method(requests.disable_task)
    run_task_now = _run(requests.run_task_now)
    trigger_cron = _method(requests.trigger_cron)
    preview_schedule = _method(requests.preview_schedule)
    backfill_task = _method(requests.backfill_task)
    get_task_history = _method(requests.get_task_history)
    task_history = _pages(requests.task_history)
    list_executions = _method(requests.list_executions)
    executions = _pages(requests.executions)
    get_execution = _method(requests.get_execution)
    cancel_execution = _method(requests.cancel_execution)
    watch = watch_executions = _watch(requests.watch_executions)
    get_summary = _method(requests.get_summary)
    get_upcoming_runs = _method(requests.get_upcoming_runs)
    explain_task = _method(requests.explain_task)
    list_handlers = _method(requests.list_handlers)
    list_workers = _method(requests.list_workers)
    initialize_default_tasks = _method(requests.initialize_default_tasks)
    create_key = _method(requests.create_key)
    list_keys = _method(requests.list_keys)
    keys = _pages(requests.keys)
    rotate_key = _method(requests.rotate_key)
    revoke_key = _method(requests.revoke_key)
    who_am_i = _method(requests.who_am_i)
    create_namespace = _method(requests.create_namespace)
    update_namespace = _method(requests.update_namespace)
    list_namespaces = _method(requests.list_namespaces)
    namespaces = _pages(requests.namespaces)
    delete_namespace = _method(requests.delete_namespace)
    list_audit_events = _method(requests.list_audit_events)
    audit_events = _pages(requests.audit_events)

    async def _answer(self, call: Call[T]) -> T:
        try:
            response = await self._called(call)
        except grpc.RpcError as error:
            raise failure(error, closed=self._closed) from None
        except asyncio.CancelledError:
            if self._closed and not being_cancelled():
                raise failure(None, closed=True) from None
            raise
        self._was_answered = True
        return call.read(response)

    async def _wait_for_end(self, run: Run[T]) -> T:
        """Return a run at its end; if the server is gone meanwhile, wait for the same run again."""
        result = await self._started(run)
        while run.end is not None and not run.is_over(result):
            try:
                return await self._answer(run.end)
            except Unavailable as error:
                result = await self._found_again(run.start, error)
        return result

    async def _started(self, run: Run[T]) -> T:
        try:
            return await self._answer(run.start)
        except Unavailable as error:
            if run.end is None or not self._was_answered:
                raise
            return await self._found_again(run.start, error)

    async def _found_again(self, call: Call[T], gone: Unavailable) -> T:
        for pause in pauses(self._patience):
            if await set_within(self._closing, pause):
                break
            try:
                return await self._answer(call)
            except Unavailable as error:
                gone = error
        raise gone

    def _watched(self, call: Call[WatchEvent | None]) -> AsyncWatch:
        begin = partial(self._called, call)
        watch = AsyncWatch(begin(), begin, call.read, is_closed=lambda: self._closed, patience=self._patience)
        self._watches.add(watch)
        return watch

    @property
    def _closed(self) -> bool:
        return self._closing.is_set()  # shared with the clients of other namespaces

    def _called(self, call: Call[Any]) -> Any:
        if self._closed:
            raise failure(None, closed=True)
        timeout = None if call.waits else self._deadline
        return self._rpcs[call.rpc](within(self._namespace, call.request), timeout=timeout, metadata=self._metadata())
