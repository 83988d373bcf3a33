"""How executions end when somebody wants it: cancelled, disabled, deleted; in every state they can be in."""

from datetime import timedelta

import pytest
from support.rigs.rig import Gates, Rig, at

from schedule_grpc.domain.execution import Execution, Reason, State, Trigger
from schedule_grpc.domain.policy import Overlap, Policy
from schedule_grpc.domain.registration import TaskUpdate
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.engine.runner import Why
from schedule_grpc.errors import ExecutionNotFound
from schedule_grpc.handlers.perform import GRACE

LONG = timedelta(hours=20)


async def started(service: Rig, gates: Gates, **changes) -> Execution:
    """Return an execution whose handler waits at a gate."""
    await service.register("task", "@manual", payload={"gate": "g"}, policy=Policy(timeout=LONG), **changes)
    execution = await service.service.run_now("task", detach=True)
    await service.engine.tick()
    await gates.came.wait()
    return execution


async def beat(service: Rig) -> None:
    """Let a round of upkeep tell the engine what is wanted: here no engine listens to the hub."""
    await service.engine._upkeep.go_round()
    await service.engine.idle()


# -- cancelling


async def test_what_waits_for_a_slot_is_cancelled_at_once(service: Rig):
    """It never ran, and its end is counted neither as a success nor as a failure."""
    await service.register("task", "@manual")
    execution = await service.service.run_now("task", detach=True)
    ended = await service.service.cancel(execution.id, note="enough")
    assert (ended.state, ended.error, ended.start_time) == (State.CANCELLED, "enough", None)
    await service.work()
    stats = (await service.service.get_task("task")).stats
    assert (await service.states(), stats.success_count, stats.failure_count) == (["CANCELLED"], 0, 0)


async def test_what_waits_at_the_gate_is_cancelled_and_the_holder_goes_on(service: Rig, gate):
    """And whoever waited behind it is next."""
    await started(service, gate("g"))
    await service.service.update(TaskUpdate(name="task", fields={}, policy={"overlap": Overlap.BUFFER_ONE}))
    waiting = await service.service.run_now("task", detach=True)
    assert (await service.service.cancel(waiting.id)).state is State.CANCELLED
    gate("g").opened.set()
    await service.work()
    assert await service.states() == ["SUCCEEDED", "CANCELLED"]


async def test_cancelling_the_holder_lets_the_next_one_through(service: Rig):
    """In the same transaction: nobody waits at a gate that nobody holds."""
    await service.register("task", "@manual", policy=Policy(overlap=Overlap.BUFFER_ONE))
    first = await service.service.run_now("task", detach=True)
    await service.service.run_now("task", detach=True)
    await service.service.cancel(first.id)
    await service.work()
    assert await service.states() == ["CANCELLED", "SUCCEEDED"]


async def test_a_retry_that_waits_is_cancelled(service: Rig):
    """Its failed attempt stays."""
    await service.register("task", "@manual", payload={"fate": "raise"})
    execution = await service.service.run_now("task", detach=True)
    await service.work()
    ended = await service.service.cancel(execution.id, note="enough")
    assert (ended.state, ended.error, len(ended.failed_attempts)) == (State.CANCELLED, "enough", 1)


async def test_a_running_handler_is_cancelled(service: Rig, gate):
    """It ends CANCELLED, and not one second earlier than it really stopped."""
    execution = await started(service, gate("g"))
    marked = await service.service.cancel(execution.id, note="enough")
    assert (marked.state, marked.cancel_requested_time) == (State.RUNNING, service.clock.now())
    await beat(service)
    (ended,) = await service.history()
    assert (ended.state, ended.error, ended.failed_attempts) == (State.CANCELLED, "enough", ())


async def test_a_success_that_was_faster_stands(deaf: Rig, gate):
    """It was asked to end, and had ended well."""
    execution = await started(deaf, gate("g"))
    await deaf.service.cancel(execution.id)
    gate("g").opened.set()
    await deaf.engine.idle()
    (ended,) = await deaf.history()
    assert (ended.state, ended.result) == (State.SUCCEEDED, {"success": True, "seen": {"gate": "g"}})


async def test_a_thread_is_told_by_its_event(service: Rig):
    """It returns when it sees it: that is a success; one that raises is cancelled."""
    await service.register("task", "@manual", handler="in-thread", policy=Policy(timeout=LONG))
    execution = await service.service.run_now("task", detach=True)
    await service.engine.tick()
    await service.service.cancel(execution.id)
    await beat(service)
    assert await service.states() == ["SUCCEEDED"]


async def test_a_handler_that_will_not_stop_is_given_up(service: Rig, gate):
    """After ten seconds of grace: CANCELLED, and not tried again."""
    gates = gate("g")
    execution = await started(service, gates, handler="stubborn")
    await service.service.cancel(execution.id, note="enough")
    await service.engine._upkeep.go_round()
    await service.clock.advance(GRACE)
    await service.engine.idle()
    (ended,) = await service.history()
    assert (ended.state, ended.error) == (State.CANCELLED, "enough")
    gates.opened.set()


