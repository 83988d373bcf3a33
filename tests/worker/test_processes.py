"""Worker processes at a real server: what they run is in its history."""

import asyncio
import re
import signal
import urllib.request
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from support.patience import calling, until
from support.servers.process import Server, run, serving
from support.servers.worker_process import HANDLERS, WorkerProcess, worker

from schedule_grpc.client import AsyncClient, Execution, FailureKind, Policy, RetryPolicy, State

QUICKLY = RetryPolicy(initial_backoff=timedelta(milliseconds=10))


TASKS = count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that offers none of these handlers; each execution is of a task of its own."""
    with serving(tmp_path_factory.mktemp("server"), handlers=None) as made:
        yield made


@pytest.fixture
async def client(server: Server) -> AsyncIterator[AsyncClient]:
    """A client of it."""
    async with calling(server.address) as made:
        yield made


async def begun(client: AsyncClient, handler: str, *, policy: Policy | None = None, **payload: Any) -> str:
    """Register a task of a handler, run it, and return the id of the execution."""
    name = f"{handler.replace('.', '-')}-{next(TASKS)}"
    await client.register_task(
        name=name,
        schedule="@manual",
        handler=handler,
        payload=payload,
        policy=policy or Policy(retry=QUICKLY),
        allow_unknown_handler=True,
    )
    return (await client.run_task_now(name, detach=True)).execution.id


async def over(client: AsyncClient, execution: str, *, log_lines: int = 0) -> Execution:
    """Return an execution once it has ended."""

    async def ended() -> Execution | None:
        found = await client.get_execution(execution, log_lines=log_lines)
        return found if found.state.is_terminal else None

    return await until(ended)  # type: ignore[return-value]


async def running(client: AsyncClient, execution: str) -> Execution:
    """Return an execution once its handler has said something."""

    async def said() -> Execution | None:
        found = await client.get_execution(execution)
        return found if found.state is State.RUNNING and found.progress is not None else None

    return await until(said)  # type: ignore[return-value]


async def test_a_worker_runs_what_its_server_cannot(server: Server, client: AsyncClient):
    """Async handlers and plain ones, in the worker's process; the history names it."""
    with worker(server.address, "--name", "w-1", "--version", "7") as made:
        for handler in ("remote.echo", "remote.plain"):
            ended = await over(client, await begun(client, handler, a=1))
            assert ended.state is State.SUCCEEDED
            assert ended.result in (made.pid, {"got": {"a": 1}, "pid": made.pid, "attempt": 1})
            assert ended.worker == "w-1 (7)"


async def test_a_failed_attempt_is_tried_again(server: Server, client: AsyncClient):
    """As its policy says; each has its error."""
    with worker(server.address):
        ended = await over(client, await begun(client, "remote.flaky"))
    assert (ended.state, ended.result, ended.attempt) == (State.SUCCEEDED, 3, 3)
    assert [each.error for each in ended.failed_attempts] == ["ValueError: attempt 1", "ValueError: attempt 2"]


async def test_a_timeout_ends_the_attempt(server: Server, client: AsyncClient, tmp_path: Path):
    """It is the worker's own, and FAILED by TIMEOUT."""
    policy = Policy(timeout=timedelta(seconds=1), retry=RetryPolicy(max_retries=0))
    with worker(server.address):
        ended = await over(client, await begun(client, "remote.waits", policy=policy, file=str(tmp_path / "never")))
    assert (ended.state, ended.failure_kind) == (State.FAILED, FailureKind.TIMEOUT)


async def test_a_cancelled_execution_is_stopped(server: Server, client: AsyncClient, tmp_path: Path):
    """Its handler is asked to stop, and it ends CANCELLED."""
    with worker(server.address):
        execution = await begun(client, "remote.waits", file=str(tmp_path / "never"))
        await running(client, execution)
        await client.cancel_execution(execution)
        assert (await over(client, execution)).state is State.CANCELLED


async def test_lines_and_progress_are_kept(server: Server, client: AsyncClient):
    """The execution has them once it has ended."""
    with worker(server.address):
        ended = await over(client, await begun(client, "remote.says"), log_lines=10)
    assert ended.progress is not None
    assert (ended.progress.fraction, ended.progress.text) == (0.25, "a quarter")
    assert ended.log is not None
    assert [(line.level, line.text) for _, line in ended.log.lines] == [
        ("info", "rows.counted rows=3"),
        ("warning", "rows.missing rows=1"),
    ]


async def test_a_handler_that_blocks_its_loop_keeps_no_other_from_running(
    server: Server, client: AsyncClient, tmp_path: Path
):
    """They go to another loop."""
    release = tmp_path / "release"
    with worker(server.address) as made:
        blocked = await begun(client, "remote.blocks", file=str(release))
        assert (await over(client, await begun(client, "remote.echo"))).result["pid"] == made.pid
        assert not (await client.get_execution(blocked)).state.is_terminal
        release.touch()
        assert (await over(client, blocked)).state is State.SUCCEEDED


