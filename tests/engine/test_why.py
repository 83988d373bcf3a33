"""Why a task ran, ran late, or did not: what the service says of occurrences whose story is known."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from support.rigs.rig import GATES, Gates, Rig, at

from schedule_grpc.domain.access.caller import Caller
from schedule_grpc.domain.access.grant import Grant
from schedule_grpc.domain.access.permit import Permit
from schedule_grpc.domain.access.scope import Scope
from schedule_grpc.domain.explanation import Cause, Explained
from schedule_grpc.domain.registration import TaskUpdate
from schedule_grpc.errors import InvalidArgument, TaskNotFound
from schedule_grpc.service.permitted import HIDDEN
from schedule_grpc.service.why import FIRST, LAST

HOUR = 3600


async def explained(rig: Rig, name: str = "task", *, start: str = "2026-01-31T10:30", **more) -> Sequence[Explained]:
    """Return what became of a task's occurrences since 10:30, up to now."""
    return (await rig.service.why(name, start_time=at(start), **more)).occurrences


def told(occurrences: Sequence[Explained]) -> list[tuple[str, Cause]]:
    """Return the time and the cause of each."""
    return [(f"{each.scheduled_time:%H:%M}", each.cause) for each in occurrences]


async def test_on_time_late_and_covered(rig: Rig):
    """A server that was away runs the newest one late, and its row covers the others."""
    await rig.register()
    await rig.advance(HOUR)
    await rig.skip(3 * HOUR + 60)
    found = await explained(rig)
    assert told(found) == [
        ("11:00", Cause.ON_TIME),
        ("12:00", Cause.COVERED),
        ("13:00", Cause.COVERED),
        ("14:00", Cause.LATE),
    ]
    assert found[1].text == "the run for 2026-01-31 14:00:00Z stands for it"
    assert found[3].late == timedelta(minutes=1)
    assert found[3].text.startswith("ran, 1 min late: no server fired it before 2026-01-31 14:01:00Z")


async def test_failed_and_still_to_come(rig: Rig):
    """With the kind and the first line of the error; a caller without `read` does not see that line."""
    await rig.register(payload={"fate": "reject"})
    await rig.advance(HOUR)
    found = await explained(rig, end_time=at("2026-01-31T12:00"))
    assert told(found) == [("11:00", Cause.FAILED), ("12:00", Cause.NOT_DUE)]
    assert found[0].text == "failed by REJECTED: no use"
    observer = Caller(name="key:test", grants=(Grant.read("observe@default"),))
    seen = rig.service.seen_by(Permit(observer, "default", Scope.OBSERVE))
    hidden = (await seen.why("task", at=at("2026-01-31T11:00"))).occurrences[0]
    assert hidden.text == f"failed by REJECTED: {HIDDEN}"
    assert hidden.execution.error == HIDDEN


async def test_what_waited_for_the_gate(rig: Rig):
    """For an earlier run: skipped, waiting, and then late by it."""
    GATES["held"] = Gates()
    policy = {"timeout": timedelta(hours=6)}
    await rig.register("skips", payload={"gate": "held"}, policy=policy)
    await rig.register("waits", payload={"gate": "held"}, policy=policy | {"overlap": "buffer-one"})
    await rig.clock.advance(HOUR)
    await rig.tick(wait=False)
    await rig.clock.advance(HOUR)
    await rig.tick(wait=False)
    assert told(await explained(rig, "skips")) == [("11:00", Cause.RUNNING), ("12:00", Cause.SKIPPED)]
    waiting = await explained(rig, "waits")
    assert told(waiting) == [("11:00", Cause.RUNNING), ("12:00", Cause.WAITING)]
    assert waiting[1].text == "waits for an earlier run of the task to end"
    await rig.clock.advance(60)
    GATES.pop("held").opened.set()
    await rig.tick()
    late = (await explained(rig, "waits"))[1]
    assert (late.cause, late.text) == (
        Cause.LATE,
        "ran, 1 min late: it waited for the run of 2026-01-31 11:00:00Z to end",
    )


async def test_disabled_by_whom_and_when(rig: Rig):
    """As the audit log has it; afterwards it is due again."""
    await rig.register()
    await rig.advance(HOUR)
    operator = Caller(name="key:ops", grants=(Grant.read("admin@*"),))
    service = rig.service.seen_by(Permit(operator, "default", Scope.RUN))
    await rig.clock.advance(60)
    await service.disable("task", note="until the migration is over")
    await rig.advance(HOUR)
    found = await explained(rig)
    assert told(found) == [("11:00", Cause.ON_TIME), ("12:00", Cause.DISABLED)]
    assert found[1].text == ("the task was disabled 2026-01-31 11:01:00Z by key:ops: until the migration is over")
    await service.enable("task")
    await rig.advance(HOUR)
    explanation = await rig.service.why("task", start_time=at("2026-01-31T10:30"))
    assert told(explanation.occurrences) == [
        ("11:00", Cause.ON_TIME),
        ("12:00", Cause.DISABLED),
        ("13:00", Cause.ON_TIME),
    ]
    assert explanation.occurrences[1].text == "the task was disabled 2026-01-31 11:01:00Z by key:ops"
    assert [each.method for each in explanation.changes] == ["EnableTask", "DisableTask"]
    assert [each.by for each in explanation.changes] == ["key:ops", "key:ops"]


