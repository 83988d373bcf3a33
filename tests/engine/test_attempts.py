"""One execution over its attempts: retries, timeouts, handlers that misbehave."""

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs
from support.rigs.rig import Rig, at

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.execution import Execution, State
from schedule_grpc.domain.retry import FailureKind, RetryPolicy
from schedule_grpc.domain.task import Policy
from schedule_grpc.handlers.perform import GRACE, TIMEOUT_ERROR


async def started(rig: Rig, name: str = "task", **changes):
    """Register a task, run it by hand, and return the execution once it is RUNNING."""
    await rig.register(name, "@manual", **changes)
    execution = await rig.service.run_now(name, detach=True)
    await rig.engine.tick()
    await rig.clock.advance(0)
    return execution


async def only(rig: Rig, name: str = "task"):
    """Return the one execution of a task."""
    (execution,) = await rig.history(name)
    return execution


async def waited_for(rig: Rig) -> "asyncio.Task[Execution]":
    """Return a call that runs a task, and waits for the end of what it has recorded."""
    call = asyncio.create_task(rig.service.run_now("task"))
    while not await rig.history():
        await rig.clock.advance(0)
    await rig.clock.advance(0)
    return call


async def test_failing_twice_then_succeeding_is_one_execution_with_three_attempts(rig: Rig):
    """Attempts start at 0, 1 and 3 s: retries come 1 s and 2 s after each end."""
    await started(rig, payload={"fate": "fail-at-first", "times": 2})
    await rig.engine.idle()
    for _ in range(3):
        await rig.skip(1)
    execution = await only(rig)
    assert execution.state is State.SUCCEEDED
    assert execution.attempt == 3
    assert [attempt.start_time for attempt in execution.failed_attempts] == [
        at("2026-01-31T10:00"),
        at("2026-01-31T10:00:01"),
    ]
    assert execution.attempt_start_time == at("2026-01-31T10:00:03")
    assert [attempt.error for attempt in execution.failed_attempts] == [
        "ValueError: attempt 1",
        "ValueError: attempt 2",
    ]
    assert execution.error is None


async def test_success_false_is_a_failure_and_is_retried_one_two_and_four_seconds_apart(rig: Rig):
    """Four attempts in all, then FAILED with the returned error, the returned value kept."""
    await started(rig, payload={"fate": "false"})
    await rig.engine.idle()
    for _ in range(7):
        await rig.skip(1)
    execution = await only(rig)
    starts = [attempt.start_time for attempt in execution.failed_attempts]
    assert [start - starts[0] for start in starts] == [timedelta(seconds=seconds) for seconds in (0, 1, 3, 7)]
    assert (execution.state, execution.failure_kind, execution.error) == (State.FAILED, FailureKind.ERROR, "said so")
    assert execution.result == {"success": False, "error": "said so"}
    stats = (await rig.service.get_task("task")).stats
    assert (stats.failure_count, stats.consecutive_failures) == (1, 1)


async def test_between_two_attempts_the_execution_waits_with_its_error(rig: Rig):
    """PENDING, not ended, available at the end of its backoff."""
    await started(rig, payload={"fate": "raise"})
    await rig.engine.idle()
    execution = await only(rig)
    assert (execution.state, execution.error) == (State.PENDING, "ValueError: as asked")
    assert execution.available_time == at("2026-01-31T10:00:01")


@pytest.mark.parametrize(
    ("fate", "kind", "error"),
    [
        ("raise", FailureKind.ERROR, "ValueError: as asked"),
        ("exit", FailureKind.ERROR, "SystemExit: 3"),
        ("not-json", FailureKind.ERROR, "The handler returned what is not JSON: .when: object is not JSON"),
        ("reject", FailureKind.REJECTED, "no use"),
    ],
)
async def test_a_handlers_failure_ends_as_its_kind(rig: Rig, fate: str, kind: FailureKind, error: str):
    """Each way to fail has its kind and says what happened; the server goes on."""
    await started(rig, payload={"fate": fate}, policy=Policy(retry=RetryPolicy(max_retries=0)))
    await rig.engine.idle()
    execution = await only(rig)
    assert (execution.state, execution.failure_kind, execution.error) == (State.FAILED, kind, error)


async def test_a_rejected_execution_is_not_retried(rig: Rig):
    """PermanentFailure ends it at the first attempt, whatever the policy grants."""
    await started(rig, payload={"fate": "reject"})
    await rig.engine.idle()
    assert (await only(rig)).attempt == 1


async def test_a_timeout_stops_the_handler_and_is_retried(rig: Rig, gate):
    """29 s after its start the handler is cancelled; the retry comes a second later and succeeds."""
    held = gate("slow")
    await started(rig, payload={"gate": "slow"})
    await held.came.wait()
    await rig.clock.advance(29)
    await rig.engine.idle()
    execution = await only(rig)
    assert (execution.state, execution.error) == (State.PENDING, TIMEOUT_ERROR)
    assert execution.failed_attempts[0].failure_kind is FailureKind.TIMEOUT
    assert execution.failed_attempts[0].duration == timedelta(seconds=29)
    held.opened.set()
    await rig.skip(1)
    assert (await only(rig)).state is State.SUCCEEDED


