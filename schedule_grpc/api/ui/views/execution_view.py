"""One execution, as its page shows it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec

from schedule_grpc.api.ui.views.runs import RunRow, run_row
from schedule_grpc.api.ui.views.words import TONES, byte_text, duration_text
from schedule_grpc.domain.canonical_json import encode
from schedule_grpc.domain.execution import Execution, Gate, State
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.states import WHY_IT_NEVER_RAN

SHOWN = 64 * 1024
"""Characters of a result or payload that the page shows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A stretch of an execution's life."""

    word: str
    tone: str
    took: str
    start: datetime
    share: float
    """Its part of the whole, 0 to 1."""
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptRow:
    """An attempt that failed, or the one that ended or runs."""

    number: int
    tone: str
    word: str
    start: datetime
    took: str
    where: str
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A JSON value, written for people."""

    text: str
    size: str
    is_cut: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutionView:
    """An execution."""

    row: RunRow
    steps: tuple[Step, ...]
    attempts: tuple[AttemptRow, ...]
    why: str
    """The reason in a sentence; empty where the state says all."""
    error: str
    payload: Document | None
    result: Document | None
    available: datetime
    recorded: datetime
    cancel_note: str
    cancel_time: datetime | None
    progress: float | None
    progress_text: str
    worker: str
    covers: str
    covers_from: datetime | None
    covers_to: datetime | None
    trouble: str
    attempts_allowed: int
    timeout: str
    request_id: str


def execution_view(execution: Execution, policy: Policy | None, now: datetime) -> ExecutionView:
    """Return an execution as its page shows it; ``policy``: of its task as it is now, None if that is gone."""
    covers = execution.covers
    progress = execution.progress
    return ExecutionView(
        row=run_row(execution),
        steps=_with_shares(tuple(_steps(execution, now))),
        attempts=tuple(_attempts(execution)),
        why=_why(execution),
        error=execution.error or "",
        payload=document(execution.payload),
        result=document(execution.result) if execution.result is not None else None,
        available=execution.available_time,
        recorded=execution.create_time,
        cancel_note=execution.cancel_note or "",
        cancel_time=execution.cancel_requested_time,
        progress=progress.fraction if progress and not execution.state.is_terminal else None,
        progress_text=progress.text if progress else "",
        worker=execution.worker or "",
        covers="" if covers is None else f"{'' if covers.exact else 'at least '}{covers.count:,}",
        covers_from=covers.from_time if covers else None,
        covers_to=covers.to_time if covers else None,
        trouble=execution.trouble,
        attempts_allowed=policy.retry.max_retries + 1 if policy else 0,
        timeout=duration_text(policy.timeout) if policy else "",
        request_id=execution.request_id or "",
    )


def document(value: Any) -> Document | None:
    """Return a JSON value with line breaks; None for None. Numbers are written as they are stored."""
    if value is None:
        return None
    text = indented(value)
    return Document(text=text[:SHOWN], size=byte_text(len(text.encode("utf-8", "replace"))), is_cut=len(text) > SHOWN)


def indented(value: Any) -> str:
    """Return the whole of a JSON value with line breaks."""
    return msgspec.json.format(encode(value), indent=2)


def _why(execution: Execution) -> str:
    if execution.reason is not None and (found := WHY_IT_NEVER_RAN.get(execution.reason)):
        did = "was not tried again" if execution.state is State.FAILED else "did not run"
        return f"It {did} because {found}."
    if execution.state is State.PENDING and execution.gate is Gate.WAITING:
        return "It waits for another execution of its task to end."
    return ""


def _steps(execution: Execution, now: datetime) -> Iterator[Step]:
    """Yield the stretches of a life, in order: waiting, and attempts with their backoffs."""
    first = execution.start_time or execution.end_time or now
    ready = min(max(execution.create_time, execution.available_time), first)
    if ready > execution.create_time:
        yield _step("held back", "idle", execution.create_time, ready)
    yield _step("waited", "wait", ready, first)
    place = first
    for attempt in execution.failed_attempts:
        if attempt.start_time > place:
            yield _step("backoff", "idle", place, attempt.start_time)
        place = attempt.start_time + attempt.duration
        yield _step(f"attempt {attempt.number}", "bad", attempt.start_time, place, attempt.failure_kind.value)
    newest = execution.attempt_start_time
    if newest is None or execution.newest_attempt_failed:
        return
    if newest > place:
        yield _step("backoff", "idle", place, newest)
    word, tone = f"attempt {execution.attempt}", TONES[execution.state]
    if execution.state is State.RUNNING:
        yield replace(_step(word, tone, newest, now), took="")
    elif execution.end_time:
        yield _step(word, tone, newest, execution.end_time)


def _step(word: str, tone: str, start: datetime, end: datetime, detail: str = "") -> Step:
    length = max(end - start, timedelta(0))
    return Step(
        word=word, tone=tone, took=duration_text(length), start=start, share=length.total_seconds(), detail=detail
    )


def _with_shares(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Return steps with their shares of the whole instead of their seconds."""
    whole = sum(step.share for step in steps) or 1.0
    return tuple(replace(step, share=round(step.share / whole, 4)) for step in steps)


def _attempts(execution: Execution) -> Iterator[AttemptRow]:
    for failed in execution.failed_attempts:
        yield AttemptRow(
            number=failed.number,
            tone="bad",
            word=failed.failure_kind.value.replace("_", " ").lower(),
            start=failed.start_time,
            took=duration_text(failed.duration),
            where=failed.worker,
            error=failed.error,
        )
    newest = execution.attempt_start_time
    if newest is not None and not execution.newest_attempt_failed and execution.state is not State.PENDING:
        row = run_row(execution)
        length = None if execution.end_time is None else execution.end_time - newest
        yield AttemptRow(
            number=execution.attempt,
            tone=row.look.tone,
            word=row.look.word.lower(),
            start=newest,
            took=duration_text(length),
            where=execution.worker or "",
            error="",
        )
