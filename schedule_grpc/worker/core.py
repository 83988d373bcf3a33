"""A worker put together: the loops that pull and report, the handlers' event loops, and the end in good order."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from datetime import timedelta
from typing import Any, TypeAlias

import grpc
import structlog

from schedule_grpc.client.channel import Route
from schedule_grpc.domain.task import Handler
from schedule_grpc.engine import Bindings, HandlerLoops
from schedule_grpc.errors import ScheduleError
from schedule_grpc.handlers import Registry
from schedule_grpc.handlers.perform import GRACE
from schedule_grpc.pb import worker_pb2 as pb
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.tracing import Tracer
from schedule_grpc.worker.attempts import Attempts, Place
from schedule_grpc.worker.back_off import BackOff
from schedule_grpc.worker.calls import Calls, is_final, is_session_unknown
from schedule_grpc.worker.held import Held, Why
from schedule_grpc.worker.pulling import Introduction, PullLoop
from schedule_grpc.worker.reports import Reports
from schedule_grpc.worker.session import Session

log = structlog.get_logger(__name__)

LAST_REPORTS = 10.0
"""Seconds for the last reports of a worker that stops, beyond its handlers' end."""
FAREWELL = 5.0
"""Seconds for UnregisterWorker."""


Tracing: TypeAlias = Callable[[], AbstractAsyncContextManager[Tracer | None]]
"""Opens a tracer, for as long as the worker runs."""


