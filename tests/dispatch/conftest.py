"""These tests run on both databases, on a clock that stands still."""

from collections.abc import AsyncIterator

import pytest
from support.databases.place import place
from support.rigs.rig import Rig
from support.rigs.workers import Office, office_of

__all__ = ["place"]


@pytest.fixture
async def office(rig: Rig) -> AsyncIterator[Office]:
    """The dispatch of one server, beside its engine, which does nothing by itself."""
    async with office_of(rig) as opened:
        yield opened
