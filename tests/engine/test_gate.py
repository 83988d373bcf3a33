"""The gate, as a table: what becomes of a new execution, and of the others, for every overlap policy.

4 policies, 7 situations and 5 triggers: 140 cases, each brought about by real operations on a real store, and each
played to its end afterwards: nothing stays open, and what waited ran one by one, in order.
"""

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from support.rigs.rig import START, Gates, Rig, at

from schedule_grpc.domain.execution import Execution, Gate, Reason, State
from schedule_grpc.domain.planning import plan
from schedule_grpc.domain.policy import CatchUp, Overlap, Policy
from schedule_grpc.domain.registration import TaskUpdate
from schedule_grpc.domain.retry import RetryPolicy

LONG = timedelta(hours=10)
SCHEDULE = "0 11,12,13 31 1 *"
"""Three times on the day of the tests, then not for a year."""

SITUATIONS = ("none", "pending", "running", "retry", "buffered", "queued", "free")
"""What is open: nothing · the holder of the gate is PENDING, RUNNING, or waits for its retry · it runs and a manual one
waits · it runs and a backfill waits · only a FREE one runs."""

ORDINARY = ("schedule", "manual", "cron")
QUEUEING = ("backfill", "catch-up")

TABLE: dict[tuple[str, str], str] = {
    # What is new                              what happens to the others: "holder" or "waiter", and what becomes of it
    ("SKIP", "none"): "ACTIVE",
    ("SKIP", "pending"): "SKIPPED",
    ("SKIP", "running"): "SKIPPED",
    ("SKIP", "retry"): "SKIPPED",
    ("SKIP", "buffered"): "SKIPPED",
    ("SKIP", "queued"): "SKIPPED",
    ("SKIP", "free"): "SKIPPED",
    ("BUFFER_ONE", "none"): "ACTIVE",
    ("BUFFER_ONE", "pending"): "WAITING",
    ("BUFFER_ONE", "running"): "WAITING",
    ("BUFFER_ONE", "retry"): "WAITING",
    ("BUFFER_ONE", "buffered"): "SKIPPED",
    ("BUFFER_ONE", "queued"): "WAITING",
    ("BUFFER_ONE", "free"): "ACTIVE",
    ("CANCEL_OTHER", "none"): "ACTIVE",
    ("CANCEL_OTHER", "pending"): "ACTIVE, holder CANCELLED",
    ("CANCEL_OTHER", "running"): "WAITING, holder asked to end",
    ("CANCEL_OTHER", "retry"): "ACTIVE, holder CANCELLED",
    ("CANCEL_OTHER", "buffered"): "WAITING, holder asked to end, waiter SKIPPED",
    ("CANCEL_OTHER", "queued"): "WAITING, holder asked to end",
    ("CANCEL_OTHER", "free"): "ACTIVE",
    ("ALLOW_ALL", "none"): "ACTIVE",
    ("ALLOW_ALL", "pending"): "FREE",
    ("ALLOW_ALL", "running"): "FREE",
    ("ALLOW_ALL", "retry"): "FREE",
    ("ALLOW_ALL", "buffered"): "FREE",
    ("ALLOW_ALL", "queued"): "FREE",
    ("ALLOW_ALL", "free"): "ACTIVE",
    # Backfills, and what is caught up under ALL, whatever the policy is.
    ("queueing", "none"): "ACTIVE",
    ("queueing", "pending"): "WAITING",
    ("queueing", "running"): "WAITING",
    ("queueing", "retry"): "WAITING",
    ("queueing", "buffered"): "WAITING",
    ("queueing", "queued"): "WAITING",
    ("queueing", "free"): "ACTIVE",
}

CASES = [
    pytest.param(overlap, situation, trigger, id=f"{overlap.value}-{situation}-{trigger}")
    for overlap, situation, trigger in itertools.product(Overlap, SITUATIONS, (*ORDINARY, *QUEUEING))
]


@dataclass(kw_only=True)
class Scene:
    """A task with what is open of it: at most one that holds the gate or is FREE, and one that waits."""

    rig: Rig
    holder: str = ""
    waiter: str = ""

    async def run(self, gate: str, **payload: str) -> str:
        """Run the task by hand; return the id."""
        execution = await self.rig.service.run_now("task", payload={"gate": gate, **payload}, detach=True)
        return execution.id

    async def policy(self, **fields: object) -> None:
        """Change the task's policy."""
        await self.rig.service.update(TaskUpdate(name="task", fields={}, policy=fields))

    async def now(self, execution_id: str) -> Execution:
        """Return an execution as it is."""
        return await self.rig.service.execution(execution_id)


async def pending(scene: Scene) -> None:
    """It is recorded, and nobody has started it."""
    scene.holder = await scene.run("first")


async def running(scene: Scene) -> None:
    """Its handler is at work."""
    await pending(scene)
    await scene.rig.engine.tick()


async def retry(scene: Scene) -> None:
    """Its first attempt has failed."""
    scene.holder = await scene.run("", fate="raise")
    await scene.rig.engine.tick()
    await scene.rig.engine.idle()


async def buffered(scene: Scene) -> None:
    """And a manual run waits."""
    await running(scene)
    await scene.policy(overlap=Overlap.BUFFER_ONE)
    scene.waiter = await scene.run("second")


