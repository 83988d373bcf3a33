"""The client for programs without an event loop: every call waits in the calling thread."""

import math
import threading
from collections.abc import Callable, Iterator
from copy import copy
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

P = ParamSpec("P")
T = TypeVar("T")


class Watch(Iterator[WatchEvent]):
    """An iterator of events of executions, as they happen, until the watch or its client is closed.

    The watch has begun when it is returned. After a restart of the server it begins again and yields ``Lost(count=0)``.
    Any thread may close it, at any time, and more than once.
    """

    def __init__(
        self,
        begin: Callable[[], Any],
        read: Callable[[Any], WatchEvent | None],
        *,
        is_closed: Callable[[], bool],
        patience: float,
    ) -> None:
        self._begin = begin
        self._read = read
        self._client_is_closed = is_closed
        self._patience = patience
        self._closed = False
        self._ending = threading.Event()
        self._call = self._begun()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __next__(self) -> WatchEvent:
        while not self._is_over():
            try:
                event = self._read(next(self._call))
            except StopIteration:
                event = self._begun_anew(None)
            except grpc.RpcError as error:
                event = self._begun_anew(failure(error, closed=False))
            if event is not None:
                return event
        raise StopIteration

    def close(self) -> None:
        """End the watch."""
        self._closed = True
        self.wake()
        self._call.cancel()

    def wake(self) -> None:
        """Check at once whether the watch or its client is closed."""
        self._ending.set()

    def _begun(self) -> Any:
        """Return the call of a stream that the server has begun."""
        call = self._begin()
        call.initial_metadata()  # returns when the server has sent it, or refused
        if not call.is_active() and call.code() is not grpc.StatusCode.OK:
            raise failure(call, closed=self._client_is_closed())
        return call

    def _begun_anew(self, gone: ScheduleError | None) -> WatchEvent | None:
        """Begin again once the server is back, and return Lost; None if the watch is closed meanwhile.

        ``gone`` is the error that broke the stream, None if the server ended it.
        """
        if not self._is_over() and (gone is None or isinstance(gone, Unavailable)):
            for pause in pauses(self._patience):
                if self._ending.wait(pause):
                    break
                try:
                    self._call = self._begun()
                except Unavailable as error:
                    gone = error
                    continue
                if self._is_over():  # closed just now: close() knew only the call before this one
                    self._call.cancel()
                return Lost(count=0)
        if self._is_over():
            return None
        if gone is None:
            raise StopIteration
        raise gone

    def _is_over(self) -> bool:
        return self._closed or self._client_is_closed()


def _method(make: Callable[P, Call[T]]) -> Callable[Concatenate["Client", P], T]:
    @answers(make)
    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._answer(make(*args, **kwargs))

    return method


def _run(make: Callable[P, Run[T]]) -> Callable[Concatenate["Client", P], T]:
    @answers(make)
    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._wait_for_end(make(*args, **kwargs))

    return method


def _pages(make: Callable[P, Pages[T]]) -> Callable[Concatenate["Client", P], Iterator[T]]:
    @answers(make, lambda answer: GenericAlias(Iterator, (answer,)))
    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        pages = make(*args, **kwargs)
        token = ""
        while True:
            page = self._answer(pages.page(token))
            yield from pages.items(page)
            token = page.next_page_token
            if not token:
                return

    return method


def _watch(make: Callable[P, Call[WatchEvent | None]]) -> Callable[Concatenate["Client", P], Watch]:
    @answers(make, lambda _: Watch)
    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Watch:
        return self._watched(make(*args, **kwargs))

    return method


