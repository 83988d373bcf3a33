"""One execution over its attempts: retries, timeouts, handlers that misbehave."""

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs
from support.rigs.rig import Rig, at

from schedule_grpc.domain.execution import Execution, State
from schedule_grpc.domain.retry import FailureKind, RetryPolicy
from schedule_grpc.domain.task import Policy
from schedule_grpc.handlers.perform import GRACE, TIMEOUT_ERROR


async def started(service: Rig, name: str = "task", **changes):
    """Register a task, run it by hand, and return the execution once it is RUNNING."""
    await service.register(name, "@manual", **changes)
    execution = await service.service.run_now(name, detach=True)
    await service.engine.tick()
    await service.clock.advance(0)
    return execution


async def only(service: Rig, name: str = "task"):
    """Return the one execution of a task."""
    (execution,) = await service.history(name)
    return execution


async def waited_for(service: Rig) -> "asyncio.Task[Execution]":
    """Return a call that runs a task, and waits for the end of what it has recorded."""
    call = asyncio.create_task(service.service.run_now("task"))
    while not await service.history():
        await service.clock.advance(0)
    await service.clock.advance(0)
    return call


async def test_failing_twice_then_succeeding_is_one_execution_with_three_attempts(service: Rig):
    """Attempts start at 0, 1 and 3 s: retries come 1 s and 2 s after each end."""
    await started(service, payload={"fate": "fail-at-first", "times": 2})
    await service.engine.idle()
    for _ in range(3):
        await service.advance(1)
    execution = await only(service)
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


async def test_success_false_is_a_failure_and_is_retried_one_two_and_four_seconds_apart(service: Rig):
    """Four attempts in all, then FAILED with the returned error, the returned value kept."""
    await started(service, payload={"fate": "false"})
    await service.engine.idle()
    for _ in range(7):
        await service.advance(1)
    execution = await only(service)
    starts = [attempt.start_time for attempt in execution.failed_attempts]
    assert [start - starts[0] for start in starts] == [timedelta(seconds=seconds) for seconds in (0, 1, 3, 7)]
    assert (execution.state, execution.failure_kind, execution.error) == (State.FAILED, FailureKind.ERROR, "said so")
    assert execution.result == {"success": False, "error": "said so"}
    stats = (await service.service.get_task("task")).stats
    assert (stats.failure_count, stats.consecutive_failures) == (1, 1)


async def test_between_two_attempts_the_execution_waits_with_its_error(service: Rig):
    """PENDING, not ended, available at the end of its backoff."""
    await started(service, payload={"fate": "raise"})
    await service.engine.idle()
    execution = await only(service)
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
async def test_a_handlers_failure_ends_as_its_kind(service: Rig, fate: str, kind: FailureKind, error: str):
    """Each way to fail has its kind and says what happened; the server goes on."""
    await started(service, payload={"fate": fate}, policy=Policy(retry=RetryPolicy(max_retries=0)))
    await service.engine.idle()
    execution = await only(service)
    assert (execution.state, execution.failure_kind, execution.error) == (State.FAILED, kind, error)


async def test_a_rejected_execution_is_not_retried(service: Rig):
    """PermanentFailure ends it at the first attempt, whatever the policy grants."""
    await started(service, payload={"fate": "reject"})
    await service.engine.idle()
    assert (await only(service)).attempt == 1


async def test_a_timeout_stops_the_handler_and_is_retried(service: Rig, gate):
    """29 s after its start the handler is cancelled; the retry comes a second later and succeeds."""
    held = gate("slow")
    await started(service, payload={"gate": "slow"})
    await held.came.wait()
    await service.clock.advance(29)
    await service.engine.idle()
    execution = await only(service)
    assert (execution.state, execution.error) == (State.PENDING, TIMEOUT_ERROR)
    assert execution.failed_attempts[0].failure_kind is FailureKind.TIMEOUT
    assert execution.failed_attempts[0].duration == timedelta(seconds=29)
    held.opened.set()
    await service.advance(1)
    assert (await only(service)).state is State.SUCCEEDED


async def test_a_handler_that_ignores_cancellation_ends_without_a_retry(service: Rig, gate):
    """After the grace of 10 s the execution is FAILED/TIMEOUT: no second attempt may run beside the first."""
    held = gate("stubborn")
    await started(service, handler="stubborn", payload={"gate": "stubborn"})
    await held.came.wait()
    await service.clock.advance(29)
    assert (await only(service)).state is State.RUNNING
    await service.clock.advance(GRACE)
    await service.engine.idle()
    execution = await only(service)
    assert (execution.state, execution.failure_kind, execution.attempt) == (State.FAILED, FailureKind.TIMEOUT, 1)
    held.opened.set()


