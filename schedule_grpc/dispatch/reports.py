"""Takes what workers report of their attempts: log lines, progress, and outcomes, each fenced by its token."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeAlias

from schedule_grpc.dispatch.session import Attempt, Session
from schedule_grpc.dispatch.values import (
    Finished,
    Judged,
    Logged,
    Progressed,
    Released,
    Unreadable,
    Update,
    Verdict,
    key_of,
)
from schedule_grpc.domain.canonical_json import NotJson, encode, normalise
from schedule_grpc.domain.execution import HandBack, Outcome, Report
from schedule_grpc.domain.json_input import parsed
from schedule_grpc.handlers.perform import cut, kept
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.runtime.threads import Aside
from schedule_grpc.store import Answer, Key, LogBook, Recorder, Store

APPLIED, REPEATED, STALE = Judged(Verdict.APPLIED), Judged(Verdict.REPEATED), Judged(Verdict.STALE)
Recording: TypeAlias = "asyncio.Future[Answer]"
Recorded: TypeAlias = tuple[Recording, bool]
"""The recording of an outcome, and whether the update in hand began it."""


class Reports:
    """Applies updates to attempts. Outcomes of all workers that come together share one commit."""

    def __init__(self, store: Store, clock: Clock, logbook: LogBook, *, slot_is_free: Callable[[], None]) -> None:
        """Take the parts; ``slot_is_free`` is called when an outcome comes: what begins next shares its commit."""
        self._slot_is_free = slot_is_free
        self._store = store
        self._clock = clock
        self._logbook = logbook
        self._recorder = Recorder(store, logbook=logbook)
        self._aside = Aside()

    async def apply(self, session: Session, updates: Sequence[Update]) -> list[Judged]:
        """Apply updates in their order; return a verdict on each, once all outcomes among them are on disk.

        Raises:
            Unavailable: if the database does not answer; what was applied will be REPEATED.
        """
        ended = await self._ended_before(session, updates)
        results = await self._results_of(updates)
        pending = [self._judge(session, update, ended, result) for update, result in zip(updates, results, strict=True)]
        return [each if isinstance(each, Judged) else await _verdict(*each) for each in pending]

    async def _ended_before(self, session: Session, updates: Sequence[Update]) -> frozenset[Key]:
        """Return the attempts, of those that this server does not know, whose outcomes are on disk."""
        keys = {key_of(update.token) for update in updates}
        unknown = sorted(key for key in keys if not (key in session.attempts or session.was_reported(key)))
        return await self._store.ended_attempts(unknown) if unknown else frozenset()

    async def _results_of(self, updates: Sequence[Update]) -> list[object]:
        """Return the result in each update, as the history keeps it; NotJson for one that is not JSON.

        All at once, so that many small ones do not hold up the event loop either.
        """
        texts = [each.news.result_json if isinstance(each.news, Finished) else "" for each in updates]
        return await self._aside.compute(lambda: list(map(_kept_result, texts)), weight=sum(map(len, texts)))

    def _judge(self, session: Session, update: Update, ended: frozenset[Key], result: object) -> "Judged | Recorded":
        """Apply an update; return the verdict, or the recording that decides it and whether this update began it."""
        key, news = key_of(update.token), update.news
        attempt = session.attempts.get(key)
        if attempt is None:
            is_end = isinstance(news, Finished | Released)
            return REPEATED if is_end and (session.was_reported(key) or key in ended) else STALE
        if isinstance(news, Unreadable):
            return Judged(Verdict.INVALID, news.reason)
        if isinstance(news, Finished | Released):
            return self._end(session, attempt, news, result)
        return STALE if attempt.outcome is not None else self._note(attempt, news)

    def _note(self, attempt: Attempt, news: Logged | Progressed) -> Judged:
        execution = attempt.claim.execution
        if isinstance(news, Logged):
            return APPLIED if self._logbook.add(execution, execution.attempt, news.lines) else REPEATED
        self._logbook.note_progress(execution, execution.attempt, news.fraction, news.text)
        return APPLIED

    def _end(
        self, session: Session, attempt: Attempt, news: Finished | Released, result: object
    ) -> "Judged | Recorded":
        if attempt.outcome is not None:
            return attempt.outcome, False
        if isinstance(result, NotJson):
            return Judged(Verdict.INVALID, f"the result is not JSON: {result}")
        return self.record(session, attempt, self._report_of(attempt, news, result)), True

    def record(self, session: Session, attempt: Attempt, report: Report) -> Recording:
        """Record the end of an attempt; return the future of the answer.

        It belongs to no call: a worker that does not wait for it finds the outcome recorded.
        """
        recording: Recording = asyncio.get_running_loop().create_future()
        session.note_ending(attempt, recording)

        def recorded(answer: Answer) -> None:
            session.note_recorded(attempt, answer)
            recording.set_result(answer)

        self._recorder.record(report, recorded)
        self._slot_is_free()
        return recording

    def _report_of(self, attempt: Attempt, news: Finished | Released, result: object) -> Report:
        """Return the report of an attempt's end."""
        if isinstance(news, Released):
            return hand_back(attempt, self._clock, began=news.began)
        execution = attempt.claim.execution
        return Outcome(
            execution_id=execution.id,
            lease_token=attempt.claim.lease_token,
            end_time=self._clock.now(),
            duration=min(news.duration, self._ran_at_most(attempt)),
            kind=news.kind,
            error=None if news.kind is None else cut(news.error),
            result=result,
            retry=not news.abandoned,
            conditions=news.conditions,
            claimed=execution,
        )

    def _ran_at_most(self, attempt: Attempt) -> timedelta:
        """Return how long an attempt can have run: its worker's clock may say anything."""
        now = self._clock.now()
        known = timedelta(seconds=self._clock.monotonic() - attempt.known)
        return max(now - (attempt.claim.execution.attempt_start_time or now), known)


def hand_back(attempt: Attempt, clock: Clock, *, began: bool) -> HandBack:
    """Return the report of an attempt that another worker shall run."""
    claim = attempt.claim
    return HandBack(
        execution_id=claim.execution.id,
        lease_token=claim.lease_token,
        time=clock.now(),
        began=began,
        claimed=claim.execution,
    )


def _kept_result(text: str) -> object:
    """Return a result as the history keeps it; NotJson, with the reason, if the text is not JSON; None if empty."""
    if not text:
        return None
    try:
        value = normalise(parsed(text))
    except NotJson as error:
        return error
    except ValueError as error:
        return NotJson(str(error))
    return kept(value, encode(value))


async def _verdict(recording: Recording, is_first: bool) -> Judged:
    """Return the verdict on an outcome, once it is recorded.

    Raises:
        Exception: the error that kept it from the disk.
    """
    answer = await asyncio.shield(recording)
    if isinstance(answer, Exception):
        raise answer
    if answer is None:
        return STALE
    return APPLIED if is_first else REPEATED
