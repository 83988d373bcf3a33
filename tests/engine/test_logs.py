"""What handlers log and report is kept with their execution, in order, in whichever thread, however they end."""

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from support.patience import until
from support.rigs.rig import Rig, new_rig

from schedule_grpc.domain.execution import Execution, State
from schedule_grpc.domain.execution.log_lines import MAX_LINE_BYTES, SEQUENCES, Keep, LogLine
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.retry import RetryPolicy
from schedule_grpc.engine import Bindings, HandlerLoops
from schedule_grpc.engine.runner import Why
from schedule_grpc.errors import DatabaseUnavailable
from schedule_grpc.events import Logged
from schedule_grpc.handlers import PermanentFailure, TaskContext, handler
from schedule_grpc.handlers.attempt_log import BURST, RATE
from schedule_grpc.store import LogBook, LogPolicy

TWICE = Policy(retry=RetryPolicy(max_retries=1, initial_backoff=timedelta(milliseconds=1)))


@handler("talks")
async def talks(ctx: TaskContext) -> None:
    """Log and report, then end as the payload says."""
    ctx.log.info("rows.counted", count=3, place="a b")
    ctx.progress(0.5, "half")
    ctx.progress(0.75, "more")
    ctx.log.bind(step=2).warning("slow")
    END[ctx.payload.get("end", "succeeds")](ctx)


@handler("talks-in-thread")
def talks_in_thread(ctx: TaskContext) -> None:
    """Do the same in a thread, with help of another one."""
    ctx.log.info("one")
    helper = threading.Thread(target=lambda: ctx.log.info("two"))
    helper.start()
    helper.join()
    for number in range(100):
        ctx.log.info("more", number=number)
    END[ctx.payload.get("end", "succeeds")](ctx)


@handler("says-nothing")
def says_nothing(ctx: TaskContext) -> None:
    """End as the payload says."""
    END[ctx.payload.get("end", "succeeds")](ctx)


def _key_error(_: TaskContext) -> None:
    {}["by"]


def _rejects(_: TaskContext) -> None:
    raise PermanentFailure("no such customer")


def _long(_: TaskContext) -> None:
    raise ValueError("\n".join(f"row {number} of the answer" for number in range(2000)))


END: dict[str, Callable[[TaskContext], Any]] = {
    "succeeds": lambda _: None,
    "key-error": _key_error,
    "rejects": _rejects,
    "long": _long,
    "floods": lambda ctx: [ctx.log.info("line", number=number) for number in range(BURST + 50)],
}


@pytest.fixture
async def told(place: Any) -> Any:
    """A service that offers the handlers of this file."""
    async with new_rig(place, talks, talks_in_thread, says_nothing, long_lines) as built:
        yield built


async def ran(rig: Rig, of: str = "talks", policy: Policy | None = None, **payload: Any) -> Execution:
    """Run a task to its end; return the execution."""
    await rig.register(
        "task", "@manual", of, payload=payload, policy=policy or Policy(retry=RetryPolicy(max_retries=0))
    )
    await rig.service.run_now("task", detach=True)
    await rig.tick()
    return (await rig.history())[-1]


async def lines_of(rig: Rig, execution: Execution) -> list[LogLine]:
    """Return the lines that are kept of an execution."""
    return [line for _, line in (await rig.store.logs_of(execution.id, limit=1000)).lines]


async def test_lines_and_progress_are_kept(told: Rig):
    """Event and fields as on the console, without the names of the attempt; the newest progress, even one too soon."""
    execution = await ran(told)
    lines = await lines_of(told, execution)
    assert [(line.sequence, line.level, line.text) for line in lines] == [
        (1, "info", "rows.counted count=3 place='a b'"),
        (2, "warning", "slow step=2"),
    ]
    assert {line.time for line in lines} == {told.clock.now()}
    await told.engine.logbook.flush()
    progress = await told.store.progress_of(execution.id)
    assert progress is not None
    assert (progress.fraction, progress.text, progress.attempt) == (0.75, "more", 1)


async def test_lines_of_threads_are_in_the_book_before_the_outcome(told: Rig):
    """All of them, in their order: they are written with it."""
    execution = await ran(told, "talks-in-thread")
    lines = await lines_of(told, execution)
    assert [line.text for line in lines] == ["one", "two", *(f"more number={number}" for number in range(100))]


async def test_lines_of_another_loop_are_in_the_book_before_the_outcome(place: Any):
    """Many attempts at once: their ends and their lines wake the engine's loop in any order."""
    async with new_rig(place, talks) as rig:
        loops = HandlerLoops(bindings=lambda: Bindings(env=rig.env, aclose=_nothing_to_close), clock=rig.clock)
        loops.open()
        rig.engine._runner._place = loops
        for number in range(30):
            await rig.register(f"task-{number}", "@manual", "talks")
            await rig.service.run_now(f"task-{number}", detach=True)
        await rig.tick()
        for number in range(30):
            (execution,) = await rig.history(f"task-{number}")
            assert len(await lines_of(rig, execution)) == 2
        await loops.close()


