"""Health turns red where nothing can be written, with nothing due, and green again once something can."""

from pathlib import Path

import pytest
from support.rigs.rig import Rig

from schedule_grpc.engine.write_probe import EVERY, TOO_LONG, WriteProbe
from schedule_grpc.errors import DatabaseUnavailable


@pytest.fixture
def probe(rig: Rig) -> WriteProbe:
    """What the engine of that service would have."""
    return WriteProbe(store=rig.store, clock=rig.clock)


async def looked(rig: Rig, probe: WriteProbe, seconds: float) -> list[str]:
    """Let time pass, and look; return what is wrong."""
    await rig.clock.advance(seconds)
    await probe.look()
    return list(probe.troubles())


async def test_it_writes_now_and_then(rig: Rig, probe: WriteProbe, monkeypatch):
    """A commit each 5 s; none in between."""
    tries = []
    real = rig.store.try_write

    async def counted() -> None:
        tries.append(rig.clock.monotonic())
        await real()

    monkeypatch.setattr(rig.store, "try_write", counted)
    for _ in range(13):
        assert await looked(rig, probe, 1) == []
    assert tries == [EVERY, 2 * EVERY]


async def test_a_refused_write_is_looked_into_at_once(rig: Rig, probe: WriteProbe, monkeypatch):
    """And again each second, until one succeeds."""
    for call in ("write", "try_write"):
        monkeypatch.setattr(rig.store._database._database, call, refuse)
    with pytest.raises(DatabaseUnavailable):
        await rig.store.expire(now=rig.clock.now())
    assert await looked(rig, probe, 0) == ["no"]
    monkeypatch.undo()
    assert await looked(rig, probe, 1) == []


async def refuse(*_: object, **__: object) -> None:
    """Refuse."""
    raise DatabaseUnavailable("no")


async def test_a_write_that_does_not_end_is_trouble(rig: Rig, probe: WriteProbe, monkeypatch):
    """The disk stands still: nobody is refused, and nothing is written."""
    found: list[str] = []

    async def stand_still() -> None:
        await rig.clock.advance(TOO_LONG + 1)
        found.extend(probe.troubles())

    monkeypatch.setattr(rig.store, "try_write", stand_still)
    assert await looked(rig, probe, EVERY) == []
    assert found == ["a write has not ended in 10 s"]


async def test_what_it_writes_reaches_the_disk(rig: Rig, database: Path):
    """A page of the log that SQLite writes ahead: an empty transaction succeeds on a full disk."""
    if rig.store.is_shared:
        pytest.skip("a server's own log")
    await rig.register()
    wal = database.with_name(database.name + "-wal")
    before = wal.read_bytes()
    await rig.store.try_write()
    assert wal.read_bytes() != before
