"""Sessions and their leases: what a server promises a worker, when it takes its attempts away, and what survives it."""

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs
from support.rigs.rig import Rig
from support.rigs.workers import LONG, OK, Hand, Office, offers, office_of, registration, said, soon

from schedule_grpc.dispatch.refusals import SessionUnknown
from schedule_grpc.dispatch.registering import ProtocolUnknown
from schedule_grpc.dispatch.values import Verdict
from schedule_grpc.domain.access.caller import Caller
from schedule_grpc.domain.access.grant import Grant
from schedule_grpc.domain.execution import State
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.retry import FailureKind, RetryPolicy
from schedule_grpc.errors import PermissionDenied, Unavailable

TEN, FORTY = timedelta(seconds=10), timedelta(seconds=40)


async def working(office: Office, **how) -> Hand:
    """Return a worker that has one attempt."""
    hand = await office.hire(**how)
    await office.task(policy=Policy(retry=RetryPolicy(max_retries=1, initial_backoff=timedelta(seconds=1))))
    await office.run()
    await hand.pull(wait=LONG)
    assert len(hand.held) == 1
    return hand


async def test_a_lease_is_promised_from_the_sending_of_a_pull_and_renewed_once_a_quarter_is_gone(office: Office):
    """Never longer than from the last renewal on disk."""
    hand = await office.hire(lease=FORTY)
    promises, beats = [], []
    for _ in range(6):
        promises.append((await hand.pull()).lease.total_seconds())
        await office.quiet()
        ((beat, _),) = (await office.store.living_workers()).values()
        beats.append(beat)
        await office.advance(4)
    assert promises == [40, 36, 32, 28, 37, 33]
    assert (beats[2], beats[-1]) == (1, 2)


async def test_a_database_that_takes_no_renewals(office: Office, monkeypatch):
    """The promise shrinks; once half of it is gone the worker is told UNAVAILABLE, and nothing is promised."""
    hand = await office.hire(lease=FORTY)

    async def away(*_, **__):
        raise Unavailable("away")

    with monkeypatch.context() as broken:
        broken.setattr(office.store, "renew_workers", away)
        promises = []
        for _ in range(6):
            promises.append((await hand.pull()).lease.total_seconds())
            await office.advance(4)
        with pytest.raises(Unavailable):
            await hand.pull()
        assert promises == [40, 36, 32, 28, 24, 20]
    assert (await hand.pull()).lease == FORTY


async def test_one_pull_that_is_given_up_ends_no_other_ones_renewal(office: Office, monkeypatch):
    """Both wait for the same write; the first one's caller goes away."""
    hand = await office.hire(lease=TEN)
    renewing, going_on = asyncio.Event(), asyncio.Event()
    renew = office.store.renew_workers

    async def held_up(*args, **kwargs):
        renewing.set()
        await going_on.wait()
        return await renew(*args, **kwargs)

    monkeypatch.setattr(office.store, "renew_workers", held_up)
    await office.advance(6)
    blocker = asyncio.create_task((await office.hire()).pull(draining=True))
    await soon(renewing.wait())
    first, second = asyncio.create_task(hand.pull()), asyncio.create_task(hand.pull())
    await office.quiet()
    first.cancel()
    await asyncio.wait([first])
    going_on.set()
    assert (await soon(second)).lease == TEN
    await soon(blocker)


async def test_workers_that_are_gone_are_counted(rig: Rig):
    """By the server that ends their sessions; one that leaves is not."""
    counted: list[int] = []
    async with office_of(rig, lapsed=counted.append) as office:
        for _ in range(2):
            await office.hire(lease=TEN)
        leaving = await office.hire(lease=TEN)
        await leaving.leave()
        await office.advance(20)
    assert sum(counted) == 2


