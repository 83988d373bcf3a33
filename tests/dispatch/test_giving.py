"""Giving: no worker beyond its places, none of them empty while something waits, at the right time, at no cost else."""

import asyncio
from datetime import timedelta

from support.rigs.workers import NO, Office, offers, soon

from schedule_grpc.dispatch import workers as limits
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.retry import RetryPolicy
from schedule_grpc.events import TaskChanged


async def test_capacity_and_slots_are_kept_to(office: Office):
    """A worker of 3 slots that can take 2 is given 2, and with them held 1 more."""
    hand = await office.hire(slots=3)
    await office.task()
    for _ in range(5):
        await office.run()
    assert len((await hand.pull(capacity=2, wait=limits.LONGEST_WAIT)).begin) == 2
    assert len((await hand.pull(capacity=5, wait=limits.LONGEST_WAIT)).begin) == 1
    waiting = hand.waits(capacity=5)
    await office.parked()
    await office.quiet()
    assert not waiting.done()
    await hand.report(hand.held[0])
    assert len((await soon(waiting)).begin) == 1  # its slot is free, and the Pull that waits is given another one
    assert len(hand.held) == 3


async def test_an_outcome_frees_a_slot_of_the_pull_that_holds_it(office: Office):
    """The Pull said that it has no place; the outcome of what it holds makes one."""
    hand = await office.hire(slots=1)
    await office.task()
    await office.run()
    await office.run()
    await hand.pull(wait=limits.LONGEST_WAIT)
    (token,) = hand.held
    waiting = hand.waits(capacity=0)
    await office.parked()
    await hand.report(token)
    assert len((await soon(waiting)).begin) == 1
    await hand.report(*hand.held)


async def test_what_a_pull_does_not_hold_frees_no_place_of_it(office: Office):
    """An attempt that the worker never got is handed back; the worker said that it takes nothing, and is given none."""
    hand = await office.hire(slots=2)
    await office.task()
    execution = await office.run()
    await hand.pull(capacity=1, wait=limits.LONGEST_WAIT, takes=False)
    await office.rig.service.cancel(execution.id)
    await office.run()
    waiting = hand.waits(capacity=0)
    await office.parked()
    await office.quiet()
    assert not waiting.done()
    await office.becomes("CANCELLED", "PENDING")
    await office.advance(30)
    assert (await soon(waiting)).begin == ()


async def test_a_handlers_own_limit_holds(office: Office):
    """Of `narrow` one at a time; another handler has the other slots."""
    hand = await office.hire(*offers("narrow", "wide", narrow=1), slots=4)
    await office.task("n", "narrow")
    await office.task("w", "wide")
    for name in ("n", "n", "n", "w", "w"):
        await office.run(name)
    while len(hand.held) < 3:
        await soon(hand.waits())
    waiting = hand.waits()
    await office.parked()
    await office.quiet()
    assert not waiting.done()
    given = [each.claim.execution.handler for each in hand.session.attempts.values()]
    assert sorted(given) == ["narrow", "wide", "wide"]
    waiting.cancel()


async def test_a_worker_that_cannot_take_more_of_a_handler_keeps_no_other_from_its_slot(office: Office):
    """`a` is at its limit at the one worker that waits, and would be allowed at another one, which does not."""
    offered = offers("a", "b", a=1)
    one, _other = await office.hire(*offered, slots=2), await office.hire(*offered, slots=2)
    await office.task("a", "a")
    await office.task("b", "b")
    await office.run("a")
    await one.pull(wait=limits.LONGEST_WAIT)
    await office.run("a")
    await office.run("b")
    (claim,) = (await soon(one.waits())).begin
    assert claim.execution.handler == "b"


async def test_nothing_is_claimed_for_a_worker_that_drains(office: Office):
    """It says how many it could take, and is given none; nor is it given anything that comes later."""
    hand = await office.hire()
    await office.task()
    await office.run()
    waiting = hand.waits(draining=True)
    await office.parked()
    await office.quiet()
    assert not waiting.done()
    assert await office.rig.states() == ["PENDING"]
    waiting.cancel()


