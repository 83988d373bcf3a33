"""Log lines and progress in the database: appended once, bounded, read newest first, removed with their execution."""

import asyncio
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import timedelta

import pytest
from support.rigs.rig import Rig
from support.witnesses.checker.reading import rows

from schedule_grpc.domain.execution import Outcome, State
from schedule_grpc.domain.execution.log_lines import (
    MAX_LINE_BYTES,
    MAX_LINES,
    MAX_LOG_BYTES,
    SEQUENCES,
    LogLine,
    LogLines,
    Progress,
)
from schedule_grpc.domain.policy import Policy, Retention
from schedule_grpc.store.log_store import REMOVED_AT_ONCE


async def running(rig: Rig, name: str = "task") -> Outcome:
    """Let another server claim a run of a task; return a success of it."""
    await rig.register(name, "@manual")
    execution = await rig.service.run_now(name, detach=True)
    (claim,) = [each for each in await rig.claim("another") if each.execution.id == execution.id]
    return Outcome(
        execution_id=execution.id,
        lease_token=claim.lease_token,
        end_time=rig.clock.now(),
        duration=timedelta(seconds=1),
    )


def chunk(rig: Rig, execution_id: str, sequences: Iterable[int], *, attempt: int = 1, text: str = "line") -> LogLines:
    """Return lines of an attempt with these numbers."""
    lines = tuple(LogLine(each, rig.clock.now(), "info", f"{text} {each}") for each in sequences)
    return LogLines(execution_id=execution_id, attempt=attempt, lines=lines)


async def numbers(rig: Rig, execution_id: str = "e", limit: int = 1000) -> tuple[list[int], int]:
    """Return the numbers of the lines that are kept, and how many are not."""
    kept = await rig.store.logs_of(execution_id, limit=limit)
    return [line.sequence for _, line in kept.lines], kept.dropped


async def append(rig: Rig, *chunks: LogLines) -> None:
    """Append lines."""
    await rig.store.append_logs(chunks, now=rig.clock.now())


async def test_lines_come_back_as_they_were(rig: Rig):
    """In their order, over all attempts, each with its attempt, time, level and text."""
    texts = ("plain", "two\nlines", "ünïcödé 🙂", 'quotes " and \\', "")
    lines = tuple(LogLine(each, rig.clock.now(), "error", text) for each, text in enumerate(texts, 1))
    await append(rig, LogLines(execution_id="e", attempt=2, lines=lines), chunk(rig, "e", [1]), chunk(rig, "f", [1]))
    kept = await rig.store.logs_of("e", limit=1000)
    assert kept.lines == ((1, LogLine(1, rig.clock.now(), "info", "line 1")), *((2, line) for line in lines))
    assert kept.dropped == 0
    assert await numbers(rig, "nobody") == ([], 0)


async def test_a_repeated_line_is_stored_once(rig: Rig):
    """A flush whose answer got lost is made again, perhaps with more behind it, or by another server out of order."""
    await append(rig, chunk(rig, "e", [1, 2, 3]))
    await append(rig, chunk(rig, "e", [2, 3, 4]))
    await append(rig, chunk(rig, "e", [9, 10]))
    await append(rig, chunk(rig, "e", [5, 6, 7, 8, 9, 10, 11]))
    await append(rig, chunk(rig, "e", [1, 2, 3]), chunk(rig, "e", [3, 12]))
    assert await numbers(rig) == (list(range(1, 13)), 0)


async def test_two_writers_of_the_same_lines(rig: Rig):
    """Both succeed, and a reader sees each line once."""
    await asyncio.gather(*(append(rig, chunk(rig, "e", range(1, 4 + each))) for each in range(8)))
    kept, dropped = await numbers(rig)
    assert kept == list(range(1, kept[-1] + 1))
    assert (kept[-1] >= 3, dropped) == (True, 0)


async def test_missing_numbers_count_as_dropped(rig: Rig):
    """And so do lines that are too many for the answer; a later run of the same attempt begins anew."""
    await append(rig, chunk(rig, "e", [3, 5]), chunk(rig, "e", [2], attempt=2))
    assert await numbers(rig) == ([3, 5, 2], 4)
    assert await numbers(rig, limit=1) == ([2], 6)
    assert await numbers(rig, limit=0) == ([], 0)
    await append(rig, chunk(rig, "e", [SEQUENCES + 2], attempt=2))
    assert await numbers(rig) == ([3, 5, 2, SEQUENCES + 2], 5)


async def test_the_newest_lines_are_kept(rig: Rig):
    """200 of an attempt; whole chunks go, and reading cuts to exactly that."""
    for first in range(1, 1001, 30):
        await append(rig, chunk(rig, "e", range(first, first + 30)))
    newest = 1020
    assert await numbers(rig) == (list(range(newest - MAX_LINES + 1, newest + 1)), newest - MAX_LINES)
    (stored,) = rows(rig.place, "SELECT sum(line_count) AS lines FROM execution_logs")
    assert stored["lines"] == 210


async def test_more_at_once_than_is_kept(rig: Rig):
    """What the newest lines of one flush push out is not even written."""
    await append(rig, chunk(rig, "e", range(1, 1001)))
    assert await numbers(rig) == (list(range(801, 1001)), 800)
    (stored,) = rows(rig.place, "SELECT sum(line_count) AS lines FROM execution_logs")
    assert stored["lines"] == MAX_LINES