async def test_a_handler_that_stops_late_is_retried_after_it_stopped(service: Rig, gate):
    """It takes 4 s of its grace: the retry's backoff counts from its real end."""
    held = gate("late")
    await started(service, handler="stubborn", payload={"gate": "late"})
    await held.came.wait()
    await service.clock.advance(29 + 4)
    held.opened.set()
    await service.engine.idle()
    execution = await only(service)
    assert execution.state is State.PENDING
    assert execution.available_time == at("2026-01-31T10:00:34")


async def test_a_sync_handler_is_asked_to_stop_through_its_event(service: Rig):
    """A thread that heeds ctx.cancelled ends within its grace and counts as TIMEOUT."""
    await started(service, handler="in-thread")
    await service.clock.advance(29)
    await service.engine.idle()
    execution = await only(service)
    assert execution.failed_attempts[0].failure_kind is FailureKind.TIMEOUT


async def test_draining_lets_running_work_end(service: Rig, gate):
    """A stopped engine starts nothing more and waits for what runs."""
    held = gate("work")
    await started(service, payload={"gate": "work"})
    await held.came.wait()
    running = asyncio.create_task(service.engine.run())
    await service.clock.advance(0)
    service.engine.stop()
    await service.register("late", "@manual")
    await service.service.run_now("late", detach=True)
    await service.clock.advance(1)
    assert not running.done()
    held.opened.set()
    await service.until_done(running)
    assert (await service.states(), await service.states("late")) == (["SUCCEEDED"], ["PENDING"])


async def test_what_does_not_end_in_time_is_handed_back(service: Rig, gate):
    """After the drain timeout the handler is cancelled: PENDING again, with no attempt used, and none called failed."""
    service.engine._drain_timeout = timedelta(seconds=3)
    held = gate("long")
    await started(service, payload={"gate": "long"}, policy=Policy(timeout=timedelta(hours=1)))
    await held.came.wait()
    with capture_logs() as lines:
        running = asyncio.create_task(service.engine.run())
        await service.clock.advance(0)
        service.engine.stop()
        await service.until_done(running)
    execution = await only(service)
    assert (execution.state, execution.attempt, execution.hand_backs) == (State.PENDING, 0, 1)
    assert [(line["event"], line["execution"]) for line in lines] == [("execution.handed_back", execution.id)]


async def test_a_second_stop_does_not_wait(service: Rig, gate):
    """Stopping twice asks running work to stop at once."""
    held = gate("long")
    await started(service, payload={"gate": "long"})
    await held.came.wait()
    running = asyncio.create_task(service.engine.run())
    await service.clock.advance(0)
    service.engine.stop()
    service.engine.stop()
    await running
    assert (await only(service)).state is State.PENDING


async def test_concurrency_is_bounded(service: Rig, gate):
    """With 100 slots and 120 manual runs, 100 run and 20 wait; each end lets another start."""
    held = gate("many")
    for number in range(120):
        await service.register(f"t{number}", "@manual", payload={"gate": "many"})
        await service.service.run_now(f"t{number}", detach=True)
    while await service.engine.tick():
        pass
    states = [state for number in range(120) for state in await service.states(f"t{number}")]
    assert (states.count("RUNNING"), states.count("PENDING")) == (100, 20)
    held.opened.set()
    await service.work()
    states = [state for number in range(120) for state in await service.states(f"t{number}")]
    assert states == ["SUCCEEDED"] * 120


async def test_one_greedy_handler_leaves_slots_for_another(service: Rig, gate):
    """While another handler waits, one gets at most 80 of 100 slots."""
    held = gate("greedy")
    for number in range(120):
        await service.register(f"t{number}", "@manual", payload={"gate": "greedy"})
        await service.service.run_now(f"t{number}", detach=True)
    await service.register("other", "@manual", handler="in-thread")
    await service.service.run_now("other", detach=True)
    await service.engine.tick()
    states = [state for number in range(120) for state in await service.states(f"t{number}")]
    assert states.count("RUNNING") == 80
    assert await service.states("other") == ["RUNNING"]
    held.opened.set()
    await service.clock.advance(29)
    await service.work()


