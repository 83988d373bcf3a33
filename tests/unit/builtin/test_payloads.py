"""The payloads of the built-in tasks: what no field takes is refused before anything is done, and for good."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schedule_grpc import builtin
from schedule_grpc.backup import BackupSettings
from schedule_grpc.bindings import Environment
from schedule_grpc.builtin import Equipped
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.testing import run

WHOLE = (0, -1, 1.5, True, False, "7", None, [1], {"n": 1}, 2**53)
FRACTION = (0, -0.5, 1.01, True, "0.9", None, [0.9], 2**53)
TEXT = (7, 1.5, True, None, ["DB"], {"name": "DB"})

FIELDS: tuple[tuple[Callable[..., Any], dict[str, tuple[Any, ...]]], ...] = (
    (builtin.cleanup_expired_sessions, {"batch_size": (*WHOLE, 100_001)}),
    (builtin.cleanup_expired_api_keys, {"batch_size": (*WHOLE, 100_001)}),
    (builtin.cleanup_old_generations, {"batch_size": (*WHOLE, 100_001), "older_than_days": (*WHOLE, 36_501)}),
    (builtin.generate_missing_embeddings, {"batch_size": (*WHOLE, 10_001)}),
    (builtin.update_analytics, {}),
    (
        builtin.backup_database,
        {
            "keep": (*WHOLE, 10_001),
            "source": (*TEXT, "", "NONE"),
            "target": (*TEXT, "../up"),
            "compression": (*TEXT, "", "lz4"),
        },
    ),
    (builtin.health_check_services, {"timeout_ms": (*WHOLE, 600_001), "degraded_ms": (*WHOLE, 600_001)}),
    (builtin.check_rate_limits, {"limit": (*WHOLE, 1_000_000_001), "threshold": FRACTION}),
)


def refused() -> Iterator[Any]:
    """Return every field with every value that it does not take, and one field that there is not."""
    for function, fields in FIELDS:
        for field, values in fields.items():
            for value in values:
                yield pytest.param(function, field, value, id=f"{function.__name__}-{field}-{value}")
        yield pytest.param(function, "bach_size", 10, id=f"{function.__name__}-unknown")


@pytest.mark.parametrize(("function", "field", "value"), list(refused()))
async def test_what_a_field_does_not_take_is_refused_for_good(
    tmp_path: Path, function: Callable[..., Any], field: str, value: Any
):
    """The error names the field and says why; no retry would help; nothing was opened, nothing was written."""
    url = f"sqlite:///{tmp_path}/platform.db"
    bindings = Environment({"DB": url, "QUEUE": "table://DB/queue_jobs"})
    backup = BackupSettings(sources={"DB": url}, root=str(tmp_path / "backups"))
    ran = await run(function, payload={field: value}, env=Equipped(bindings, BACKUP=backup))
    assert ran.failure_kind is FailureKind.REJECTED
    assert ran.error is not None
    assert ran.error.startswith(f"payload.{field}: ")
    assert len(ran.error) > len(f"payload.{field}: ")
    assert list(tmp_path.iterdir()) == []


async def test_a_value_that_is_refused_is_quoted_in_its_beginning_only(tmp_path: Path):
    """The history keeps the error, not a megabyte of what was wrong."""
    env = Environment({"DB": f"sqlite:///{tmp_path}/platform.db"})
    ran = await run(builtin.cleanup_expired_sessions, payload={"batch_size": "x" * 10_000}, env=env)
    assert ran.error == f"payload.batch_size: '{'x' * 99}… is not a whole number from 1 to 100000"
