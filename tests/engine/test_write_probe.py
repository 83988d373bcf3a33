"""Health turns red where nothing can be written, with nothing due, and green again once something can."""

from pathlib import Path

import pytest
from support.rigs.rig import Rig

from schedule_grpc.engine.write_probe import EVERY, TOO_LONG, WriteProbe
from schedule_grpc.errors import DatabaseUnavailable


@pytest.fixture
def probe(service: Rig) -> WriteProbe:
    """What the engine of that service would have."""
    return WriteProbe(store=service.store, clock=service.clock)


async def looked(service: Rig, probe: WriteProbe, seconds: float) -> list[str]:
    """Let time pass, and look; return what is wrong."""
    await service.clock.advance(seconds)
    await probe.look()
    return list(probe.troubles())


async def test_it_writes_now_and_then(service: Rig, probe: WriteProbe, monkeypatch):
    """A commit each 5 s; none in between."""
    tries = []
    real = service.store.try_write

    async def counted() -> None:
        tries.append(service.clock.monotonic())
        await real()

    monkeypatch.setattr(service.store, "try_write", counted)
    for _ in range(13):
        assert await looked(service, probe, 1) == []
    assert tries == [EVERY, 2 * EVERY]


async def test_a_refused_write_is_looked_into_at_once(service: Rig, probe: WriteProbe, monkeypatch):
    """And again each second, until one succeeds."""
    for call in ("write", "try_write"):
        monkeypatch.setattr(service.store._database._database, call, refuse)
    with pytest.raises(DatabaseUnavailable):
        await service.store.expire(now=service.clock.now())
    assert await looked(service, probe, 0) == ["no"]
    monkeypatch.undo()
    assert await looked(service, probe, 1) == []


async def refuse(*_: object, **__: object) -> None:
    """Refuse."""
    raise DatabaseUnavailable("no")


async def test_a_write_that_does_not_end_is_trouble(service: Rig, probe: WriteProbe, monkeypatch):
    """The disk stands still: nobody is refused, and nothing is written."""
    found: list[str] = []

    async def stand_still() -> None:
        await service.clock.advance(TOO_LONG + 1)
        found.extend(probe.troubles())

    monkeypatch.setattr(service.store, "try_write", stand_still)
    assert await looked(service, probe, EVERY) == []
    assert found == ["a write has not ended in 10 s"]


async def test_what_it_writes_reaches_the_disk(service: Rig, database: Path):
    """A page of the log that SQLite writes ahead: an empty transaction succeeds on a full disk."""
    if service.store.shared:
        pytest.skip("a server's own log")
    await service.register()
    wal = database.with_name(database.name + "-wal")
    before = wal.read_bytes()
    await service.store.try_write()
    assert wal.read_bytes() != before