async def test_what_was_disabled_had_no_row_to_remove(rig: Rig):
    """Though retention has removed rows before and after."""
    short = await rig.register(policy={"retention": {"max_count": 1}})
    await rig.advance(HOUR + 60)
    operator = Caller(name="key:ops", grants=(Grant.read("admin@*"),))
    service = rig.service.seen_by(Permit(operator, "default", Scope.RUN))
    await service.disable("task")
    await rig.advance(HOUR)
    await service.enable("task")
    await rig.advance(2 * HOUR)
    await rig.store.prune([short.uid], now=rig.clock.now())
    assert told(await explained(rig)) == [
        ("11:00", Cause.REMOVED),
        ("12:00", Cause.DISABLED),
        ("13:00", Cause.REMOVED),
        ("14:00", Cause.ON_TIME),
    ]


async def test_defined_otherwise_then(rig: Rig):
    """Another schedule was in force, the task was not there, or is gone; rows of the other schedule are shown."""
    await rig.clock.advance(30 * 60)
    await rig.register("task", "45 * * * *")
    await rig.advance(HOUR)  # 11:30
    operator = Caller(name="key:ops", grants=(Grant.read("admin@*"),))
    service = rig.service.seen_by(Permit(operator, "default", Scope.WRITE))
    await service.update(TaskUpdate(name="task", fields={"schedule": "@hourly"}, policy={}))
    await rig.advance(HOUR)
    await rig.service.delete("task")
    await rig.clock.advance(HOUR)
    found = await explained(rig, start="2026-01-31T10:00")
    assert told(found) == [
        ("10:00", Cause.NOT_DEFINED),
        ("10:45", Cause.ON_TIME),
        ("11:00", Cause.NOT_DEFINED),
        ("12:00", Cause.ON_TIME),
        ("13:00", Cause.NOT_DEFINED),
    ]
    assert found[0].text == "the task was created 2026-01-31 10:30:00Z"
    assert found[2].text == "the task was defined otherwise, until 2026-01-31 11:30:00Z by key:ops"
    assert found[4].text == "the task was deleted 2026-01-31 12:30:00Z"


async def test_without_an_audit_log_the_last_change_is_known(rig: Rig):
    """It says what may have been."""
    await rig.register()
    await rig.service.disable("task")
    await rig.clock.advance(2 * HOUR)
    await rig.service.enable("task")
    found = await explained(rig)
    assert told(found) == [("11:00", Cause.NOT_DEFINED), ("12:00", Cause.NOT_DEFINED)]
    assert "the task was changed 2026-01-31 12:00:00Z: it may have been disabled" in found[0].text


async def test_due_and_not_fired(rig: Rig):
    """No server looks; one with jitter is not to start yet; one that retention removed is told as such."""
    await rig.register()
    await rig.register("later", policy={"jitter": timedelta(hours=2)})
    short = await rig.register("short", policy={"retention": {"max_count": 1}})
    await rig.advance(HOUR)
    await rig.clock.advance(HOUR)
    assert "no server has fired it" in (await explained(rig))[-1].text
    (_, jitter) = await explained(rig, "later", end_time=at("2026-01-31T12:00"))
    assert jitter.cause is Cause.WAITING
    await rig.tick()
    await rig.store.prune([short.uid], now=rig.clock.now())
    assert told(await explained(rig, "short")) == [("11:00", Cause.REMOVED), ("12:00", Cause.ON_TIME)]


async def test_at_an_instant(rig: Rig):
    """The occurrence in that minute; where there is none, those beside it, and it says so."""
    await rig.register()
    await rig.advance(2 * HOUR)
    (one,) = (await rig.service.why("task", at=at("2026-01-31T11:00:20"))).occurrences
    assert told([one]) == [("11:00", Cause.ON_TIME)]
    beside = await rig.service.why("task", at=at("2026-01-31T11:30"))
    assert told(beside.occurrences) == [("11:00", Cause.ON_TIME), ("12:00", Cause.ON_TIME)]
    assert beside.note == ("not due at 2026-01-31 11:30:00Z: due at 2026-01-31 11:00:00Z and 2026-01-31 12:00:00Z")
    assert [finding.subject for finding in beside.findings] == ["task", "schedule", "handler", "failures", "history"]
    assert beside.findings == await rig.service.examine("task")


@pytest.mark.parametrize("schedule", ["* * * * *", "every 1 second", "0 0 29 2 *", "@manual"])
@pytest.mark.parametrize("instant", [FIRST, LAST])
async def test_at_the_ends_of_the_calendar(rig: Rig, schedule: str, instant: datetime):
    """Every instant that there is can be asked for, alone and as either end of a range."""
    await rig.register("task", schedule)
    assert not [each for each in (await rig.service.why("task", at=instant)).occurrences if each.execution]
    await rig.service.why("task", start_time=instant)
    before = (await rig.service.why("task", end_time=instant)).occurrences
    assert instant is LAST or before == ()


