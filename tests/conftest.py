"""Fixtures that several suites share."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from checker import check
from rig import GATES, Gates, Rig, rig


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
