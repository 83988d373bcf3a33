"""The log book: what it takes is published at once and written soon, once, and no more than its bounds waits in it."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.rigs.rig import Rig

from schedule_grpc.domain.execution import Execution
from schedule_grpc.domain.execution.log_lines import MAX_LINE_BYTES, MAX_LINES, LogLine, LogLines
from schedule_grpc.errors import DatabaseUnavailable
from schedule_grpc.events import Logged, Progress
from schedule_grpc.store import LogBook, logbook
from schedule_grpc.store.logbook import AGAIN_AFTER, BURST, FORGOTTEN_AFTER, RATE, SOON_BYTES


class Scene:
    """A book, a running execution, and what was counted and written."""

    def __init__(self, rig: Rig, execution: Execution) -> None:
        """Count what the book counts and writes."""
        self.rig = rig
        self.execution = execution
        self.counted: Counter[str] = Counter()
        self.book = LogBook(store=rig.store, clock=rig.clock, hub=rig.hub, count=self._count)
        self.refuses: Exception | None = None
        self.writes = 0
        self._append = rig.store.append_logs
        rig.store.append_logs = self._written  # type: ignore[method-assign]

    def _count(self, outcome: str, number: int) -> None:
        self.counted[outcome] += number

    async def _written(self, chunks: Any, **how: Any) -> None:
        self.writes += 1
        if self.refuses is not None:
            raise self.refuses
        await self._append(chunks, **how)

    def add(self, sequences: Iterable[int], text: str = "line") -> int:
        """Let the execution's attempt log lines of these numbers."""
        lines = [LogLine(each, self.rig.clock.now(), "info", text) for each in sequences]
        return self.book.add(self.execution, 1, lines)

    async def stored(self) -> list[int]:
        """Return the numbers of the stored lines."""
        kept = await self.rig.store.logs_of(self.execution.id, limit=1000)
        return [line.sequence for _, line in kept.lines]


@pytest.fixture
async def scene(rig: Rig) -> Scene:
    """A book, and an execution that another server runs."""
    await rig.register("task", "@manual")
    await rig.service.run_now("task", detach=True)
    (claim,) = await rig.claim("another")
    return Scene(rig, claim.execution)


async def test_lines_are_published_and_written_once(scene: Scene):
    """Repeated ones are left out of both; numbers that are left out count as dropped."""
    with scene.rig.hub.subscribed(lambda _: True, log_lines=True) as watch:
        assert scene.add([1, 2, 3]) == 3
        assert scene.add([2, 3, 6]) == 1
        assert scene.add([6]) == 0
        scene.rig.hub.close()
        events = [event async for event in watch]
    assert [[line.sequence for line in each.lines] for each in events if isinstance(each, Logged)] == [[1, 2, 3], [6]]
    await scene.book.flush()
    await scene.book.flush()
    assert (await scene.stored(), scene.writes) == ([1, 2, 3, 6], 1)
    assert scene.counted == {"kept": 4, "dropped": 2}


async def test_a_flood_is_limited(scene: Scene):
    """Of a worker that does not limit itself: the newest lines are taken, and the others count as dropped."""
    with scene.rig.hub.subscribed(lambda _: True, log_lines=True) as watch:
        assert scene.add(range(1, 2 * BURST + 1)) == 2 * BURST
        assert scene.add([2 * BURST + 1]) == 1
        await scene.rig.clock.advance(1)
        assert scene.add(range(2 * BURST + 2, 3 * BURST)) == BURST - 2
        scene.rig.hub.close()
        logged = [[line.sequence for line in each.lines] async for each in watch if isinstance(each, Logged)]
    assert logged == [list(range(BURST + 1, 2 * BURST + 1)), list(range(3 * BURST - RATE, 3 * BURST))]
    await scene.book.flush()
    assert (await scene.stored())[-RATE:] == logged[1]
    assert scene.counted == {"kept": MAX_LINES, "dropped": 3 * BURST - 1 - MAX_LINES}


async def test_what_is_pending_is_taken_once(scene: Scene):
    """For the outcome; what was flushed before is not among it."""
    scene.add([1])
    await scene.book.flush()
    scene.add([2])
    assert scene.book.taken("another", 1) is None
    taken = scene.book.taken(scene.execution.id, 1)
    assert taken is not None
    assert [line.sequence for line in taken.lines] == [2]
    assert scene.book.taken(scene.execution.id, 1) is None


async def test_one_execution_is_flushed_for_its_reader(scene: Scene):
    """The lines of others wait for their half second."""
    scene.add([1])
    await scene.book.flush("another")
    assert await scene.stored() == []
    await scene.book.flush(scene.execution.id)
    assert await scene.stored() == [1]


async def test_it_flushes_each_half_second_and_at_the_end(scene: Scene):
    """And writes nothing where there is nothing."""
    finished = asyncio.Event()
    running = asyncio.create_task(scene.book.run(finished))
    await scene.rig.clock.advance(10)
    assert scene.writes == 0
    scene.add([1])
    while not await scene.stored():
        await scene.rig.clock.advance(0.5)
    scene.add([2])
    finished.set()
    await running
    assert (await scene.stored(), scene.writes) == ([1, 2], 2)


