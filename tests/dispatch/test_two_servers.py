"""Two servers on one PostgreSQL database: a worker may call either, and every call is answered by the database."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from support.patience import until
from support.rigs.rig import new_rig
from support.rigs.workers import LONG, NO, OK, Office, office_of, second_office, soon
from support.servers.postgres import Postgres
from support.witnesses.checker import check

from schedule_grpc.dispatch.refusals import SessionUnknown
from schedule_grpc.dispatch.values import StopReason, Verdict
from schedule_grpc.domain.execution import State

TEN = timedelta(seconds=10)


@pytest.fixture
async def two(postgres: Postgres) -> AsyncIterator[tuple[Office, Office]]:
    """Two servers; afterwards the checker looks for broken promises."""
    with postgres.database() as url:
        async with new_rig(url) as rig, office_of(rig) as one, second_office(rig) as other:
            yield one, other
        assert check(url) == []


async def test_pull_at_one_server_and_report_at_the_other(two: tuple[Office, Office]):
    """Then again at the first one, which knows of it; a Pull there is not given it once more."""
    one, other = two
    hand = await one.hire()
    await one.task()
    await one.run()
    await hand.pull(wait=LONG)
    (token,) = hand.held
    assert (await hand.report(token, at=other)).verdict is Verdict.APPLIED
    assert (await hand.report(token)).verdict is Verdict.APPLIED  # this server did not know: the row has it
    assert (await hand.report(token)).verdict is Verdict.REPEATED
    assert (await hand.pull()).begin == ()
    assert await one.rig.states() == ["SUCCEEDED"]


async def test_an_answer_that_one_server_lost_is_given_again_by_the_other(two: tuple[Office, Office]):
    """Under the same token."""
    one, other = two
    hand = await one.hire()
    await one.task()
    await one.run()
    lost = await hand.pull(wait=LONG, takes=False)
    again = await soon(hand.waits(at=other))
    assert [each.lease_token for each in again.begin] == [each.lease_token for each in lost.begin]
    await hand.report(*hand.held, at=other)


async def test_a_cancel_at_one_server_reaches_a_pull_at_the_other(two: tuple[Office, Office]):
    """By a notification between the servers."""
    one, other = two
    hand = await one.hire()
    await one.task()
    execution = await one.run()
    await hand.pull(wait=LONG)
    await soon(hand.waits(at=other))
    waiting = hand.waits(at=other)
    await other.parked()
    await one.rig.service.cancel(execution.id)
    assert (await soon(waiting)).stops == ((hand.held[0], StopReason.CANCELLED),)
    await hand.report(hand.held[0], NO, at=other)
    assert await one.rig.states() == ["CANCELLED"]


async def test_a_worker_that_holds_attempts_hears_of_its_lease_at_once_where_it_changes_servers(
    two: tuple[Office, Office],
):
    """Of its lease it knows what the other server said; this one cannot know when that ends."""
    one, other = two
    hand = await one.hire(lease=TEN)
    await one.task()
    await one.run()
    await hand.pull(wait=LONG)
    await one.advance(2)
    answer = await soon(hand.waits(at=other))
    assert (answer.begin, answer.lease) == ((), TEN)
    await hand.report(*hand.held)


async def test_a_run_at_one_server_reaches_a_pull_at_the_other(two: tuple[Office, Office]):
    """No time needs to pass."""
    one, other = two
    hand = await one.hire()
    await one.task()
    waiting = hand.waits(at=other)
    await other.parked()
    await one.run()
    assert len((await soon(waiting)).begin) == 1
    await hand.report(*hand.held)


async def test_a_session_that_left_one_server_is_unknown_at_the_other(two: tuple[Office, Office]):
    """At the next renewal at the latest; what it held is handed back at once."""
    one, other = two
    hand = await one.hire(lease=TEN)
    await one.task()
    await one.run()
    await hand.pull(wait=LONG, at=other)
    await hand.leave()
    assert await one.rig.states() == ["PENDING"]
    await other.rig.clock.advance(6)
    with pytest.raises(SessionUnknown):
        await hand.pull(at=other)


async def test_a_worker_that_renews_at_one_server_is_not_ended_by_the_other(two: tuple[Office, Office]):
    """Each sees the renewals of both."""
    one, other = two
    hand = await one.hire(lease=TEN)
    await one.task()
    await one.run()
    await hand.pull(wait=LONG)
    for _ in range(8):
        await one.advance(4)
        await other.quiet()
        await hand.pull()
    assert await one.rig.states() == ["RUNNING"]
    assert (await hand.report(*hand.held, at=other)).verdict is Verdict.APPLIED


async def test_a_worker_that_is_gone_is_ended_once(two: tuple[Office, Office]):
    """By whichever server sees it first: one attempt is used up."""
    one, other = two
    hand = await one.hire(lease=TEN)
    await one.task()
    await one.run()
    await hand.pull(wait=LONG)
    for _ in range(25):
        await one.advance(1)
        await other.quiet()
    (execution,) = await one.rig.history()
    assert (execution.state, len(execution.failed_attempts)) == (State.PENDING, 1)


async def test_two_workers_at_two_servers_share_what_waits(two: tuple[Office, Office]):
    """Each execution goes to one of them."""
    one, other = two
    first, second = await one.hire(slots=5), await other.hire(slots=5)
    await one.task()
    for _ in range(10):
        await one.run()

    async def all_given() -> bool:
        for hand, at in ((first, one), (second, other)):
            if len(hand.held) < 5:
                await hand.pull(wait=LONG, at=at)
        return len(first.held) + len(second.held) == 10

    await until(all_given)
    assert set(first.held).isdisjoint(second.held)
    for hand in (first, second):
        for token in tuple(hand.held):
            assert (await hand.report(token, OK)).verdict is Verdict.APPLIED
