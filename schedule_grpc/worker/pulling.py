"""The loop of Pull: the worker's heartbeat, its queue, and its channel for stop orders at once."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc
import structlog

from schedule_grpc.client.asynchronous import being_cancelled
from schedule_grpc.domain.worker import DEFAULT_LEASE, PROTOCOL
from schedule_grpc.errors import ResourceExhausted
from schedule_grpc.formats.protobuf import duration_to
from schedule_grpc.handlers import Registry
from schedule_grpc.pb import worker_pb2 as pb
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.worker.attempts import Attempts
from schedule_grpc.worker.back_off import LONGEST, BackOff, PullWait
from schedule_grpc.worker.calls import Calls, is_cut_off, is_final, is_session_unknown, reason_of
from schedule_grpc.worker.held import Held, HeldAttempt, Why
from schedule_grpc.worker.session import Session

log = structlog.get_logger(__name__)

TOO_SOON = 0.1
"""Seconds; a Pull that is answered sooner, without anything new, is followed by a pause."""

_REASONS = {pb.Stop.TIMEOUT: Why.TIMEOUT}
"""Every other reason, a newer server's too, is a cancellation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Introduction:
    """How a worker introduces itself to a server."""

    name: str
    version: str = ""
    slots: int = 8
    lease: timedelta = DEFAULT_LEASE
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def request(self, registry: Registry, held_tokens: list[str]) -> pb.RegisterWorkerRequest:
        """Return the request that registers a worker with these handlers and leases."""
        return pb.RegisterWorkerRequest(
            name=self.name,
            version=self.version,
            protocol=PROTOCOL,
            handlers=[
                pb.OfferedHandler(name=each.name, description=each.description, concurrency=each.concurrency)
                for each in registry.handlers()
            ],
            slots=self.slots,
            lease=duration_to(self.lease),
            labels=self.labels,
            held_tokens=held_tokens,
            namespace=self.namespace,
        )


class PullLoop:
    """Registers the worker, and pulls; one call at a time."""

    def __init__(
        self,
        introduction: Introduction,
        *,
        registry: Registry,
        calls: Calls,
        session: Session,
        held: Held,
        attempts: Attempts,
        clock: Clock,
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        """Take the parts of a worker; ``pause`` waits for some seconds."""
        self._introduction = introduction
        self._registry = registry
        self._calls = calls
        self._session = session
        self._held = held
        self._attempts = attempts
        self._clock = clock
        self._pause = pause
        self._back_off = BackOff()
        self._wait = PullWait()
        self._parked: Any = None
        """The call in progress."""
        session.on_given_up = self.interrupt

    async def run(self) -> None:
        """Register and pull, until cancelled.

        Raises:
            ScheduleError: if the server refuses the worker for good.
        """
        while True:
            session = self._session.id
            try:
                pause = await (self._pull(session) if session else self._register())
            except grpc.RpcError as error:
                await self._after(error, session)
            else:
                self._back_off.reset()
                if pause:
                    await self._pause(pause)

    def interrupt(self) -> None:
        """End the Pull in progress: the next one says something else. What its answer would bring comes with that."""
        if self._parked is not None:
            self._parked.cancel()

    async def _register(self) -> float:
        number, sent_time = self._session.number, self._clock.monotonic()
        answer = await self._calls.register(self._introduction.request(self._registry, self._held.tokens()))
        if number == self._session.number:  # else what it was told to hold is not held any more: it lapses unused
            self._session.answered()
            self._attempts.drop(answer.lost_tokens)
            self._session.begin(answer.session_id, sent_time, answer.lease.ToTimedelta())
        return 0.0

    async def _pull(self, session: str) -> float:
        """Pull once, and obey the answer; return the seconds to wait before the next Pull."""
        request = self._request(session)
        sent_time = self._clock.monotonic()
        self._parked = self._calls.pull(request)
        try:
            answer: pb.PullResponse = await self._parked
        except asyncio.CancelledError:
            if being_cancelled():
                raise
            return 0.0  # by `interrupt`
        finally:
            self._parked = None
        self._session.answered()
        self._wait.answered()
        if session != self._session.id:
            return 0.0
        self._session.renew(sent_time, answer.lease.ToTimedelta())
        if not self._session.covers:  # this process was paused: the answer is older than its lease
            self._session.lapse()
            return self._back_off.elsewhere()
        is_new = self._obey(answer)
        if answer.server_draining:
            self._calls.connect_anew()
            return self._back_off.elsewhere()
        is_early = self._clock.monotonic() - sent_time < TOO_SOON
        says_more = self._attempts.capacity > request.capacity
        return self._back_off.elsewhere() if is_early and not is_new and not says_more else 0.0

    def _request(self, session: str) -> pb.PullRequest:
        return pb.PullRequest(
            session_id=session,
            held=map(_held, self._held),
            capacity=self._attempts.capacity,
            wait=duration_to(timedelta(seconds=self._wait.seconds)),
            draining=self._attempts.draining,
        )

    def _obey(self, answer: pb.PullResponse) -> bool:
        """Do what an answer says; return whether something of it was new."""
        lost = self._attempts.drop(answer.lost_tokens)
        if lost:
            log.warning("worker.attempts_lost", count=lost)
        is_new = bool(lost)
        for order in answer.stops:
            is_new |= self._attempts.stop(order.lease_token, _REASONS.get(order.reason, Why.CANCELLED))
        for assignment in answer.assignments:
            is_new |= self._attempts.take(assignment)
        return is_new

    async def _after(self, error: grpc.RpcError, session: str) -> None:
        """Prepare the next call after one that failed."""
        if is_final(error):
            raise reason_of(error)
        reason = reason_of(error)
        self._session.failed("Pull" if session else "RegisterWorker", str(reason))
        if session and is_session_unknown(error):
            self._session.lose(session)
        elif session and is_cut_off(error):
            self._wait.cut_off()
        asked = reason.retry_after if isinstance(reason, ResourceExhausted) else None
        await self._pause(max(self._back_off.pause(), min(asked.total_seconds(), LONGEST) if asked else 0.0))


def _held(attempt: HeldAttempt) -> pb.PullRequest.Held:
    held = pb.PullRequest.Held(lease_token=attempt.token)
    if attempt.progress.newest is not None:
        held.progress, held.progress_text = attempt.progress.newest
    return held
