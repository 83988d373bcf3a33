"""The log lines and the progress of attempts on their way to watchers and to the store.

A write for each line would cost more than the attempts. So the book buffers the lines of an attempt, and writes those
of all attempts together: each half second, or once an attempt has `SOON_BYTES`; what is left at the attempt's end goes
into the transaction of its outcome.

Lines are worth less than outcomes. While the database refuses them they wait in memory, within bounds; lines beyond
these are dropped and counted, the oldest first.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeAlias

import structlog
from msgspec.structs import replace

from schedule_grpc.domain.execution import Execution
from schedule_grpc.domain.execution.log_lines import (
    DEFAULT_LOG_RETENTION,
    MAX_LINES,
    MAX_LOG_BYTES,
    SEQUENCES,
    Keep,
    LogLine,
    LogLines,
    Progress,
    as_kept,
)
from schedule_grpc.errors import Unavailable
from schedule_grpc.events import Hub, Logged
from schedule_grpc.events import Progress as ProgressEvent
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.store.store import Store

log = structlog.get_logger(__name__)

AGAIN_AFTER = 5.0
"""Seconds between two tries while the database refuses lines: outcomes have more need of it."""
FLUSH_EVERY = timedelta(milliseconds=500)
SOON_BYTES = 16 * 1024
"""Lines of one attempt that are written before their half second is over."""
MAX_WAITING_BYTES = 16 * 1024 * 1024
"""Lines of all attempts that wait for a database that does not take them."""
MAX_WAITING_REPORTS = 10_000
"""Executions whose progress waits for it."""
RATE = 100
"""Lines a second that the book takes of an attempt, ..."""
BURST = 1000
"""... after so many at once: a worker may not have reached a server for a while. Workers keep to less by themselves."""
PUBLISHED_EVERY = 0.1
"""Seconds between two published reports of one attempt at least: a handler may report every row it reads."""
FORGOTTEN_AFTER = 60.0
"""Seconds after which an attempt without news is forgotten: its worker may be gone."""

AttemptKey: TypeAlias = tuple[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class LogPolicy:
    """Which lines are stored, and for how long."""

    keep: Keep = Keep.ALL
    max_age: timedelta = DEFAULT_LOG_RETENTION


@dataclass(slots=True)
class _Pages:
    """What the book knows of one attempt."""

    seen: float
    """The monotonic time of its newest lines or progress."""
    room: float = BURST
    """How many lines it may log just now."""
    newest: int = 0
    """The sequence of its newest line."""
    lines: deque[LogLine] = field(default_factory=deque)
    """Lines that are not written."""
    size: int = 0
    """Bytes of those."""
    stored: bool = False
    """Whether lines of it were given to the store."""
    forget: bool = False
    """Whether stored lines of it are to be removed."""
    published: float = float("-inf")
    """When its progress was last published."""


class LogBook:
    """Publishes and buffers what attempts log and report. Used in one event loop; nothing here raises or blocks."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        hub: Hub,
        policy: LogPolicy = LogPolicy(),
        count: Callable[[str, int], None] = lambda _outcome, _number: None,
    ) -> None:
        """Make an empty book.

        Args:
            store: Keeps the lines and the progress.
            clock: The time.
            hub: Publishes them to watchers of this server.
            policy: Which lines the store keeps.
            count: Is called with ``kept`` or ``dropped``, and a number of lines.
        """
        self._store = store
        self._clock = clock
        self._hub = hub
        self._count = count
        self.policy = policy
        self._pages: dict[AttemptKey, _Pages] = {}
        self._size = 0
        self._progress: dict[str, Progress] = {}
        self._writing = asyncio.Lock()
        self._soon: asyncio.Task[None] | None = None
        self._refused_time: float | None = None
        """The monotonic time of the newest refusal; None if the last write succeeded."""

    def add(self, execution: Execution, attempt: int, lines: Sequence[LogLine]) -> int:
        """Publish and buffer lines of an attempt; return how many of them were new.

        Each run of an attempt numbers its lines from 1; where one was handed back before, the book moves the numbers
        (`SEQUENCES`). A line whose number is not above the newest known one is a repeated one, and left out. Numbers
        that are left out between lines count as dropped lines, and so do lines beyond `RATE`, the oldest first.
        """
        pages = self._pages_of((execution.id, attempt))
        moved_by = SEQUENCES * execution.hand_backs
        first, added = max(pages.newest, moved_by), []
        for line in lines:
            if line.sequence + moved_by > pages.newest:
                pages.newest = line.sequence + moved_by
                added.append(as_kept(replace(line, sequence=pages.newest) if moved_by else line))
        if not added:
            return 0
        taken = added[max(len(added) - int(pages.room), 0) :]
        pages.room -= len(taken)
        self._drop(pages.newest - first - len(taken))
        if taken and self._hub.watched:
            logged = Logged(
                execution_id=execution.id,
                namespace=execution.namespace,
                task_name=execution.task_name,
                attempt=attempt,
                lines=tuple(taken),
            )
            self._hub.publish([logged])
        if self.policy.keep is not Keep.NONE:
            self._buffer(pages, taken)
            if pages.size >= SOON_BYTES and self._refused_time is None and (self._soon is None or self._soon.done()):
                self._soon = asyncio.create_task(self.flush(), name="write log lines")
        return len(added)

    def note_progress(self, execution: Execution, attempt: int, fraction: float, text: str) -> None:
        """Publish the progress of an attempt, at most ten times a second unless it is the end, and buffer it."""
        pages = self._pages_of((execution.id, attempt))
        if pages.seen - pages.published < PUBLISHED_EVERY and fraction < 1:
            self.keep_progress(self._progress_of(execution, attempt, fraction, text))
            return
        pages.published = pages.seen
        self.publish_progress(execution, self._progress_of(execution, attempt, fraction, text))

    def publish_progress(self, execution: Execution, progress: Progress) -> None:
        """Publish and buffer a progress whose caller heeds the pause between two of them itself."""
        event = ProgressEvent(
            execution_id=execution.id,
            namespace=execution.namespace,
            task_name=execution.task_name,
            fraction=progress.fraction,
            text=progress.text,
            time=progress.report_time,
        )
        self._hub.publish([event])
        self.keep_progress(progress)

    def keep_progress(self, progress: Progress) -> None:
        """Buffer a progress for the store, unless a newer one of the execution waits there."""
        waiting = self._progress.get(progress.execution_id)
        if waiting is not None and _place(waiting) > _place(progress):
            return
        if waiting is None and len(self._progress) >= MAX_WAITING_REPORTS:
            del self._progress[next(iter(self._progress))]
        self._progress[progress.execution_id] = progress

    def taken(self, execution_id: str, attempt: int, *, succeeded: bool = False) -> LogLines | None:
        """Remove and return what is to be written with the end of an attempt; None if that is nothing.

        Where only lines of failures are kept, the end of an attempt that ``succeeded`` removes its stored lines. While
        the database refuses lines, those of the attempt are left to `flush`, and its outcome is written without them.
        """
        key = execution_id, attempt
        pages = self._pages.get(key)
        if pages is None:
            return None
        if succeeded and self.policy.keep is Keep.FAILED:
            self._empty(pages)
            pages.forget = pages.stored
        if self._refused_time is not None and _chunk(key, pages) is not None:
            return None
        del self._pages[key]
        self._size -= pages.size
        return _chunk(key, pages)

    def put_back(self, chunks: Iterable[LogLines], error: Exception) -> None:
        """Buffer again what an error kept from being written: `flush` tries later, without any outcome beside it."""
        if self._refused_time is None:
            log.warning("logs.delayed", error=f"{type(error).__name__}: {error}")
        self._refused_time = self._clock.monotonic()
        self._buffer_again(chunks)

    def note_written(self, chunks: Iterable[LogLines]) -> None:
        """Count lines that were written with an outcome."""
        written = sum(len(chunk.lines) for chunk in chunks)
        if written:
            self._count("kept", written)

    async def flush(self, execution_id: str = "") -> None:
        """Write the buffered lines and the newest progress, of one execution or of all; both wait if they cannot be."""
        if not (self._pages or self._progress or self._writing.locked()):
            return
        async with self._writing:
            await self._write_lines(execution_id)
            await self._write_progress(execution_id)

    async def run(self, finished: asyncio.Event) -> None:
        """Flush each half second until finished, and once more then; less often while the database refuses lines."""
        while not finished.is_set():
            await self._clock.wait_until(self._clock.now() + FLUSH_EVERY, finished)
            since = self._refused_time
            if since is None or self._clock.monotonic() - since >= AGAIN_AFTER:
                await self.flush()
            self._forget_idle()
        await self.flush()

    # -- inside

    def _pages_of(self, key: AttemptKey) -> _Pages:
        now = self._clock.monotonic()
        pages = self._pages.get(key)
        if pages is None:
            pages = self._pages[key] = _Pages(now)
        pages.room = min(pages.room + (now - pages.seen) * RATE, BURST)
        pages.seen = now
        return pages

    def _progress_of(self, execution: Execution, attempt: int, fraction: float, text: str) -> Progress:
        return Progress(
            execution_id=execution.id, attempt=attempt, fraction=fraction, text=text, report_time=self._clock.now()
        )

    def _buffer(self, pages: _Pages, lines: Iterable[LogLine]) -> None:
        """Buffer lines; beyond the bounds the oldest ones are dropped, of this attempt or of all."""
        dropped = 0
        for line in lines:
            pages.lines.append(line)
            pages.size += line.size
            self._size += line.size
        while len(pages.lines) > MAX_LINES or pages.size > MAX_LOG_BYTES:
            self._drop_oldest(pages)
            dropped += 1
        while self._size > MAX_WAITING_BYTES:
            oldest = next(each for each in self._pages.values() if each.lines)
            dropped += len(oldest.lines)
            self._empty(oldest)
        self._drop(dropped)

    def _buffer_again(self, chunks: Iterable[LogLines]) -> None:
        for chunk in chunks:
            pages = self._pages_of((chunk.execution_id, chunk.attempt))
            pages.forget = pages.forget or chunk.forget
            later = tuple(pages.lines)
            self._empty(pages)
            self._buffer(pages, () if pages.forget else (*chunk.lines, *later))
            pages.newest = max([pages.newest, *(line.sequence for line in chunk.lines)])

    def _drop_oldest(self, pages: _Pages) -> None:
        size = pages.lines.popleft().size
        pages.size -= size
        self._size -= size

    def _empty(self, pages: _Pages) -> None:
        self._size -= pages.size
        pages.size = 0
        pages.lines.clear()

    def _drop(self, number: int) -> None:
        if number > 0:
            self._count("dropped", number)

    async def _write_lines(self, execution_id: str) -> None:
        chunks = []
        for key, pages in self._pages.items():
            if (chunk := _chunk(key, pages)) is not None and execution_id in ("", key[0]):
                chunks.append(chunk)
                self._empty(pages)
                pages.stored, pages.forget = True, False
        if not chunks:
            return
        try:
            await self._store.append_logs(chunks, now=self._clock.now())
        except Unavailable as error:
            self.put_back(chunks, error)
        except asyncio.CancelledError:  # they may be written all the same: the store leaves out repeated lines
            self._buffer_again(chunks)
            raise
        except Exception:
            log.exception("logs.not_written", attempts=len(chunks))
            self._drop(sum(len(chunk.lines) for chunk in chunks))
        else:
            self._refused_time = None
            self.note_written(chunks)

    async def _write_progress(self, execution_id: str) -> None:
        reports = [each for each in self._progress.values() if execution_id in ("", each.execution_id)]
        for each in reports:
            del self._progress[each.execution_id]
        if not reports:
            return
        try:
            await self._store.note_progress(reports, now=self._clock.now())
        except Unavailable as error:
            self.put_back((), error)
            for each in reports:
                self.keep_progress(each)
        except asyncio.CancelledError:
            for each in reports:
                self.keep_progress(each)
            raise
        except Exception:
            log.exception("progress.not_written", executions=len(reports))
        else:
            self._refused_time = None

    def _forget_idle(self) -> None:
        """Forget attempts without news whose lines are written."""
        since = self._clock.monotonic() - FORGOTTEN_AFTER
        for key in [key for key, each in self._pages.items() if each.seen < since and not (each.lines or each.forget)]:
            del self._pages[key]


def _chunk(key: AttemptKey, pages: _Pages) -> LogLines | None:
    if not pages.lines and not pages.forget:
        return None
    return LogLines(execution_id=key[0], attempt=key[1], lines=tuple(pages.lines), forget=pages.forget)


def _place(progress: Progress) -> tuple[int, object]:
    return progress.attempt, progress.report_time
