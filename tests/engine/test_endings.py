"""How executions end when somebody wants it: cancelled, disabled, deleted; in every state they can be in."""

from datetime import timedelta

import pytest
from support.rigs.rig import Gates, Rig, at, limit

from schedule_grpc.domain.execution import Execution, Reason, State, Trigger
from schedule_grpc.domain.policy import Overlap, Policy
from schedule_grpc.domain.registration import TaskUpdate
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.engine.runner import Why
from schedule_grpc.errors import ExecutionNotFound
from schedule_grpc.handlers.perform import GRACE

LONG = timedelta(hours=20)


async def started(rig: Rig, gates: Gates, **changes) -> Execution:
    """Return an execution whose handler waits at a gate."""
    await rig.register("task", "@manual", payload={"gate": "g"}, policy=Policy(timeout=LONG), **changes)
    execution = await rig.service.run_now("task", detach=True)
    await rig.engine.tick()
    await gates.came.wait()
    return execution


async def beat(rig: Rig) -> None:
    """Let a round of upkeep tell the engine what is wanted: here no engine listens to the hub."""
    await rig.engine._upkeep.go_round()
    await rig.engine.idle()


# -- cancelling


async def test_what_waits_for_a_slot_is_cancelled_at_once(rig: Rig):
    """It never ran, and its end is counted neither as a success nor as a failure."""
    await rig.register("task", "@manual")
    execution = await rig.service.run_now("task", detach=True)
    ended = await rig.service.cancel(execution.id, note="enough")
    assert (ended.state, ended.error, ended.start_time) == (State.CANCELLED, "enough", None)
    await rig.tick()
    stats = (await rig.service.get_task("task")).stats
    assert (await rig.states(), stats.success_count, stats.failure_count) == (["CANCELLED"], 0, 0)


async def test_what_waits_at_the_gate_is_cancelled_and_the_holder_goes_on(rig: Rig, gate):
    """And whoever waited behind it is next."""
    await started(rig, gate("g"))
    await rig.service.update(TaskUpdate(name="task", fields={}, policy={"overlap": Overlap.BUFFER_ONE}))
    waiting = await rig.service.run_now("task", detach=True)
    assert (await rig.service.cancel(waiting.id)).state is State.CANCELLED
    gate("g").opened.set()
    await rig.tick()
    assert await rig.states() == ["SUCCEEDED", "CANCELLED"]


async def test_cancelling_the_holder_lets_the_next_one_through(rig: Rig):
    """In the same transaction: nobody waits at a gate that nobody holds."""
    await rig.register("task", "@manual", policy=Policy(overlap=Overlap.BUFFER_ONE))
    first = await rig.service.run_now("task", detach=True)
    await rig.service.run_now("task", detach=True)
    await rig.service.cancel(first.id)
    await rig.tick()
    assert await rig.states() == ["CANCELLED", "SUCCEEDED"]


async def test_a_retry_that_waits_is_cancelled(rig: Rig):
    """Its failed attempt stays."""
    await rig.register("task", "@manual", payload={"fate": "raise"})
    execution = await rig.service.run_now("task", detach=True)
    await rig.tick()
    ended = await rig.service.cancel(execution.id, note="enough")
    assert (ended.state, ended.error, len(ended.failed_attempts)) == (State.CANCELLED, "enough", 1)


async def test_a_running_handler_is_cancelled(rig: Rig, gate):
    """It ends CANCELLED, and not one second earlier than it really stopped."""
    execution = await started(rig, gate("g"))
    marked = await rig.service.cancel(execution.id, note="enough")
    assert (marked.state, marked.cancel_requested_time) == (State.RUNNING, rig.clock.now())
    await beat(rig)
    (ended,) = await rig.history()
    assert (ended.state, ended.error, ended.failed_attempts) == (State.CANCELLED, "enough", ())


async def test_a_success_that_was_faster_stands(deaf: Rig, gate):
    """It was asked to end, and had ended well."""
    execution = await started(deaf, gate("g"))
    await deaf.service.cancel(execution.id)
    gate("g").opened.set()
    await deaf.engine.idle()
    (ended,) = await deaf.history()
    assert (ended.state, ended.result) == (State.SUCCEEDED, {"success": True, "seen": {"gate": "g"}})


async def test_a_thread_is_told_by_its_event(rig: Rig):
    """It returns when it sees it: that is a success; one that raises is cancelled."""
    await rig.register("task", "@manual", handler="in-thread", policy=Policy(timeout=LONG))
    execution = await rig.service.run_now("task", detach=True)
    await rig.engine.tick()
    await rig.service.cancel(execution.id)
    await beat(rig)
    assert await rig.states() == ["SUCCEEDED"]


async def test_a_handler_that_will_not_stop_is_given_up(rig: Rig, gate):
    """After ten seconds of grace: CANCELLED, and not tried again."""
    gates = gate("g")
    execution = await started(rig, gates, handler="stubborn")
    await rig.service.cancel(execution.id, note="enough")
    await rig.engine._upkeep.go_round()
    await rig.clock.advance(GRACE)
    await rig.engine.idle()
    (ended,) = await rig.history()
    assert (ended.state, ended.error) == (State.CANCELLED, "enough")
    gates.opened.set()