async def test_a_handler_that_ignores_cancellation_ends_without_a_retry(rig: Rig, gate):
    """After the grace of 10 s the execution is FAILED/TIMEOUT: no second attempt may run beside the first."""
    held = gate("stubborn")
    await started(rig, handler="stubborn", payload={"gate": "stubborn"})
    await held.came.wait()
    await rig.clock.advance(29)
    assert (await only(rig)).state is State.RUNNING
    await rig.clock.advance(GRACE)
    await rig.engine.idle()
    execution = await only(rig)
    assert (execution.state, execution.failure_kind, execution.attempt) == (State.FAILED, FailureKind.TIMEOUT, 1)
    held.opened.set()


async def test_a_handler_that_stops_late_is_retried_after_it_stopped(rig: Rig, gate):
    """It takes 4 s of its grace: the retry's backoff counts from its real end."""
    held = gate("late")
    await started(rig, handler="stubborn", payload={"gate": "late"})
    await held.came.wait()
    await rig.clock.advance(29 + 4)
    held.opened.set()
    await rig.engine.idle()
    execution = await only(rig)
    assert execution.state is State.PENDING
    assert execution.available_time == at("2026-01-31T10:00:34")


async def test_a_sync_handler_is_asked_to_stop_through_its_event(rig: Rig):
    """A thread that heeds ctx.cancelled ends within its grace and counts as TIMEOUT."""
    await started(rig, handler="in-thread")
    await rig.clock.advance(29)
    await rig.engine.idle()
    execution = await only(rig)
    assert execution.failed_attempts[0].failure_kind is FailureKind.TIMEOUT


async def test_draining_lets_running_work_end(rig: Rig, gate):
    """A stopped engine starts nothing more and waits for what runs."""
    held = gate("work")
    await started(rig, payload={"gate": "work"})
    await held.came.wait()
    running = asyncio.create_task(rig.engine.run())
    await rig.clock.advance(0)
    rig.engine.stop()
    await rig.register("late", "@manual")
    await rig.service.run_now("late", detach=True)
    await rig.clock.advance(1)
    assert not running.done()
    held.opened.set()
    await rig.until_done(running)
    assert (await rig.states(), await rig.states("late")) == (["SUCCEEDED"], ["PENDING"])


async def test_what_does_not_end_in_time_is_handed_back(rig: Rig, gate):
    """After the drain timeout the handler is cancelled: PENDING again, with no attempt used, and none called failed."""
    rig.engine._drain_timeout = timedelta(seconds=3)
    held = gate("long")
    await started(rig, payload={"gate": "long"}, policy=Policy(timeout=timedelta(hours=1)))
    await held.came.wait()
    with capture_logs() as lines:
        running = asyncio.create_task(rig.engine.run())
        await rig.clock.advance(0)
        rig.engine.stop()
        await rig.until_done(running)
    execution = await only(rig)
    assert (execution.state, execution.attempt, execution.hand_backs) == (State.PENDING, 0, 1)
    assert [(line["event"], line["execution"]) for line in lines] == [("execution.handed_back", execution.id)]


async def test_a_second_stop_does_not_wait(rig: Rig, gate):
    """Stopping twice asks running work to stop at once."""
    held = gate("long")
    await started(rig, payload={"gate": "long"})
    await held.came.wait()
    running = asyncio.create_task(rig.engine.run())
    await rig.clock.advance(0)
    rig.engine.stop()
    rig.engine.stop()
    await running
    assert (await only(rig)).state is State.PENDING


async def test_concurrency_is_bounded(rig: Rig, gate):
    """With 100 slots and 120 manual runs, 100 run and 20 wait; each end lets another start."""
    held = gate("many")
    for number in range(120):
        await rig.register(f"t{number}", "@manual", payload={"gate": "many"})
        await rig.service.run_now(f"t{number}", detach=True)
    while await rig.engine.tick():
        pass
    states = [state for number in range(120) for state in await rig.states(f"t{number}")]
    assert (states.count("RUNNING"), states.count("PENDING")) == (100, 20)
    held.opened.set()
    await rig.tick()
    states = [state for number in range(120) for state in await rig.states(f"t{number}")]
    assert states == ["SUCCEEDED"] * 120


async def test_one_greedy_handler_leaves_slots_for_another(rig: Rig, gate):
    """While another handler waits, one gets at most 80 of 100 slots."""
    held = gate("greedy")
    for number in range(120):
        await rig.register(f"t{number}", "@manual", payload={"gate": "greedy"})
        await rig.service.run_now(f"t{number}", detach=True)
    await rig.register("other", "@manual", handler="in-thread")
    await rig.service.run_now("other", detach=True)
    await rig.engine.tick()
    states = [state for number in range(120) for state in await rig.states(f"t{number}")]
    assert states.count("RUNNING") == 80
    assert await rig.states("other") == ["RUNNING"]
    held.opened.set()
    await rig.clock.advance(29)
    await rig.tick()