async def test_a_worker_that_is_gone_loses_its_attempts_after_its_lease(office: Office):
    """Not before the lease and 5 s more are over; then another one gets the next attempt, and the first is refused."""
    hand = await working(office, lease=TEN)
    with capture_logs() as logs:
        await office.advance(14.5)
        assert await office.rig.states() == ["RUNNING"]
        await office.advance(5)
    assert len(said(logs, "worker.lapsed")) == 1
    (execution,) = await office.rig.history()
    assert (execution.state, execution.failed_attempts[0].failure_kind) == (State.PENDING, FailureKind.LEASE_LOST)
    with pytest.raises(SessionUnknown):
        await hand.report(*hand.held)
    again = await office.hire(held_tokens=tuple(hand.held))
    assert again.lost == tuple(hand.held)
    assert (await again.report(hand.held[0])).verdict is Verdict.STALE
    await office.advance(1)
    (claim,) = (await soon(again.waits())).begin
    assert (claim.execution.attempt, claim.execution.id) == (2, execution.id)
    await again.report(*again.held)
    assert await office.rig.states() == ["SUCCEEDED"]


async def test_a_pull_that_waits_at_a_session_that_ends_is_told(office: Office):
    """So that its worker registers anew at once."""
    hand = await office.hire()
    waiting = hand.waits()
    await office.parked()
    await hand.leave()
    with pytest.raises(SessionUnknown):
        await soon(waiting)


async def test_an_observer_that_was_away_gives_leases_their_whole_time_again(office: Office, monkeypatch):
    """The database did not answer for longer than the lease: workers could not renew theirs either."""
    hand = await working(office, lease=TEN)
    await office.advance(4)

    async def away(*_, **__):
        raise Unavailable("away")

    with monkeypatch.context() as broken:
        for name in ("living_workers", "renew_workers"):
            broken.setattr(office.store, name, away)
        await office.rig.clock.advance(40)
    await office.advance(10)
    assert await office.rig.states() == ["RUNNING"]
    await hand.report(*hand.held)
    assert await office.rig.states() == ["SUCCEEDED"]


async def test_a_worker_that_leaves_hands_back(office: Office):
    """At once, and the attempt does not count."""
    hand, other = await working(office), await office.hire()
    await hand.leave()
    (claim,) = (await soon(other.waits())).begin
    assert (claim.execution.attempt, claim.execution.hand_backs) == (1, 1)
    await other.report(*other.held)


async def test_a_worker_takes_its_attempts_to_its_new_session(office: Office):
    """It goes on with what it has, and the old session's end takes nothing from it."""
    hand = await working(office)
    again = await office.hire(held_tokens=(*hand.held, "no.such"))
    assert (again.lost, again.held) == (("no.such",), hand.held)
    assert (await again.pull()).lost_tokens == ()
    await office.advance(10)
    assert (await hand.pull()).lost_tokens == tuple(again.held)
    await hand.leave()
    assert (await again.report(*again.held)).verdict is Verdict.APPLIED
    assert await office.rig.states() == ["SUCCEEDED"]


async def test_a_new_session_does_not_get_what_it_may_not_run(office: Office):
    """Of a handler that it does not offer, in a namespace that it does not serve."""
    hand = await working(office)
    other = await office.hire("other", held_tokens=tuple(hand.held))
    elsewhere = await office.hire(held_tokens=tuple(hand.held), namespace="elsewhere")
    assert other.lost == elsewhere.lost == tuple(hand.held)
    assert (await hand.report(*hand.held)).verdict is Verdict.APPLIED


async def test_a_worker_of_another_namespace_is_given_nothing(office: Office):
    """One of all namespaces is."""
    await office.task()
    await office.run()
    elsewhere, everywhere = await office.hire(namespace="elsewhere"), await office.hire(namespace="*")
    waiting = elsewhere.waits()
    await office.parked()
    assert len((await soon(everywhere.waits())).begin) == 1
    assert not waiting.done()
    waiting.cancel()
    await everywhere.report(*everywhere.held)


async def test_attempts_go_on_while_the_server_is_restarted(rig: Rig):
    """It rescues what it ran itself, and leaves to workers what they run."""
    async with office_of(rig) as before:
        hand = await working(before)
    await rig.engine.recover()
    async with office_of(rig) as after:
        hand.office = after
        answer = await hand.pull()
        assert (answer.lost_tokens, answer.begin) == ((), ())
        assert (await hand.report(*hand.held)).verdict is Verdict.APPLIED
    (ended,) = await rig.history()
    assert (ended.state, ended.attempt) == (State.SUCCEEDED, 1)


