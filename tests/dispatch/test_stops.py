"""Orders to stop: each reaches the worker that has the attempt, again and again until it obeys, and never in a loop."""

import asyncio
from datetime import timedelta

from structlog.testing import capture_logs
from support.rigs.workers import BESIDE, LONG, NO, OK, Office, said, soon

from schedule_grpc.dispatch.values import Finished, Released, StopReason, Verdict
from schedule_grpc.domain.execution import State
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.retry import FailureKind, RetryPolicy
from schedule_grpc.store import Given

MINUTE = timedelta(minutes=1)


async def test_a_cancel_of_what_runs_reaches_a_pull_that_waits(office: Office):
    """At once; the failure that the worker reports then ends the execution CANCELLED."""
    hand = await office.hire()
    await office.task()
    execution = await office.run()
    await hand.pull(wait=LONG)
    waiting = hand.waits()
    await office.parked()
    await office.rig.service.cancel(execution.id)
    assert (await soon(waiting)).stops == ((hand.held[0], StopReason.CANCELLED),)
    await hand.report(hand.held[0], NO)
    assert await office.rig.states() == ["CANCELLED"]


async def test_a_success_that_is_faster_than_the_order_stands(office: Office):
    """The handler had done it."""
    hand = await office.hire()
    await office.task()
    execution = await office.run()
    await hand.pull(wait=LONG)
    await office.rig.service.cancel(execution.id)
    await hand.report(hand.held[0])
    assert await office.rig.states() == ["SUCCEEDED"]


async def test_a_cancel_of_what_is_released(office: Office):
    """Nobody shall run it: it ends."""
    hand = await office.hire()
    await office.task()
    execution = await office.run()
    await hand.pull(wait=LONG)
    await office.rig.service.cancel(execution.id)
    await hand.report(hand.held[0], Released(began=True))
    assert await office.rig.states() == ["CANCELLED"]


async def test_a_cancel_of_what_the_worker_never_got(office: Office):
    """The answer was lost: it ends without the worker, which is not given it again."""
    hand = await office.hire()
    await office.task()
    execution = await office.run()
    await hand.pull(wait=LONG, takes=False)
    await office.rig.service.cancel(execution.id)
    answer = await hand.pull()
    assert (answer.begin, answer.stops) == ((), ())
    await office.becomes("CANCELLED")


async def test_a_cancel_of_what_is_just_being_given(office: Office, monkeypatch):
    """The claim is on disk, and this server does not know of it yet: the order is not lost."""
    hand = await office.hire()
    await office.task()
    execution = await office.run()
    give = office.store.give

    async def cancelled_at_once(*args, **kwargs) -> Given:
        given = await give(*args, **kwargs)
        if given.claims:
            await office.rig.service.cancel(execution.id)
        return given

    monkeypatch.setattr(office.store, "give", cancelled_at_once)
    await soon(hand.waits())
    assert (await soon(hand.waits())).stops == ((hand.held[0], StopReason.CANCELLED),)
    await hand.report(hand.held[0], NO)
    assert await office.rig.states() == ["CANCELLED"]


async def test_an_order_is_repeated_every_two_seconds(office: Office):
    """A handler that is deaf to it is told again and again, and its worker is not called in a loop."""
    hand = await office.hire()
    await office.task(policy=Policy(timeout=MINUTE))
    execution = await office.run()
    await hand.pull(wait=LONG)
    await office.rig.service.cancel(execution.id)
    times = []
    for _ in range(4):
        answer = hand.waits()
        await office.quiet()
        while not answer.done():
            await office.advance(0.5)
        assert (await answer).stops == ((hand.held[0], StopReason.CANCELLED),)
        times.append(office.rig.clock.monotonic())
    assert times == [0, 2, 4, 6]
    await hand.report(hand.held[0])


async def test_a_timeout_is_ordered_two_seconds_after_the_workers_own(office: Office):
    """The worker waits in a Pull meanwhile, and is answered then."""
    hand = await office.hire()
    await office.task(policy=Policy(timeout=timedelta(seconds=3), retry=RetryPolicy(max_retries=0)))
    await office.run()
    await hand.pull(wait=LONG)
    waiting = hand.waits()
    await office.parked()
    await office.advance(4.5)
    assert not waiting.done()
    await office.advance(0.5)
    assert (await soon(waiting)).stops == ((hand.held[0], StopReason.TIMEOUT),)
    late = Finished(duration=timedelta(seconds=3), kind=FailureKind.TIMEOUT, error="Task execution timeout")
    await hand.report(hand.held[0], late)
    (ended,) = await office.rig.history()
    assert (ended.state, ended.failure_kind) == (State.FAILED, FailureKind.TIMEOUT)