async def test_who_waits_for_a_run_is_answered_with_its_end_as_it_is_recorded(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
):
    """Nothing is read for it, nor is the clock asked: the end is told, before the caller waits too."""
    await rig.register("task", "@manual")
    call = await waited_for(rig)
    with monkeypatch.context() as patched:
        patched.setattr(type(rig.store), "find_execution", lambda *_: pytest.fail("it was read"))
        await rig.tick()
        execution = await call
    assert execution.state is State.SUCCEEDED
    assert execution == await rig.store.find_execution(DEFAULT_NAMESPACE, execution.id)
    before = rig.clock.monotonic()
    again = await rig.service._wait_for_end(replace(execution, state=State.PENDING))
    assert (again, rig.clock.monotonic()) == (execution, before)


async def test_who_is_woken_for_nothing_waits_again(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """Other servers were not heard for a while: the row is read once, and again a second later."""
    await rig.register("task", "@manual")
    call = await waited_for(rig)
    read: list[str] = []
    real = rig.store.find_execution

    async def reading(namespace: str, execution_id: str) -> Execution | None:
        read.append(execution_id)
        return await real(namespace, execution_id)

    monkeypatch.setattr(rig.store, "find_execution", reading)
    rig.hub.gap()
    for _ in range(20):
        await rig.history()
    assert len(read) == 1
    await rig.tick()
    assert (await call).state is State.SUCCEEDED


async def test_run_now_waits_over_all_attempts(rig: Rig):
    """The waiting call is answered at the end, after the retries."""
    await rig.register("task", "@manual", payload={"fate": "fail-at-first", "times": 1})
    call = asyncio.create_task(rig.service.run_now("task"))
    running = asyncio.create_task(rig.engine.run())
    while not call.done():
        await rig.clock.advance(0.1)
        await rig.engine.idle()
    execution = await call
    assert (execution.state, execution.attempt) == (State.SUCCEEDED, 2)
    rig.engine.stop()
    await rig.until_done(running)


async def test_a_changed_task_is_used_from_the_next_attempt_on(rig: Rig):
    """Between two attempts the payload is changed: the retry runs with the new one and records the new revision."""
    await started(rig, payload={"fate": "raise"})
    await rig.engine.idle()
    changed = await rig.register("task", "@manual", payload={"fate": "succeed"})
    await rig.skip(1)
    execution = await only(rig)
    assert (execution.state, execution.revision) == (State.SUCCEEDED, changed.revision)


async def test_a_manual_payload_stays(rig: Rig):
    """What was handed to the run is used, not the task's, over all attempts."""
    await rig.register("task", "@manual", payload={"fate": "raise"})
    await rig.service.run_now("task", detach=True, payload={"fate": "succeed", "mine": 1})
    await rig.tick()
    execution = await only(rig)
    assert execution.result == {"success": True, "seen": {"fate": "succeed", "mine": 1}}


async def test_what_nobody_starts_ends_missed(rig: Rig):
    """A handler that nobody offers: after the start deadline of an hour the row is MISSED/START_DEADLINE."""
    await rig.register("task", "0 11 * * *", handler="nobody", allow_unknown_handler=True)
    await rig.skip(3600)
    assert await rig.states() == ["PENDING"]
    await rig.skip(3600)
    execution = await only(rig)
    assert (execution.state, execution.reason) == (State.MISSED, "START_DEADLINE")


async def test_an_attempt_that_cannot_be_begun_touches_no_other(rig: Rig, monkeypatch):
    """A fault of ours as it is begun: those claimed with it run, its slot is free, and upkeep finds its row."""
    place, begun = rig.engine._runner._place, []

    class Faulty:
        env = place.env

        def begin(self, function, ctx):
            begun.append(ctx.execution_id)
            if len(begun) == 1:
                raise ZeroDivisionError
            return place.begin(function, ctx)

    monkeypatch.setattr(rig.engine._runner, "_place", Faulty())
    policy = Policy(retry=RetryPolicy(max_retries=0))
    for name in "ab":
        await rig.register(name, "@manual", policy=policy)
        await rig.service.run_now(name, detach=True)
    with capture_logs() as lines:
        await rig.tick()
    assert [(line["event"], line["execution"]) for line in lines] == [("execution.not_recorded", begun[0])]
    assert (rig.engine.running, rig.engine._runner.running_by_handler()) == (0, {})
    assert sorted([*await rig.states("a"), *await rig.states("b")]) == ["RUNNING", "SUCCEEDED"]
    await rig.clock.advance(60)
    await rig.engine._upkeep.go_round()
    assert sorted([*await rig.states("a"), *await rig.states("b")]) == ["FAILED", "SUCCEEDED"]