async def test_who_waits_for_a_run_is_answered_with_its_end_as_it_is_recorded(
    service: Rig, monkeypatch: pytest.MonkeyPatch
):
    """Nothing is read for it, nor is the clock asked: the end is told, before the caller waits too."""
    await service.register("task", "@manual")
    call = await waited_for(service)
    with monkeypatch.context() as patched:
        patched.setattr(type(service.store), "find_execution", lambda *_: pytest.fail("it was read"))
        await service.work()
        execution = await call
    assert execution.state is State.SUCCEEDED
    assert execution == await service.store.find_execution(execution.id)
    before = service.clock.monotonic()
    again = await service.service._ended(replace(execution, state=State.PENDING))
    assert (again, service.clock.monotonic()) == (execution, before)


async def test_who_is_woken_for_nothing_waits_again(service: Rig, monkeypatch: pytest.MonkeyPatch):
    """Other servers were not heard for a while: the row is read once, and again a second later."""
    await service.register("task", "@manual")
    call = await waited_for(service)
    read: list[str] = []
    real = service.store.find_execution

    async def reading(execution_id: str) -> Execution | None:
        read.append(execution_id)
        return await real(execution_id)

    monkeypatch.setattr(service.store, "find_execution", reading)
    service.hub.gap()
    for _ in range(20):
        await service.history()
    assert len(read) == 1
    await service.work()
    assert (await call).state is State.SUCCEEDED


async def test_run_now_waits_over_all_attempts(service: Rig):
    """The waiting call is answered at the end, after the retries."""
    await service.register("task", "@manual", payload={"fate": "fail-at-first", "times": 1})
    call = asyncio.create_task(service.service.run_now("task"))
    running = asyncio.create_task(service.engine.run())
    while not call.done():
        await service.clock.advance(0.1)
        await service.engine.idle()
    execution = await call
    assert (execution.state, execution.attempt) == (State.SUCCEEDED, 2)
    service.engine.stop()
    await service.until_done(running)


async def test_a_changed_task_is_used_from_the_next_attempt_on(service: Rig):
    """Between two attempts the payload is changed: the retry runs with the new one and records the new revision."""
    await started(service, payload={"fate": "raise"})
    await service.engine.idle()
    changed = await service.register("task", "@manual", payload={"fate": "succeed"})
    await service.advance(1)
    execution = await only(service)
    assert (execution.state, execution.revision) == (State.SUCCEEDED, changed.revision)


async def test_a_manual_payload_stays(service: Rig):
    """What was handed to the run is used, not the task's, over all attempts."""
    await service.register("task", "@manual", payload={"fate": "raise"})
    await service.service.run_now("task", detach=True, payload={"fate": "succeed", "mine": 1})
    await service.work()
    execution = await only(service)
    assert execution.result == {"success": True, "seen": {"fate": "succeed", "mine": 1}}


async def test_what_nobody_starts_ends_missed(service: Rig):
    """A handler that nobody offers: after the start deadline of an hour the row is MISSED/START_DEADLINE."""
    await service.register("task", "0 11 * * *", handler="nobody", allow_unknown_handler=True)
    await service.advance(3600)
    assert await service.states() == ["PENDING"]
    await service.advance(3600)
    execution = await only(service)
    assert (execution.state, execution.reason) == (State.MISSED, "START_DEADLINE")


async def test_an_attempt_that_cannot_be_begun_touches_no_other(service: Rig, monkeypatch):
    """A fault of ours as it is begun: those claimed with it run, its slot is free, and upkeep finds its row."""
    place, begun = service.engine._runner._place, []

    class Faulty:
        env = place.env

        def begin(self, function, ctx):
            begun.append(ctx.execution_id)
            if len(begun) == 1:
                raise ZeroDivisionError
            return place.begin(function, ctx)

    monkeypatch.setattr(service.engine._runner, "_place", Faulty())
    policy = Policy(retry=RetryPolicy(max_retries=0))
    for name in "ab":
        await service.register(name, "@manual", policy=policy)
        await service.service.run_now(name, detach=True)
    with capture_logs() as lines:
        await service.work()
    assert [(line["event"], line["execution"]) for line in lines] == [("execution.not_recorded", begun[0])]
    assert (service.engine.running, service.engine._runner.running_by_handler()) == (0, {})
    assert sorted([*await service.states("a"), *await service.states("b")]) == ["RUNNING", "SUCCEEDED"]
    await service.clock.advance(60)
    await service.engine._upkeep.go_round()
    assert sorted([*await service.states("a"), *await service.states("b")]) == ["FAILED", "SUCCEEDED"]
