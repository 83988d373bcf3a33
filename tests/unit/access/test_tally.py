"""Calls that change nothing are counted: a flood is one row, and none is lost while the database is away."""

from collections.abc import Sequence

import pytest
from support.rigs.rig import START

from schedule_grpc.access.rules import SCHEDULE
from schedule_grpc.access.tally import KINDS_KEPT, OTHERS, PERIOD, Tally
from schedule_grpc.domain.access.audit import Entry, Outcome
from schedule_grpc.domain.access.caller import ANYBODY, Caller
from schedule_grpc.errors import DatabaseUnavailable
from schedule_grpc.testing import FakeClock

STRANGER = Caller(name="anonymous", grants=(), peer="ipv4:10.0.0.7:1", agent="curl/8")
GET, DELETE = SCHEDULE + "GetTask", SCHEDULE + "DeleteTask"


class Kept:
    """A log that keeps the entries, unless it is away."""

    def __init__(self) -> None:
        self.away = False
        self.entries: list[Entry] = []

    async def record_calls(self, entries: Sequence[Entry]) -> None:
        """Keep them."""
        if self.away:
            raise DatabaseUnavailable("away")
        self.entries += entries


def tallied() -> tuple[Kept, FakeClock, Tally]:
    """Return a tally, its log and its clock."""
    kept, clock = Kept(), FakeClock(START)
    return kept, clock, Tally(kept, clock)


def deny(tally: Tally, caller: Caller = STRANGER, rpc: str = GET, namespace: str = "") -> None:
    """Count a refused call."""
    tally.note(caller, rpc, namespace, outcome=Outcome.DENIED, reason="UNAUTHENTICATED")


async def test_a_flood_is_one_row_a_minute():
    """By the peer's address without its port, which differs from call to call."""
    kept, clock, tally = tallied()
    for port in range(1000):
        deny(tally, Caller(name="anonymous", grants=(), peer=f"ipv4:10.0.0.7:{port}"))
        await tally.flush()
    assert kept.entries == []
    await clock.advance(PERIOD)
    await tally.flush()
    (row,) = kept.entries
    assert (row.author.method, row.author.caller.peer, row.count) == ("GetTask", "ipv4:10.0.0.7", 1000)
    assert (row.outcome, row.reason, row.author.time) == (Outcome.DENIED, "UNAUTHENTICATED", START)
    await clock.advance(PERIOD)
    await tally.flush()
    assert len(kept.entries) == 1


async def test_kinds_are_told_apart():
    """Caller, method, namespace and outcome; a caller that has proven its name is one, wherever it calls from."""
    kept, _, tally = tallied()
    key = Caller(name="key:ci", grants=(), peer="ipv4:10.0.0.1:1")
    deny(tally)
    deny(tally, rpc=DELETE)
    deny(tally, key)
    deny(tally, Caller(name="key:ci", grants=(), peer="ipv4:10.0.0.2:1"))
    deny(tally, key, namespace="reports")
    tally.note(key, GET, "reports", outcome=Outcome.DONE)
    await tally.flush(at_once=True)
    assert sorted(each.count for each in kept.entries) == [1, 1, 1, 1, 2]


async def test_more_kinds_than_are_kept_share_a_row():
    """An attacker has many addresses."""
    kept, _, tally = tallied()
    for number in range(KINDS_KEPT + 50):
        deny(tally, Caller(name="anonymous", grants=(), peer=f"ipv6:[::{number:x}]:1"))
    await tally.flush(at_once=True)
    assert len(kept.entries) == KINDS_KEPT + 1
    assert (kept.entries[-1].author.method, kept.entries[-1].count) == (OTHERS, 50)


async def test_nothing_is_counted_where_nobody_is_asked():
    """The caller of a server whose mode is off."""
    kept, _, tally = tallied()
    deny(tally, ANYBODY)
    await tally.flush(at_once=True)
    assert kept.entries == []


async def test_what_cannot_be_written_stays_counted():
    """Until the database is back."""
    kept, clock, tally = tallied()
    kept.away = True
    for _ in range(3):
        deny(tally)
        await clock.advance(PERIOD)
        with pytest.raises(DatabaseUnavailable):
            await tally.flush()
    kept.away = False
    await clock.advance(PERIOD)
    await tally.flush()
    assert [each.count for each in kept.entries] == [3]
