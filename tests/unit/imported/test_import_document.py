"""The Python of docs/import.md runs: a handler that runs commands as cron does."""

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.patience import until

from schedule_grpc.formats.imported.crontab import HANDLER
from schedule_grpc.testing import FailureKind, FakeClock, run

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
DOCUMENT = (Path(__file__).parents[3] / "docs" / "import.md").read_text()


@pytest.fixture
def run_command() -> Any:
    """The document's handler."""
    (block,) = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    module: dict[str, Any] = {}
    exec(compile(block, "docs/import.md", "exec"), module)  # noqa: S102 (our own document)
    assert f'@handler("{HANDLER}"' in block
    return module["run_command"]


async def test_a_command_runs_as_with_cron(run_command: Any):
    """By a shell, with its variables and its input; what it prints is logged, its status decides."""
    payload = {"command": "cat; echo $WHO >&2", "stdin": "one\ntwo\n", "env": {"WHO": "me"}}
    ran = await run(run_command, payload=payload)
    assert ran.succeeded
    assert [line["event"] for line in ran.logs] == ["one", "two", "me"]
    failed = await run(run_command, payload={"command": "exit 3"})
    assert (failed.failure_kind, failed.error) == (FailureKind.ERROR, "status 3")


async def test_a_timeout_ends_what_the_command_started(run_command: Any, tmp_path: Path):
    """Its whole process group."""
    noted = tmp_path / "pid"
    clock = FakeClock(NOON)
    payload = {"command": f"sleep 600 & echo $! > {noted}.new; mv {noted}.new {noted}; wait"}
    running = asyncio.create_task(run(run_command, payload=payload, clock=clock))

    async def started() -> bool:
        return noted.exists()

    await until(started)
    pid = int(noted.read_text())

    async def gone() -> bool:
        status = Path(f"/proc/{pid}/status")
        return not status.exists() or "\nState:\tZ" in status.read_text()

    assert not await gone()
    await clock.advance(60)
    ran = await running
    assert ran.failure_kind is FailureKind.TIMEOUT
    assert await until(gone)
