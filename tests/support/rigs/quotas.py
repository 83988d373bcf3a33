"""A namespace with limits, and what a refused call must leave as it was, for tests."""

from collections.abc import Awaitable
from dataclasses import asdict
from typing import Any

import pytest
from support.rigs.namespaces import reports
from support.rigs.rig import Rig
from support.witnesses.checker.reading import rows

from schedule_grpc.domain.access.namespace import NO_LIMITS, Limits
from schedule_grpc.domain.access.quota import QuotaExceeded
from schedule_grpc.service import Service


async def limited(rig: Rig, **limits: Any) -> Service:
    """Return the service in a namespace with these limits alone."""
    return await reports(rig, limits=Limits(**asdict(NO_LIMITS) | limits))


def stored(rig: Rig) -> list[Any]:
    """Return every task and execution as it is stored."""
    tables = ("scheduled_tasks ORDER BY uid", "task_executions ORDER BY id")
    return [[dict(row) for row in rows(rig.place, f"SELECT * FROM {table}")] for table in tables]


async def refused(rig: Rig, calling: Awaitable[Any], quota: str) -> QuotaExceeded:
    """Return the refusal of a call, which wrote nothing."""
    before = stored(rig)
    with pytest.raises(QuotaExceeded) as error:
        await calling
    assert stored(rig) == before
    assert error.value.details["quota"] == quota
    return error.value
