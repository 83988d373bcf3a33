"""A server inside the test's own process, where a test reaches into it."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from support.patience import AT_MOST
from support.servers.live import Live, serving
from support.witnesses.checker import check


@pytest.fixture
async def inside(database: Path, tmp_path: Path) -> AsyncIterator[Live]:
    """A whole server that speaks HTTP too; without pages, which tests/ui has, it is there sooner."""
    bindings = {"DB": f"sqlite:///{tmp_path}/platform.db"}
    async with serving(database, http="127.0.0.1:0", bindings=bindings, ui={"enabled": False}) as live:
        yield live
    assert check(database) == []


@pytest.fixture
async def caller(inside: Live) -> AsyncIterator[httpx2.AsyncClient]:
    """A caller of it."""
    async with httpx2.AsyncClient(
        base_url=f"http://{inside.parts.http_address}", timeout=AT_MOST, trust_env=False
    ) as client:
        yield client
