"""A binding as handlers hold it: opened when it is first used, every call limited in time, closed for good."""

import asyncio
import inspect
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import structlog

from schedule_grpc.bindings.call_spans import span_of_call
from schedule_grpc.bindings.setting import Setting
from schedule_grpc.domain.durations import written
from schedule_grpc.errors import BindingError, ScheduleError
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.tracing import present_span

log = structlog.get_logger(__name__)

Opener: TypeAlias = Callable[[], Coroutine[Any, Any, Any]]
"""Opens what stands behind a binding."""


class LazyBinding:
    """A binding that opens itself at the first call of one of its methods, each of which has the binding's timeout.

    Awaiting the binding itself returns the opened object, a user's own for example, whose calls are then not limited.
    All handlers share it, so none of them can replace a method.
    """

    __slots__ = ("_clock", "_closed", "_name", "_opener", "_opening", "_setting")

    def __init__(self, setting: Setting, opener: Opener, *, clock: Clock) -> None:
        self._setting = setting
        self._name = setting.name
        self._opener = opener
        self._clock = clock
        self._opening: asyncio.Task[Any] | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<binding {self._name}>"

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_"):
            raise AttributeError(method)
        if method == "transaction":
            return self._transaction

        async def call(*arguments: Any, **parameters: Any) -> Any:
            async with self._limited():
                answer = getattr(await self._open(), method)(*arguments, **parameters)
                return await answer if inspect.isawaitable(answer) else answer

        return _spanned(call, self._setting, method)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._opened().__await__()

    async def ping(self) -> None:
        """Return if the service answers; for a user's object that has no ``ping``, if it could be opened.

        Raises:
            BindingError: if not, in time.
        """
        async with self._limited():
            opened = await self._open()
            answer = opened.ping() if hasattr(opened, "ping") else None
            if inspect.isawaitable(answer):
                await answer

    async def aclose(self) -> None:
        """Close the binding if it was opened; a later call (of an abandoned handler) gets a BindingError."""
        self._closed = True
        opening, self._opening = self._opening, None
        if opening is None:
            return
        try:
            opened = await opening
        except ScheduleError:
            return
        close = getattr(opened, "aclose", None) or getattr(opened, "close", None)
        try:
            async with self._clock.timeout(self._setting.timeout.total_seconds()):
                answer = close() if close is not None else None
                if inspect.isawaitable(answer):
                    await answer
        except Exception as error:  # noqa: BLE001 (what cannot be closed must not keep the others open)
            log.warning("binding.close_failed", binding=self._name, error=self._said(error))

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator["_LimitedStatements"]:
        async with self._limited():
            context = (await self._open()).transaction()
            transaction = await context.__aenter__()
        try:
            yield _LimitedStatements(transaction, self._limited, self._setting)
        except BaseException:
            if not await context.__aexit__(*sys.exc_info()):
                raise
        else:
            async with self._limited():
                await context.__aexit__(None, None, None)

    async def _opened(self) -> Any:
        async with self._limited():
            return await self._open()

    async def _open(self) -> Any:
        if self._closed:
            raise BindingError(self._name, "is closed")
        if self._opening is None or _failed(self._opening):
            self._opening = asyncio.create_task(self._opening_limited(), name=f"open {self._name}")
            self._opening.add_done_callback(_failed)  # its error is retrieved, even if every caller has gone
        # A caller that is cancelled neither cancels the others nor leaves a half-opened file behind.
        return await asyncio.shield(self._opening)

    async def _opening_limited(self) -> Any:
        try:
            async with self._clock.timeout(self._setting.timeout.total_seconds()):
                opened = await self._opener()
        except ScheduleError:
            raise
        except TimeoutError:
            raise self._late() from None
        except Exception as error:  # noqa: BLE001 (a user's factory may raise anything)
            raise BindingError(self._name, f"cannot be opened: {self._said(error)}") from None
        log.info("binding.opened", binding=self._name)
        return opened

    @asynccontextmanager
    async def _limited(self) -> AsyncIterator[None]:
        """Limit a call, and let no error of it show a secret, or how something that was closed under it failed."""
        try:
            async with self._clock.timeout(self._setting.timeout.total_seconds()):
                yield
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():  # gRPC ends calls on a closed channel so
                raise BindingError(self._name, "is closed") from None
            raise
        except Exception as error:
            if self._closed:
                raise BindingError(self._name, "is closed") from None
            if isinstance(error, TimeoutError):
                raise self._late() from None
            if isinstance(error, BindingError):
                hidden = self._setting.hidden(error)
                if hidden is not error:
                    raise hidden from None
            raise

    def _late(self) -> BindingError:
        return BindingError(self._name, f"no answer within {written(self._setting.timeout)}")

    def _said(self, error: Exception) -> str:
        return self._setting.secrets.hide(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


class _LimitedStatements:
    """A transaction's statements, each with the binding's timeout."""

    def __init__(self, transaction: Any, limited: Callable[[], Any], setting: Setting) -> None:
        self._statements = transaction
        self._limited = limited
        self._setting = setting

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_"):
            raise AttributeError(method)

        async def call(*arguments: Any, **parameters: Any) -> Any:
            async with self._limited():
                return await getattr(self._statements, method)(*arguments, **parameters)

        return _spanned(call, self._setting, method)


def _spanned(call: Callable[..., Any], setting: Setting, method: str) -> Callable[..., Any]:
    """Return a call that is a span within the handler's, if that has one."""
    span = present_span()
    if span is None:
        return call

    async def spanned(*arguments: Any, **parameters: Any) -> Any:
        with span.child(*span_of_call(setting, method, arguments, parameters)):
            return await call(*arguments, **parameters)

    return spanned


def _failed(task: "asyncio.Task[Any]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
