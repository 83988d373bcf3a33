"""Real server processes: killed, stopped, started twice, blocked. These tests wait by the real clock."""

import asyncio
import socket
from datetime import timedelta
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.patience import calling, until
from support.servers.process import run, served
from support.stories import checked, story
from support.witnesses.checker import Acknowledged

from schedule_grpc.domain.execution import State
from schedule_grpc.domain.retry import FailureKind, RetryPolicy
from schedule_grpc.domain.task import Policy


@story
async def test_kill_while_a_handler_runs(tmp_path: Path):
    """After kill -9 in mid-run and a restart: LEASE_LOST as attempt 1, then attempt 2, which succeeds."""
    notes = tmp_path / "notes"
    async with served(tmp_path) as server:
        async with calling(server.address) as client:
            await client.register_task(
                name="task", schedule="@manual", handler="note", payload={"file": str(notes), "seconds": 2}
            )
            result = await client.run_task_now("task", detach=True)

            async def begun():
                return notes.exists()

            await until(begun)
        await asyncio.to_thread(server.kill)
    async with served(tmp_path) as server, calling(server.address) as client:

        async def ended():
            found = await client.get_execution(result.execution.id)
            return found if found.state.is_terminal else None

        execution = await until(ended)
    assert execution.state is State.SUCCEEDED
    assert [attempt.failure_kind for attempt in execution.failed_attempts] == [FailureKind.LEASE_LOST]
    lines = notes.read_text().splitlines()
    assert lines == [f"begin {execution.id} 1", f"begin {execution.id} 2", f"end {execution.id} 2"]
    told = Acknowledged(tasks=["task"], executions=[execution.id], succeeded=[execution.id])
    assert await checked(tmp_path / "schedule.db", told, at_rest=True) == []


@story
async def test_what_was_due_while_the_server_was_down_runs_once_after_the_start(tmp_path: Path):
    """Every second, four seconds down: one CATCH_UP execution covers what is missing; nothing twice, nothing lost."""
    async with served(tmp_path) as server:
        async with calling(server.address) as client:
            await client.register_task(
                name="task", schedule="every 1 second", handler="note", payload={"file": str(tmp_path / "notes")}
            )

            async def history():
                return (await client.get_task_history("task")).executions

            await until(history)
        await asyncio.to_thread(server.kill)
    await asyncio.sleep(4)
    async with served(tmp_path) as server:
        async with calling(server.address) as client:

            async def caught_up():
                found = (await client.get_task_history("task")).executions
                return [execution for execution in found if execution.covers is not None]

            (execution,) = await until(caught_up)
            assert execution.covers is not None
            assert execution.covers.count >= 3
        code, _ = await asyncio.to_thread(server.terminate)
    assert code == 0
    assert await checked(tmp_path / "schedule.db") == []


@story
async def test_sigterm_lets_running_work_end(tmp_path: Path):
    """A run of 1.5 s that began before the signal ends, is recorded, and the server exits 0."""
    async with served(tmp_path) as server:
        async with calling(server.address) as client:
            await client.register_task(
                name="task",
                schedule="@manual",
                handler="note",
                payload={"file": str(tmp_path / "notes"), "seconds": 1.5},
            )
            result = await client.run_task_now("task", detach=True)

            async def begun():
                return (tmp_path / "notes").exists()

            await until(begun)
        code, _ = await asyncio.to_thread(server.terminate)
    assert code == 0
    told = Acknowledged(succeeded=[result.execution.id])
    assert await checked(tmp_path / "schedule.db", told, at_rest=True) == []


@story
async def test_handlers_that_never_end_do_not_keep_the_server(tmp_path: Path):
    """A thread, a coroutine that swallows its cancellation: 10 s of grace, exit 0, rescued at the next start."""
    stuck = ("stuck-thread", "immortal")
    async with served(tmp_path, "--drain-timeout", "0s") as server:
        async with calling(server.address) as client:
            for handler in stuck:
                await client.register_task(name=handler, schedule="@manual", handler=handler)
            started = [await client.run_task_now(handler, detach=True) for handler in stuck]

            async def begun():
                return server.written().count("stuck.begun") == len(stuck)

            await until(begun)
        code, errors = await asyncio.to_thread(server.terminate)
    assert code == 0
    (left,) = [line for line in errors.splitlines() if "server.left_behind" in line]
    assert f"immortal {started[1].execution.id}" in left
    async with served(tmp_path) as server, calling(server.address) as client:
        for each in started:
            execution = await client.get_execution(each.execution.id)
            assert execution.failed_attempts[0].failure_kind is FailureKind.LEASE_LOST


@story
async def test_a_handler_that_blocks_the_loop_is_named_and_times_out(tmp_path: Path):
    """2 s of time.sleep in an async handler with a timeout of 1 s: TIMEOUT, and the log names it."""
    async with served(tmp_path) as server:
        async with calling(server.address) as client:
            await client.register_task(
                name="task",
                schedule="@manual",
                handler="block",
                payload={"seconds": 2.5},
                policy=Policy(timeout=timedelta(seconds=1), retry=RetryPolicy(max_retries=0)),
            )
            result = await client.run_task_now("task")
        _, errors = await asyncio.to_thread(server.terminate)
    assert (result.execution.state, result.execution.failure_kind) == (State.FAILED, FailureKind.TIMEOUT)
    (blocked,) = [line for line in errors.splitlines() if "event_loop.blocked" in line]
    assert f"block {result.execution.id}" in blocked
    assert "handlers/ordinary.py" in blocked


@story
async def test_a_second_server_on_the_file_is_refused(tmp_path: Path):
    """Exit code 1 and one clear line; the first one goes on."""
    async with served(tmp_path) as server:
        second = await asyncio.to_thread(run, "serve", "--grpc", "127.0.0.1:0", folder=tmp_path)
        assert second.returncode == 1
        assert f"another schedule-grpc server (process {server.process.pid}) is using this file" in second.stderr
        assert "Traceback" not in second.stderr
        async with calling(server.address) as client:
            await client.list_tasks()


@story
async def test_a_second_server_on_the_port_is_refused(tmp_path: Path):
    """Exit code 1 and one clear line: no port is shared in silence."""
    async with served(tmp_path) as server:
        other = "sqlite:///other.db"
        second = await asyncio.to_thread(run, "serve", "--grpc", server.address, "--database", other, folder=tmp_path)
    assert second.returncode == 1
    assert f"cannot listen on {server.address}" in second.stderr
    assert "Traceback" not in second.stderr


@story
async def test_a_server_is_healthy_until_it_drains(tmp_path: Path):
    """grpc.health.v1 says SERVING; after the end nobody listens any more."""
    async with served(tmp_path) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            for name in ("", "schedule.v1.ScheduleService"):
                answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
        await asyncio.to_thread(server.terminate)
        host, _, port = server.address.rpartition(":")
        with socket.socket() as probe:
            assert probe.connect_ex((host, int(port))) != 0


async def test_traces_of_grpc_write_no_key(tmp_path: Path):
    """They would have the metadata of each call."""
    file = tmp_path / "first.key"
    options = ("--bootstrap-key-file", str(file))
    async with served(tmp_path, *options, GRPC_TRACE="all", GRPC_VERBOSITY="debug") as server:
        async with calling(server.address, token_file=file) as operator:
            await operator.list_tasks()
        written = server.written()
    assert "GRPC_TRACE is ignored" in written
    assert file.read_text().strip() not in written