async def test_many_bytes_are_written_sooner(scene: Scene):
    """Those of one attempt, without any time passing."""
    scene.add(range(1, SOON_BYTES // MAX_LINE_BYTES + 1), "x" * MAX_LINE_BYTES)
    assert scene.book._soon is not None
    await scene.book._soon
    assert (len(await scene.stored()), scene.writes) == (SOON_BYTES // MAX_LINE_BYTES, 1)


async def test_lines_wait_for_a_database_that_is_away(scene: Scene):
    """The newest of each attempt; it is told once, tried again less often, and an outcome goes without them."""
    finished = asyncio.Event()
    scene.refuses = DatabaseUnavailable("away")
    scene.add(range(1, MAX_LINES + 11))
    assert scene.counted == {"dropped": 10}
    with capture_logs() as logged:
        running = asyncio.create_task(scene.book.run(finished))
        await scene.rig.clock.advance(2 * AGAIN_AFTER + 0.75)
    assert [line["event"] for line in logged] == ["logs.delayed"]
    assert scene.writes == 3
    assert scene.book.taken(scene.execution.id, 1) is None
    scene.refuses = None
    finished.set()
    await running
    assert await scene.stored() == list(range(11, MAX_LINES + 11))
    assert scene.counted == {"dropped": 10, "kept": MAX_LINES}


async def test_lines_that_this_program_cannot_write_are_dropped(scene: Scene):
    """They are counted and told; those that follow are written."""
    scene.refuses = ZeroDivisionError()
    scene.add([1, 2])
    with capture_logs() as logged:
        await scene.book.flush()
    assert [line["event"] for line in logged] == ["logs.not_written"]
    scene.refuses = None
    scene.add([3])
    await scene.book.flush()
    assert (await scene.stored(), scene.counted) == ([3], {"dropped": 2, "kept": 1})


async def test_what_waits_is_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    """The lines of the attempt that has waited longest go first."""
    monkeypatch.setattr(logbook, "MAX_WAITING_BYTES", 100)
    other = LogLines(execution_id="other", attempt=1, lines=(LogLine(1, scene.rig.clock.now(), "info", "x" * 60),))
    scene.book.put_back([other], DatabaseUnavailable("away"))
    scene.add([1], "x" * 60)
    await scene.book.flush()
    assert await scene.stored() == [1]
    assert (await scene.rig.store.logs_of("other", limit=10)).lines == ()
    assert scene.counted == {"dropped": 1, "kept": 1}


async def test_a_flush_that_is_cancelled_loses_nothing(scene: Scene):
    """A reader that went away: whether its write happened is not known, and it is made again."""
    scene.add([1])
    flushing = asyncio.create_task(scene.book.flush(scene.execution.id))
    await asyncio.sleep(0)
    flushing.cancel()
    await asyncio.wait([flushing])
    await scene.book.flush()
    assert await scene.stored() == [1]


async def test_an_attempt_without_news_is_forgotten(scene: Scene):
    """A worker that is gone sends no end."""
    finished = asyncio.Event()
    running = asyncio.create_task(scene.book.run(finished))
    scene.add([1])
    while not await scene.stored():
        await scene.rig.clock.advance(0.5)
    await scene.rig.clock.advance(FORGOTTEN_AFTER + 1)
    finished.set()
    await running
    assert scene.book._pages == {}


async def test_progress_is_published_ten_times_a_second_and_kept(scene: Scene):
    """The newest of all is kept; the end is always published."""
    with scene.rig.hub.subscribed(lambda _: True) as watch:
        for fraction in (0.1, 0.2, 0.3):
            scene.book.note_progress(scene.execution, 1, fraction, "")
        await scene.rig.clock.advance(timedelta(seconds=0.2))
        for fraction in (0.4, 0.5, 1.0):
            scene.book.note_progress(scene.execution, 1, fraction, "")
        await scene.book.flush()
        scene.book.note_progress(scene.execution, 1, 0.7, "back")
        await scene.book.flush()
        scene.rig.hub.close()
        events = [event async for event in watch]
    assert [each.fraction for each in events if isinstance(each, Progress)] == [0.1, 0.4, 1.0]
    progress = await scene.rig.store.progress_of(scene.execution.id)
    assert progress is not None
    assert (progress.fraction, progress.text) == (0.7, "back")


async def test_progress_waits_for_a_database_that_is_away(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    """And a newer one that comes meanwhile stands."""

    async def away(*_: Any, **__: Any) -> None:
        raise DatabaseUnavailable("away")

    for fraction in (0.1, 0.2):
        with monkeypatch.context() as patched:
            patched.setattr(scene.rig.store, "note_progress", away)
            scene.book.note_progress(scene.execution, 1, fraction, "")
            await scene.book.flush()
        assert await scene.rig.store.progress_of(scene.execution.id) is None
    await scene.book.flush()
    progress = await scene.rig.store.progress_of(scene.execution.id)
    assert progress is not None
    assert progress.fraction == 0.2
