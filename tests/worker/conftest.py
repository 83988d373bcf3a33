"""The service that a test's worker calls."""

from collections.abc import AsyncIterator

import pytest
from support.servers.worker_service import WorkerService, worker_service


@pytest.fixture
async def service() -> AsyncIterator[WorkerService]:
    """A service that answers workers as the test says."""
    async with worker_service() as made:
        yield made
