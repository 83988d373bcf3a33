"""These tests run on both databases."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.databases.place import place
from support.rigs.loops_scene import scene
from support.rigs.rig import Rig, new_rig

__all__ = ["place", "scene"]


@pytest.fixture
async def unchecked(place: Path | str) -> AsyncIterator[Rig]:
    """A whole service on a FakeClock, without the checker: that cannot read either what these tests write.

    Nor does its engine hear of that.
    """
    async with new_rig(place, hears=False) as built:
        yield built
