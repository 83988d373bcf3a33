"""Workers in the store: their sessions, the attempts that they are given, and those that they lost."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from support.rigs.rig import Rig
from support.witnesses.checker.reading import rows

from schedule_grpc.database import Operation, Row
from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.execution import HandBack, Outcome, State, lost
from schedule_grpc.domain.policy import Overlap, Policy
from schedule_grpc.domain.retry import FailureKind, RetryPolicy
from schedule_grpc.domain.worker import OfferedHandler, Worker
from schedule_grpc.store import Claim, ClaimRequest, Given, Key, Taker
from schedule_grpc.store.operations.queue import take
from schedule_grpc.store.with_events import WithEvents

SECOND = timedelta(seconds=1)
BESIDE = Policy(overlap=Overlap.ALLOW_ALL)
QUOTES, LAST = 'a "quoted" name', "ü€😀"


def worker(rig: Rig, session: str = "s", **changes: Any) -> Worker:
    """Return a worker that offers `remote`."""
    now = rig.clock.now()
    values: dict[str, Any] = {
        "session": session,
        "namespace": DEFAULT_NAMESPACE,
        "name": session,
        "version": "",
        "labels": {},
        "offers": (OfferedHandler(name="remote"),),
        "slots": 4,
        "lease": timedelta(seconds=30),
        "start_time": now,
        "seen_time": now,
    }
    return Worker(**(values | changes))


def taker(session: str = "s", *, free: int = 4, **room: int) -> Taker:
    """Return a worker's places."""
    return Taker(owner=session, title=f"{session} (1)", slots=4, free=free, room=room)


def request(rig: Rig, *takers: Taker, handlers: Sequence[str] = ("remote",), **changes: Any) -> ClaimRequest:
    """Return a claim for workers."""
    values: dict[str, Any] = {
        "owner": "",
        "handlers": frozenset(handlers),
        "limit": sum(each.slots for each in takers),
        "running": {},
        "now": rig.clock.now(),
        "takers": takers,
        "namespace": DEFAULT_NAMESPACE,
    }
    return ClaimRequest(**(values | changes))


async def waits(rig: Rig, number: int = 1, *, name: str = "task", handler: str = "remote", **policy: Any) -> None:
    """Let executions wait."""
    await rig.register(
        name,
        "@manual",
        handler,
        allow_unknown_handler=True,
        policy=Policy(overlap=Overlap.ALLOW_ALL, **policy),
    )
    for _ in range(number):
        await rig.service.run_now(name, detach=True)


async def given(rig: Rig, *takers: Taker, **changes: Any) -> Given:
    """Give to workers."""
    return await rig.store.give([request(rig, *(takers or (taker(),)), **changes)], now=rig.clock.now())


async def one_given(rig: Rig, session: str = "s", **policy: Any) -> tuple[Key, Claim]:
    """Register a worker, and give it one attempt; return that."""
    await rig.store.register_worker(worker(rig, session))
    await waits(rig, **policy)
    ((_, claim),) = (await given(rig, taker(session))).claims
    return (claim.execution.id, claim.lease_token), claim


def outcome(rig: Rig, key: Key) -> Outcome:
    """Return a success of an attempt."""
    return Outcome(execution_id=key[0], lease_token=key[1], end_time=rig.clock.now(), duration=timedelta(0))


async def test_a_worker_is_read_as_it_registered(rig: Rig):
    """All that it says of itself; until it ends."""
    offers = (
        OfferedHandler(name="remote", description=LAST, concurrency=2, payload_schema='{"type": "object"}'),
        OfferedHandler(name="other"),
    )
    written = worker(rig, name=QUOTES, version=LAST, labels={"a": QUOTES}, offers=offers, registered_by="key:k")
    assert await rig.store.register_worker(written) == frozenset()
    read = await rig.store.find_worker("s")
    assert read is not None
    assert read == Worker(**{**{each: getattr(written, each) for each in written.__struct_fields__}, "beat": 1})
    assert await rig.store.living_workers() == {"s": (1, written.lease)}
    assert await rig.store.end_worker("s", now=rig.clock.now()) == 0
    assert (await rig.store.find_worker("s"), await rig.store.living_workers()) == (None, {})


async def test_held_tokens_move_only_if_they_stand(rig: Rig):
    """Not those of other handlers, of namespaces that it does not serve, of what has ended; nor what is none."""
    key, _ = await one_given(rig)
    no = (key[0], "0" * 32)
    for wrong in (
        worker(rig, "other-handler", offers=(OfferedHandler(name="other"),)),
        worker(rig, "elsewhere", namespace="elsewhere"),
    ):
        assert await rig.store.register_worker(wrong, held=[key]) == frozenset()
    assert await rig.store.register_worker(worker(rig, "new"), held=[key, no, ("x", key[1])]) == {key}
    assert [each.lease_token for each in await rig.store.attempts_of("new")] == [key[1]]
    assert await rig.store.attempts_of("s") == ()
    await rig.store.record([outcome(rig, key)])
    assert await rig.store.register_worker(worker(rig, "late"), held=[key]) == frozenset()


