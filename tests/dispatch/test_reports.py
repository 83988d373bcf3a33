"""Reports: each update is applied once, whoever repeats it, and none under a token that does not stand."""

import asyncio
from datetime import timedelta

import pytest
from support.rigs.rig import Rig, at
from support.rigs.workers import LONG, NO, OK, SECOND, Office, Update, office_of, soon

from schedule_grpc.dispatch.values import Finished, Judged, Logged, Progressed, Released, Unreadable, Verdict
from schedule_grpc.domain.condition import Condition
from schedule_grpc.domain.execution import State
from schedule_grpc.domain.execution.log_lines import LogLine
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.retry import FailureKind, RetryPolicy
from schedule_grpc.errors import InvalidArgument, Unavailable

APPLIED, REPEATED, STALE = (Judged(each) for each in (Verdict.APPLIED, Verdict.REPEATED, Verdict.STALE))
GARBAGE = ("", ".", "x", "no.such", "a.b.c", "\x00.\x00", "ä.ö", "exec_task_1." + "0" * 32, "." * 4000)


def line(number: int) -> LogLine:
    """Return a line of a log."""
    return LogLine(sequence=number, time=at("2026-01-31T10:00"), level="info", text=f"line {number}")


async def test_an_outcome_that_is_repeated_changes_nothing(office: Office):
    """The second answer says so; another result under the same token does not replace the first."""
    hand = await office.hire()
    await office.task()
    await office.run()
    await hand.pull(wait=LONG)
    (token,) = hand.held
    assert await hand.report(token) == APPLIED
    (ended,) = await office.rig.history()
    assert [await hand.report(token), await hand.report(token, NO)] == [REPEATED, REPEATED]
    assert await office.rig.history() == (ended,)


async def test_two_outcomes_of_one_attempt_in_one_report(office: Office):
    """The first one counts."""
    hand = await office.hire()
    await office.task(policy=Policy(retry=RetryPolicy(max_retries=0)))
    await office.run()
    await hand.pull(wait=LONG)
    (token,) = hand.held
    assert await hand.report_all([Update(token, NO), Update(token, OK)]) == [APPLIED, REPEATED]
    assert await office.rig.states() == ["FAILED"]


async def test_an_outcome_that_is_repeated_while_it_is_being_recorded(office: Office, monkeypatch):
    """The second call waits for the first one's write, and there is one write."""
    hand = await office.hire()
    await office.task()
    await office.run()
    await hand.pull(wait=LONG)
    (token,) = hand.held
    recording, going_on, written = asyncio.Event(), asyncio.Event(), []
    record = office.store.record

    async def held_up(reports, *args):
        written.append(len(reports))
        recording.set()
        await going_on.wait()
        return await record(reports, *args)

    monkeypatch.setattr(office.store, "record", held_up)
    first = asyncio.create_task(hand.report(token))
    await soon(recording.wait())
    second = asyncio.create_task(hand.report(token))
    await office.quiet()
    going_on.set()
    assert (await soon(first), await soon(second), written) == (APPLIED, REPEATED, [1])


async def test_a_caller_that_goes_away_leaves_its_outcome_recorded(office: Office, monkeypatch):
    """The write belongs to no call."""
    hand = await office.hire()
    await office.task()
    await office.run()
    await hand.pull(wait=LONG)
    (token,) = hand.held
    recording, going_on = asyncio.Event(), asyncio.Event()
    record = office.store.record

    async def held_up(reports, *args):
        recording.set()
        await going_on.wait()
        return await record(reports, *args)

    monkeypatch.setattr(office.store, "record", held_up)
    gone = asyncio.create_task(hand.report(token))
    await soon(recording.wait())
    gone.cancel()
    await asyncio.wait([gone])
    going_on.set()
    assert await hand.report(token) == REPEATED
    assert await office.rig.states() == ["SUCCEEDED"]


