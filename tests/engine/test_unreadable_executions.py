"""One execution that this program cannot read is in trouble alone: it is shown, it is not run, all others go on."""

from pathlib import Path

import pytest
from support.rigs.rig import Rig, at, new_rig

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.execution import Execution, ExecutionFilter, State, Trigger
from schedule_grpc.domain.paging import Page
from schedule_grpc.formats.json_answers import execution_json
from schedule_grpc.formats.protobuf import execution_from, execution_to
from schedule_grpc.testing import FakeClock

DAMAGES = {
    "a state": ("state", "PAUSED", "state: this program knows no 'PAUSED'"),
    "a trigger": ('"trigger"', "WEBHOOK", "trigger: this program knows no 'WEBHOOK'"),
    "a reason": ("reason", "LUNCH", "reason: this program knows no 'LUNCH'"),
    "a kind of failure": ("failure_kind", "MEMORY", "failure_kind: this program knows no 'MEMORY'"),
    "a gate": ("gate", "SECOND", "gate: this program knows no 'SECOND'"),
    "a payload": ("payload", '{"a":', "payload: the stored text is not JSON"),
    "a payload that is no object": ("payload", "[]", "payload: the stored JSON is not an object"),
    "a result": ("result", "NaN", "result: the stored text is not JSON"),
    "attempts that are cut": ("failed_attempts", "[", "failed_attempts: the stored text is not JSON"),
    "attempts of another form": (
        "failed_attempts",
        '[{"n":1}]',
        "failed_attempts: this program does not know their form",
    ),
    "an attempt that failed in another way": (
        "failed_attempts",
        '[{"number":1,"start_us":0,"duration_us":0,"failure_kind":"MEMORY","error":""}]',
        "failed_attempts: this program does not know their form",
    ),
}
damages = pytest.mark.parametrize(("column", "stored", "trouble"), DAMAGES.values(), ids=DAMAGES)


async def damage(rig: Rig, execution: Execution, column: str, stored: str) -> None:
    """Write into an execution's row what this program cannot read, as another one would."""

    def operation():
        yield (
            f"UPDATE task_executions SET {column} = :stored WHERE id = :id",
            {"stored": stored, "id": execution.id},
        )

    await rig.store._database.write(operation)


async def shown(rig: Rig) -> Execution:
    """Return the execution of ``task`` as a list shows it, after it went over the wire."""
    page = await rig.service.executions(ExecutionFilter(), Page())
    (execution,) = (each for each in page.executions if each.task_name == "task")
    assert execution_json(execution)["trouble"] == execution.trouble
    assert execution_from(execution_to(execution)).trouble == execution.trouble
    return execution


@damages
async def test_the_others_go_on(tmp_path: Path, column: str, stored: str, trouble: str):
    """A server starts with it, shows it, and runs what is due."""
    clock, place = FakeClock(at("2026-01-31T10:00")), tmp_path / "schedule.db"
    async with new_rig(place, clock=clock) as rig:
        await rig.register("task")
        await rig.register("other")
        execution = await rig.service.run_now("task", payload={}, detach=True)
        if column != "payload":
            await rig.claim("gone")  # a server that died over it
        await damage(rig, execution, column, stored)
    async with new_rig(place, clock=clock, recover=True) as rig:
        await rig.skip(3600)
        assert await rig.states("other") == ["SUCCEEDED"]
        assert (await rig.history("task"))[0].id == execution.id
        assert await rig.store.find_execution(DEFAULT_NAMESPACE, execution.id) is not None
        await rig.skip(3600)
        await rig.engine.prune()
        assert await rig.states("other") == ["SUCCEEDED"] * 2


@damages
async def test_it_is_shown_with_its_trouble(unchecked: Rig, column: str, stored: str, trouble: str):
    """In lists, as JSON and to clients; what it is, as far as it can be read."""
    await unchecked.register("task")
    execution = await unchecked.service.run_now("task", payload={}, detach=True)
    await damage(unchecked, execution, column, stored)
    told = await shown(unchecked)
    assert told.trouble.startswith(trouble)
    assert told.state is (State.UNKNOWN if column == "state" else State.PENDING)
    assert told.trigger is (Trigger.UNKNOWN if column == '"trigger"' else Trigger.MANUAL)
    assert (told.id, told.handler) == (execution.id, "fate")
    assert dict(await unchecked.store.count_open()) == ({} if column == "state" else {State.PENDING: 1})


@pytest.mark.parametrize(("column", "stored"), [("payload", "{"), ('"trigger"', "WEBHOOK")])
async def test_it_does_not_begin_and_takes_no_others_place(place: Path | str, column: str, stored: str):
    """More of them than a server runs at once wait before one that runs; in the end they are MISSED."""
    async with new_rig(place, concurrency=2) as small:
        for number in range(5):
            await small.register(f"old-{number}", "@manual")
            execution = await small.service.run_now(f"old-{number}", payload={}, detach=True)
            await damage(small, execution, column, stored)
        await small.register("task", "@manual")
        await small.service.run_now("task", detach=True)
        await small.tick()
        assert await small.states("task") == ["SUCCEEDED"]
        assert await small.states("old-0") == ["PENDING"]
        await small.skip(3601)
        assert [await small.states(f"old-{number}") for number in range(5)] == [["MISSED"]] * 5


async def test_it_can_be_cancelled(unchecked: Rig):
    """What waits and cannot be read need not wait for its deadline."""
    await unchecked.register("task")
    execution = await unchecked.service.run_now("task", payload={}, detach=True)
    await damage(unchecked, execution, "payload", "{")
    assert (await unchecked.service.cancel(execution.id)).state is State.CANCELLED


async def test_what_waits_of_a_task_that_cannot_be_read_waits_on(unchecked: Rig):
    """It has no payload that could be handed to the handler."""
    await unchecked.register("task", payload={"fate": "succeed"})
    await unchecked.service.run_now("task", detach=True)

    def operation():
        yield "UPDATE scheduled_tasks SET payload = :stored", {"stored": "{"}

    await unchecked.store._database.write(operation)
    await unchecked.engine.prune()
    await unchecked.tick()
    assert await unchecked.states("task") == ["PENDING"]
    await unchecked.register("task")
    await unchecked.tick()
    assert await unchecked.states("task") == ["SUCCEEDED"]


async def test_a_state_that_is_not_known_keeps_no_deadline(unchecked: Rig):
    """It is not ended here, nor looked at again and again, and hides no later deadline."""
    await unchecked.register("task")
    execution = await unchecked.service.run_now("task", detach=True)
    await damage(unchecked, execution, "state", "PAUSED")
    await unchecked.register("other", "@manual", handler="nobody", allow_unknown_handler=True)
    await unchecked.clock.advance(60)
    await unchecked.service.run_now("other", detach=True)
    await unchecked.clock.advance(3600 - 50)
    assert await unchecked.engine.tick() is True  # the hourly task, skipped at its gate
    assert await unchecked.engine.tick() is False
    assert unchecked.engine.next_time == at("2026-01-31T11:01")
