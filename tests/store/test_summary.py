"""A namespace at a glance: each number is that of the rows; the day is counted once for all viewers."""

import asyncio
from datetime import timedelta

import pytest
from msgspec import structs
from support.patience import until
from support.rigs.rig import GATES, START, Gates, Rig

from schedule_grpc.api.ui.views.failures import failures_view
from schedule_grpc.api.ui.views.now import now_view
from schedule_grpc.domain.access.caller import Caller
from schedule_grpc.domain.access.grant import Grant
from schedule_grpc.domain.access.permit import Permit
from schedule_grpc.domain.access.scope import Scope
from schedule_grpc.domain.execution import ExecutionFilter
from schedule_grpc.domain.paging import Page
from schedule_grpc.domain.states import State
from schedule_grpc.domain.summary import Attention, AttentionKind, Counts, Pulse, Summary
from schedule_grpc.errors import DatabaseUnavailable
from schedule_grpc.service import pulse as service_pulse
from schedule_grpc.service import summary as service_summary
from schedule_grpc.service.permitted import HIDDEN
from schedule_grpc.service.summary import Vitals
from schedule_grpc.store import Store

ONCE = {"retry": {"max_retries": 0}}
HOURS = {"timeout": timedelta(hours=12)}


async def busy(rig: Rig) -> None:
    """Make tasks of which one fails, one runs, two wait, one is disabled, and one is late."""
    GATES["held"] = Gates()
    await rig.register("fails", "@manual", payload={"fate": "raise", "error": "row 17"}, policy=ONCE)
    await rig.register("holds", "@manual", payload={"gate": "held"}, policy=HOURS | {"overlap": "buffer-one"})
    await rig.register("off", "@daily", enabled=False)
    await rig.register("late", "0 11 * * *")
    await rig.register("beside", "0 11 * * *")
    for _ in range(2):
        await rig.service.run_now("fails", detach=True)
        await rig.tick()
        await rig.clock.advance(1)
    for _ in range(2):
        await rig.service.run_now("holds", detach=True)
    await rig.tick(wait=False)


async def let_go(rig: Rig) -> None:
    """Let what runs end."""
    GATES.pop("held").opened.set()
    await rig.tick()
    rig.service.drain()


def seen_with(rig: Rig, *grants: str):
    """Return the service as a caller with these grants sees it."""
    caller = Caller(name="key:test", grants=tuple(Grant.read(each) for each in grants))
    return rig.service.seen_by(Permit(caller, "default", Scope.OBSERVE))


async def test_the_numbers(rig: Rig):
    """Those of tasks and of executions; a second later they are read again."""
    await busy(rig)
    summary = await rig.service.summary()
    assert summary.counts == Counts(tasks=5, disabled=1, failing=1, overdue=0, running=1, waiting=1)
    assert [each.task_name for each in summary.running] == ["holds"]
    assert [each.state for each in summary.newest_ends] == [State.FAILED, State.FAILED]
    assert summary.last_failure_time == summary.newest_ends[0].end_time
    assert [(run.name, run.count, run.time) for run in summary.next_runs] == [
        ("beside", 2, START.replace(hour=11)),
    ]
    assert [(each.kind, each.subject, each.count) for each in summary.attention] == [
        (AttentionKind.FAILING, "fails", 2)
    ]
    assert summary.attention[0].text == "failed 2 times in a row, last by ERROR"
    await rig.clock.advance(3 * 3600)
    later = await rig.service.summary()
    assert later.counts.overdue == 2
    await let_go(rig)


async def test_one_reading_for_all_viewers(rig: Rig):
    """Within a second the same value."""
    first = await rig.service.summary()
    await rig.register()
    assert await rig.service.summary() is first
    await rig.clock.advance(2)
    assert (await rig.service.summary()).counts.tasks == 1


async def test_what_waits_for_long_needs_attention(rig: Rig):
    """By handler, with the count, and why."""
    await rig.register("lonely", "@manual", "nobody-offers", allow_unknown_handler=True)
    await rig.service.run_now("lonely", detach=True)
    (queue,) = (await rig.service.summary()).waiting
    assert (queue.handler, queue.count, queue.offered, queue.oldest_time) == ("nobody-offers", 1, False, START)
    await rig.clock.advance(31)
    (needed,) = (await rig.service.summary()).attention
    assert needed.kind is AttentionKind.WAITING
    assert needed.text == "an execution waits, the first for 31 s: no server and no worker offers it"
    await rig.service.cancel((await rig.service.executions(ExecutionFilter(), Page())).executions[0].id)