async def test_after_a_restart_of_the_server_an_outcome_is_known(rig: Rig):
    """By its token, which the row keeps; log lines of it are stale."""
    async with office_of(rig) as before:
        hand = await before.hire()
        await before.task()
        await before.run()
        await hand.pull(wait=LONG)
        (token,) = hand.held
        assert await hand.report(token) == APPLIED
    async with office_of(rig) as after:
        hand.office = after
        assert await hand.report(token) == REPEATED
        assert await hand.report(token, Logged((line(1),))) == STALE


async def test_tokens_that_do_not_stand(office: Office):
    """Garbage, and another worker's: stale, whatever is reported, and nothing changes."""
    hand, other = await office.hire(), await office.hire()
    await office.task()
    await office.run()
    await other.pull(wait=LONG)
    for news in (OK, NO, Released(began=True), Progressed(0.5, ""), Logged((line(1),)), Unreadable("no")):
        updates = [Update(each, news) for each in (*GARBAGE, *other.held)]
        assert await hand.report_all(updates) == [STALE] * len(updates)
    assert await office.rig.states() == ["RUNNING"]
    assert await other.report(*other.held) == APPLIED


async def test_garbage_in_a_pull_is_lost(office: Office):
    """It is told which tokens these are, as it wrote them; the server reads once."""
    hand = await office.hire()
    answer = await soon(hand.waits(held=GARBAGE, capacity=0))
    assert sorted(answer.lost_tokens) == sorted(GARBAGE)


async def test_what_another_worker_holds_is_lost_to_this_one(office: Office):
    """Naming a token takes no lease."""
    hand, other = await office.hire(), await office.hire()
    await office.task()
    await office.run()
    await other.pull(wait=LONG)
    assert (await soon(hand.waits(held=other.held))).lost_tokens == tuple(other.held)
    assert await other.report(*other.held) == APPLIED


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        ("NaN", "not JSON"),
        ('{"a": 1, "a": 2}', "twice"),
        ("[" * 100 + "]" * 100, "nested"),
        ("[" * 200_000, "nested"),
        ('"\\ud800"', "surrogate"),
        ("1" * 5000, "not JSON"),
    ],
)
async def test_a_result_that_is_not_json_is_invalid_and_the_attempt_goes_on(office: Office, text, reason):
    """The worker is told why, and reports something else."""
    hand = await office.hire()
    await office.task()
    await office.run()
    await hand.pull(wait=LONG)
    (token,) = hand.held
    judged = await hand.report(token, Finished(duration=SECOND, result_json=text))
    assert judged.verdict is Verdict.INVALID
    assert reason in judged.reason
    assert await office.rig.states() == ["RUNNING"]
    assert await hand.report(token, NO) == APPLIED


async def test_integers_that_no_double_holds_are_kept(office: Office):
    """As those that a handler here returns."""
    hand = await office.hire()
    await office.task()
    await office.run()
    await hand.pull(wait=LONG)
    await hand.report(hand.held[0], Finished(duration=SECOND, result_json=str(2**53 + 1)))
    (ended,) = await office.rig.history()
    assert ended.result == 2**53 + 1


async def test_a_result_that_is_too_long_is_cut_and_marked(office: Office):
    """It is never refused."""
    hand = await office.hire()
    await office.task()
    await office.run()
    await hand.pull(wait=LONG)
    text = '{"text": "' + "x" * 200_000 + '"}'
    assert await hand.report(hand.held[0], Finished(duration=SECOND, result_json=text)) == APPLIED
    (ended,) = await office.rig.history()
    assert ended.state is State.SUCCEEDED
    assert len(str(ended.result)) < 70_000


async def test_log_lines_after_the_outcome_are_stale(office: Office):
    """Before it they are taken, in their order, and once."""
    hand = await office.hire()
    await office.task()
    await office.run()
    await hand.pull(wait=LONG)
    (token,) = hand.held
    first, second = Logged((line(1), line(2))), Logged((line(2),))
    updates = [Update(token, first), Update(token, second), Update(token, OK), Update(token, Logged((line(3),)))]
    assert await hand.report_all(updates) == [APPLIED, REPEATED, APPLIED, STALE]
    assert await hand.report(token, Logged((line(4),))) == STALE


