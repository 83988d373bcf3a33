"""Recording: what waits together is written together, and what cannot be written keeps nobody else from it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.rigs.rig import Rig

from schedule_grpc.domain.execution import Execution, Outcome, State
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.retry import RetryPolicy
from schedule_grpc.errors import DatabaseUnavailable
from schedule_grpc.store.recorder import TOGETHER, Answer, Recorder

AT_ONCE = Policy(retry=RetryPolicy(max_retries=3, initial_backoff=timedelta(milliseconds=1)))


async def claimed(rig: Rig, number: int) -> list[Outcome]:
    """Claim so many manual runs; return a success of each."""
    for each in range(number):
        await rig.register(f"task-{each}", "@manual")
        await rig.service.run_now(f"task-{each}", detach=True)
    claims, now = await rig.claim("another"), rig.clock.now()
    return [
        Outcome(
            execution_id=claim.execution.id, lease_token=claim.lease_token, end_time=now, duration=timedelta(seconds=1)
        )
        for claim in claims
    ]


async def recorded(recorder: Recorder, *outcomes: Outcome) -> list[Answer]:
    """Record outcomes; return the answers."""
    answers = [asyncio.get_running_loop().create_future() for _ in outcomes]
    for outcome, answer in zip(outcomes, answers, strict=True):
        recorder.record(outcome, answer.set_result)
    return await asyncio.gather(*answers)


async def test_outcomes_that_wait_together_share_a_write(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """The first is written by itself, those that come meanwhile together, and each hears of its own."""
    outcomes = await claimed(rig, 10)
    written, record = [], rig.store.record

    async def counted(reports: list[Outcome]) -> Any:
        written.append(len(reports))
        return await record(reports)

    monkeypatch.setattr(rig.store, "record", counted)
    recorder = Recorder(rig.store)
    found = await recorded(recorder, *outcomes)
    executions = [each for each in found if isinstance(each, Execution)]
    assert [each.id for each in executions] == [each.execution_id for each in outcomes]
    assert {each.state for each in executions} == {State.SUCCEEDED}
    assert written == [10]
    assert max(written) <= TOGETHER


async def test_an_outcome_whose_lease_is_anothers(rig: Rig):
    """It is answered by None, and the others by their executions."""
    whole, stale = await claimed(rig, 2)
    recorder = Recorder(rig.store)
    stale = Outcome(
        execution_id=stale.execution_id, lease_token="x", end_time=stale.end_time, duration=timedelta(seconds=1)
    )
    kept, refused = await recorded(recorder, whole, stale)
    assert kept is not None
    assert refused is None


async def test_one_that_cannot_be_written(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """A fault with one of them is told to that one, and to the log; the others are written, one by one."""
    outcomes = await claimed(rig, 4)
    record = rig.store.record

    async def faulty(reports: list[Outcome]) -> Any:
        if outcomes[1] in reports:
            raise ZeroDivisionError
        return await record(reports)

    monkeypatch.setattr(rig.store, "record", faulty)
    recorder = Recorder(rig.store)
    with capture_logs() as logged:
        found = await recorded(recorder, *outcomes)
    assert [(line["event"], line["together"]) for line in logged] == [("execution.record_failed", 4)]
    assert [type(each).__name__ for each in found] == ["Execution", "ZeroDivisionError", "Execution", "Execution"]


async def test_the_database_is_away(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """All of them are told, after one try."""
    outcomes, tries = await claimed(rig, 3), []

    async def away(reports: list[Outcome]) -> Any:
        tries.append(len(reports))
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(rig.store, "record", away)
    recorder = Recorder(rig.store)
    found = await recorded(recorder, *outcomes)
    assert {type(each) for each in found} == {DatabaseUnavailable}
    assert tries == [3]


async def test_one_that_cannot_take_its_answer(rig: Rig):
    """It keeps neither the others from theirs, nor the next write; its own is written all the same."""
    outcomes = await claimed(rig, 3)
    recorder = Recorder(rig.store)
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["exception"]))

    def fails(_: Answer) -> None:
        raise ZeroDivisionError

    recorder.record(outcomes[0], fails)
    found = await recorded(recorder, outcomes[1]) + await recorded(recorder, outcomes[2])
    assert [type(each).__name__ for each in (*complaints, *found)] == ["ZeroDivisionError", "Execution", "Execution"]
    assert [await rig.states(f"task-{each}") for each in range(3)] == [["SUCCEEDED"]] * 3


async def test_the_next_attempt_begins_before_the_record_is_answered(
    rig: Rig, gate: Any, monkeypatch: pytest.MonkeyPatch
):
    """The record is committed and its answer on its way: the attempt that follows is held until its own end."""
    held, record = gate("second"), rig.store.record
    recorded, answer = asyncio.Event(), asyncio.Event()

    async def slow(reports: list[Outcome]) -> Any:
        found = await record(reports)
        recorded.set()
        await answer.wait()
        return found

    monkeypatch.setattr(rig.store, "record", slow)
    await rig.register("task", "@manual", payload={"fate": "fail-at-first", "times": 1}, policy=AT_ONCE)
    await rig.service.run_now("task", detach=True)
    await rig.engine.tick()
    await recorded.wait()
    await rig.register("task", "@manual", payload={"gate": "second"}, policy=AT_ONCE)
    await rig.clock.advance(1)
    await rig.engine.tick()
    await held.came.wait()
    assert rig.engine.running == 1
    assert rig.engine._runner.running_by_handler() == {"fate": 2}
    answer.set()
    while rig.engine._runner.running_by_handler() != {"fate": 1}:
        await rig.clock.advance(0)
    assert rig.engine.running == 1
    held.opened.set()
    await rig.engine.idle()
    assert (rig.engine.running, await rig.states()) == (0, ["SUCCEEDED"])