async def test_a_restarted_server_gives_again_what_was_on_its_way(rig: Rig):
    """The answer was lost with the old one."""
    async with office_of(rig) as before:
        hand = await before.hire()
        await before.task()
        await before.run()
        lost = await hand.pull(wait=LONG, takes=False)
    async with office_of(rig) as after:
        hand.office = after
        again = await soon(hand.waits())
        assert [each.lease_token for each in again.begin] == [each.lease_token for each in lost.begin]
        await hand.report(*hand.held)


async def test_a_restarted_server_ends_a_worker_that_did_not_come_back(rig: Rig):
    """After a whole lease, as it sees it."""
    async with office_of(rig) as before:
        await working(before, lease=TEN)
    await rig.clock.advance(60)
    async with office_of(rig) as after:
        await after.advance(14)
        assert await rig.states() == ["RUNNING"]
        await after.advance(6)
        assert await rig.states() == ["PENDING"]


async def test_a_worker_and_the_server_offer_the_same_handler(office: Office):
    """Whichever claims first runs an execution, and each is run once."""
    hand = await office.hire("fate", slots=3)
    await office.task("task", "fate")
    for _ in range(8):
        await office.run()
    waiting = hand.waits()
    await office.rig.tick()
    while not all(state == "SUCCEEDED" for state in await office.rig.states()):
        for token in tuple(hand.held):
            await hand.report(token)
        if waiting.done():
            waiting = hand.waits()
        await office.quiet()
    waiting.cancel()
    assert all(each.attempt == 1 for each in await office.rig.history())


async def test_a_caller_may_run_its_own_handlers_only(office: Office):
    """Those of its namespace that begin with its prefix; another caller may not speak for its session."""
    team = Caller(name="key:team", grants=(Grant.read("worker@default/team."),))
    hand = await office.hire("team.a", "team.b", caller=team)
    for handlers, namespace in ((("team.a", "backup"), "default"), (("team.a",), "other"), (("team.a",), "*")):
        with pytest.raises(PermissionDenied):
            await office.hire(*handlers, namespace=namespace, caller=team)
    stranger = Caller(name="key:other", grants=(Grant.read("worker@default/team.a"), Grant.read("worker@other")))
    hand.caller = stranger
    for call in (hand.pull(), hand.report("x.y", OK), hand.leave()):
        with pytest.raises(PermissionDenied):
            await call
    hand.caller = team
    assert (await hand.pull()).lease == timedelta(seconds=30)


async def test_a_worker_whose_grants_shrink_is_given_nothing_more(office: Office):
    """Its key was changed: from the next call on."""
    whole = Caller(name="key:team", grants=(Grant.read("worker@default"),))
    hand = await office.hire("a", "b", caller=whole)
    await hand.pull()
    hand.caller = Caller(name="key:team", grants=(Grant.read("worker@default/a"),))
    with pytest.raises(PermissionDenied):
        await hand.pull()


async def test_an_older_protocol_is_refused_and_a_newer_one_is_spoken_down(office: Office):
    """The worker is told which ones this server speaks."""
    with pytest.raises(ProtocolUnknown, match="1 to 1, and the worker 0"):
        await office.hire(protocol=0)
    hand = await office.workers.register(Caller(name="a", grants=(Grant.read("worker@*"),)), registration(protocol=7))
    assert hand.protocol == 1


async def test_a_share_of_a_namespace_bounds_what_workers_of_all_namespaces_run(office: Office):
    """One attempt of `default` at once, of four slots."""
    await office.rig.service.update_namespace("default", limits={"running_share": 0.25})
    hand = await office.hire(*offers("remote"), namespace="*", slots=4)
    await office.task()
    for _ in range(3):
        await office.run()
    assert len((await soon(hand.waits())).begin) == 1
    waiting = hand.waits()
    await office.parked()
    await office.quiet()
    assert not waiting.done()
    await hand.report(hand.held[0])
    assert len((await soon(waiting)).begin) == 1
    await office.rig.service.update_namespace("default", limits={"running_share": None})
