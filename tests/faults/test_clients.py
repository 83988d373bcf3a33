"""Clients that go away, ask for nonsense, ask too much, or stop reading: a server serves the others as before."""

import asyncio
import os
import random
import resource
import socket
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, closing
from pathlib import Path

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.callers.every_rpc import RPCS, WATCH, accepted, raw, stub, with_text
from support.callers.load import registrations
from support.handlers.hostile import MEGABYTE
from support.patience import AT_MOST, calling, until
from support.servers import keyed_run
from support.servers.process import Server, serving
from support.witnesses.checker import check

from schedule_grpc.client import AsyncClient, Client
from schedule_grpc.domain.execution import Execution
from schedule_grpc.errors import InvalidArgument

Code = grpc.StatusCode
FAULTS_OF_OURS = {Code.INTERNAL, Code.UNKNOWN, Code.DATA_LOSS}
SQL = ["'; DROP TABLE scheduled_tasks; --", '" OR 1=1 --', "%' UNION SELECT * FROM task_executions --"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server of all these tests keeps its file."""
    return tmp_path_factory.mktemp("clients")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    """One server process for all; afterwards it has said nothing of a fault of its own, and kept its promises."""
    with serving(folder, "--http", "127.0.0.1:0", handlers="support.handlers.hostile") as answering:
        yield answering
        code, errors = answering.terminate()
    assert code == 0
    assert [line for line in errors.splitlines() if "Traceback" in line or not line.startswith("{")] == []
    assert check(folder / "schedule.db") == []


@pytest.fixture
async def execution(server: Server, name: str) -> Execution:
    """What that task has run."""
    async with calling(server.address) as client:
        await client.register_task(name=name, schedule="@manual", handler="quick")
        return (await client.run_task_now(name)).execution


def channel_to(server: Server, **options: int) -> grpc.aio.Channel:
    """Return a connection that is shared with nobody."""
    told = {"grpc.use_local_subchannel_pool": 1} | {f"grpc.{name}": value for name, value in options.items()}
    return grpc.aio.insecure_channel(server.address, options=list(told.items()))


async def code_of(call: grpc.aio.UnaryUnaryCall | grpc.aio.UnaryStreamCall) -> grpc.StatusCode:
    """Return how a call ended, whatever it was."""
    try:
        return await call.code()
    except asyncio.CancelledError:
        return Code.CANCELLED


def write_lock_is_free(folder: Path) -> None:
    """No transaction is open: another connection gets the write lock at once."""
    with closing(sqlite3.connect(folder / "schedule.db", timeout=1, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")


@pytest.mark.parametrize("rpc", RPCS)
async def test_callers_who_go_away(server: Server, execution: Execution, folder: Path, long: bool, rpc: str):
    """Cancelled, or past its deadline, at any moment of a call: no transaction stays open, the next is answered."""
    moments = random.Random(rpc)  # noqa: S311
    ends: Counter[grpc.StatusCode] = Counter()
    async with channel_to(server) as channel:
        ask, request = stub(channel, rpc), accepted(rpc, execution.task_name, execution.id)
        await ask(request, timeout=AT_MOST).code() if rpc != WATCH else None
        for number in range(200 if long else 20):
            given_up = ask(request, timeout=AT_MOST)
            too_late = ask(request, timeout=moments.uniform(0.0001, 0.002))
            await asyncio.sleep(number and moments.uniform(0, 0.002))
            given_up.cancel()
            ends.update([await code_of(given_up), await code_of(too_late)])
        write_lock_is_free(folder)
        if rpc != WATCH:
            assert await ask(request, timeout=AT_MOST).code() in {Code.OK, Code.NOT_FOUND}
    assert ends[Code.CANCELLED] + ends[Code.DEADLINE_EXCEEDED] > 0
    assert not FAULTS_OF_OURS & set(ends)


@pytest.mark.parametrize("rpc", RPCS)
async def test_messages_that_are_none(server: Server, execution: Execution, folder: Path, rpc: str):
    """Random bytes, a message cut short, one of 2 MB: refused as the caller's fault, on a connection that goes on."""
    noise = random.Random(rpc)  # noqa: S311
    whole = accepted(rpc, execution.task_name, execution.id).SerializeToString()
    hostile = [noise.randbytes(size) for size in (1, 7, 64, 4096)] + [b"\xff" * 64, whole + b"\x0a\xff"]
    async with channel_to(server) as channel:
        ask = raw(channel, rpc)
        codes = {await ask(message, timeout=0.3 if rpc == WATCH else AT_MOST).code() for message in hostile}
        oversized = await ask(b"\x0a" * (2 * MEGABYTE), timeout=AT_MOST).code()
    # Some bytes happen to be a message, with fields that nobody knows: then it is asked, and may be answered.
    assert codes <= {Code.INVALID_ARGUMENT, Code.OK, Code.NOT_FOUND, Code.DEADLINE_EXCEEDED}
    assert Code.INVALID_ARGUMENT in codes
    assert oversized is Code.RESOURCE_EXHAUSTED
    write_lock_is_free(folder)


@pytest.mark.parametrize("rpc", RPCS)
async def test_sql_in_every_text(server: Server, execution: Execution, folder: Path, rpc: str):
    """Text is text: it is stored as it is, or refused; the tables are what they were."""
    async with channel_to(server) as channel:
        for text in SQL:
            for path, request in with_text(rpc, text, execution.task_name, execution.id):
                code = await stub(channel, rpc)(request, timeout=0.3 if rpc == WATCH else AT_MOST).code()
                assert code not in FAULTS_OF_OURS, (path, text)
    with closing(sqlite3.connect(f"file:{folder / 'schedule.db'}?mode=ro", uri=True)) as connection:
        (there,) = connection.execute(
            "SELECT count(*) FROM scheduled_tasks WHERE name = ?", [execution.task_name]
        ).fetchone()
        (kept,) = connection.execute("SELECT count(*) FROM task_executions WHERE id = ?", [execution.id]).fetchone()
    assert (there, kept) == (1, 1)


async def test_a_watcher_who_stops_reading(server: Server, name: str):
    """What waits for it is bounded; others see everything, and the server's memory stays where it was."""
    async with calling(server.address) as client, channel_to(server, **{"http2.lookahead_bytes": 1}) as channel:
        await client.batch_register_tasks(registrations([name], "@manual"))
        deaf = [stub(channel, WATCH)(accepted(WATCH, name, ""), timeout=AT_MOST) for _ in range(20)]
        await asyncio.gather(*(call.wait_for_connection() for call in deaf))
        await rounds(client, name, 100)
        before = server.resident()
        async with client.watch_executions(name) as watch:
            reading = asyncio.create_task(read_until_quiet(watch))
            ran = await rounds(client, name, 500)
            seen = await reading
        assert server.resident() < before + 40 * MEGABYTE
        assert seen >= ran
        for call in deaf:
            call.cancel()


async def test_a_page_that_stops_reading_its_events(server: Server, name: str):
    """The same over HTTP: the socket fills up, and the server neither waits nor hoards."""
    assert server.http_address is not None
    host, _, port = server.http_address.rpartition(":")
    async with calling(server.address) as client, AsyncExitStack() as stack:
        await client.batch_register_tasks(registrations([name], "@manual"))
        for _ in range(20):
            deaf = stack.enter_context(socket.socket())
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect((host, int(port)))
            request = f"GET /events HTTP/1.1\r\nHost: {server.http_address}\r\n\r\n".encode()
            deaf.sendall(keyed_run.keyed(request, server.http_address))
            assert (await asyncio.to_thread(deaf.recv, 12)).startswith(b"HTTP/1.1 200")
        await rounds(client, name, 100)
        before = server.resident()
        await rounds(client, name, 500)
        assert server.resident() < before + 40 * MEGABYTE


async def rounds(client: AsyncClient, name: str, number: int) -> int:
    """Run a task so often, several at once; return how many ran."""
    for _ in range(number // 25):
        await asyncio.gather(*(client.run_task_now(name) for _ in range(25)))
    return number


async def read_until_quiet(watch: AsyncIterator[object]) -> int:
    """Count events until none comes for a second."""
    seen = 0
    try:
        while True:
            await asyncio.wait_for(anext(watch), 2)
            seen += 1
    except TimeoutError:
        return seen


async def test_a_thousand_connections(server: Server, long: bool):
    """Each is answered, and when they have gone so have their sockets."""
    number = 1000 if long else 300
    open_before = server.count("fd")
    async with AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(channel_to(server)) for _ in range(number)]
        codes = await asyncio.gather(
            *(stub(each, "ListHandlers")(accepted("ListHandlers", "", ""), timeout=AT_MOST).code() for each in channels)
        )
        assert set(codes) == {Code.OK}
        assert server.count("fd") >= open_before + number

    async def gone() -> bool:
        return server.count("fd") <= open_before + 5

    await until(gone)


def test_the_usual_limit_of_open_files_is_no_limit_of_connections(tmp_path: Path):
    """A server raises its soft limit to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with serving(tmp_path) as server:
            assert resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)
            server.terminate()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_ten_thousand_calls_in_flight(server: Server, execution: Execution, long: bool):
    """Reads, and runs that wait for their end, on connections that may hold so many: all are answered."""
    number = 10_000 if long else 4_000
    rpcs = ("GetTask", "RunTaskNow", "GetExecution", "GetTask", "ListHandlers")
    async with AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(channel_to(server)) for _ in range(number // 2_500)]
        calls = [
            stub(channel, rpc)(accepted(rpc, execution.task_name, execution.id), timeout=AT_MOST)
            for channel in channels
            for rpc in rpcs
            for _ in range(number // len(rpcs) // len(channels))
        ]
        assert Counter(await asyncio.gather(*(call.code() for call in calls))) == {Code.OK: number}


def fields(refusal: InvalidArgument) -> set[str]:
    """Return the fields that a refusal names."""
    return {violation.field.partition(".")[0] for violation in refusal.violations}


def test_any_name_and_payload(server: Server):
    """Whatever text and JSON: registered and read back as it was, or refused by name; never lost, never a fault."""
    json = st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    )
    with Client(server.address) as client:

        @settings(
            max_examples=1000 if os.environ.get("FAULTS") == "long" else 100,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(
            name=st.text(max_size=80) | st.from_regex(r"\A[a-z][a-z0-9._-]{0,62}\Z"),
            payload=st.dictionaries(st.text(), json),
        )
        def ask(name: str, payload: dict[str, object]) -> None:
            try:
                client.register_task(name=name, schedule="@manual", handler="quick", payload=payload)
                read = client.get_task(name).definition.payload
            except InvalidArgument as refusal:
                read = payload if fields(refusal) <= {"name", "payload"} else None
            assert read == payload

        ask()
