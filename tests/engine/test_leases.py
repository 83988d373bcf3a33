"""Who may run and record what: leases, rescue, fencing, and a database that goes away."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from support.rigs.rig import Rig, at, new_rig
from support.witnesses.checker import check

from schedule_grpc.domain.execution import HandBack, Outcome, State
from schedule_grpc.domain.retry import FailureKind, RetryPolicy
from schedule_grpc.domain.task import Policy
from schedule_grpc.engine import loop
from schedule_grpc.errors import DatabaseUnavailable
from schedule_grpc.testing import FakeClock

LONG = timedelta(hours=1)


async def claimed(rig: Rig, owner: str = "another", **changes):
    """Let some owner claim a manual run, and return the claim."""
    await rig.register("task", "@manual", **changes)
    await rig.service.run_now("task", detach=True)
    (claim,) = await rig.claim(owner)
    return claim


def outcome(claim, rig: Rig, **changes) -> Outcome:
    """Return a success of that claim."""
    told = {
        "execution_id": claim.execution.id,
        "lease_token": claim.lease_token,
        "end_time": rig.clock.now(),
        "duration": timedelta(0),
    }
    return Outcome(**(told | changes))


async def test_a_server_that_died_loses_its_executions_at_the_next_start(database: Path):
    """RUNNING rows of a dead server are rescued at once: LEASE_LOST, retried after 1 s."""
    async with new_rig(database) as before:
        await claimed(before)
    async with new_rig(database, clock=FakeClock(at("2026-01-31T10:00:05")), recover=True) as after:
        (execution,) = await after.history()
        assert execution.state is State.PENDING
        assert execution.failed_attempts[0].failure_kind is FailureKind.LEASE_LOST
        assert execution.available_time == at("2026-01-31T10:00:06")
        await after.skip(1)
        assert await after.states() == ["SUCCEEDED"]
    assert check(database, at_rest=True) == []


async def test_a_lost_lease_uses_up_an_attempt(database: Path):
    """Without retries left it is FAILED/LEASE_LOST."""
    async with new_rig(database) as before:
        await claimed(before, policy=Policy(retry=RetryPolicy(max_retries=0)))
    async with new_rig(database, recover=True) as after:
        (execution,) = await after.history()
        assert (execution.state, execution.failure_kind) == (State.FAILED, FailureKind.LEASE_LOST)


async def test_what_no_lease_covers_is_taken_over(rig: Rig):
    """A lease that was renewed since it was read is not ended; one that was not is, with what ran under it."""
    await claimed(rig)
    await rig.hold_lease("another")
    await rig.store.take_over({"another": 0}, now=rig.clock.now())
    assert await rig.states() == (["RUNNING"] if rig.store.is_shared else ["PENDING"])
    await rig.store.take_over({"another": 1}, now=rig.clock.now())
    (execution,) = await rig.history()
    assert (execution.state, execution.failed_attempts[0].failure_kind) == (State.PENDING, FailureKind.LEASE_LOST)


async def test_a_zombies_record_is_refused(rig: Rig):
    """After the rescue the old owner's success is not written; the retry's is."""
    claim = await claimed(rig)
    await rig.store.rescue(now=rig.clock.now())
    await rig.skip(1)
    assert await rig.store.record([outcome(claim, rig)]) == (None,)
    assert await rig.states() == ["SUCCEEDED"]


async def test_a_repeated_record_is_recognised_as_done(rig: Rig):
    """The second report of the same attempt changes nothing and answers with the row."""
    claim = await claimed(rig)
    (first,) = await rig.store.record([outcome(claim, rig, result={"n": 1})])
    (second,) = await rig.store.record([outcome(claim, rig, result={"n": 2})])
    assert first is not None
    assert second is not None
    assert second.result == first.result == {"n": 1}
    assert (await rig.service.get_task("task")).stats.success_count == 1


async def test_nobody_else_may_run_it_so_nothing_ends(database: Path, gate, monkeypatch):
    """A file has one server: while it is away for minutes what runs goes on, and its result is kept and recorded."""
    held = gate("long")
    async with new_rig(database) as rig:
        await rig.register("task", "@manual", payload={"gate": "long"}, policy=Policy(timeout=timedelta(hours=1)))
        await rig.service.run_now("task", detach=True)
        running = asyncio.create_task(rig.engine.run())
        while not held.entered:
            await rig.clock.advance(0.01)

        async def away(*_, **__):
            raise DatabaseUnavailable("away")

        for operation in ("look", "claim", "record", "recover_own", "cancel_requests", "note_overdue"):
            monkeypatch.setattr(rig.store, operation, away)
        await rig.clock.advance(300)
        held.opened.set()
        await rig.clock.advance(300)
        assert not held.entered[0].cancelled.is_set()
        monkeypatch.undo()
        rig.engine.stop()
        await rig.until_done(running)
        (execution,) = await rig.history()
        assert (execution.state, execution.attempt, len(held.entered)) == (State.SUCCEEDED, 1, 1)
    assert check(database, at_rest=True) == []


async def test_own_rows_that_one_does_not_hold_are_handed_back(rig: Rig):
    """A claim that got lost on its way back is PENDING again after 10 s, at no cost."""
    owner = rig.engine._upkeep._owner
    await claimed(rig, owner=owner)
    await rig.clock.advance(9)
    await rig.engine._upkeep.go_round()
    assert await rig.states() == ["RUNNING"]
    await rig.clock.advance(2)
    await rig.engine._upkeep.go_round()
    (execution,) = await rig.history()
    assert (execution.state, execution.attempt, execution.hand_backs) == (State.PENDING, 0, 1)


@pytest.mark.parametrize(("retries", "state"), [(0, State.FAILED), (1, State.PENDING)])
async def test_what_began_and_could_not_be_recorded_is_lost(rig: Rig, gate, monkeypatch, retries, state):
    """Nothing that is said of it can be written, not even that it failed: it counts as an attempt, for it ran."""
    held = gate("unrecorded")
    held.opened.set()

    async def faulty(_):
        raise ZeroDivisionError

    policy = Policy(retry=RetryPolicy(max_retries=retries))
    await rig.register("task", "@manual", payload={"gate": "unrecorded"}, policy=policy)
    await rig.service.run_now("task", detach=True)
    monkeypatch.setattr(rig.store, "record", faulty)
    await rig.engine.tick()
    await rig.clock.advance(5)
    await rig.engine.idle()
    monkeypatch.undo()
    await rig.clock.advance(11)
    await rig.engine._upkeep.go_round()
    (execution,) = await rig.history()
    assert (execution.state, [attempt.failure_kind for attempt in execution.failed_attempts]) == (
        state,
        [FailureKind.LEASE_LOST],
    )


@pytest.mark.parametrize("began", [True, False])
async def test_without_retries_a_handler_is_not_called_a_second_time(rig: Rig, began: bool):
    """What is handed back after it began is lost; a claim that never called its handler costs nothing."""
    claim = await claimed(rig, policy=Policy(retry=RetryPolicy(max_retries=0)))
    now = rig.clock.now()
    report = HandBack(execution_id=claim.execution.id, lease_token=claim.lease_token, time=now, began=began)
    (execution,) = await rig.store.record([report])
    assert execution is not None
    assert (execution.state, execution.failure_kind) == (
        (State.FAILED, FailureKind.LEASE_LOST) if began else (State.PENDING, None)
    )


async def test_a_claim_on_its_way_is_not_handed_back(rig: Rig, gate, monkeypatch):
    """Its commit took 15 s (a disk that stood still, a stopped process), and a round comes before it is known."""
    held = gate("slow commit")
    claim = rig.store.claim
    beats: list[asyncio.Task[None]] = []

    async def slow(request):
        claims = await claim(request)
        await rig.clock.advance(15)
        beats.append(asyncio.create_task(rig.engine._upkeep.go_round()))
        for _ in range(3):
            await rig.written()
        return claims

    await rig.register("task", "@manual", payload={"gate": "slow commit"})
    await rig.service.run_now("task", detach=True)
    monkeypatch.setattr(rig.store, "claim", slow)
    await rig.engine.tick()
    monkeypatch.undo()
    await asyncio.gather(*beats, held.came.wait())
    assert await rig.states() == ["RUNNING"]
    await rig.engine.tick()
    held.opened.set()
    await rig.engine.idle()
    assert len(held.entered) == 1
    assert await rig.states() == ["SUCCEEDED"]


async def test_the_twenty_first_hand_back_counts_as_a_failure(rig: Rig):
    """A row that only ever comes back is failing: then its retry policy decides."""
    claim = await claimed(rig)
    for number in range(21):
        report = HandBack(execution_id=claim.execution.id, lease_token=claim.lease_token, time=rig.clock.now())
        (execution,) = await rig.store.record([report])
        assert execution is not None
        if number < 20:
            (claim,) = await rig.claim("another")
    assert execution.hand_backs == 20
    assert [attempt.failure_kind for attempt in execution.failed_attempts] == [FailureKind.LEASE_LOST]


async def test_a_result_is_kept_while_the_database_is_away(rig: Rig, monkeypatch):
    """The write is refused twice: the result is written when the database is back."""
    record, refusals = rig.store.record, [1, 2]

    async def refusing(reports):
        if refusals:
            refusals.pop()
            raise DatabaseUnavailable("away")
        return await record(reports)

    monkeypatch.setattr(rig.store, "record", refusing)
    await rig.register("task", "@manual")
    await rig.service.run_now("task", detach=True)
    await rig.engine.tick()
    while refusals:
        await rig.clock.advance(1)
    await rig.clock.advance(1)
    await rig.engine.idle()
    assert await rig.states() == ["SUCCEEDED"]


@pytest.mark.parametrize(("faults", "state"), [(1, State.SUCCEEDED), (3, State.FAILED)])
async def test_a_result_that_we_cannot_write_is_no_reason_to_run_again(rig: Rig, gate, monkeypatch, faults, state):
    """A fault of ours while recording: tried again, and in the end told as a failure; the handler ran once."""
    held = gate("once")
    held.opened.set()
    record, left = rig.store.record, list(range(faults))

    async def faulty(reports):
        if left:
            left.pop()
            raise ZeroDivisionError
        return await record(reports)

    monkeypatch.setattr(rig.store, "record", faulty)
    await rig.register("task", "@manual", payload={"gate": "once"})
    await rig.service.run_now("task", detach=True)
    await rig.engine.tick()
    while left:
        await rig.clock.advance(1)
    await rig.clock.advance(1)
    await rig.engine.idle()
    await rig.skip(60)
    (execution,) = await rig.history()
    assert execution.state is state
    assert execution.error in {None, "What the handler said could not be recorded (ZeroDivisionError)"}
    assert len(held.entered) == 1


@pytest.mark.slow
async def test_the_loop_outlives_a_database_that_goes_away(rig: Rig, monkeypatch):
    """While looking fails, health says so; afterwards the task fires and health is well."""
    await rig.register()
    look, away = rig.store.look, [True]

    async def looking(*arguments, **options):
        if away:
            raise DatabaseUnavailable("away")
        return await look(*arguments, **options)

    monkeypatch.setattr(rig.store, "look", looking)
    running = asyncio.create_task(rig.engine.run())
    await rig.clock.advance(3600)
    assert "away" in rig.engine.troubles()[0]
    assert "the database does not answer, or takes no writes" in rig.engine.unready()
    away.clear()
    while await rig.states() != ["SUCCEEDED"]:
        await rig.clock.advance(0.5)
    assert rig.engine.troubles() == rig.engine.unready() == ()
    rig.engine.stop()
    await rig.until_done(running)


async def test_one_task_that_cannot_be_planned_keeps_no_other_from_firing(rig: Rig, monkeypatch):
    """A fault in one task's planning is logged; the others fire."""
    await rig.register("broken")
    await rig.register("whole")
    plan = loop.plan

    def planning(task, now):
        if task.name == "broken":
            raise ZeroDivisionError
        return plan(task, now)

    monkeypatch.setattr(loop, "plan", planning)
    await rig.clock.advance(3600)
    await rig.engine.tick()
    await rig.engine.tick()
    await rig.engine.idle()
    assert await rig.states("whole") == ["SUCCEEDED"]
    monkeypatch.undo()


async def test_a_round_that_fails_is_tried_again_each_second(rig: Rig, monkeypatch):
    """Not at once, which would starve everything else in the event loop, and not only after ten seconds."""
    tries = []

    async def away():
        tries.append(rig.clock.now())
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(rig.engine._upkeep, "go_round", away)
    finished = asyncio.Event()
    beating = asyncio.create_task(rig.engine._upkeep.run(finished))
    await rig.clock.advance(5)
    finished.set()
    await rig.clock.advance(1)
    await beating
    assert 5 <= len(tries) <= 7