async def queued(scene: Scene) -> None:
    """And a backfill of one occurrence waits."""
    await running(scene)
    done = await scene.rig.service.backfill("task", at("2024-01-31T13:00"), at("2024-01-31T13:01"))
    scene.waiter = done.executions[0].id


async def free(scene: Scene) -> None:
    """The one that held the gate has ended, the one that came in beside it has not."""
    await scene.policy(overlap=Overlap.ALLOW_ALL)
    first = await scene.run("first")
    scene.holder = await scene.run("second")
    await scene.rig.engine.tick()
    with scene.rig.hub.ending(first) as ended:
        scene.rig.gates("first").opened.set()
        await ended.wait()


async def nothing(_: Scene) -> None:
    """Nothing is open."""


SETUPS: dict[str, Callable[[Scene], Awaitable[None]]] = {
    "none": nothing,
    "pending": pending,
    "running": running,
    "retry": retry,
    "buffered": buffered,
    "queued": queued,
    "free": free,
}


async def bring_about(scene: Scene, trigger: str) -> list[Execution]:
    """Let a new execution come in; return what is new, in the order of its recording."""
    service = scene.rig.service
    before = {execution.id for execution in await scene.rig.history()}
    if trigger == "manual":
        await service.run_now("task", detach=True)
    elif trigger == "cron":
        await service.trigger_cron(SCHEDULE)
    elif trigger == "backfill":
        await service.backfill("task", at("2025-01-31T00:00"), at("2025-02-01T00:00"))
    else:
        await scene.rig.clock.advance(3600 if trigger == "schedule" else 3 * 3600 + 600)
        now = scene.rig.clock.now()
        await scene.rig.store.fire([plan(await service.get_task("task"), now)], now=now)
    new = [execution for execution in await scene.rig.history() if execution.id not in before]
    return sorted(new, key=lambda execution: execution.scheduled_time or execution.create_time)


async def seen(scene: Scene, new: Execution) -> str:
    """Return what happened, in the words of the table."""
    told = [new.gate.value if new.gate else new.state.value]
    if new.state is State.SKIPPED:
        assert new.reason is Reason.OVERLAP
    if scene.holder:
        holder = await scene.now(scene.holder)
        if holder.state is State.CANCELLED:
            told.append("holder CANCELLED")
        elif holder.cancel_requested_time is not None:
            told.append("holder asked to end")
    if scene.waiter:
        waiter = await scene.now(scene.waiter)
        if waiter.gate is not Gate.WAITING:
            assert waiter.reason is Reason.OVERLAP
            told.append(f"waiter {waiter.state.value}")
    return ", ".join(told)


@pytest.mark.no_cover  # as slow tests: 280 ways through the same lines
@pytest.mark.parametrize(("overlap", "situation", "trigger"), CASES)
async def test_the_gate(deaf: Rig, gate: Callable[[str], Gates], overlap: Overlap, situation: str, trigger: str):
    """What the table says happens, to the new one and to the others; and in the end everything has ended."""
    gates = {name: gate(name) for name in ("first", "second")}
    deaf.gates = gates.__getitem__  # type: ignore[attr-defined]
    scene = Scene(rig=deaf)
    policy = Policy(timeout=LONG, start_deadline=LONG, retry=RetryPolicy(initial_backoff=LONG, max_backoff=LONG))
    await deaf.register("task", SCHEDULE, policy=policy)
    await SETUPS[situation](scene)
    await scene.policy(overlap=overlap, catch_up=CatchUp.ALL if trigger == "catch-up" else CatchUp.LATEST)

    new = await bring_about(scene, trigger)
    expected = TABLE["queueing" if trigger in QUEUEING else overlap.value, situation]
    assert await seen(scene, new[0]) == expected
    assert len(new) == (3 if trigger in QUEUEING else 1)
    assert {execution.gate for execution in new[1:]} <= {Gate.WAITING}
    for execution in new:
        assert (execution.deadline_time is None) == (execution.gate not in (Gate.ACTIVE, Gate.FREE))

    await play_to_the_end(scene, gates)
    if trigger in QUEUEING:
        ran = [await scene.now(each.id) for each in new]
        assert {each.state for each in ran} == {State.SUCCEEDED}
        assert [each.start_time for each in ran] == sorted(each.start_time or START for each in ran)


async def play_to_the_end(scene: Scene, gates: dict[str, Gates]) -> None:
    """Let everything run until nothing is open."""
    for each in gates.values():
        each.opened.set()
    if scene.holder and (await scene.now(scene.holder)).cancel_requested_time is not None:
        await scene.rig.engine._upkeep.go_round()
    for _ in range(5):
        await scene.rig.tick()
        await scene.rig.clock.advance(LONG)
    await scene.rig.tick()
    assert not [execution for execution in await scene.rig.history() if not execution.state.is_terminal]


def test_the_table_is_whole():
    """Every policy and every situation has its line."""
    kinds = [overlap.value for overlap in Overlap] + ["queueing"]
    assert set(TABLE) == set(itertools.product(kinds, SITUATIONS))
    assert len(CASES) == 140
