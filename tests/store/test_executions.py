"""What the store promises of executions and their history, on a real file."""

import asyncio
import threading
from collections import Counter
from datetime import timedelta
from itertools import chain, combinations, product
from pathlib import Path

import pytest
from support.rigs.rig import Rig, at, new_rig

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.execution import STATES, ExecutionFilter, Outcome, State
from schedule_grpc.domain.paging import Page
from schedule_grpc.domain.policy import Overlap, Policy
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.errors import (
    ExecutionNotFound,
    InvalidArgument,
    NoWorker,
    ShuttingDown,
    TaskDisabled,
    TaskNotFound,
)
from schedule_grpc.store import ClaimRequest
from schedule_grpc.store.free_slots import slots_by_handler


async def test_a_quiet_tasks_history_is_not_hidden_by_a_busy_one(rig: Rig):
    """History is chosen by task before it is limited."""
    await rig.register("quiet", "@manual")
    await rig.register("busy", "@manual")
    await rig.service.run_now("quiet", detach=True)
    await rig.tick()
    for _ in range(30):
        await rig.service.run_now("busy", detach=True)
        await rig.tick()
        await rig.clock.advance(1)
    page = await rig.service.history("quiet", ExecutionFilter(), Page(size=10))
    assert len(page.executions) == 1


async def test_pages_go_newest_first_and_cover_every_execution_once(rig: Rig):
    """25 executions in pages of 10, even where several were created at one instant."""
    await rig.register("task", "@manual")
    for number in range(25):
        await rig.service.run_now("task", detach=True)
        await rig.tick()
        if number % 3 == 0:
            await rig.clock.advance(1)
    token, seen = "", []
    while True:
        page = await rig.service.executions(ExecutionFilter(), Page(size=10, token=token))
        seen += page.executions
        token = page.next_page_token
        if not token:
            break
    assert len({execution.id for execution in seen}) == len(seen) == 25
    keys = [(execution.create_time, execution.id) for execution in seen]
    assert keys == sorted(keys, reverse=True)


async def in_every_state(rig: Rig) -> None:
    """Leave two executions in each state, created in turn, some at one instant."""
    open_to_all = Policy(overlap=Overlap.ALLOW_ALL, start_deadline=timedelta(seconds=1))
    for name in ("task", "late"):
        await rig.register(name, "@manual", policy=open_to_all)

    async def run(name: str = "task", **payload: str) -> str:
        return (await rig.service.run_now(name, payload=payload, detach=True)).id

    for _ in range(2):
        await run()
        await run(fate="reject")
        await rig.tick()
        await rig.service.cancel(await run())
        await rig.store.give_up(DEFAULT_NAMESPACE, await run(), now=rig.clock.now())
        await run("late")
        await rig.clock.advance(2)
        await rig.store.expire(now=rig.clock.now())
        await run()
        await rig.claim("another server")
        await rig.clock.advance(0.5)
    for _ in range(2):
        await run()


async def test_each_choice_of_states_has_its_pages(rig: Rig):
    """Pages of one state, of several merged, of one task or all, show what a list of everything shows of them."""
    await in_every_state(rig)
    everything = (await rig.service.executions(ExecutionFilter(), Page(size=1000))).executions
    assert Counter(execution.state for execution in everything) == dict.fromkeys(STATES, 2)
    last = everything[0].create_time
    for states in chain.from_iterable(combinations(STATES, count) for count in (1, 2, len(STATES))):
        for end_time in (None, last):
            chosen = ExecutionFilter(states=frozenset(states), end_time=end_time)
            wanted = [each for each in everything if each.state in states and (not end_time or each.create_time < last)]
            token, seen = "", []
            while token or not seen:
                page = await rig.service.executions(chosen, Page(size=3, token=token))
                seen += [*page.executions, None]
                token = page.next_page_token
            assert [each for each in seen if each] == wanted
            history = await rig.service.history("task", chosen, Page(size=1000))
            assert list(history.executions) == [each for each in wanted if each.task_name == "task"]


async def test_history_is_filtered_by_state_and_time(rig: Rig):
    """States are any of; start_time is inclusive, end_time exclusive."""
    await rig.register("task", "@manual")
    for fate in ("succeed", "reject", "succeed"):
        await rig.service.run_now("task", detach=True, payload={"fate": fate})
        await rig.tick()
        await rig.clock.advance(60)

    async def chosen(**wanted) -> list[str]:
        page = await rig.service.history("task", ExecutionFilter(**wanted), Page())
        return [execution.state.value for execution in page.executions]

    assert await chosen(states=frozenset({State.FAILED})) == ["FAILED"]
    assert await chosen(states=frozenset({State.FAILED, State.SUCCEEDED})) == ["SUCCEEDED", "FAILED", "SUCCEEDED"]
    assert await chosen(start_time=at("2026-01-31T10:01")) == ["SUCCEEDED", "FAILED"]
    assert await chosen(end_time=at("2026-01-31T10:01")) == ["SUCCEEDED"]
    assert await chosen(end_time=at("0001-01-01")) == []