async def test_the_bytes_of_an_attempt_are_bounded(rig: Rig):
    """64 KiB of text, as UTF-8."""
    text = "é" * (MAX_LINE_BYTES // 2 - 20)
    for each in range(1, 101):
        await append(rig, chunk(rig, "e", [each], text=text))
    kept = await rig.store.logs_of("e", limit=1000)
    size = sum(len(line.text.encode()) for _, line in kept.lines)
    assert MAX_LOG_BYTES - MAX_LINE_BYTES < size <= MAX_LOG_BYTES
    assert kept.lines[-1][1].sequence == 100
    (stored,) = rows(rig.place, "SELECT sum(bytes) AS bytes FROM execution_logs")
    assert stored["bytes"] <= MAX_LOG_BYTES + MAX_LINE_BYTES


async def test_lines_are_written_with_the_outcome(rig: Rig):
    """In one transaction; and where stored lines shall go with it, they go."""
    outcome = await running(rig)
    await append(rig, chunk(rig, outcome.execution_id, [1]))
    (recorded,) = await rig.store.record([outcome], logs=[chunk(rig, outcome.execution_id, [2])])
    assert recorded is not None
    assert recorded.state is State.SUCCEEDED
    assert await numbers(rig, outcome.execution_id) == ([1, 2], 0)
    other = await running(rig, "other")
    await append(rig, chunk(rig, other.execution_id, [1]))
    await rig.store.record([other], logs=[LogLines(execution_id=other.execution_id, attempt=1, forget=True)])
    assert await numbers(rig, other.execution_id) == ([], 0)
    assert await numbers(rig, outcome.execution_id) == ([1, 2], 0)


async def test_the_newest_progress_is_kept(rig: Rig):
    """Of the newest attempt, by the time of the report; none of an execution that is not in the history."""
    execution_id, other = (await running(rig)).execution_id, (await running(rig, "other")).execution_id
    now = rig.clock.now()

    def reported(number: int, fraction: float, seconds: float, of: str = execution_id) -> Progress:
        time = now + timedelta(seconds=seconds)
        return Progress(execution_id=of, attempt=number, fraction=fraction, text=f"{fraction}", report_time=time)

    newest = reported(2, 0.1, 5)
    for reports in (
        [reported(1, 0.5, 1), reported(1, 0.25, 0), reported(1, 0.5, 0, of=other), reported(1, 1, 1, of="nobody")],
        [newest],
        [reported(1, 0.9, 9), reported(2, 0.05, 4)],
    ):
        await rig.store.note_progress(reports, now=now)
    assert await rig.store.progress_of(execution_id) == newest
    assert await rig.store.progress_of(other) == reported(1, 0.5, 0, of=other)
    assert await rig.store.progress_of("nobody") is None


async def test_an_execution_takes_its_lines_and_its_progress_along(rig: Rig):
    """In the transaction that removes it; those of others stay."""
    gone = await running(rig)
    execution_id = gone.execution_id
    await rig.store.record([gone], logs=[chunk(rig, execution_id, [1])])
    progress = Progress(execution_id=execution_id, attempt=1, fraction=1, text="", report_time=rig.clock.now())
    await rig.store.note_progress([progress], now=rig.clock.now())
    kept = await running(rig, "kept")
    await rig.store.record([kept], logs=[chunk(rig, kept.execution_id, [1])])
    await rig.register("task", "@manual", policy=Policy(retention=Retention(max_age=timedelta(hours=1))))
    await rig.clock.advance(2 * 3600)
    assert await rig.engine.prune() == 1
    assert await numbers(rig, execution_id) == ([], 0)
    assert await rig.store.progress_of(execution_id) is None
    assert await numbers(rig, kept.execution_id) == ([1], 0)


@pytest.mark.parametrize("chunks", [3, REMOVED_AT_ONCE + 3])
async def test_old_lines_are_removed_a_few_at_a_time(rig: Rig, chunks: int):
    """Those written before a moment, whether their execution is there or not."""
    await append(rig, *(chunk(rig, f"e{each}", [1]) for each in range(chunks)))
    await rig.clock.advance(60)
    await append(rig, chunk(rig, "young", [1]))
    removed = []
    while not removed or removed[-1]:
        removed.append(await rig.store.prune_logs(before=rig.clock.now()))
    assert sum(removed) == chunks
    assert max(removed) <= REMOVED_AT_ONCE
    assert await numbers(rig, "e0") == ([], 0)
    assert await numbers(rig, "young") == ([1], 0)


async def test_lines_that_this_program_cannot_read_are_left_out(rig: Rig):
    """As rows that were edited: the others are read."""
    await append(rig, chunk(rig, "e", [1]))
    await append(rig, chunk(rig, "e", [2]))
    if rig.store.is_shared:
        pytest.skip("the same code reads them")
    with closing(sqlite3.connect(rig.place)) as connection, connection:
        connection.execute("UPDATE execution_logs SET lines = 'x' WHERE first_sequence = 1")
    assert await numbers(rig) == ([2], 1)