async def _nothing_to_close() -> None:
    """Close nothing."""


async def test_a_failure_keeps_its_traceback(told: Rig):
    """The file and the line of ``KeyError: 'by'``, for each attempt."""
    execution = await ran(told, policy=TWICE, end="key-error")
    await told.advance(5)
    kept = await told.store.logs_of(execution.id, limit=1000)
    tracebacks = [(attempt, line.text) for attempt, line in kept.lines if line.level == "error"]
    assert [attempt for attempt, _ in tracebacks] == [1, 2]
    assert {attempt for attempt, _ in kept.lines} == {1, 2}
    for _, text in tracebacks:
        assert text.startswith("Traceback (most recent call last):")
        assert f'File "{__file__}", line {_key_error.__code__.co_firstlineno + 1}, in _key_error' in text
        assert text.endswith("KeyError: 'by'")


async def test_a_handler_that_logs_nothing_keeps_its_traceback(told: Rig):
    """Its one line."""
    (line,) = await lines_of(told, await ran(told, "says-nothing", end="key-error"))
    assert (line.level, line.text.splitlines()[-1]) == ("error", "KeyError: 'by'")


async def test_a_long_traceback_loses_its_middle(told: Rig):
    """Its lines stay whole, and say how many are left out."""
    lines = await lines_of(told, await ran(told, "says-nothing", end="long"))
    assert max(line.size for line in lines) <= MAX_LINE_BYTES
    text = "\n".join(line.text for line in lines)
    assert len(text) <= 16 * 1024
    assert text.startswith("Traceback")
    assert "lines are left out here)" in text
    assert text.endswith("row 1999 of the answer")


async def test_a_rejection_keeps_its_text(told: Rig):
    """It has no traceback in the log; its error is the line."""
    (line,) = await lines_of(told, await ran(told, "says-nothing", end="rejects"))
    assert (line.level, line.text) == ("error", "no such customer")


async def test_a_flood_is_limited_and_counted(told: Rig):
    """After the burst so many a second; the last line says that some are missing, and their numbers are left out."""
    execution = await ran(told, end="floods")
    kept = await told.store.logs_of(execution.id, limit=1000)
    (_, last) = kept.lines[-1]
    assert (last.sequence, last.level) == (BURST + 50 + 2 + 1, "warning")
    assert last.text == f"(52 lines were dropped: an attempt keeps {RATE} a second)"
    assert kept.dropped == last.sequence - len(kept.lines)


async def test_watchers_receive_lines_if_they_ask(told: Rig):
    """In the order of their numbers; other watchers receive none."""
    with told.hub.subscribed(lambda _: True, log_lines=True) as asked, told.hub.subscribed(lambda _: True) as others:
        execution = await ran(told)
        told.hub.close()
        logged = [event async for event in asked if isinstance(event, Logged)]
        assert not [event async for event in others if isinstance(event, Logged)]
    assert [line.sequence for event in logged for line in event.lines] == [1, 2]
    assert {(event.execution_id, event.task_name, event.attempt) for event in logged} == {(execution.id, "task", 1)}


@pytest.mark.parametrize(
    ("keep", "end", "expected"),
    [(Keep.FAILED, "succeeds", 0), (Keep.FAILED, "key-error", 3), (Keep.NONE, "key-error", 0)],
)
async def test_which_attempts_keep_their_lines(told: Rig, keep: Keep, end: str, expected: int):
    """Those that failed, or none."""
    told.engine.logbook.policy = LogPolicy(keep=keep)
    assert len(await lines_of(told, await ran(told, end=end))) == expected


async def test_stored_lines_of_a_success_go_with_its_outcome(told: Rig, gate: Any):
    """Where only failures keep theirs: while it runs they are there, for it may fail."""
    held = gate("door")
    told.engine.logbook.policy = LogPolicy(keep=Keep.FAILED)
    await told.register("task", "@manual", "fate", payload={"gate": "door"})
    await told.service.run_now("task", detach=True)
    await told.engine.tick()
    await held.came.wait()
    held.entered[0].log.info("begun")
    await told.clock.advance(0)
    await told.engine.logbook.flush()
    (execution,) = await told.history()
    assert len(await lines_of(told, execution)) == 1
    held.opened.set()
    await told.engine.idle()
    assert (await told.states(), await lines_of(told, execution)) == (["SUCCEEDED"], [])


