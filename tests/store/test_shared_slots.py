"""Free slots are given to namespaces in turn, and in each to its handlers."""

from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rigs.namespaces import reports, wanted
from support.rigs.rig import Rig

from schedule_grpc.domain.access.namespace import Limits
from schedule_grpc.store import ClaimRequest
from schedule_grpc.store.free_slots import in_turn, slots_by_handler, slots_by_queue

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("a", "b", "c")


def request(limit: int = 10, **fields) -> ClaimRequest:
    """Return a request for slots of the handlers h and i."""
    return ClaimRequest(
        owner="me", handlers=frozenset({"h", "i"}), limit=limit, running=fields.pop("running", {}), now=NOW, **fields
    )


@pytest.mark.parametrize(
    ("fields", "waiting", "given_slots"),
    [
        ({}, {"a h": 500}, {"a h": 10}),
        ({}, {"a h": 500, "b h": 1}, {"a h": 8, "b h": 1}),
        ({}, {"a h": 500, "b h": 500}, {"a h": 5, "b h": 5}),
        ({}, {"a h": 500, "a i": 500, "b h": 500}, {"a h": 3, "a i": 2, "b h": 5}),
        ({"running": {"h": 9}, "running_in": {"a": 9}}, {"a h": 500, "b h": 500}, {"b h": 1}),
        ({"running": {"h": 8}, "running_in": {"a": 4, "b": 4}}, {"a h": 9, "b h": 9, "c h": 9}, {"c h": 2}),
        ({"shares": {"a": 2}}, {"a h": 500}, {"a h": 2}),
        ({"shares": {"a": 2}, "running": {"h": 2}, "running_in": {"a": 2}}, {"a h": 500}, {}),
        ({"shares": {"a": 2}}, {"a h": 500, "b h": 500}, {"a h": 2, "b h": 8}),
        ({"limits": {"h": 3}}, {"a h": 500, "b h": 500, "b i": 1}, {"a h": 2, "b h": 1, "b i": 1}),
        ({"limit": 1}, {"a h": 500, "b h": 500}, {"a h": 1}),
        ({"limit": 1, "turns": {"a": 7, "b": 3}}, {"a h": 500, "b h": 500}, {"b h": 1}),
        ({"limit": 1, "turns": {"a": 7}}, {"a h": 500, "b h": 500}, {"b h": 1}),
        ({}, {}, {}),
    ],
)
def test_namespaces_share_slots(fields: dict, waiting: dict, given_slots: dict):
    """The next one goes to the namespace with the fewest attempts, of several to the one whose turn is longest ago."""
    queues = {tuple(queue.split()): count for queue, count in waiting.items()}
    found = slots_by_queue(request(**fields), queues)
    assert {" ".join(queue): count for queue, count in found.items()} == given_slots


counts = st.dictionaries(st.tuples(st.sampled_from(NAMES), st.sampled_from("hi")), st.integers(0, 20))
small = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 6))


@given(waiting=counts, running=counts, shares=small, limits=st.dictionaries(st.sampled_from("hi"), st.integers(1, 9)))
def test_no_bound_is_exceeded_and_no_slot_is_left_that_one_could_have(waiting, running, shares, limits):
    """Whatever waits and runs: slots that stay free are kept for others by the share of 80 %, or by a limit."""
    by_handler, by_namespace = Counter(), Counter()
    for (namespace, handler), count in running.items():
        by_handler[handler] += count
        by_namespace[namespace] += count
    asked = request(limit=30, running=by_handler, running_in=by_namespace, shares=shares, limits=limits)
    found = slots_by_queue(asked, waiting)
    assert all(0 < count <= waiting[queue] for queue, count in found.items())
    assert sum(found.values()) <= max(asked.free, 0)
    for (namespace, handler), count in found.items():
        by_handler[handler] += count
        by_namespace[namespace] += count
    for namespace, handler in found:
        assert by_namespace[namespace] <= shares.get(namespace, 30)
        assert by_handler[handler] <= limits.get(handler, 30)
    left = [queue for queue, count in waiting.items() if count > found.get(queue, 0)]
    if sum(by_handler.values()) < 30:
        for namespace, handler in left:
            most_in, most_of = min(24, shares.get(namespace, 30)), min(24, limits.get(handler, 30))
            assert by_namespace[namespace] >= most_in or by_handler[handler] >= most_of


@given(waiting=st.dictionaries(st.sampled_from("hi"), st.integers(0, 40)), running=st.integers(0, 12))
def test_one_namespace_alone_has_all_that_handlers_had(waiting: dict, running: int):
    """As if there were no namespaces."""
    asked = request(running={"h": running}, running_in={"a": running})
    found = slots_by_queue(asked, {("a", handler): count for handler, count in waiting.items()})
    assert found == {
        ("a", handler): count for handler, count in slots_by_handler(10, {"h": running}, waiting, {}).items()
    }


def test_a_namespace_with_many_handlers_hides_no_other():
    """The first queue of each comes before the second of any; one without room does not come at all."""
    ready = {("a", f"h{number}"): number for number in range(200)} | {("b", "h0"): 900, ("c", "h0"): 100}
    asked = request(shares={"c": 1}, running_in={"c": 1}, turns={"a": 1})
    order = in_turn(asked, ready)
    assert order[:3] == [("b", "h0"), ("a", "h0"), ("a", "h1")]
    assert len(order) == 201


async def test_a_claim_takes_turns_among_namespaces(rig: Rig):
    """A backlog of older executions keeps no other namespace's from the next claim, whatever the order of names."""
    there = await reports(rig, limits=Limits(running_share=None))
    for name in ("one", "two", "three", "four"):
        await rig.register(name, "@manual")
        await rig.service.run_now(name, detach=True)
        await there.register(wanted(name))
    await rig.clock.advance(60)
    await there.run_now("one", detach=True)
    await rig.hold_lease("me")
    asked = ClaimRequest(owner="me", handlers=frozenset({"fate"}), limit=2, running={}, now=rig.clock.now())
    claims = (await rig.store.claim(asked)).claims
    assert sorted(claim.execution.namespace for claim in claims) == ["default", "reports"]


async def test_a_claim_looks_no_further_than_it_has_slots(rig: Rig):
    """With one slot, the turn decides which queue is read; what was claimed leaves its place to the next one."""
    there = await reports(rig, limits=Limits(running_share=None))
    for service in (rig.service, there):
        await service.register(wanted("task"))
        await service.run_now("task", detach=True)
    await rig.hold_lease("me")
    one = ClaimRequest(owner="me", handlers=frozenset({"fate"}), limit=1, running={}, now=rig.clock.now())
    first, second = [(await rig.store.claim(one)).claims for _ in range(2)]
    assert sorted(claim.execution.namespace for claim in (*first, *second)) == ["default", "reports"]
