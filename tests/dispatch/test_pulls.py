"""Pulls: what a worker is given, once; what is given again because it does not name it; and what it can take."""

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs
from support.rigs.workers import OK, Office, said, soon

from schedule_grpc.dispatch import workers as limits
from schedule_grpc.dispatch.refusals import SessionUnknown
from schedule_grpc.dispatch.values import Finished, Verdict
from schedule_grpc.domain.execution import State
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.domain.worker import DEFAULT_LEASE
from schedule_grpc.errors import ResourceExhausted, Unavailable


async def test_an_execution_reaches_a_pull_that_waits_and_its_outcome_the_history(office: Office):
    """Assigned once, recorded once, under the worker's name."""
    hand = await office.hire(name="host-1", version="invoices 3")
    await office.task(payload={"n": 1}, metadata={"team": "a"})
    waiting = hand.waits()
    await office.parked()
    execution = await office.run()
    (claim,) = (await soon(waiting)).begin
    assert (claim.execution.id, claim.execution.attempt, dict(claim.payload)) == (execution.id, 1, {"n": 1})
    assert (await hand.report(*hand.held)).verdict is Verdict.APPLIED
    (ended,) = await office.rig.history()
    assert (ended.state, ended.worker, ended.result) == (State.SUCCEEDED, "host-1 (invoices 3)", {"done": True})


async def test_an_answer_that_is_lost_is_given_again_under_the_same_token(office: Office):
    """At once, and no attempt is used up."""
    hand = await office.hire()
    await office.task()
    await office.run()
    first = await hand.pull(wait=limits.LONGEST_WAIT, takes=False)
    again = await soon(hand.waits())
    assert [each.lease_token for each in again.begin] == [each.lease_token for each in first.begin]
    await hand.report(*hand.held)
    (ended,) = await office.rig.history()
    assert (ended.state, ended.attempt, ended.failed_attempts) == (State.SUCCEEDED, 1, ())


async def test_a_pull_that_its_caller_gave_up_loses_nothing(office: Office):
    """Whatever was given to it meanwhile comes with the next one."""
    hand = await office.hire()
    await office.task()
    waiting = hand.waits()
    await office.parked()
    await office.run()
    waiting.cancel()
    await asyncio.wait([waiting])
    await office.quiet()
    (claim,) = (await soon(hand.waits())).begin
    assert claim.execution.attempt == 1
    await hand.report(*hand.held)


async def test_what_a_worker_names_is_not_given_to_it_again(office: Office):
    """The list of what it holds is complete: the next Pull has nothing to answer."""
    hand = await office.hire()
    await office.task()
    await office.run()
    await hand.pull(wait=limits.LONGEST_WAIT)
    answer = await hand.pull()
    assert (len(hand.held), answer.begin, answer.lost_tokens, answer.stops) == (1, (), (), ())
    await hand.report(*hand.held)


async def test_a_second_pull_ends_the_first_which_answers_nothing(office: Office):
    """Nothing is claimed for the first one any more; what comes next goes to the second."""
    hand = await office.hire()
    await office.task()
    first = hand.waits()
    await office.parked()
    second = hand.waits()
    assert (await soon(first)).begin == ()
    await office.parked()
    await office.run()
    assert len((await soon(second)).begin) == 1
    await hand.report(*hand.held)


async def test_a_pull_does_not_wait_longer_than_the_lease_allows(office: Office):
    """With nothing held it leaves 7 s of the lease for the next Pull, with something held it waits a quarter of it."""
    hand = await office.hire(lease=timedelta(seconds=10))
    waiting = hand.waits()
    await office.parked()
    await office.advance(2.5)
    assert not waiting.done()
    await office.advance(0.5)
    await soon(waiting)
    await office.task()
    await office.run()
    await hand.pull(wait=limits.LONGEST_WAIT)
    waiting = hand.waits()
    await office.parked()
    await office.advance(2)
    assert not waiting.done()
    await office.advance(0.5)
    await soon(waiting)
    await hand.report(*hand.held)


async def test_a_pull_waits_on_where_its_lease_was_renewed_meanwhile(office: Office):
    """At first it could wait until 7 s before the end of the lease that it came with."""
    hand = await office.hire()
    await office.advance(12)
    waiting = hand.waits()
    await office.parked()
    await office.advance(14.5)
    assert not waiting.done()
    await office.advance(0.5)
    assert (await soon(waiting)).lease == DEFAULT_LEASE