async def test_a_renewal_counts_for_those_that_live(rig: Rig):
    """It says whether they drain; a session that has ended stays ended."""
    for session in ("a", "b"):
        await rig.store.register_worker(worker(rig, session))
    await rig.store.end_worker("b", now=rig.clock.now())
    await rig.clock.advance(5)
    assert await rig.store.renew_workers({"a": True, "b": False, "c": False}, now=rig.clock.now()) == {"a"}
    read = await rig.store.find_worker("a")
    assert read is not None
    assert (read.beat, read.draining, read.seen_time) == (2, True, rig.clock.now())
    assert await rig.store.find_worker("b") is None


async def test_each_worker_is_given_what_it_has_room_for(rig: Rig):
    """Under its own session, with its name; what is left is told."""
    for session in ("a", "b"):
        await rig.store.register_worker(worker(rig, session))
    await waits(rig, 6)
    found = await given(rig, taker("a", free=1), taker("b", free=3))
    assert sorted(session for session, _ in found.claims) == ["a", "b", "b", "b"]
    assert (found.leaves, found.next_time) == (True, None)
    for session, claim in found.claims:
        assert (claim.execution.state, claim.execution.worker) == (State.RUNNING, f"{session} (1)")
    rest = await given(rig, taker("a"))
    assert (len(rest.claims), rest.leaves) == (2, False)


async def test_what_a_worker_limits(rig: Rig):
    """It gets no more of that handler than it has room for; others have the other slots."""
    await rig.store.register_worker(worker(rig))
    await waits(rig, 3)
    await waits(rig, 3, name="o", handler="other")
    found = await given(rig, taker(remote=1), handlers=("remote", "other"), limits={"remote": 1})
    assert sorted(claim.execution.handler for _, claim in found.claims) == ["other", "other", "other", "remote"]
    assert found.leaves


async def test_a_session_that_has_ended_is_given_nothing(rig: Rig):
    """Whatever the server still believes; another worker of the same request is."""
    for session in ("a", "b"):
        await rig.store.register_worker(worker(rig, session))
    await rig.store.end_worker("a", now=rig.clock.now())
    await waits(rig, 2)
    assert (await given(rig, taker("a"), taker("none"))).claims == ()
    assert {session for session, _ in (await given(rig, taker("a"), taker("b"))).claims} == {"b"}


async def test_another_namespace_is_left_alone(rig: Rig):
    """A worker serves its own, or all."""
    await rig.store.register_worker(worker(rig))
    await waits(rig)
    assert (await given(rig, namespace="elsewhere")).claims == ()
    elsewhere = request(rig, taker(), namespace="elsewhere").group
    assert (await rig.store.waiting_for([elsewhere], now=rig.clock.now())) == Given()
    assert len((await given(rig, namespace="*")).claims) == 1


async def test_what_becomes_available_later_is_announced(rig: Rig):
    """When a retry is due that nothing was claimed of; by the claim and by the look."""
    key, claim = await one_given(rig, retry=RetryPolicy(max_retries=1, initial_backoff=timedelta(seconds=7)))
    failed = Outcome(
        execution_id=key[0],
        lease_token=key[1],
        end_time=rig.clock.now(),
        duration=timedelta(0),
        kind=FailureKind.ERROR,
        error="no",
    )
    await rig.store.record([failed])
    due = rig.clock.now() + timedelta(seconds=7)
    found = await given(rig)
    assert (found.claims, found.leaves, found.next_time) == ((), False, due)
    asked = [request(rig, taker()).group]
    assert await rig.store.waiting_for(asked, now=rig.clock.now()) == Given(next_time=due)
    await rig.clock.advance(7)
    assert (await rig.store.waiting_for(asked, now=rig.clock.now())).leaves
    assert [each.execution.id for _, each in (await given(rig)).claims] == [claim.execution.id]


async def test_a_share_bounds_what_is_given(rig: Rig):
    """Of one namespace, in a claim for workers of all."""
    await rig.store.register_worker(worker(rig, namespace="*"))
    await waits(rig, 4)
    found = await given(rig, namespace="*", shares={DEFAULT_NAMESPACE: 2}, running_in={DEFAULT_NAMESPACE: 1})
    assert (len(found.claims), found.leaves) == (1, True)


async def test_attempts_that_were_reported_are_known_by_their_tokens(rig: Rig):
    """Not those that run, that were lost, or that no one ever had."""
    key, _ = await one_given(rig)
    assert await rig.store.ended_attempts([key]) == frozenset()
    await rig.store.record([outcome(rig, key)])
    assert await rig.store.ended_attempts([key, (key[0], "no"), ("no", key[1])]) == {key}


