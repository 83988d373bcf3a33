"""What becomes of attempts whose server loses its lease, and of those that would not stop."""

from collections.abc import Mapping
from datetime import timedelta

import pytest
from support.rigs.rig import Rig

from schedule_grpc.domain.execution import State
from schedule_grpc.domain.retry import FailureKind, RetryPolicy
from schedule_grpc.domain.task import Policy
from schedule_grpc.engine.runner import WAIT_FOR_FORMER
from schedule_grpc.handlers.perform import GRACE

LONG = timedelta(hours=1)


class Lost:
    """A lease that a test takes away."""

    holds = True
    term = 0
    first = True
    ended: Mapping[str, int] = {}

    async def take(self) -> None:
        """Hold it already."""


async def lost_lease(rig: Rig, monkeypatch) -> Lost:
    """Give the engine a lease of the test's."""
    await rig.engine._lease.take()
    lease = Lost()
    for part in (rig.engine, rig.engine._runner, rig.engine._loop, rig.engine._upkeep):
        monkeypatch.setattr(part, "_lease", lease)
    return lease


async def test_an_attempt_whose_lease_was_taken_is_stopped_and_records_nothing(rig: Rig, gate, monkeypatch):
    """Another server has it now: the record is refused."""
    held = gate("taken")
    lease = await lost_lease(rig, monkeypatch)
    await rig.register("task", "@manual", payload={"gate": "taken"})
    await rig.service.run_now("task", detach=True)
    await rig.engine.tick()
    await held.came.wait()
    await rig.store.rescue(now=rig.clock.now())
    lease.term += 1
    rig.engine._runner.stop_beyond_lease()
    await rig.engine.idle()
    (execution,) = await rig.history()
    assert (execution.state, len(execution.failed_attempts)) == (State.PENDING, 1)


@pytest.mark.parametrize(("retries", "state"), [(0, State.FAILED), (1, State.PENDING)])
async def test_an_attempt_stops_where_the_lease_is_not_renewed(rig: Rig, gate, monkeypatch, retries, state):
    """It stops before others may take it; it did begin, so it counts, and the policy decides about another one."""
    held = gate("cut off")
    lease = await lost_lease(rig, monkeypatch)
    policy = Policy(timeout=LONG, retry=RetryPolicy(max_retries=retries))
    await rig.register("task", "@manual", payload={"gate": "cut off"}, policy=policy)
    await rig.service.run_now("task", detach=True)
    await rig.engine.tick()
    await held.came.wait()
    lease.holds = False
    rig.engine._runner.stop_beyond_lease()
    await rig.engine.idle()
    assert held.entered[0].cancelled.is_set()
    (execution,) = await rig.history()
    assert execution.state is state
    assert [attempt.failure_kind for attempt in execution.failed_attempts] == [FailureKind.LEASE_LOST]
    assert "could not renew its lease" in execution.failed_attempts[0].error
    assert await rig.engine.tick() is False
    assert "this server holds no lease: nothing starts here" in rig.engine.troubles()
    assert "the server holds no lease" in rig.engine.unready()


async def test_a_success_stands_though_the_lease_did_not(rig: Rig, gate, monkeypatch):
    """Its token still stands in the row: the result is recorded, whatever the clock says, and it runs once."""
    held = gate("obstinate")
    lease = await lost_lease(rig, monkeypatch)
    policy = Policy(timeout=LONG, retry=RetryPolicy(max_retries=0))
    await rig.register("task", "@manual", handler="stubborn", payload={"gate": "obstinate"}, policy=policy)
    await rig.service.run_now("task", detach=True)
    await rig.engine.tick()
    await held.came.wait()
    lease.holds = False
    rig.engine._runner.stop_beyond_lease()
    await rig.clock.advance(1)
    held.opened.set()
    await rig.engine.idle()
    (execution,) = await rig.history()
    assert (execution.state, execution.result, execution.attempt) == (State.SUCCEEDED, "at last", 1)


async def test_what_would_not_stop_counts_while_nobody_has_taken_it(rig: Rig, gate, monkeypatch):
    """The database is away for a minute, and the handler goes on for longer than its grace: its end is recorded."""
    held = gate("patient")
    lease = await lost_lease(rig, monkeypatch)
    policy = Policy(timeout=LONG, retry=RetryPolicy(max_retries=0))
    await rig.register("task", "@manual", handler="stubborn", payload={"gate": "patient"}, policy=policy)
    await rig.service.run_now("task", detach=True)
    await rig.engine.tick()
    await held.came.wait()
    lease.holds = False
    rig.engine._runner.stop_beyond_lease()
    await rig.clock.advance(60)
    assert await rig.states() == ["RUNNING"]
    held.opened.set()
    await rig.engine.idle()
    (execution,) = await rig.history()
    assert (execution.state, execution.result, execution.attempt) == (State.SUCCEEDED, "at last", 1)


async def test_an_abandoned_attempt_is_recorded_as_such(rig: Rig, gate, monkeypatch):
    """It would not stop when the lease was gone, nor in its own time: FAILED, and not tried again beside itself."""
    held = gate("deaf")
    lease = await lost_lease(rig, monkeypatch)
    policy = Policy(timeout=LONG)
    await rig.register("task", "@manual", handler="stubborn", payload={"gate": "deaf"}, policy=policy)
    await rig.service.run_now("task", detach=True)
    await rig.engine.tick()
    await held.came.wait()
    lease.holds = False
    rig.engine._runner.stop_beyond_lease()
    await rig.clock.advance(LONG + GRACE)
    await rig.engine.idle()
    (execution,) = await rig.history()
    assert (execution.state, execution.failure_kind, execution.attempt) == (State.FAILED, FailureKind.TIMEOUT, 1)
    held.opened.set()
    await rig.clock.advance(0)


async def test_a_start_waits_for_what_still_runs_here(rig: Rig, gate, monkeypatch):
    """Abandoned, and taken by another server, which gave it back: here it begins again once the first one has ended."""
    held = gate("twice")
    lease = await lost_lease(rig, monkeypatch)
    await rig.register("task", "@manual", handler="stubborn", payload={"gate": "twice"}, policy=Policy(timeout=LONG))
    await rig.service.run_now("task", detach=True)
    await rig.engine.tick()
    await held.came.wait()
    await rig.store.rescue(now=rig.clock.now())
    lease.term += 1
    rig.engine._runner.stop_beyond_lease()
    await rig.clock.advance(GRACE)
    await rig.engine.idle()  # abandoned, and its record refused
    await rig.engine.tick()
    await rig.clock.advance(WAIT_FOR_FORMER)
    await rig.engine.idle()
    (execution,) = await rig.history()
    assert (execution.state, execution.attempt, execution.hand_backs) == (State.PENDING, 1, 1)
    assert len(held.entered) == 1
    await rig.engine.tick()
    await rig.clock.advance(1)
    held.opened.set()
    await rig.engine.idle()
    assert (await rig.states(), len(held.entered)) == (["SUCCEEDED"], 2)