async def test_a_wall_clock_that_jumps_orders_no_stop(office: Office):
    """Another server, or this one after a restart, knows since when it has known the attempt: no wall clock counts."""
    hand = await office.hire()
    await office.task(policy=Policy(timeout=MINUTE))
    await office.run()
    await hand.pull(wait=LONG)
    office.rig.clock.set_wall(office.rig.clock.now() + timedelta(hours=5))
    office.workers._sessions.clear()
    assert (await hand.pull()).stops == ()
    await hand.report(hand.held[0])


async def test_what_a_worker_does_not_stop_ends_without_a_retry(office: Office):
    """30 s beyond the timeout, FAILED by TIMEOUT, once: its handler may still run, and no other runs beside it."""
    hand = await office.hire()
    await office.task(policy=Policy(timeout=timedelta(seconds=10), retry=RetryPolicy(max_retries=5)))
    await office.run()
    await hand.pull(wait=LONG)
    (token,) = hand.held
    with capture_logs() as logs:
        for _ in range(16):
            await office.advance(4)
            await hand.pull()
    assert len(said(logs, "worker.attempts_not_stopped")) == 1
    (ended,) = await office.rig.history()
    assert (ended.state, ended.failure_kind, ended.attempt) == (State.FAILED, FailureKind.TIMEOUT, 1)
    assert hand.held == []  # told that it is lost
    assert (await hand.report(token)).verdict is Verdict.STALE
    assert (await office.rig.history()) == (ended,)


async def test_an_attempt_within_its_time_is_left_alone(office: Office):
    """However long it runs: its timeout says how long that may be."""
    hand = await office.hire()
    await office.task(policy=Policy(timeout=timedelta(minutes=10)))
    await office.run()
    await hand.pull(wait=LONG)
    await hand.stay(120)
    assert await office.rig.states() == ["RUNNING"]
    await hand.report(hand.held[0])


async def test_cancel_other_makes_way(office: Office):
    """The overlap policy asks the worker to stop what runs, and the next one is given once that has ended."""
    hand = await office.hire()
    await office.task()
    await office.run()
    await hand.pull(wait=LONG)
    (first,) = hand.held
    waiting = hand.waits()
    await office.parked()
    await office.rig.register(
        "task", "@manual", "remote", allow_unknown_handler=True, policy=Policy(overlap="CANCEL_OTHER")
    )
    await office.run()
    assert (await soon(waiting)).stops == ((first, StopReason.CANCELLED),)
    waiting = hand.waits()
    await office.parked()
    await hand.report(first, NO)
    assert len((await soon(waiting)).begin) == 1
    await hand.report(hand.held[0])
    assert await office.rig.states() == ["CANCELLED", "SUCCEEDED"]


async def test_the_former_of_two_pulls_takes_no_order_with_it(office: Office):
    """Its caller has given it up: the one that waits now is told."""
    hand = await office.hire()
    await office.task()
    execution = await office.run()
    await hand.pull(wait=LONG)
    former = hand.waits()
    await office.parked()
    hand.session.attempts[next(iter(hand.session.attempts))].cancelled = True
    second = hand.waits()
    assert (await soon(former)).stops == ()
    assert len((await soon(second)).stops) == 1
    await office.rig.service.cancel(execution.id)
    await hand.report(hand.held[0], OK)


async def test_a_task_that_is_deleted_leaves_its_attempt_to_end(office: Office):
    """As at a server: what runs ends by itself, and is not retried."""
    hand = await office.hire()
    await office.task(policy=BESIDE)
    await office.run()
    await hand.pull(wait=LONG)
    await office.rig.service.delete("task")
    assert (await hand.report(hand.held[0], NO)).verdict is Verdict.APPLIED
    await asyncio.sleep(0)


async def test_what_has_ended_is_not_to_be_stopped(office: Office, monkeypatch):
    """Its outcome is being recorded: the Pull that still names it waits for something else."""
    hand = await office.hire()
    await office.task()
    execution = await office.run()
    await hand.pull(wait=LONG)
    recording, going_on = asyncio.Event(), asyncio.Event()
    record = office.store.record

    async def held_up(*args, **kwargs):
        recording.set()
        await going_on.wait()
        return await record(*args, **kwargs)

    monkeypatch.setattr(office.store, "record", held_up)
    reporting = asyncio.create_task(hand.report(hand.held[0]))
    await soon(recording.wait())
    await office.rig.service.cancel(execution.id)
    waiting = hand.waits()
    await office.parked()
    going_on.set()
    assert (await soon(reporting)).verdict is Verdict.APPLIED
    waiting.cancel()
