"""Operations on log lines and progress: append, read, remove. They change no execution, and lock none."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby, islice
from typing import Any, TypeAlias

import msgspec

from schedule_grpc.database import Operation, Row
from schedule_grpc.domain.execution.log_lines import (
    LEVELS,
    MAX_LINES,
    MAX_LOG_BYTES,
    SEQUENCES,
    KeptLog,
    LogLine,
    LogLines,
    Progress,
)
from schedule_grpc.runtime.clock import from_micros, to_micros
from schedule_grpc.store.columns import holds_instant
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.with_events import WithEvents

AttemptKey: TypeAlias = tuple[str, int]


class _Chunk(msgspec.Struct, frozen=True):
    """Some lines of an attempt, stored as one row."""

    first: int
    last: int
    line_count: int
    bytes: int
    lines: tuple[LogLine, ...] = ()
    """None of a chunk that is stored already."""


def append_logs(chunks: Sequence[LogLines], now: datetime) -> Operation[WithEvents[None]]:
    """Append lines to the logs of attempts."""
    yield from append(chunks, now)
    return None, ()


def append(chunks: Sequence[LogLines], now: datetime) -> Operation[None]:
    """Append lines within a transaction: repeated ones are left out, and the oldest chunks that are superfluous go."""
    yield QUERIES.forget_logs, _keys({(each.execution_id, each.attempt) for each in chunks if each.forget})
    added: dict[AttemptKey, list[LogLine]] = {}
    for each in chunks:
        if each.lines and not each.forget:
            added.setdefault((each.execution_id, each.attempt), []).extend(each.lines)
    rows = yield QUERIES.log_chunks, _keys(added)
    stored: dict[AttemptKey, list[_Chunk]] = {}
    for row in rows:
        chunk = _Chunk(row["first_sequence"], row["last_sequence"], row["line_count"], row["bytes"])
        stored.setdefault((row["execution_id"], row["attempt"]), []).append(chunk)
    written, removed = [], []
    for key in sorted(added):
        known = stored.get(key, [])
        new = list(_new_chunks(_not_repeated(added[key], known), known))
        superfluous = _superfluous([*known, *new])
        written += [(key, each) for each in new if each not in superfluous]
        removed += [(key, each) for each in superfluous if not each.lines]
    yield QUERIES.insert_log_chunks, [_row(key, chunk, now) for key, chunk in written]
    yield (
        QUERIES.remove_log_chunks,
        [{"execution_id": key[0], "attempt": key[1], "first_sequence": chunk.first} for key, chunk in removed],
    )


def note_progress(reports: Sequence[Progress]) -> Operation[WithEvents[None]]:
    """Write the newest progress of executions."""
    newest = {each.execution_id: each for each in sorted(reports, key=lambda each: (each.attempt, each.report_time))}
    yield (
        QUERIES.note_progress,
        [
            {
                "execution_id": execution_id,
                "attempt": each.attempt,
                "fraction": float(each.fraction),
                "text": each.text,
                "report_time": to_micros(each.report_time),
            }
            for execution_id, each in sorted(newest.items())
        ],
    )
    return None, ()


def remove_logs(before: datetime, limit: int) -> Operation[WithEvents[int]]:
    """Remove at most ``limit`` chunks of lines that were written before a moment; return how many."""
    removed = yield QUERIES.remove_old_logs, {"before": to_micros(before), "limit": limit}
    return len(removed), ()


def logs_of(execution_id: str, limit: int) -> Operation[KeptLog]:
    """Read the newest lines of an execution."""
    if limit <= 0:
        return KeptLog()
    rows = yield QUERIES.logs_of, {"execution_id": execution_id, "limit": limit}
    ends = yield QUERIES.log_ends_of, {"execution_id": execution_id}
    found = _newest_lines(rows)[:limit]
    logged: dict[tuple[int, int], int] = {}
    for row in ends:
        run, number = divmod(row["last_sequence"], SEQUENCES)
        logged[row["attempt"], run] = max(logged.get((row["attempt"], run), 0), number)
    return KeptLog(lines=tuple(reversed(found)), dropped=max(sum(logged.values()) - len(found), 0))


def progress_of(execution_id: str) -> Operation[Progress | None]:
    """Read the newest progress of an execution."""
    rows = yield QUERIES.progress_of, {"execution_id": execution_id}
    for row in rows:
        if holds_instant(row["report_time"]):
            return Progress(
                execution_id=execution_id,
                attempt=row["attempt"],
                fraction=row["fraction"],
                text=row["text"],
                report_time=from_micros(row["report_time"]),
            )
    return None


def _not_repeated(lines: Iterable[LogLine], known: Sequence[_Chunk]) -> tuple[LogLine, ...]:
    """Return lines in order, each once, without those within a chunk that is stored.

    A chunk is written whole, so a line that its numbers enclose is there, or was dropped before.
    """
    once = {line.sequence: line for line in lines}
    return tuple(
        once[sequence]
        for sequence in sorted(once)
        if sequence > 0 and not any(chunk.first <= sequence <= chunk.last for chunk in known)
    )


def _new_chunks(lines: Sequence[LogLine], known: Sequence[_Chunk]) -> Iterator[_Chunk]:
    """Yield chunks of lines: one, unless stored chunks lie between them; without lines that newer ones push out."""
    for _, some in groupby(lines, key=lambda line: sum(chunk.last < line.sequence for chunk in known)):
        kept = tuple(reversed(list(_newest_within(reversed(list(some))))))
        yield _Chunk(kept[0].sequence, kept[-1].sequence, len(kept), sum(line.size for line in kept), kept)


def _superfluous(chunks: Sequence[_Chunk]) -> list[_Chunk]:
    """Return the chunks without which the newer ones still hold all that is kept of an attempt."""
    found = []
    count = size = 0
    for chunk in sorted(chunks, key=lambda each: each.first, reverse=True):
        if count >= MAX_LINES or size >= MAX_LOG_BYTES:
            found.append(chunk)
        count += chunk.line_count
        size += chunk.bytes
    return found


def _newest_within(newest_first: Iterable[LogLine]) -> Iterator[LogLine]:
    """Yield lines of an attempt as far as they are kept."""
    size = 0
    for line in islice(newest_first, MAX_LINES):
        size += line.size
        if size > MAX_LOG_BYTES:
            return
        yield line


def _newest_lines(rows: Sequence[Row]) -> list[tuple[int, LogLine]]:
    """Return the kept lines of chunks, newest first, each with its attempt's number."""
    by_attempt: dict[int, dict[int, LogLine]] = {}
    for row in rows:
        lines = by_attempt.setdefault(row["attempt"], {})
        lines.update((line.sequence, line) for line in _lines_in(row["lines"]))
    return [
        (attempt, line)
        for attempt in sorted(by_attempt, reverse=True)
        for line in _newest_within(line for _, line in sorted(by_attempt[attempt].items(), reverse=True))
    ]


def _row(key: AttemptKey, chunk: _Chunk, now: datetime) -> dict[str, Any]:
    return {
        "execution_id": key[0],
        "attempt": key[1],
        "first_sequence": chunk.first,
        "last_sequence": chunk.last,
        "line_count": chunk.line_count,
        "bytes": chunk.bytes,
        "create_time": to_micros(now),
        "lines": msgspec.json.encode(
            [(line.sequence, to_micros(line.time), line.level, line.text) for line in chunk.lines]
        ).decode(),
    }


def _lines_in(text: Any) -> Iterator[LogLine]:
    """Yield the lines of a chunk that this program can read."""
    try:
        found = msgspec.json.decode(text, type=list[tuple[int, int, str, str]])
    except (msgspec.DecodeError, TypeError):
        return
    for sequence, time, level, line in found:
        if holds_instant(time) and level in LEVELS:
            yield LogLine(sequence, from_micros(time), level, line)


def _keys(keys: Iterable[AttemptKey]) -> list[Mapping[str, Any]]:
    return [{"execution_id": execution_id, "attempt": attempt} for execution_id, attempt in sorted(keys)]