async def test_a_retry_reaches_a_pull_that_waits_at_its_time(office: Office):
    """Not at the next look, up to a second later; nor if another worker's Pull came in between."""
    hand, other = await office.hire(), await office.hire("other")
    backoff = timedelta(milliseconds=300)
    await office.task(policy=Policy(retry=RetryPolicy(max_retries=1, initial_backoff=backoff)))
    await office.run()
    await hand.pull(wait=limits.LONGEST_WAIT)
    waiting = hand.waits()
    await office.parked()
    await hand.report(*hand.held, NO)
    await office.quiet()
    elsewhere = other.waits()
    await office.parked(2)
    await office.quiet()
    began = office.rig.clock.now()
    await office.rig.clock.advance(0.3)
    (claim,) = (await soon(waiting)).begin
    assert claim.execution.attempt_start_time - began == backoff
    elsewhere.cancel()
    await hand.report(*hand.held)


async def test_what_waits_and_cannot_be_placed_does_not_keep_the_claims_busy(office: Office, monkeypatch):
    """The worker has a slot, and its handler's limit is reached; then a retry of another one becomes due."""
    hand = await office.hire(*offers("narrow", "remote", narrow=1), slots=4)
    await office.task("n", "narrow")
    backoff = timedelta(milliseconds=300)
    await office.task(policy=Policy(retry=RetryPolicy(max_retries=3, initial_backoff=backoff)))
    await office.run("n")
    await office.run()
    while len(hand.held) < 2:
        await hand.pull(wait=limits.LONGEST_WAIT)
    await office.run("n")
    waiting = hand.waits()
    await office.parked()
    (retried,) = [token for token in hand.held if token.startswith("exec_task_")]
    await hand.report(retried, NO)
    await office.quiet()
    gives = 0
    give = office.store.give

    async def counting(*args, **kwargs):
        nonlocal gives
        gives += 1
        return await give(*args, **kwargs)

    monkeypatch.setattr(office.store, "give", counting)
    await office.advance(0.5)
    assert [each.execution.handler for each in (await soon(waiting)).begin] == ["remote"]
    again = hand.waits()
    await office.parked()
    for _ in range(10):
        await office.quiet()
    assert gives < 6
    again.cancel()


async def test_an_idle_server_reads_nothing_for_workers(office: Office, monkeypatch):
    """No worker is registered: the engine's events cause no claim, and no look."""
    calls = []
    for name in ("give", "waiting_for", "running_shares"):
        monkeypatch.setattr(office.store, name, lambda *_, name=name, **__: calls.append(name))
    office.hub.publish([TaskChanged(namespace="default", name="t")])
    await office.advance(5)
    assert calls == []


async def test_events_during_a_claim_are_not_lost(office: Office, monkeypatch):
    """One comes while the claim is in progress, after it has looked: it is looked at again at once."""
    hand = await office.hire()
    await office.task()
    looking, going_on = asyncio.Event(), asyncio.Event()
    look = office.store.waiting_for

    async def held_up(*args, **kwargs):
        seen = await look(*args, **kwargs)
        looking.set()
        await going_on.wait()
        return seen

    monkeypatch.setattr(office.store, "waiting_for", held_up)
    waiting = hand.waits()
    await soon(looking.wait())
    await office.run()
    going_on.set()
    assert len((await soon(waiting)).begin) == 1


async def test_one_claim_serves_all_pulls_that_wait(office: Office):
    """Each worker takes its part: those with the largest part of their slots free come first."""
    hands = [await office.hire(slots=2) for _ in range(3)]
    await office.task()
    pulls = [hand.waits() for hand in hands]
    await office.parked(3)
    for _ in range(6):
        await office.run()
    await office.quiet()
    for hand in hands:
        while len(hand.held) < 2:
            await soon(hand.waits()) if hand is not hands[0] or pulls[0].done() else await soon(pulls[0])
    assert [len(hand.held) for hand in hands] == [2, 2, 2]


async def test_of_equal_workers_the_one_that_waits_longest_is_served(office: Office):
    """Not always the one that registered first."""
    first, second = await office.hire(), await office.hire()
    await office.task()
    later = second.waits()
    await office.parked()
    await office.rig.clock.advance(0.1)
    sooner = first.waits()
    await office.parked(2)
    await office.run()
    assert len((await soon(later)).begin) == 1
    assert not sooner.done()
    sooner.cancel()
    await second.report(*second.held)
