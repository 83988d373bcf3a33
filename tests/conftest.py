"""Fixtures that several suites share."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from checker import check
from live import Live
from rig import GATES, Gates, Rig, rig

from schedule_grpc import app
from schedule_grpc.client import AsyncClient
from schedule_grpc.clock import SystemClock
from schedule_grpc.config import Settings
from schedule_grpc.pb import schedule_pb2_grpc


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where a test's database goes."""
    return tmp_path / "schedule.db"


@pytest.fixture
async def service(database: Path) -> AsyncIterator[Rig]:
    """A whole service on a FakeClock; afterwards the checker looks for broken promises."""
    async with rig(database) as built:
        yield built
    assert check(database) == []


@pytest.fixture
def gate() -> Iterator[Callable[[str], Gates]]:
    """Make gates by name, at which the handler ``fate`` waits."""

    def make(name: str) -> Gates:
        return GATES.setdefault(name, Gates())

    yield make
    GATES.clear()


@pytest.fixture
async def live(database: Path, tmp_path: Path) -> AsyncIterator[Live]:
    """A whole server with its engine running; afterwards the checker looks at its database."""
    settings = Settings(
        database=f"sqlite:///{database}",
        grpc="127.0.0.1:0",
        handlers=["process_handlers"],
        bindings={"DB": f"sqlite:///{tmp_path}/platform.db"},
        drain_timeout=timedelta(0),
    )
    async with app.running(settings, clock=SystemClock()) as parts:
        engine = asyncio.create_task(parts.engine.run())
        async with AsyncClient(parts.address) as client, grpc.aio.insecure_channel(parts.address) as channel:
            yield Live(parts=parts, client=client, stub=schedule_pb2_grpc.ScheduleServiceStub(channel))
        parts.engine.stop()
        await engine
    assert check(database) == []
