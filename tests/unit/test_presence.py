"""When is another server's lease over? Time is told by hand."""

import pytest

from schedule_grpc.engine.leases import LEASE, UNBROKEN, Presence


def watched(*beats: int | None, every: float = 1.0) -> tuple[Presence, float]:
    """Return what was seen of one server, a count each time; None: it was not there."""
    presence, now = Presence(), 0.0
    for beat in beats:
        presence.saw({} if beat is None else {"other": beat}, asked=now, answered=now)
        now += every
    return presence, now - every


def test_a_lease_that_is_renewed_goes_on():
    """However long: it is its count that tells, and not how high it is."""
    presence, now = watched(*range(5, 105))
    assert presence.lapsed(now) == {}


@pytest.mark.parametrize(("seconds", "ended"), [(9, {}), (10, {"other": 3}), (60, {"other": 3})])
def test_a_lease_ends_ten_seconds_after_it_was_last_seen_renewed(seconds: int, ended: dict[str, int]):
    """It names the count that was seen: one more renewal, and it is not ended."""
    presence, now = watched(1, 2, *[3] * (seconds + 1))
    assert presence.lapsed(now) == ended


def test_a_renewal_at_the_last_moment_begins_it_anew():
    """Nine seconds of silence, one renewal, nine seconds of silence."""
    presence, now = watched(*[1] * 10, *[2] * 10)
    assert presence.lapsed(now) == {}


def test_a_pause_of_ones_own_says_nothing_of_others():
    """This server was suspended, or the database took no writes: everybody gets the whole time again."""
    presence, now = watched(*[1] * 9)
    presence.saw({"other": 1}, asked=now + UNBROKEN + 0.1, answered=now + UNBROKEN + 0.1)
    assert presence.lapsed(now + UNBROKEN + 1) == {}
    again = now + UNBROKEN + 0.1
    for second in range(1, 11):
        presence.saw({"other": 1}, asked=again + second, answered=again + second)
    assert presence.lapsed(again + LEASE) == {"other": 1}


def test_a_slow_answer_counts_from_its_end():
    """What was read may be as new as the answer: the time that the answer took is not held against the other."""
    presence = Presence()
    presence.saw({"other": 1}, asked=0.0, answered=3.0)
    for second in range(4, 13):
        presence.saw({"other": 1}, asked=float(second), answered=float(second))
    assert presence.lapsed(12.0) == {}
    assert presence.lapsed(13.0) == {"other": 1}


def test_a_server_that_left_and_came_again_is_a_new_one():
    """Its count may be the same as before."""
    presence, now = watched(*[1] * 6, None, *[1] * 6)
    assert presence.lapsed(now) == {}