async def test_a_renewal_that_is_not_on_disk_lengthens_no_wait(office: Office, monkeypatch):
    """The Pull is answered 7 s before the end of the lease as it is, and promises no more."""
    hand = await office.hire()

    async def away(*_, **__):
        raise Unavailable("away")

    monkeypatch.setattr(office.store, "renew_workers", away)
    await office.advance(12)
    waiting = hand.waits()
    await office.parked()
    await office.advance(10.5)
    assert not waiting.done()
    await office.advance(0.5)
    assert (await soon(waiting)).lease == DEFAULT_LEASE - timedelta(seconds=12)


async def test_one_answer_holds_a_hundred_attempts_and_a_megabyte(office: Office):
    """The rest comes with the next one."""
    hand = await office.hire(slots=60)
    await office.task(payload={"text": "x" * 60_000})
    for _ in range(30):
        await office.run()
    sizes = []
    while len(hand.held) < 30:
        sizes.append(len((await hand.pull(wait=limits.LONGEST_WAIT)).begin))
    assert sizes[0] == 17
    assert await office.rig.states() == ["RUNNING"] * 30


async def test_an_attempt_that_a_worker_drops_again_and_again_is_handed_back(office: Office):
    """After 20 assignments; that worker is given no more of the handler for a minute, and another one is."""
    hand = await office.hire("remote", "other")
    await office.task()
    await office.run()
    for _ in range(limits.MOST_DELIVERIES):
        assert len((await hand.pull(wait=limits.LONGEST_WAIT, takes=False)).begin) == 1
    with capture_logs() as logs:
        waiting = hand.waits()
        await office.parked()
    assert said(logs, "worker.drops_assignments")
    await office.becomes("PENDING")
    (execution,) = await office.rig.history()
    assert (execution.attempt, execution.hand_backs) == (0, 1)
    await office.task("o", "other")
    await office.run("o")
    assert [each.execution.handler for each in (await soon(waiting)).begin] == ["other"]
    await hand.stay(limits.SHUNNED_FOR)
    assert [each.execution.handler for each in (await soon(hand.waits())).begin] == ["remote"]


async def test_a_handler_that_is_offered_later_is_given_what_waits(office: Office):
    """At the worker's first Pull: no time needs to pass."""
    await office.task()
    await office.run()
    hand = await office.hire()
    assert len((await soon(hand.waits())).begin) == 1


async def test_a_session_that_is_not_known(office: Office):
    """One that never began, one that has left, and texts that no session has."""
    hand = await office.hire()
    await hand.leave()
    await hand.leave()
    for each in (hand.id, "0" * 32, "", "no", "a\x00b", "ä" * 40):
        hand.id = each
        with pytest.raises(SessionUnknown):
            await hand.pull()
        with pytest.raises(SessionUnknown):
            await hand.report("x.y", Finished(duration=timedelta(0), kind=FailureKind.ERROR))
        await hand.leave()


async def test_a_server_that_stops_answers_the_pulls_that_wait(office: Office):
    """And those that come later, at once; reports are taken to the end."""
    hand = await office.hire()
    await office.task()
    await office.run()
    await hand.pull(wait=limits.LONGEST_WAIT)
    waiting = hand.waits()
    await office.parked()
    office.workers.drain()
    answer = await soon(waiting)
    assert (answer.server_draining, answer.begin, answer.lost_tokens) == (True, (), ())
    await office.run()
    assert (await soon(hand.waits())).begin == ()
    assert (await hand.report(*hand.held, OK)).verdict is Verdict.APPLIED


async def test_more_pulls_than_a_server_holds_are_refused(office: Office, monkeypatch):
    """They come again, and may find a place then."""
    monkeypatch.setattr(limits, "MOST_WAITING", 1)
    one, other = await office.hire(), await office.hire()
    waiting = one.waits()
    await office.parked()
    with pytest.raises(ResourceExhausted, match="1 workers wait"):
        await other.pull(wait=limits.LONGEST_WAIT)
    assert (await other.pull()).begin == ()
    waiting.cancel()
    await asyncio.wait([waiting])
    waiting = other.waits()
    await office.parked()
    waiting.cancel()


async def test_more_workers_than_a_server_knows_are_refused(office: Office, monkeypatch):
    """Until one of them leaves."""
    monkeypatch.setattr(limits, "MOST_SESSIONS", 1)
    one = await office.hire()
    with pytest.raises(ResourceExhausted, match="knows 1 workers"):
        await office.hire()
    await one.leave()
    await office.hire()


async def test_sessions_that_do_not_come_back_are_forgotten(office: Office):
    """A minute after their leases; their memory is free, whoever ended them."""
    for _ in range(3):
        await office.hire(lease=timedelta(seconds=10))
    assert office.workers.known == 3
    await office.advance(80)
    assert office.workers.known == 0