@pytest.mark.parametrize(("retries", "state"), [(1, "PENDING"), (0, "FAILED")])
async def test_a_worker_that_leaves_hands_back_what_it_held(rig: Rig, retries, state):
    """Uncounted; but where the handler is called once at most, the attempt is lost. Its token counts no more."""
    key, _ = await one_given(rig, retry=RetryPolicy(max_retries=retries))
    assert await rig.store.end_worker("s", now=rig.clock.now()) == 1
    (execution,) = await rig.history()
    assert (execution.state, execution.attempt) == (State(state), 0 if retries else 1)
    assert (await rig.store.record([outcome(rig, key)]), await rig.store.ended_attempts([key])) == (
        (None,),
        frozenset(),
    )
    assert await rig.store.end_worker("s", now=rig.clock.now()) == 0


async def test_a_lease_that_is_over_ends_the_session_and_its_attempts(rig: Rig):
    """LEASE_LOST, counted; a late report finds that its token does not stand."""
    key, _ = await one_given(rig, retry=RetryPolicy(max_retries=0))
    assert await rig.store.lapse_workers({"s": 1, "none": 1}, now=rig.clock.now()) == {"s"}
    (ended,) = await rig.history()
    assert (ended.state, ended.failure_kind) == (State.FAILED, FailureKind.LEASE_LOST)
    assert await rig.store.record([outcome(rig, key)]) == (None,)
    assert await rig.store.renew_workers({"s": False}, now=rig.clock.now()) == frozenset()
    assert await rig.store.lapse_workers({"s": 1}, now=rig.clock.now()) == frozenset()


async def test_a_lease_that_was_renewed_meanwhile_stands(rig: Rig):
    """What was read is no longer so."""
    await one_given(rig)
    await rig.store.renew_workers({"s": False}, now=rig.clock.now())
    assert await rig.store.lapse_workers({"s": 1}, now=rig.clock.now()) == frozenset()
    assert await rig.states() == ["RUNNING"]


async def test_an_attempt_that_is_not_stopped_ends_without_a_retry(rig: Rig):
    """Once; not one that has moved on meanwhile."""
    key, _ = await one_given(rig, timeout=SECOND, retry=RetryPolicy(max_retries=5))
    assert await rig.store.attempts_of_workers() == {key: SECOND}
    assert await rig.store.end_overtime([(key[0], "no"), ("no", key[1])], now=rig.clock.now()) == 0
    assert await rig.store.end_overtime([key], now=rig.clock.now()) == 1
    assert await rig.store.end_overtime([key], now=rig.clock.now()) == 0
    (ended,) = await rig.history()
    assert (ended.state, ended.failure_kind, ended.worker) == (State.FAILED, FailureKind.TIMEOUT, "s (1)")
    assert ended.failed_attempts[0].worker == "s (1)"
    assert await rig.store.record([outcome(rig, key)]) == (None,)
    assert await rig.store.attempts_of_workers() == {}


async def test_sessions_that_ended_long_ago_are_removed(rig: Rig):
    """Those that live, and those that ended later, stay."""
    for session in ("old", "new", "living"):
        await rig.store.register_worker(worker(rig, session))
    await rig.store.end_worker("old", now=rig.clock.now())
    await rig.clock.advance(10)
    await rig.store.end_worker("new", now=rig.clock.now())
    await rig.store.remove_workers(ended_before=rig.clock.now())
    assert [row["session"] for row in rows(rig.place, "SELECT session FROM workers ORDER BY session")] == [
        "living",
        "new",
    ]


async def test_a_rescue_leaves_what_living_workers_run(rig: Rig):
    """A file's server that starts takes what the server before it ran, and what workers ran that have ended."""
    key, _ = await one_given(rig)
    assert await rig.store.rescue(now=rig.clock.now()) == 0
    assert await rig.states() == ["RUNNING"]
    assert await rig.store.record([outcome(rig, key)]) != (None,)


async def test_a_take_over_leaves_what_living_workers_run(rig: Rig):
    """Servers that share a database hold leases of their own: a worker's session is one, too."""
    await one_given(rig)
    assert await rig.store.take_over({"gone": 1}, now=rig.clock.now()) == 0
    assert await rig.states() == ["RUNNING"]


async def test_an_attempt_that_moves_while_its_session_is_being_ended_is_kept(rig: Rig, monkeypatch):
    """The round has read it under the old session; by the time it settles it, it belongs to the new one."""
    key, _ = await one_given(rig)
    (before,) = rows(rig.place, "SELECT * FROM task_executions")
    await rig.store.register_worker(worker(rig, "new"), held=[key])
    stale = {"id": before["id"], "lease_token": before["lease_token"], "lease_owner": "s"}
    assert await rig.store._write(_taken, stale, rig.clock.now()) == 0
    assert await rig.states() == ["RUNNING"]
    assert await rig.store.record([outcome(rig, key)]) != (None,)


def _taken(row: Row, now: datetime) -> Operation[WithEvents[int]]:
    return take([([row], lost)], now)


async def test_a_handed_back_attempt_is_known_until_the_next_one_begins(rig: Rig):
    """Then its token is another."""
    key, _ = await one_given(rig)
    report = HandBack(execution_id=key[0], lease_token=key[1], time=rig.clock.now())
    await rig.store.record([report])
    assert await rig.store.ended_attempts([key]) == {key}
    await given(rig)
    assert await rig.store.ended_attempts([key]) == frozenset()