async def test_an_unknown_name_has_an_empty_history(rig: Rig):
    """It is a page like any other."""
    assert await rig.history("nobody") == ()


async def test_an_unknown_execution_is_not_found(rig: Rig):
    """The error names the id."""
    with pytest.raises(ExecutionNotFound, match="exec_none"):
        await rig.service.execution("exec_none")


async def test_run_now_of_a_missing_or_disabled_task_is_refused(rig: Rig):
    """NOT_FOUND and FAILED_PRECONDITION, nothing recorded."""
    with pytest.raises(TaskNotFound):
        await rig.service.run_now("nobody")
    await rig.register()
    await rig.service.disable("task")
    with pytest.raises(TaskDisabled):
        await rig.service.run_now("task")
    assert await rig.history() == ()


async def test_a_request_id_makes_repeating_a_run_safe(rig: Rig):
    """The same id gives the same execution, also after it ended; for another task or payload it is refused."""
    await rig.register("task", "@manual")
    await rig.register("other", "@manual")
    first = await rig.service.run_now("task", detach=True, request_id="r1", payload={"a": 1})
    await rig.tick()
    again = await rig.service.run_now("task", detach=True, request_id="r1", payload={"a": 1})
    assert (again.id, again.state) == (first.id, State.SUCCEEDED)
    for name, payload in (("other", {"a": 1}), ("task", {"a": 2}), ("task", None)):
        with pytest.raises(InvalidArgument, match="request_id"):
            await rig.service.run_now(name, detach=True, request_id="r1", payload=payload)
    assert len(await rig.history()) == 1


async def test_waiting_for_a_handler_that_nobody_offers_gives_up(rig: Rig):
    """After 30 s the call fails and the row ends SKIPPED/NO_WORKER."""
    await rig.register("task", "@manual", handler="nobody", allow_unknown_handler=True)
    call = asyncio.create_task(rig.service.run_now("task"))
    while not await rig.history():
        await rig.clock.advance(0)
    rig.clock.set_wall(at("2026-01-31T10:00:29.9"))
    await rig.clock.advance(0)
    assert await rig.states() == ["PENDING"]
    while not call.done():
        await rig.clock.advance(0.1)
    with pytest.raises(NoWorker):
        await call
    (execution,) = await rig.history()
    assert (execution.state, execution.reason) == (State.SKIPPED, "NO_WORKER")


async def test_a_draining_server_lets_waiting_calls_go_with_the_executions_id(rig: Rig):
    """UNAVAILABLE, the execution goes on; new runs are refused."""
    await rig.register("task", "@manual")
    call = asyncio.create_task(rig.service.run_now("task"))
    while not await rig.history():
        await rig.clock.advance(0)
    rig.service.drain()
    await rig.clock.advance(1)
    with pytest.raises(ShuttingDown) as caught:
        await call
    (execution,) = await rig.history()
    assert caught.value.details["execution"] == execution.id
    with pytest.raises(ShuttingDown):
        await rig.service.run_now("task")


async def test_a_caller_that_leaves_does_not_stop_the_run(rig: Rig):
    """The waiting call is cancelled; the execution ends all the same."""
    await rig.register("task", "@manual")
    call = asyncio.create_task(rig.service.run_now("task"))
    while not await rig.history():
        await rig.clock.advance(0)
    call.cancel()
    await rig.tick()
    assert await rig.states() == ["SUCCEEDED"]


async def test_a_claim_takes_the_longest_available_first(rig: Rig, gate):
    """Rows are claimed in the order in which they became available."""
    held = gate("held")
    for name in ("a", "b", "c"):
        await rig.register(name, "@manual", payload={"gate": "held"})
        await rig.service.run_now(name, detach=True)
        await rig.clock.advance(1)
    rig.engine._loop._concurrency = 2
    await rig.engine.tick()
    assert [(await rig.states(name))[0] for name in ("a", "b", "c")] == ["RUNNING", "RUNNING", "PENDING"]
    held.opened.set()
    await rig.engine.idle()


async def test_an_expiry_leaves_retries_alone(rig: Rig):
    """A row that was attempted has no start deadline any more."""
    await rig.register("task", "@manual", payload={"fate": "raise"})
    await rig.service.run_now("task", detach=True)
    await rig.engine.tick()
    await rig.engine.idle()
    assert await rig.store.expire(now=rig.clock.now() + timedelta(days=400)) == 0