async def test_conditions_are_recorded_with_the_outcome(office: Office):
    """A condition that a worker reports is one of the task's alerts."""
    hand = await office.hire()
    await office.task()
    await office.run()
    await hand.pull(wait=LONG)
    disk = Condition(key="disk", title="The disk is full", body="", over=False)
    await hand.report(hand.held[0], Finished(duration=SECOND, conditions=(disk,)))
    assert await office.rig.states() == ["SUCCEEDED"]


async def test_a_released_attempt_goes_to_another_worker_and_does_not_count(office: Office):
    """Both attempts have the number 1."""
    hand, other = await office.hire(), await office.hire()
    await office.task()
    await office.run()
    await hand.pull(wait=LONG)
    assert await hand.report(hand.held[0], Released(began=True)) == APPLIED
    assert await hand.report(hand.held[0], Released(began=True)) == REPEATED
    (claim,) = (await soon(other.waits())).begin
    assert claim.execution.attempt == 1
    assert await hand.report(hand.held[0], OK) == REPEATED
    assert await other.report(*other.held) == APPLIED


@pytest.mark.parametrize(("began", "state"), [(True, "FAILED"), (False, "PENDING")])
async def test_a_released_attempt_of_a_handler_that_is_called_once(office: Office, began, state):
    """Without retries it is not called a second time, if it was called."""
    hand = await office.hire()
    await office.task(policy=Policy(retry=RetryPolicy(max_retries=0)))
    await office.run()
    await hand.pull(wait=LONG)
    assert await hand.report(hand.held[0], Released(began=began)) == APPLIED
    assert await office.rig.states() == [state]


async def test_an_abandoned_attempt_is_not_retried(office: Office):
    """Its handler may still run."""
    hand = await office.hire()
    await office.task(policy=Policy(retry=RetryPolicy(max_retries=5)))
    await office.run()
    await hand.pull(wait=LONG)
    left = Finished(duration=SECOND, kind=FailureKind.TIMEOUT, error="left running", abandoned=True)
    assert await hand.report(hand.held[0], left) == APPLIED
    assert await office.rig.states() == ["FAILED"]


async def test_a_duration_is_never_longer_than_the_attempt(office: Office):
    """A worker's clock may say anything; what the history shows adds up."""
    hand = await office.hire()
    await office.task(policy=Policy(retry=RetryPolicy(max_retries=1)))
    await office.run()
    await hand.pull(wait=LONG)
    await office.advance(2)
    await hand.report(hand.held[0], Finished(duration=timedelta(days=9), kind=FailureKind.ERROR, error="no"))
    (execution,) = await office.rig.history()
    assert execution.failed_attempts[0].duration == timedelta(seconds=2)


async def test_a_report_has_updates(office: Office):
    """One to 500."""
    hand = await office.hire()
    for number in (0, 501):
        with pytest.raises(InvalidArgument, match=f"has {number} updates"):
            await hand.report_all([Update("x.y", OK)] * number)
    assert await hand.report_all([Update("x.y", OK)] * 500) == [STALE] * 500


async def test_a_database_that_is_away_loses_no_outcome(office: Office, monkeypatch):
    """The worker is told so, reports again, and is answered APPLIED then."""
    hand = await office.hire()
    await office.task()
    await office.run()
    await hand.pull(wait=LONG)

    async def away(*_, **__):
        raise Unavailable("away")

    with monkeypatch.context() as broken:
        broken.setattr(office.store, "record", away)
        with pytest.raises(Unavailable):
            await hand.report(hand.held[0])
    assert (await hand.pull()).begin == ()
    assert await hand.report(hand.held[0]) == APPLIED
    assert await office.rig.states() == ["SUCCEEDED"]