async def test_sigterm_lets_running_attempts_end(server: Server, client: AsyncClient, tmp_path: Path):
    """And exits with 0; no other worker is needed."""
    release = tmp_path / "release"
    with worker(server.address) as made:
        execution = await begun(client, "remote.waits", file=str(release))
        await running(client, execution)
        made.tell(signal.SIGTERM)
        release.touch()
        ended = await over(client, execution)
        assert await asyncio.to_thread(made.ended) == 0
        assert "worker.stopped" in made.written()
    assert ended.result == {"pid": made.pid, "attempt": 1}


async def test_a_worker_in_a_hurry_hands_its_work_back(server: Server, client: AsyncClient, tmp_path: Path):
    """Another one runs it, at once and as the same attempt."""
    release = tmp_path / "release"
    with worker(server.address) as first:
        execution = await begun(client, "remote.waits", file=str(release))
        await running(client, execution)
        with worker(server.address) as second:
            first.tell(signal.SIGTERM)

            async def stops() -> bool:
                return "worker.draining" in first.written()

            await until(stops)
            first.tell(signal.SIGTERM)
            assert await asyncio.to_thread(first.ended) == 0
            release.touch()
            ended = await over(client, execution)
    assert ended.result == {"pid": second.pid, "attempt": 1}


async def test_a_server_that_is_started_again_finds_the_attempt_going_on(tmp_path: Path):
    """Killed, and back within the lease: the attempt runs once, and its result is kept."""
    release = tmp_path / "release"
    with serving(tmp_path, handlers=None) as server, worker(server.address) as made:
        async with calling(server.address) as client:
            execution = await begun(client, "remote.waits", file=str(release))
            await running(client, execution)
        server.kill()
        with serving(tmp_path, "--grpc", server.address, handlers=None):
            release.touch()
            async with calling(server.address) as client:
                ended = await over(client, execution)
    assert ended.result == {"pid": made.pid, "attempt": 1}
    assert not ended.failed_attempts


@pytest.mark.slow
async def test_what_a_killed_worker_ran_begins_elsewhere(server: Server, client: AsyncClient, tmp_path: Path):
    """After its lease: the first attempt is LEASE_LOST, and the second one another worker's."""
    release = tmp_path / "release"
    with worker(server.address, "--lease", "10s") as first:
        execution = await begun(client, "remote.waits", file=str(release))
        await running(client, execution)
        first.tell(signal.SIGKILL)
        with worker(server.address) as second:
            release.touch()
            ended = await over(client, execution)
    assert ended.result == {"pid": second.pid, "attempt": 2}
    assert [each.failure_kind for each in ended.failed_attempts] == [FailureKind.LEASE_LOST]


async def test_bindings_are_the_workers_own(server: Server, client: AsyncClient, tmp_path: Path):
    """From its configuration file."""
    config = tmp_path / "worker.toml"
    config.write_text(f'[bindings]\nOWN = "sqlite:///{tmp_path}/own.db"\n')
    with worker(server.address, "--config", str(config)):
        assert (await over(client, await begun(client, "remote.asks"))).result == [{"one": 1}]


async def test_it_says_what_it_offers_and_serves_its_health(server: Server):
    """On standard output, up to an empty line."""
    with worker(server.address, "--slots", "3", "--health", "127.0.0.1:0") as made:
        assert made.greeting.startswith(f"Worker of {server.address} with 3 slots, offering:\n")
        assert "  remote.echo  Returns its payload\n" in made.greeting
        url = re.search(r"^Health on (http://\S+)$", made.greeting, re.MULTILINE)
        assert url is not None
        assert (await asyncio.to_thread(_content, url[1])) == b"ok\n"


def _content(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:  # noqa: S310 (on this machine)
        content: bytes = answer.read()
        return content


ENDS: dict[str, tuple[tuple[str, ...], int, str]] = {
    "no module": (("nowhere.at_all",), 1, "cannot start: the handler module nowhere.at_all cannot be imported"),
    "no handler": (("json",), 2, "cannot start: the module json has no function decorated with @handler"),
    "lease": ((HANDLERS, "--lease", "1s"), 2, "cannot start: lease must be 10 s to 10 min"),
    "label": ((HANDLERS, "--label", "x"), 2, "'x' is not K=V"),
    "health": ((HANDLERS, "--health", "192.0.2.1:1"), 1, "cannot start: health on 192.0.2.1:1"),
    "address": ((HANDLERS, "--server", "ftp://x"), 2, "'ftp' is not a scheme"),
    "a built-in name": (("schedule_grpc.builtin",), 1, "built"),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_worker_that_cannot_start_says_why(server: Server, name: str):
    """With the exit code of the other commands."""
    options, code, reason = ENDS[name]
    where = () if "--server" in options else ("--server", server.address)
    done = run("worker", *options, *where)
    assert (done.returncode, done.stdout) == (code, "")
    assert reason in done.stderr


@pytest.mark.keyless
def test_a_worker_without_a_key_is_refused(tmp_path: Path):
    """By a server that asks for one."""
    key = tmp_path / "key"
    with serving(tmp_path, "--bootstrap-key-file", str(key), handlers=None, SCHEDULE_AUTH__MODE="required") as server:
        done = run("worker", HANDLERS, "--server", server.address)
        assert done.returncode == 1
        assert "Authentication required: give a key by --token-file" in done.stderr
        with worker(server.address, "--token-file", str(key)) as made:
            assert isinstance(made, WorkerProcess)