async def test_a_lost_lease_ends_what_was_to_be_cancelled(rig: Rig, gate):
    """The next server does not run it again."""
    execution = await started(rig, gate("g"))
    await rig.service.cancel(execution.id, note="enough")
    await rig.engine._upkeep.rescue_all()  # as at the start of a server that holds its database alone
    assert await rig.states() == ["CANCELLED"]
    gate("g").opened.set()
    await rig.engine.idle()


async def test_what_is_not_there_cannot_be_cancelled(rig: Rig):
    """An id of nobody."""
    with pytest.raises(ExecutionNotFound):
        await rig.service.cancel("exec_nobody_1_a")


# -- disabling and deleting


@pytest.fixture
async def crowd(rig: Rig, gate) -> tuple[Rig, Gates]:
    """A task with one execution running, and behind it a manual one and a backfill of two that wait."""
    await started(rig, gate("g"))
    await rig.register(
        "task", "@hourly", payload={"gate": "g"}, policy=Policy(timeout=LONG, overlap=Overlap.BUFFER_ONE)
    )
    await rig.service.run_now("task", detach=True)
    await rig.service.backfill("task", at("2026-01-30T00:00"), at("2026-01-30T02:00"))
    return rig, gate("g")


async def told(rig: Rig) -> list[tuple[str, str, str | None]]:
    """Return trigger, state and reason of each execution."""
    return [(each.trigger.value, each.state.value, each.reason) for each in await rig.history()]


async def test_disabling_ends_what_never_started_but_not_what_was_asked_for_by_hand(crowd):
    """The running one goes on, the manual one follows it, the backfill is skipped."""
    rig, gates = crowd
    await rig.service.disable("task")
    skipped = (Trigger.BACKFILL.value, "SKIPPED", Reason.TASK_DISABLED)
    assert (await told(rig))[2:] == [skipped, skipped]
    gates.opened.set()
    await rig.tick()
    assert [state for _, state, _ in await told(rig)] == ["SUCCEEDED", "SUCCEEDED", "SKIPPED", "SKIPPED"]


async def test_deleting_ends_everything_that_waits(crowd):
    """The running one may finish."""
    rig, gates = crowd
    await rig.service.delete("task")
    assert [(state, reason) for _, state, reason in await told(rig)] == [
        ("RUNNING", None),
        *[("SKIPPED", Reason.TASK_DELETED)] * 3,
    ]
    gates.opened.set()
    await rig.tick()
    assert (await rig.states())[0] == "SUCCEEDED"


async def test_a_deleted_tasks_retry_is_not_made(rig: Rig):
    """It is FAILED, with its last attempt's words."""
    await rig.register("task", "@manual", payload={"fate": "raise", "error": "broken"})
    await rig.service.run_now("task", detach=True)
    await rig.tick()
    await rig.service.delete("task")
    (ended,) = await rig.history()
    assert (ended.state, ended.reason, ended.failure_kind, ended.error) == (
        State.FAILED,
        Reason.TASK_DELETED,
        FailureKind.ERROR,
        "ValueError: broken",
    )


async def test_a_deleted_tasks_running_attempt_fails_for_good(rig: Rig, gate):
    """The failure comes after the deletion: there is nothing to try again."""
    held = gate("g")
    await rig.register("task", "@manual", payload={"gate": "g", "fate": "raise"}, policy=Policy(timeout=LONG))
    await rig.service.run_now("task", detach=True)
    await rig.engine.tick()
    await held.came.wait()
    await rig.service.delete("task")
    held.opened.set()
    await rig.engine.idle()
    (ended,) = await rig.history()
    assert (ended.state, ended.reason, ended.attempt) == (State.FAILED, Reason.TASK_DELETED, 1)


async def test_deletion_settles_what_was_due(rig: Rig):
    """It is accounted for, and skipped."""
    await rig.register("task", "@hourly")
    await rig.clock.advance(3 * 3600 + 60)
    await rig.service.delete("task")
    (ended,) = await rig.history()
    assert (ended.state, ended.reason, ended.scheduled_time) == (
        State.SKIPPED,
        Reason.TASK_DELETED,
        at("2026-01-31T13:00"),
    )
    assert ended.covers is not None
    assert ended.covers.count == 2


async def test_a_recreated_task_begins_anew(rig: Rig, gate):
    """The old one's running attempt does not stand in its way."""
    await started(rig, gate("g"))
    await rig.service.delete("task")
    await rig.register("task", "@manual")
    await rig.service.run_now("task", detach=True)
    gate("g").opened.set()
    await rig.tick()
    assert await rig.states() == ["SUCCEEDED"]
    assert (await rig.service.get_task("task")).stats.success_count == 1


# -- limits


async def test_a_handler_runs_so_many_at_once_as_it_may(rig: Rig, gate):
    """The others of it wait; other handlers do not."""
    limit(rig, fate=2)
    gates = gate("g")
    for name in "abcd":
        await rig.register(name, "@manual", payload={"gate": "g"})
        await rig.service.run_now(name, detach=True)
    await rig.register("other", "@manual", handler="in-thread")
    await rig.service.run_now("other", detach=True)
    await rig.engine.tick()
    assert rig.engine._runner.running_by_handler() == {"fate": 2, "in-thread": 1}
    gates.opened.set()
    (in_thread,) = await rig.history("other")
    rig.engine._runner.stop(in_thread.id, Why.SHUTDOWN)
    await rig.tick()
    assert [await rig.states(name) for name in "abcd"] == [["SUCCEEDED"]] * 4
