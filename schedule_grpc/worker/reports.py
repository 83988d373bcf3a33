"""Reports: the news of attempts, sent in batches, in order, again and again until the server has acknowledged them."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc
import structlog

from schedule_grpc.domain.execution.log_lines import MAX_LOG_BYTES
from schedule_grpc.pb import worker_pb2 as pb
from schedule_grpc.runtime.clock import next_turn
from schedule_grpc.worker.back_off import BackOff
from schedule_grpc.worker.calls import Calls, is_final, is_session_unknown, is_too_much, reason_of
from schedule_grpc.worker.held import Held
from schedule_grpc.worker.outcomes import failed
from schedule_grpc.worker.session import Session

log = structlog.get_logger(__name__)

MOST_UPDATES = 500
MOST_BYTES = 1024 * 1024 - 4096
"""Of the updates of one call: the contract's 1 MiB, less the session's id and the frames."""
FRAME = 8
"""Bytes around an update within its call."""
LARGE = 64 * 1024
"""Bytes from which on an outcome that is refused as too much is taken for too large."""

Verdict = pb.ReportResponse
ACKNOWLEDGED = (Verdict.APPLIED, Verdict.REPEATED)


@dataclass(slots=True, eq=False)
class _News:
    update: pb.Update
    size: int
    is_replaced: bool = False
    """Whether it stands for an outcome that the server did not accept."""

    @property
    def token(self) -> str:
        return self.update.lease_token

    @property
    def is_outcome(self) -> bool:
        return self.update.HasField("outcome")


class Reports:
    """Sends updates; one call at a time, each with all that waits."""

    def __init__(
        self,
        *,
        calls: Calls,
        session: Session,
        held: Held,
        drop: Callable[[str], object],
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        """Begin with nothing to send.

        Args:
            calls: The way to the server.
            session: The worker's session.
            held: The table of attempts; updates of others are not sent.
            drop: Drops the attempt of a token whose lease does not stand.
            pause: Waits for some seconds.
        """
        self._calls = calls
        self._session = session
        self._held = held
        self._drop = drop
        self._pause = pause
        self._waiting: deque[_News] = deque()
        self._some = asyncio.Event()
        self._back_off = BackOff()
        self._most = MOST_UPDATES
        self._sent: list[_News] = []
        """The updates of the call in progress."""

    def add(self, update: pb.Update) -> None:
        """Send an update, after those that wait. Of an attempt's lines the newest `MAX_LOG_BYTES` wait."""
        news = _News(update, update.ByteSize() + FRAME)
        self._waiting.append(news)
        if update.HasField("log"):
            self._drop_old_lines(update.lease_token)
        self._some.set()

    async def run(self) -> None:
        """Send what is added, until cancelled.

        Raises:
            ScheduleError: if the server refuses a report for good.
        """
        while True:
            await self._some.wait()
            await next_turn()  # what ends in the same turn goes together
            session = await self._session.ready()
            if not self._session.covers:  # this process was paused: the alarm has not rung yet
                self._session.lapse()
            batch = self._batch()
            if not batch:
                self._some.clear()
                continue
            self._sent = batch
            request = pb.ReportRequest(session_id=session, updates=[each.update for each in batch])
            try:
                answer = await self._calls.report(request)
            except grpc.RpcError as error:
                await self._after(error, session, batch)
            else:
                self._session.answered()
                await self._apply(batch, answer)

    def _drop_old_lines(self, token: str) -> None:
        """Drop lines that wait longest: the server keeps no more, and a server that is away must not cost memory."""
        mine = [each for each in self._waiting if each.token == token and each.update.HasField("log")]
        size = sum(each.size for each in mine)
        while size > 2 * MAX_LOG_BYTES and len(mine) > 1:
            oldest = mine.pop(0)
            size -= oldest.size
            if oldest not in self._sent:
                self._waiting.remove(oldest)

    def _batch(self) -> list[_News]:
        """Return the updates of the next call: the first that wait, without those of attempts that are not held."""
        self._waiting = deque(each for each in self._waiting if each.token in self._held)
        batch: list[_News] = []
        size = 0
        for each in self._waiting:
            size += each.size
            if batch and (size > MOST_BYTES or len(batch) >= self._most):
                break
            batch.append(each)
        return batch

    async def _apply(self, batch: list[_News], answer: pb.ReportResponse) -> None:
        """Obey the verdicts; what has none that is known is sent again."""
        self._most = min(MOST_UPDATES, 2 * self._most)
        rest: list[_News] = []
        for number, (news, verdict) in enumerate(zip(batch, answer.verdicts, strict=False)):
            if verdict in ACKNOWLEDGED:
                self._acknowledge(news)
            elif verdict == Verdict.STALE:
                if news.is_outcome and news.token in self._held:
                    log.warning("worker.outcome_stale", execution=self._execution_of(news))
                self._drop(news.token)
            elif verdict == Verdict.INVALID:
                rest += self._instead_of(news, answer.reasons.get(number, "no reason was given"))
            else:
                rest.append(news)
        rest += batch[len(answer.verdicts) :]
        for _ in batch:
            self._waiting.popleft()
        self._waiting.extendleft(reversed(rest))
        if any(not each.is_replaced for each in rest):
            await self._pause(self._back_off.pause())
        else:
            self._back_off.reset()

    def _acknowledge(self, news: _News) -> None:
        if news.is_outcome:
            self._held.remove(news.token)

    def _instead_of(self, news: _News, reason: str) -> list[_News]:
        """Return the update to send for one that the server cannot read: of an outcome a failure that says so."""
        if not news.is_outcome:
            log.warning("worker.update_refused", execution=self._execution_of(news), reason=reason)
            return []
        log.error("worker.outcome_refused", execution=self._execution_of(news), reason=reason)
        if news.is_replaced:
            self._drop(news.token)
            return []
        outcome = failed(f"The server did not accept the outcome: {reason}", news.update.outcome)
        update = pb.Update(lease_token=news.token, outcome=outcome)
        return [_News(update, update.ByteSize() + FRAME, is_replaced=True)]

    def _execution_of(self, news: _News) -> str:
        attempt = self._held.get(news.token)
        return "" if attempt is None else attempt.execution_id

    async def _after(self, error: grpc.RpcError, session: str, batch: list[_News]) -> None:
        """Prepare the next call after one that failed."""
        if is_final(error):
            raise reason_of(error)
        self._session.failed("Report", str(reason_of(error)))
        if is_session_unknown(error):
            self._session.lose(session)
        elif is_too_much(error):
            self._send_less(batch)
        await self._pause(self._back_off.pause())

    def _send_less(self, batch: list[_News]) -> None:
        if len(batch) > 1:
            self._most = len(batch) // 2
        elif batch[0].is_outcome and batch[0].size > LARGE and not batch[0].is_replaced:
            self._waiting.popleft()
            self._waiting.extendleft(self._instead_of(batch[0], f"it has {batch[0].size} bytes"))
