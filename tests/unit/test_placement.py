"""Which worker takes an execution: never one without room, and none waits while one that could take it has a slot."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from schedule_grpc.store import Taker
from schedule_grpc.store.placement import placed

HANDLERS = ("a", "b", "c")


def taker(owner: str, *, slots: int = 4, free: int | None = None, **room: int) -> Taker:
    """Return a worker that waits."""
    return Taker(owner=owner, title=owner, slots=slots, free=slots if free is None else free, room=room)


@st.composite
def _crews(draw: st.DrawFn, *, limited: bool) -> list[Taker]:
    crew = []
    for number in range(draw(st.integers(0, 5))):
        slots = draw(st.integers(1, 8))
        room = draw(st.dictionaries(st.sampled_from(HANDLERS), st.integers(0, 4))) if limited else {}
        crew.append(taker(f"w{number}", slots=slots, free=draw(st.integers(0, slots)), **room))
    return crew


WAITING = st.lists(st.sampled_from(HANDLERS), max_size=40)


@given(WAITING, _crews(limited=True))
def test_no_worker_is_given_more_than_it_can_take(handlers: list[str], crew: list[Taker]):
    """Of all handlers together, nor of one that it limits; and the same again for the same question."""
    places = placed(handlers, crew)
    assert len(places) == len(handlers)
    given_to: Counter[str] = Counter()
    by_handler: Counter[tuple[str, str]] = Counter()
    for handler, place in zip(handlers, places, strict=True):
        if place is not None:
            given_to[place.owner] += 1
            by_handler[place.owner, handler] += 1
    for each in crew:
        assert given_to[each.owner] <= each.free
        for handler, room in each.room.items():
            assert by_handler[each.owner, handler] <= room
    assert placed(handlers, crew) == places


@given(WAITING, _crews(limited=True))
def test_none_is_left_that_a_worker_could_take(handlers: list[str], crew: list[Taker]):
    """A worker with a slot left has no room for the handlers of those that are left."""
    places = placed(handlers, crew)
    left = {handler for handler, place in zip(handlers, places, strict=True) if place is None}
    for each in crew:
        taken = [handler for handler, place in zip(handlers, places, strict=True) if place is each]
        if len(taken) < each.free:
            assert all(taken.count(handler) >= each.room.get(handler, each.free) for handler in left)


@given(WAITING, _crews(limited=False))
def test_without_limits_every_slot_is_used(handlers: list[str], crew: list[Taker]):
    """As many are placed as there are slots, or all."""
    places = placed(handlers, crew)
    assert sum(place is not None for place in places) == min(len(handlers), sum(each.free for each in crew))


def test_each_goes_to_the_worker_with_the_largest_part_free():
    """Of several to the one that waits longest."""
    crew = [taker("busy", slots=10, free=5), taker("idle", slots=2), taker("late", slots=2)]
    owners = [place.owner for place in placed(["a"] * 5, crew) if place is not None]
    assert owners == ["idle", "late", "busy", "idle", "late"]


def test_what_a_worker_limits_is_placed_before_what_fits_everywhere():
    """Or the only worker that may run `a` would be full of `b`."""
    crew = [taker("any", slots=1, a=0), taker("both", slots=1)]
    assert [place.owner for place in placed(["b", "a"], crew) if place is not None] == ["any", "both"]