async def test_bad_questions(rig: Rig):
    """Each is refused by its field; of many occurrences the newest five hundred are explained."""
    await rig.register("task", "* * * * *")
    now = rig.clock.now()
    with pytest.raises(TaskNotFound):
        await rig.service.why("other")
    with pytest.raises(InvalidArgument, match="at_time: cannot be given"):
        await rig.service.why("task", at=now, start_time=now)
    with pytest.raises(InvalidArgument, match="end_time: is before start_time"):
        await rig.service.why("task", start_time=now, end_time=now - timedelta(hours=1))
    future = await rig.service.why("task", start_time=now, end_time=now + timedelta(days=3))
    assert (len(future.occurrences), future.is_cut) == (500, True)
    assert {each.cause for each in future.occurrences} == {Cause.NOT_DUE}


async def test_missed_occurrences_are_not_said_to_have_run(rig: Rig):
    """One MISSED row accounts for all that the policy leaves out: none of them ran by another's run."""
    await rig.register(policy={"catch_up": "none"})
    await rig.skip(3 * HOUR + 60)
    found = await explained(rig)
    assert told(found) == [("11:00", Cause.MISSED), ("12:00", Cause.MISSED), ("13:00", Cause.MISSED)]
    assert found[0].text == (
        "missed: it was late, and the policy is to catch up with none; the row for 2026-01-31 13:00:00Z accounts for it"
    )


async def test_a_skipped_row_that_covers_others(rig: Rig):
    """What the newest one would have stood for is skipped with it."""
    GATES["held"] = Gates()
    await rig.register(payload={"gate": "held"}, policy={"timeout": timedelta(hours=6)})
    await rig.clock.advance(HOUR)
    await rig.tick(wait=False)
    await rig.clock.advance(2 * HOUR)
    await rig.tick(wait=False)
    assert told(await explained(rig)) == [
        ("11:00", Cause.RUNNING),
        ("12:00", Cause.SKIPPED),
        ("13:00", Cause.SKIPPED),
    ]
    GATES.pop("held").opened.set()
    await rig.tick()


async def test_of_very_many_skipped_the_newest_are_explained(rig: Rig):
    """More rows than one call reads: those of the occurrences that it explains are among them."""
    GATES["held"] = Gates()
    policy = {"timeout": timedelta(hours=6), "catch_up": "all"}
    await rig.register("task", "every second", payload={"gate": "held"}, policy=policy)
    for _ in range(40):
        await rig.clock.advance(30)
        await rig.tick(wait=False)
    explanation = await rig.service.why("task", start_time=at("2026-01-31T10:00"))
    assert (len(explanation.occurrences), explanation.is_cut) == (500, True)
    assert {each.cause for each in explanation.occurrences} == {Cause.SKIPPED}
    GATES.pop("held").opened.set()
    await rig.tick()


async def test_backfilled(rig: Rig):
    """It ran late because a person asked for it late: no server was behind."""
    await rig.register()
    await rig.service.disable("task")
    await rig.advance(2 * HOUR)
    await rig.service.enable("task")
    await rig.service.backfill("task", at("2026-01-31T11:00"), at("2026-01-31T11:30"))
    await rig.advance(1)
    (found, _) = await explained(rig)
    assert (found.cause, found.text) == (Cause.LATE, "ran, 1 h late: it was backfilled 2026-01-31 12:00:00Z")


async def test_of_a_disabled_or_deleted_task_nothing_is_to_come(rig: Rig):
    """Its schedule goes on, and it is not due by it."""
    await rig.register()
    await rig.service.disable("task")
    (found,) = await explained(rig, end_time=at("2026-01-31T11:30"))
    assert (found.cause, found.text) == (Cause.DISABLED, "will not be due while the task is disabled")
    await rig.service.enable("task")
    await rig.advance(HOUR)
    await rig.service.delete("task")
    explanation = await rig.service.why("task", start_time=at("2026-01-31T10:30"), end_time=at("2026-01-31T12:30"))
    (_, gone) = explanation.occurrences
    assert (gone.cause, gone.text) == (Cause.NOT_DEFINED, "the task was deleted 2026-01-31 11:00:00Z")
    (task, schedule, *_) = explanation.findings
    assert task.finding == "task was deleted 2026-01-31 11:00:00Z"
    assert "will not fire" not in schedule.finding


async def test_what_waited_for_a_run_by_hand(rig: Rig):
    """The runs of a range are known, one by hand is none of these: it is not said that only slots were full."""
    GATES["held"] = Gates()
    policy = {"timeout": timedelta(hours=6), "overlap": "buffer-one"}
    await rig.register(payload={"gate": "held"}, policy=policy)
    await rig.service.run_now("task", detach=True)
    await rig.tick(wait=False)
    await rig.clock.advance(HOUR)
    await rig.tick(wait=False)
    await rig.clock.advance(60)
    GATES.pop("held").opened.set()
    await rig.tick()
    (found,) = await explained(rig)
    assert found.text == "ran, 1 min late: it waited for a free slot or a worker, or for another run of the task"