async def test_conditions_that_hold_need_attention(rig: Rig):
    """Those of alerts; that a task fails is said once."""
    await rig.register("fails", "@manual", payload={"fate": "reject"}, policy={"alert_after": 1})
    await rig.register("late", "@hourly", policy={"overdue_grace": timedelta(minutes=5)})
    await rig.service.run_now("fails", detach=True)
    await rig.tick()
    await rig.clock.advance(2 * 3600)
    await rig.store.note_overdue(now=rig.clock.now())
    attention = (await rig.service.summary()).attention
    assert [(each.kind, each.subject, each.key) for each in attention] == [
        (AttentionKind.FAILING, "fails", ""),
        (AttentionKind.CONDITION, "late", "overdue"),
    ]
    await rig.tick()


async def test_tasks_that_fail_do_not_crowd_out_other_conditions(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """Each kind has its own room: an older condition is shown beside newer ones that tasks fail."""
    monkeypatch.setattr(service_summary, "MOST_ATTENTION", 1)
    await rig.register("fails", "@manual", payload={"fate": "reject"}, policy={"alert_after": 1})
    policy = {"overdue_grace": timedelta(minutes=5)}
    await rig.register("late", "@hourly", "nobody-offers", policy=policy, allow_unknown_handler=True)
    await rig.skip(3600)
    await rig.clock.advance(600)
    await rig.store.note_overdue(now=rig.clock.now())
    await rig.clock.advance(1)
    await rig.run_now("fails")
    attention = (await rig.service.summary()).attention
    assert [(each.subject, each.key) for each in attention] == [
        ("fails", ""),
        ("late", "overdue"),
        ("nobody-offers", ""),
    ]


async def test_what_comes_next_is_in_the_order_of_its_times(rig: Rig):
    """Though jitter lets a later one start before."""
    first = await rig.register("first", "0 11 * * *")
    second = await rig.register("second", "1 11 * * *")
    first = structs.replace(first, start_delay=timedelta(minutes=5))
    assert [run.name for run in service_summary._next_runs([second, first])] == ["first", "second"]


async def test_callers_of_a_part_see_that_part(rig: Rig):
    """Counts, lists and failures of the names that their grants cover; no queue and no pulse, which are of all."""
    await busy(rig)
    part = seen_with(rig, "observe@default/ho")
    summary = await part.summary()
    assert summary.counts == Counts(tasks=1, running=1, waiting=1)
    assert (summary.attention, summary.newest_ends, summary.next_runs, summary.waiting) == ((), (), (), ())
    assert [each.payload for each in summary.running] == [None]
    assert await part.pulse() is None
    assert (await part.failures()).groups == ()
    (group,) = (await seen_with(rig, "observe@default/fa").failures()).groups
    assert (group.task_name, group.error, group.count) == ("fails", HIDDEN, 2)
    await let_go(rig)


async def test_what_ails_the_server_is_for_its_operators(rig: Rig):
    """For callers that may observe every namespace, as at GET /health; others have none of it."""
    rig.service._vitals = Vitals(troubles=lambda: ("disk full at /srv",))
    told = await seen_with(rig, "observe@*").summary()
    assert told.troubles == ("disk full at /srv",)
    assert [each.kind for each in told.attention] == [AttentionKind.HEALTH]
    for grant in ("admin@default", "read@default/ho"):
        kept = await seen_with(rig, grant).summary()
        assert (kept.troubles, kept.attention) == ((), ())


async def test_failures_that_look_alike_are_one(rig: Rig):
    """Whatever the numbers in their first lines."""
    await rig.register("fails", "@manual", payload={"fate": "raise"}, policy=ONCE)
    for number in range(3):
        await rig.service.run_now(
            "fails", detach=True, payload={"fate": "raise", "error": f"row {number}\nat {number}"}
        )
        await rig.tick()
        await rig.clock.advance(3600)
    (group,) = (await rig.service.failures()).groups
    assert (group.count, group.error, group.task_name) == (3, "ValueError: row #", "fails")
    assert group.hours[-4:] == (1, 1, 1, 0)
    assert group.last_id == (await rig.history("fails"))[-1].id
    rig.service.drain()


async def test_more_failures_than_are_shown(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """Errors that have nothing in common are as many groups as failures: the newest are shown, the others counted."""
    monkeypatch.setattr(service_summary, "MOST_GROUPS", 2)
    await rig.register("fails", "@manual", payload={"fate": "raise"}, policy=ONCE)
    for word in ("one", "two", "two", "three", "four"):
        await rig.service.run_now("fails", detach=True, payload={"fate": "raise", "error": word})
        await rig.tick()
        await rig.clock.advance(1)
    found = await rig.service.failures()
    assert [group.error for group in found.groups] == ["ValueError: four", "ValueError: three"]
    assert found.more_count == 3
    view = failures_view(found, rig.clock.now())
    assert (view.count, view.more, len(view.rows)) == (5, 3, 2)
    rig.service.drain()


async def test_the_pulse_counts_a_day(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """By the minute; newest first, then the rest; what ends later is counted; it stops when nobody looks."""
    monkeypatch.setattr(service_pulse, "FIRST_SLICE", timedelta(hours=5))
    monkeypatch.setattr(service_pulse, "WATCHED_FOR", 5.0)
    await rig.register("runs", "@manual")
    for _ in range(30):  # an hour apart: the first ones are older than a day
        await rig.service.run_now("runs", detach=True)
        await rig.tick()
        await rig.clock.advance(3600)

    async def pulse(count: int) -> Pulse | None:
        await rig.clock.advance(1)
        found = await rig.service.pulse()
        is_whole = found.complete_from == found.start_time
        return found if is_whole and sum(map(sum, map(dict.values, found.minutes.values()))) == count else None

    assert (await rig.service.pulse()).complete_from > START
    whole = await until(lambda: pulse(23))
    buckets = whole.by(timedelta(hours=1))
    assert (len(buckets), buckets[0].start_time) == (25, whole.start_time.replace(minute=0))
    assert [sum(each.counts.values()) for each in buckets[1:-1]] == [1] * 23
    await rig.service.run_now("runs", detach=True)
    await rig.tick()
    again = await until(lambda: pulse(24))
    assert again.minutes == await rig.store.ends_by_minute("default", since=again.start_time, until=again.end_time)
    assert set(again.minutes[START + timedelta(hours=29)]) == {State.SUCCEEDED}

    async def stopped() -> bool:
        await rig.clock.advance(1)
        return not any(task.get_name() == "pulse of default" for task in asyncio.all_tasks())

    began = rig.clock.now()
    await until(stopped)
    assert rig.clock.now() - began >= timedelta(seconds=4)


async def test_a_pulse_without_a_database_waits_for_it(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """It shows that nothing is counted, and counts once the database answers."""
    await rig.register("runs", "@manual")
    await rig.service.run_now("runs", detach=True)
    await rig.tick()

    async def away(*_, **__):
        raise DatabaseUnavailable("away")

    with monkeypatch.context() as broken:
        broken.setattr(Store, "ends_by_minute", away)
        nothing = await _looked(rig)
        assert (nothing.minutes, nothing.complete_from) == ({}, nothing.end_time)
    while not (found := await _looked(rig)).minutes:
        await rig.clock.advance(1)
    assert list(found.minutes.values()) == [{State.SUCCEEDED: 1}]
    rig.service.drain()


async def _looked(rig: Rig) -> Pulse:
    """Return the pulse, after as long as it takes."""
    looking = asyncio.create_task(rig.service.pulse())

    async def ended() -> bool:
        await rig.clock.advance(1)
        return looking.done()

    await until(ended)
    found = await looking
    assert found is not None
    return found


def test_each_trouble_of_a_server_has_a_place_of_its_own():
    """A page replaces what changed by its id: two troubles must not share one."""
    troubles = [Attention(kind=AttentionKind.HEALTH, text=each) for each in ("no database", "no lease")]
    rows = now_view(Summary(time=START, counts=Counts(), attention=tuple(troubles)), None).attention
    assert len({row.id for row in rows}) == 2