class Client:
    """Speaks to one server, from any number of threads.

    Every method raises errors of `schedule_grpc.errors`; Unavailable if no server answers within the deadline, or the
    client is closed.

    ::

        with Client("127.0.0.1:50051") as client:
            task = client.register_task(name="report", schedule="@daily", handler="send-report")
            result = client.run_task_now("report")
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
            address: ``host:port`` (50051 where no port is named), a URL of it, or another name for a target that gRPC
                knows, such as ``unix:/run/schedule.sock``.
            tls: How the server proves its identity, and the client its own; None connects without encryption.
            token: Sent with every call as a bearer token; without TLS to this machine only.
            token_file: A file that holds the token instead, and is read again whenever it changes.
            deadline: Seconds for a call over all its attempts; run_task_now (not detached) and watches have none.
            attempts: How often a call is made, 1 to 5; once for trigger_cron, create_key and rotate_key.
            patience: Seconds for which a watch that has begun, or a waiting run_task_now, tries to reach a server
                that is gone; with 0 they end with the server.
            namespace: The namespace of every call; empty: the one that the token's grants name, or ``default``.

        Raises:
            ValueError: for invalid settings, and for a token that would be sent to another machine without TLS.
            OSError: if the token's file, or one that ``tls`` names, cannot be read.
        """
        way = route(address, tls=tls, token=token, token_file=token_file, attempts=attempts)
        if way.credentials is None:
            channel = grpc.insecure_channel(way.address, options=way.options)
        else:
            channel = grpc.secure_channel(way.address, way.credentials, options=way.options)
        self._begin(channel, deadline, way.metadata, patience, namespace)

    @classmethod
    def over(
        cls, channel: grpc.Channel, *, deadline: float = DEADLINE, patience: float = PATIENCE, namespace: str = ""
    ) -> Self:
        """Return a client over an existing gRPC channel, with that channel's options; closing the client closes it."""
        client = cls.__new__(cls)
        client._begin(channel, deadline, no_metadata, patience, namespace)  # noqa: SLF001 (one of ours)
        return client

    def _begin(
        self, channel: grpc.Channel, deadline: float, metadata: CallMetadata, patience: float, namespace: str
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
        self._closing = threading.Event()
        self._watches: WeakSet[Watch] = WeakSet()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, and end every call and watch under way. Closing again changes nothing."""
        self._closing.set()
        for watch in tuple(self._watches):
            watch.wake()
        self._channel.close()

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
    watch_executions = _watch(requests.watch_executions)
    watch = watch_executions
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

    def _answer(self, call: Call[T]) -> T:
        try:
            response = self._called(call)
        except grpc.RpcError as error:
            raise failure(error, closed=self._closed) from None
        self._was_answered = True
        return call.read(response)

    def _wait_for_end(self, run: Run[T]) -> T:
        """Return a run at its end; if the server is gone meanwhile, wait for the same run again."""
        result = self._started(run)
        while run.end is not None and not run.is_over(result):
            try:
                return self._answer(run.end)
            except Unavailable as error:
                result = self._found_again(run.start, error)
        return result

    def _started(self, run: Run[T]) -> T:
        try:
            return self._answer(run.start)
        except Unavailable as error:
            if run.end is None or not self._was_answered:
                raise
            return self._found_again(run.start, error)

    def _found_again(self, call: Call[T], gone: Unavailable) -> T:
        for pause in pauses(self._patience):
            if self._closing.wait(pause):
                break
            try:
                return self._answer(call)
            except Unavailable as error:
                gone = error
        raise gone

    def _watched(self, call: Call[WatchEvent | None]) -> Watch:
        watch = Watch(lambda: self._called(call), call.read, is_closed=lambda: self._closed, patience=self._patience)
        self._watches.add(watch)
        return watch

    @property
    def _closed(self) -> bool:
        return self._closing.is_set()  # shared with the clients of other namespaces

    def _called(self, call: Call[Any]) -> Any:
        if self._closed:
            raise failure(None, closed=True)
        timeout = None if call.waits else self._deadline
        try:
            return self._rpcs[call.rpc](
                within(self._namespace, call.request), timeout=timeout, metadata=self._metadata()
            )
        except ValueError:
            if self._closed:  # by another thread, just now
                raise failure(None, closed=True) from None
            raise
