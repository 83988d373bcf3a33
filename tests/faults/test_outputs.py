"""Where the server writes its log and its greeting goes away or fills up: it serves all the same, and ends well."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest
from support.callers.load import QUICK
from support.patience import AT_MOST, calling, until
from support.servers.launched import COMMAND, environment
from support.witnesses.checker import Acknowledged, check

from schedule_grpc.domain.execution import State
from schedule_grpc.domain.policy import Policy

FULL = Path("/dev/full")
"""A device on which every write fails as on a full disk."""


@pytest.fixture
def nobody() -> Iterator[IO[str]]:
    """The end of a pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as file:
        yield file


@pytest.fixture
def full() -> Iterator[IO[str]]:
    """A file on a full disk."""
    file = FULL.open("w")
    yield file
    file.close()


@pytest.mark.parametrize("end", ["nobody", "full"])
async def test_a_log_that_cannot_be_written(tmp_path: Path, request: pytest.FixtureRequest, end: str):
    """Its lines are lost; executions are recorded, whoever waits is told, and SIGTERM ends the server with 0."""
    process = await asyncio.to_thread(
        subprocess.Popen,
        [COMMAND, "serve", "--grpc", "127.0.0.1:0", "--http", "off", "--handlers", "support.handlers.noting"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=request.getfixturevalue(end),
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip().removeprefix("gRPC on ")
        async with calling(address) as client:
            await client.register_task(name="task", schedule="@manual", handler="flaky", policy=Policy(retry=QUICK))
            async with asyncio.timeout(AT_MOST):
                runs = [(await client.run_task_now("task")).execution for _ in range(3)]
        process.terminate()
        code = await asyncio.to_thread(process.wait, AT_MOST)
    finally:
        process.kill()
        process.communicate()
    assert (code, {run.state for run in runs}) == (0, {State.SUCCEEDED})
    told = Acknowledged(tasks=["task"], succeeded=[run.id for run in runs])
    assert check(tmp_path / "schedule.db", told, at_rest=True) == []


@pytest.mark.parametrize("end", ["nobody", "full"])
def test_a_greeting_that_cannot_be_written(tmp_path: Path, request: pytest.FixtureRequest, end: str):
    """`serve | head -1`, or standard output on a full disk: the server starts, and ends with 0."""
    process = subprocess.Popen(
        [COMMAND, "serve", "--grpc", "127.0.0.1:0", "--http", "off"],
        cwd=tmp_path,
        env=environment(),
        stdout=request.getfixturevalue(end),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert "server.started" in process.stderr.readline()
        process.terminate()
        _, errors = process.communicate(timeout=AT_MOST)
    finally:
        process.kill()
    assert (process.returncode, "Traceback" in errors) == (0, False)
    assert "server.stopped" in errors


@pytest.mark.parametrize("streams", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
async def test_streams_that_are_closed_at_start(tmp_path: Path, streams: str):
    """The server runs, and no file of its own is standard error."""
    command = f"exec {COMMAND} serve --grpc 127.0.0.1:0 --http off {streams}"
    process = await asyncio.to_thread(subprocess.Popen, ["sh", "-c", command], cwd=tmp_path, env=environment())
    try:
        descriptors = Path(f"/proc/{process.pid}/fd")

        async def opened() -> bool:
            with suppress(FileNotFoundError):  # a descriptor that was closed while we looked
                return any(each.readlink().name == "schedule.db-wal" for each in descriptors.iterdir())
            return False

        await until(opened)
        first = [str((descriptors / str(number)).readlink()) for number in range(3)]
        assert not [each for each in first if str(tmp_path) in each]
        assert first[2] == os.devnull
    finally:
        process.terminate()
        assert await asyncio.to_thread(process.wait, AT_MOST) == 0


async def test_a_reader_who_does_not_read(tmp_path: Path):
    """The pipe is full, and more is logged and printed than is kept: the server goes on, and ends with 0."""
    (tmp_path / "talking.py").write_text(
        "from schedule_grpc.handlers import handler\n\n\n"
        "@handler('talks')\nasync def talks(ctx):\n"
        "    for number in range(12_000):\n        ctx.log.info('line', number=number)\n"
        "        print('x' * 80)\n"
    )
    process = await asyncio.to_thread(
        subprocess.Popen,
        [COMMAND, "serve", "--grpc", "127.0.0.1:0", "--http", "off", "--handlers", "talking"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip().removeprefix("gRPC on ")
        async with calling(address) as client:
            await client.register_task(name="talks", schedule="@manual", handler="talks")
            for _ in range(2):
                assert (await client.run_task_now("talks")).success
        process.terminate()
        _, errors = await asyncio.to_thread(process.communicate, timeout=AT_MOST)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "log.lines_dropped" in errors