async def test_a_run_that_is_handed_back_keeps_its_lines(told: Rig, gate: Any):
    """It does not count, so the next one is the same attempt, whose numbers go on behind."""
    held = gate("door")
    await told.register("task", "@manual", "fate", payload={"gate": "door"}, policy=TWICE)
    await told.service.run_now("task", detach=True)
    for _ in range(2):
        held.came.clear()
        await told.engine.tick()
        await held.came.wait()
        held.entered[-1].log.info("begun")
        (execution,) = await told.history()
        told.engine._runner.stop(execution.id, Why.SHUTDOWN)
        await told.engine.idle()
    kept = await told.store.logs_of(execution.id, limit=1000)
    assert [(attempt, line.sequence) for attempt, line in kept.lines] == [(1, 1), (1, SEQUENCES + 1)]
    assert kept.dropped == 0


async def test_lines_that_cannot_be_written_keep_no_outcome(told: Rig, monkeypatch: pytest.MonkeyPatch):
    """The database takes outcomes and no lines: these wait, and are written once it takes them."""
    record, append, refused = told.store.record, told.store.append_logs, []

    async def without_lines(reports: Any, logs: Any = ()) -> Any:
        if logs:
            refused.append(len(logs))
            raise DatabaseUnavailable("no room")
        return await record(reports)

    async def no_room(*_: Any, **__: Any) -> None:
        raise DatabaseUnavailable("no room")

    monkeypatch.setattr(told.store, "record", without_lines)
    monkeypatch.setattr(told.store, "append_logs", no_room)
    executions = [await ran(told) for _ in range(3)]
    await told.engine.logbook.flush()
    assert [each.state for each in executions] == [State.SUCCEEDED] * 3
    assert refused == [1]  # later ones do not try: the book knows
    assert [await lines_of(told, each) for each in executions] == [[], [], []]
    monkeypatch.setattr(told.store, "append_logs", append)
    await told.engine.logbook.flush()
    assert [len(await lines_of(told, each)) for each in executions] == [2, 2, 2]


async def test_a_full_disk_loses_lines_and_no_outcome(told: Rig):
    """The file has room for the outcome and not for 64 KiB of lines."""
    if told.store.is_shared:
        pytest.skip("the disk of a server")
    counted: dict[str, int] = {}
    book = LogBook(store=told.store, clock=told.clock, hub=told.hub, count=_adding_to(counted))
    told.engine._runner._logbook = told.engine._runner._recorder._logbook = told.engine.logbook = book
    await told.register("task", "@manual", "long-lines")
    connection = told.store._database._database._connections[0]
    (pages,) = await connection.run(lambda raw: raw.execute("PRAGMA page_count").fetchone())
    await connection.run(lambda raw: raw.execute(f"PRAGMA max_page_count = {pages + 6}").fetchone())
    await told.service.run_now("task", detach=True)
    await told.tick()
    (execution,) = await told.history()
    await book.flush()
    assert (execution.state, await lines_of(told, execution)) == (State.SUCCEEDED, [])
    assert counted == {}
    await connection.run(lambda raw: raw.execute("PRAGMA max_page_count = 1000000").fetchone())
    await book.flush()
    assert len(await lines_of(told, execution)) == counted["kept"] == 16


def _adding_to(counted: dict[str, int]) -> Callable[[str, int], None]:
    def add(outcome: str, number: int) -> None:
        counted[outcome] = counted.get(outcome, 0) + number

    return add


@handler("long-lines")
async def long_lines(ctx: TaskContext) -> None:
    """Log 64 KiB."""
    for _ in range(16):
        ctx.log.info("x" * MAX_LINE_BYTES)


async def test_old_lines_are_swept(told: Rig):
    """In the janitor's round, after the book's ``max_age``."""
    execution = await ran(told)
    assert await told.engine._janitor.sweep_logs() == 0
    await told.clock.advance(told.engine.logbook.policy.max_age.total_seconds() + 1)
    assert await told.engine._janitor.sweep_logs() == 1
    assert await lines_of(told, execution) == []


async def test_the_engine_flushes_its_own_book(told: Rig, gate: Any):
    """Each half second, while the attempt runs; one that another owner has is left to that."""
    held = gate("door")
    await told.register("task", "@manual", "fate", payload={"gate": "door"})
    await told.service.run_now("task", detach=True)
    running = asyncio.create_task(told.engine.run())
    await told.until_done(asyncio.create_task(held.came.wait()))
    held.entered[0].log.info("begun")
    (execution,) = await told.history()

    async def is_stored() -> bool:
        await told.clock.advance(0.5)
        return bool(await lines_of(told, execution))

    await until(is_stored)
    held.opened.set()
    told.engine.stop()
    await told.until_done(running)
