"""A server's own lease: renewed, not renewed, lost; the database's answers are told by hand, and so is the time."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from support.rigs.rig import START

from schedule_grpc.engine.leases import LAST_TRY, LEASE, SAFETY, TRY, SharedLease
from schedule_grpc.errors import DatabaseUnavailable
from schedule_grpc.store import Replica
from schedule_grpc.testing import FakeClock

ME = Replica(id="me", start_time=START, handlers=frozenset())
OTHER = Replica(id="other", start_time=START, handlers=frozenset())
AWAY = object()


class Database:
    """Counts renewals as the real one does; while it stands still it answers reads only, and cut off nothing."""

    shared = True

    def __init__(self, clock: FakeClock, others: Sequence[Replica] = ()) -> None:
        self.clock = clock
        self.others = others
        self.beat: int | None = None
        self.writes = True
        self.reads = True
        self.patience: list[float] = []
        self.offered = frozenset({"early"})
        self.renewed: list[Replica] = []

    async def renew_lease(self, replica: Replica, **_) -> tuple[Replica, ...]:
        """Answer as the store does."""
        self.renewed.append(replica)
        self.beat = 0 if self.beat is None else self.beat + 1
        return self._holders()

    async def renew(self, replica: Replica, *, seconds: float, **_) -> tuple[Replica, ...]:
        """Answer as a line does."""
        self.patience.append(seconds)
        if not self.writes:
            await self.clock.advance(seconds)
            raise DatabaseUnavailable("no answer")
        return await self.renew_lease(replica)

    async def look(self, *, seconds: float) -> tuple[Replica, ...]:
        """Answer as a line does."""
        if not self.reads:
            await self.clock.advance(seconds)
            raise DatabaseUnavailable("no answer")
        return self._holders()

    def _holders(self) -> tuple[Replica, ...]:
        return (*self.others, *([] if self.beat is None else [replace(ME, beat=self.beat)]))


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock(START)


async def taken(clock: FakeClock, others: Sequence[Replica] = ()) -> tuple[SharedLease, Database]:
    """Return a lease that was taken, and where it stands."""
    database = Database(clock, others)
    lease = SharedLease(
        store=database,  # type: ignore[arg-type]
        owner=ME.id,
        handlers=lambda: database.offered,
        now=clock.now,
        machine=clock,
    )
    await lease.take()
    return lease, database


async def renewed(lease: SharedLease, database: Database, seconds: float = 1.0) -> None:
    """Let a time pass, and renew as the lease's thread does."""
    await database.clock.advance(seconds)
    await lease._renew(database)


async def test_it_holds_while_it_is_renewed(clock: FakeClock):
    """For as long as that is; taking it again does nothing."""
    lease, database = await taken(clock)
    for _ in range(100):
        await renewed(lease, database)
        assert (lease.holds, lease.term) == (True, 0)
    await lease.take()
    assert database.beat == 101


async def test_cut_off_it_lapses_before_others_may_end_it(clock: FakeClock):
    """The database answers nothing: attempts must stop a safe time before the end, and not much earlier."""
    lease, database = await taken(clock)
    database.writes = database.reads = False
    began = clock.monotonic()
    while lease.holds:
        await renewed(lease, database)
    assert LEASE - SAFETY <= clock.monotonic() - began <= LEASE
    assert lease.term == 0


async def test_what_was_not_taken_meanwhile_holds_again(clock: FakeClock):
    """The database comes back, and nobody has ended the lease: it is the same term, and its results count."""
    lease, database = await taken(clock)
    database.writes = database.reads = False
    for _ in range(20):
        await renewed(lease, database)
    assert not lease.holds
    database.writes = database.reads = True
    await renewed(lease, database)
    assert (lease.holds, lease.term) == (True, 0)


async def test_a_disk_that_stands_still_costs_nothing(clock: FakeClock):
    """It takes no write for a minute, and is asked: the lease still stands."""
    lease, database = await taken(clock)
    database.writes = False
    began = clock.monotonic()
    while clock.monotonic() < began + 60:
        await renewed(lease, database)
        assert (lease.holds, lease.term) == (True, 0)


async def test_a_suspended_server_asks_before_it_gives_up(clock: FakeClock):
    """Longer than the lease, and nobody has ended it: nothing was lost."""
    lease, database = await taken(clock)
    await renewed(lease, database, 1000)
    assert (lease.holds, lease.term) == (True, 0)
    assert database.patience == [LAST_TRY]


@pytest.mark.parametrize("writes", [True, False])
async def test_a_lease_that_another_one_ended_is_lost(clock: FakeClock, writes: bool):
    """Its attempts are others' by now. It is taken anew, for what begins from now on."""
    lease, database = await taken(clock)
    database.beat = None
    database.writes = writes
    await renewed(lease, database)
    assert (lease.holds, lease.term) == (writes, 1)
    database.writes = True
    for _ in range(3):
        await renewed(lease, database)
        assert (lease.holds, lease.term) == (True, 1)
    database.beat = None
    await renewed(lease, database)
    assert (lease.holds, lease.term) == (True, 2)


async def test_nobody_waits_longer_than_the_lease_allows(clock: FakeClock):
    """A try gets five seconds at most, and what is left of the lease where that is less; then there is no hurry."""
    lease, database = await taken(clock)
    database.writes = database.reads = False
    await renewed(lease, database)
    assert (lease.holds, clock.monotonic()) == (False, LEASE - SAFETY)
    await renewed(lease, database)
    assert database.patience == [TRY, TRY]


async def test_the_one_that_has_been_there_longest_is_first(clock: FakeClock):
    """Until its lease is over."""
    lease, database = await taken(clock, [OTHER])
    assert not lease.first
    for _ in range(10):
        await renewed(lease, database)
    assert (lease.first, lease.lapsed) == (True, {"other": 0})


async def test_each_renewal_names_the_handlers_that_are_offered_then(clock: FakeClock):
    """Other servers learn of one that came later."""
    lease, database = await taken(clock)
    database.offered |= {"late"}
    await renewed(lease, database)
    assert [each.handlers for each in database.renewed] == [{"early"}, {"early"}, {"early", "late"}]
    assert {each.start_time for each in database.renewed} == {START}