@pytest.mark.parametrize("told", [True, False], ids=["as claimed", "to be read"])
@pytest.mark.parametrize("kind", [None, FailureKind.ERROR])
async def test_a_wish_for_the_end_of_an_attempt_is_told_with_what_became_of_it(
    rig: Rig, kind: FailureKind | None, told: bool
):
    """It came after the claim: one that succeeds all the same keeps it, one that fails is CANCELLED for it."""
    for name in ("wanted", "other"):
        await rig.register(name, "@manual")
        await rig.service.run_now(name, detach=True)
    await rig.hold_lease("me")
    now = rig.clock.now()
    asked = ClaimRequest(owner="me", handlers=frozenset({"fate"}), limit=9, running={}, now=now)
    claims = {claim.task.name: claim for claim in (await rig.store.claim(asked)).claims}
    await rig.store.cancel(DEFAULT_NAMESPACE, claims["wanted"].execution.id, note="enough", now=now)
    outcomes = [
        Outcome(
            execution_id=claim.execution.id,
            lease_token=claim.lease_token,
            end_time=now,
            duration=timedelta(0),
            kind=kind,
            error=kind and "broken",
            retry=False,
            claimed=claim.execution if told else None,
        )
        for claim in (claims["wanted"], claims["other"])
    ]
    seen = []
    with rig.hub.listening(seen.extend):
        wanted, other = await rig.store.record(outcomes)
    assert (wanted.cancel_requested_time, wanted.cancel_note) == (now, "enough")
    assert wanted.state is (State.CANCELLED if kind else State.SUCCEEDED)
    assert (other.cancel_requested_time, other.state) == (None, State.FAILED if kind else State.SUCCEEDED)
    assert [event.execution for event in seen if getattr(event, "previous_state", None) is State.RUNNING] == [
        wanted,
        other,
    ]
    assert [await rig.store.find_execution(DEFAULT_NAMESPACE, each.id) for each in (wanted, other)] == [wanted, other]


@pytest.mark.parametrize(
    ("limit", "running", "waiting", "limits", "given"),
    [
        (100, {}, {"a": 500}, {}, {"a": 100}),
        (100, {}, {"a": 500, "b": 1}, {}, {"a": 80, "b": 1}),
        (100, {}, {"a": 500, "b": 500}, {}, {"a": 50, "b": 50}),
        (100, {"a": 80}, {"a": 500, "b": 3}, {}, {"b": 3}),
        (100, {"a": 90}, {"a": 500}, {}, {"a": 10}),
        (100, {"a": 100}, {"a": 5, "b": 5}, {}, {}),
        (1, {}, {"a": 5, "b": 5}, {}, {"a": 1}),
        (10, {"c": 2}, {"a": 3, "b": 0}, {}, {"a": 3}),
        (4, {}, {}, {}, {}),
        (100, {}, {"a": 500}, {"a": 2}, {"a": 2}),
        (100, {"a": 2}, {"a": 500}, {"a": 2}, {}),
        (100, {"a": 5}, {"a": 500}, {"a": 2}, {}),
        (100, {"a": 1}, {"a": 500, "b": 500}, {"a": 2}, {"a": 1, "b": 80}),
        (10, {"a": 2}, {"a": 500, "b": 500}, {"a": 2}, {"b": 8}),
        (10, {}, {"a": 500}, {"b": 1}, {"a": 10}),
    ],
)
def test_slots_are_shared(limit: int, running: dict, waiting: dict, limits: dict, given: dict):
    """One at a time in turn; at most 80 % for one handler while another waits; never more than are free or allowed."""
    assert slots_by_handler(limit, running, waiting, limits) == given


def one_at_a_time(limit: int, counts: dict[str, int]) -> dict[str, int]:
    """Return shares of slots that are all free, as they are meant: each in turn takes one until there is none."""
    most = max(int(limit * 0.8), 1)
    given = dict.fromkeys(counts, 0)
    for _ in range(limit):
        for handler in sorted(counts):
            if given[handler] < min(counts[handler], most) and sum(given.values()) < limit:
                given[handler] += 1
    return given


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 10, 100])
def test_many_turns_at_once_are_as_many_turns(limit: int):
    """Whatever waits of three handlers: the shares are the same as if each slot were given by itself."""
    for counts in product((1, 2, 7, 40, 500), repeat=3):
        waiting = dict(zip("abc", counts, strict=True))
        found = slots_by_handler(limit, {}, waiting, {})
        assert {handler: found.get(handler, 0) for handler in waiting} == one_at_a_time(limit, waiting)


async def test_a_listener_that_raises_harms_nobody(rig: Rig):
    """The write is acknowledged, the other listeners are told, and the next write works."""
    told = []

    def failing(_):
        raise ZeroDivisionError

    with rig.hub.listening(failing), rig.hub.listening(told.append):
        await rig.register("task", "@manual")
        await rig.service.run_now("task", detach=True)
        await rig.tick()
    assert len(told) == 4
    assert await rig.states() == ["SUCCEEDED"]


async def test_a_look_does_not_wait_for_callers_pages(database: Path):
    """More callers than there are readers ask for what takes long; what is due is seen meanwhile."""
    go_on = threading.Event()

    def slow():
        yield "SELECT 1", {}
        go_on.wait(60)

    async with new_rig(database) as rig:
        await rig.register("task")
        await rig.clock.advance(3600)
        held = [asyncio.create_task(rig.store._database.read(slow)) for _ in range(10)]
        look = await rig.store.look(frozenset({"fate"}), now=rig.clock.now(), limit=10)
        assert [task.name for task in look.due] == ["task"]
        assert await rig.store.cancel_requests("owner") == frozenset()
        assert not any(read.done() for read in held)
        go_on.set()
        await asyncio.gather(*held)