async def test_a_lost_lease_ends_what_was_to_be_cancelled(service: Rig, gate):
    """The next server does not run it again."""
    execution = await started(service, gate("g"))
    await service.service.cancel(execution.id, note="enough")
    await service.engine._upkeep.rescue_all()  # as at the start of a server that holds its database alone
    assert await service.states() == ["CANCELLED"]
    gate("g").opened.set()
    await service.engine.idle()


async def test_what_is_not_there_cannot_be_cancelled(service: Rig):
    """An id of nobody."""
    with pytest.raises(ExecutionNotFound):
        await service.service.cancel("exec_nobody_1_a")


# -- disabling and deleting


@pytest.fixture
async def crowd(service: Rig, gate) -> tuple[Rig, Gates]:
    """A task with one execution running, and behind it a manual one and a backfill of two that wait."""
    await started(service, gate("g"))
    await service.register(
        "task", "@hourly", payload={"gate": "g"}, policy=Policy(timeout=LONG, overlap=Overlap.BUFFER_ONE)
    )
    await service.service.run_now("task", detach=True)
    await service.service.backfill("task", at("2026-01-30T00:00"), at("2026-01-30T02:00"))
    return service, gate("g")


async def told(service: Rig) -> list[tuple[str, str, str | None]]:
    """Return trigger, state and reason of each execution."""
    return [(each.trigger.value, each.state.value, each.reason) for each in await service.history()]


async def test_disabling_ends_what_never_started_but_not_what_was_asked_for_by_hand(crowd):
    """The running one goes on, the manual one follows it, the backfill is skipped."""
    service, gates = crowd
    await service.service.disable("task")
    skipped = (Trigger.BACKFILL.value, "SKIPPED", Reason.TASK_DISABLED)
    assert (await told(service))[2:] == [skipped, skipped]
    gates.opened.set()
    await service.work()
    assert [state for _, state, _ in await told(service)] == ["SUCCEEDED", "SUCCEEDED", "SKIPPED", "SKIPPED"]


async def test_deleting_ends_everything_that_waits(crowd):
    """The running one may finish."""
    service, gates = crowd
    await service.service.delete("task")
    assert [(state, reason) for _, state, reason in await told(service)] == [
        ("RUNNING", None),
        *[("SKIPPED", Reason.TASK_DELETED)] * 3,
    ]
    gates.opened.set()
    await service.work()
    assert (await service.states())[0] == "SUCCEEDED"


async def test_a_deleted_tasks_retry_is_not_made(service: Rig):
    """It is FAILED, with its last attempt's words."""
    await service.register("task", "@manual", payload={"fate": "raise", "error": "broken"})
    await service.service.run_now("task", detach=True)
    await service.work()
    await service.service.delete("task")
    (ended,) = await service.history()
    assert (ended.state, ended.reason, ended.failure_kind, ended.error) == (
        State.FAILED,
        Reason.TASK_DELETED,
        FailureKind.ERROR,
        "ValueError: broken",
    )


async def test_a_deleted_tasks_running_attempt_fails_for_good(service: Rig, gate):
    """The failure comes after the deletion: there is nothing to try again."""
    held = gate("g")
    await service.register("task", "@manual", payload={"gate": "g", "fate": "raise"}, policy=Policy(timeout=LONG))
    await service.service.run_now("task", detach=True)
    await service.engine.tick()
    await held.came.wait()
    await service.service.delete("task")
    held.opened.set()
    await service.engine.idle()
    (ended,) = await service.history()
    assert (ended.state, ended.reason, ended.attempt) == (State.FAILED, Reason.TASK_DELETED, 1)


async def test_deletion_settles_what_was_due(service: Rig):
    """It is accounted for, and skipped."""
    await service.register("task", "@hourly")
    await service.clock.advance(3 * 3600 + 60)
    await service.service.delete("task")
    (ended,) = await service.history()
    assert (ended.state, ended.reason, ended.scheduled_time) == (
        State.SKIPPED,
        Reason.TASK_DELETED,
        at("2026-01-31T13:00"),
    )
    assert ended.covers is not None
    assert ended.covers.count == 2


async def test_a_recreated_task_begins_anew(service: Rig, gate):
    """The old one's running attempt does not stand in its way."""
    await started(service, gate("g"))
    await service.service.delete("task")
    await service.register("task", "@manual")
    await service.service.run_now("task", detach=True)
    gate("g").opened.set()
    await service.work()
    assert await service.states() == ["SUCCEEDED"]
    assert (await service.service.get_task("task")).stats.success_count == 1


# -- limits


async def test_a_handler_runs_so_many_at_once_as_it_may(service: Rig, gate):
    """The others of it wait; other handlers do not."""
    service.registry._limits["fate"] = 2
    service.engine._loop._limits = service.registry.limits()
    gates = gate("g")
    for name in "abcd":
        await service.register(name, "@manual", payload={"gate": "g"})
        await service.service.run_now(name, detach=True)
    await service.register("other", "@manual", handler="in-thread")
    await service.service.run_now("other", detach=True)
    await service.engine.tick()
    assert service.engine._runner.running_by_handler() == {"fate": 2, "in-thread": 1}
    gates.opened.set()
    (in_thread,) = await service.history("other")
    service.engine._runner.stop(in_thread.id, Why.SHUTDOWN)
    await service.work()
    assert [await service.states(name) for name in "abcd"] == [["SUCCEEDED"]] * 4