class Core:
    """A worker. Everything is given to it as values; it runs once."""

    def __init__(
        self,
        introduction: Introduction,
        *,
        way: Route,
        registry: Registry,
        bindings: Callable[[], Bindings],
        drain_timeout: timedelta,
        clock: Clock,
        place: Place | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        """Take the parts of a worker; nothing is opened yet.

        Args:
            introduction: How it introduces itself.
            way: The way to its server.
            registry: The handlers that it offers.
            bindings: Makes the bindings of one event loop of handlers.
            drain_timeout: How long running attempts may end once it stops.
            clock: Its clock.
            place: Where async handlers run; None: in event loops of their own, as a server's do.
            tracing: Opens what makes spans of handlers; None: there are none.
        """
        self._introduction = introduction
        self._way = way
        self._registry = registry
        self._bindings = bindings
        self._drain_timeout = drain_timeout
        self._clock = clock
        self._place = place
        self._tracing = tracing
        self._stopping = asyncio.Event()
        self._hurried = asyncio.Event()
        self._held = Held()
        self._session = Session(clock, on_lapse=self._lapse)
        self._attempts: Attempts | None = None

    @property
    def address(self) -> str:
        """The server's address, as gRPC reads it."""
        return self._way.address

    @property
    def handlers(self) -> Sequence[Handler]:
        """The handlers that it offers."""
        return self._registry.handlers()

    def stop(self) -> None:
        """Stop: let running attempts end within the drain timeout. A second call does not wait for them."""
        if self._stopping.is_set():
            self._hurried.set()
        self._stopping.set()

    def troubles(self) -> Sequence[str]:
        """Return why the worker is not healthy; nothing if it is."""
        return self._session.troubles()

    async def run(self, *, ready: Callable[[], None] = lambda: None) -> None:
        """Run until it is told to stop; ``ready`` is called once it is registered.

        Raises:
            ConfigurationError: if a binding cannot be made.
            ScheduleError: if the server refuses the worker for good.
        """
        async with AsyncExitStack() as stack:
            tracer = None if self._tracing is None else await stack.enter_async_context(self._tracing())
            calls = Calls(self._way, self._clock)
            stack.push_async_callback(calls.close)
            stack.callback(self._session.close)
            place = self._place or await self._opened_loops(stack)
            reports = Reports(
                calls=calls,
                session=self._session,
                held=self._held,
                drop=lambda token: attempts.drop([token]),
                pause=self._pause,
            )
            attempts = self._attempts = Attempts(
                held=self._held,
                registry=self._registry,
                place=place,
                clock=self._clock,
                slots=self._introduction.slots,
                report=reports.add,
                tracer=tracer,
            )
            pulls = PullLoop(
                self._introduction,
                registry=self._registry,
                calls=calls,
                session=self._session,
                held=self._held,
                attempts=attempts,
                clock=self._clock,
                pause=self._pause,
            )
            self._session.on_begun = self._announcing(ready)
            loops = [asyncio.create_task(pulls.run(), name="pull"), asyncio.create_task(reports.run(), name="report")]
            stack.push_async_callback(_ended, loops)
            refused = await self._until_stopped(loops)
            await self._drain(attempts, pulls, loops)
            await _ended(loops)
            await self._leave(calls)
            if refused is not None:
                raise refused
        log.info("worker.stopped")

    async def _opened_loops(self, stack: AsyncExitStack) -> HandlerLoops:
        loops = HandlerLoops(bindings=self._bindings, clock=self._clock)
        loops.open()
        stack.push_async_callback(loops.close)
        keeping = asyncio.create_task(loops.keep(asyncio.Event()), name="keep handlers' loops")
        stack.push_async_callback(_ended, [keeping])
        return loops

    def _announcing(self, ready: Callable[[], None]) -> Callable[[], None]:
        is_first = True

        def begun() -> None:
            nonlocal is_first
            log.info("worker.registered", server=self.address, lease_s=self._session.lease.total_seconds())
            if is_first:
                is_first = False
                ready()

        return begun

    async def _until_stopped(self, loops: "Sequence[asyncio.Task[None]]") -> ScheduleError | None:
        """Return when told to stop, or the error of a server that refuses the worker for good."""
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([stopping, *loops], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        return _refusal(loops)

    async def _drain(self, attempts: Attempts, pulls: PullLoop, loops: "Sequence[asyncio.Task[None]]") -> None:
        """Let running attempts end, then stop the others; return when all is reported, or cannot be reported."""
        log.info("worker.draining", attempts=len(self._held))
        pull, report = loops
        attempts.draining = True
        pulls.interrupt()  # the next Pull says that the worker stops
        over = asyncio.ensure_future(self._held.over())
        hurried = asyncio.ensure_future(self._hurried.wait())
        try:
            if not pull.done() or self._session.id:
                await self._within(self._drain_timeout.total_seconds(), over, report, hurried)
                attempts.leaving.set()
                attempts.stop_all(Why.SHUTDOWN)
                await self._within(GRACE.total_seconds() + LAST_REPORTS, over, report)
            attempts.drop(self._held.tokens_but_left())
        finally:
            over.cancel()
            hurried.cancel()

    async def _within(self, seconds: float, *futures: "asyncio.Future[Any]") -> None:
        """Return once one of the futures is done, or after some seconds."""
        with suppress(TimeoutError):
            async with self._clock.timeout(max(seconds, 0.0)):
                await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)

    async def _leave(self, calls: Calls) -> None:
        """Unregister, unless a handler still runs here: its execution must not begin elsewhere yet."""
        if self._held:
            log.warning("worker.left_behind", executions=[attempt.execution_id for attempt in self._held])
            return
        if not self._session.id:
            return
        request = pb.UnregisterWorkerRequest(session_id=self._session.id)
        back_off = BackOff()
        with suppress(TimeoutError):
            async with self._clock.timeout(FAREWELL):
                while True:
                    try:
                        await calls.unregister(request)
                    except grpc.RpcError as error:
                        if is_final(error) or is_session_unknown(error):
                            return
                        await self._pause(back_off.pause())
                    else:
                        return

    def _lapse(self) -> None:
        """Stop everything: the lease is as good as over. What was held is not in the next session."""
        if not self._held or self._attempts is None:
            return
        log.error("worker.lease_lost", executions=[attempt.execution_id for attempt in self._held])
        self._attempts.drop(self._held.tokens())
        self._session.give_up()

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with self._clock.timeout(seconds):
                await asyncio.Event().wait()


def _refusal(loops: "Sequence[asyncio.Task[None]]") -> ScheduleError | None:
    """Return the error with which a loop ended, None if both go on.

    Raises:
        Exception: if it ended by a fault of this program.
    """
    for loop in loops:
        error = loop.exception() if loop.done() and not loop.cancelled() else None
        if isinstance(error, ScheduleError):
            return error
        if error is not None:
            raise error
    return None


async def _ended(tasks: "Sequence[asyncio.Task[None]]") -> None:
    """Cancel tasks, and return when they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
