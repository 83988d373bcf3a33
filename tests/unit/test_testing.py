"""What users test one handler with: a call of it, judged as the service judges it."""

import asyncio
import inspect
import sqlite3
import subprocess
import sys
import threading
import traceback
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from support.patience import AT_MOST
from support.rigs.rig import START

from schedule_grpc import PermanentFailure, TaskContext, handler
from schedule_grpc.bindings import Environment
from schedule_grpc.domain.policy import DEFAULT
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.errors import BindingError, ConfigurationError, InvalidArgument
from schedule_grpc.handlers.perform import GRACE, TIMEOUT_ERROR
from schedule_grpc.testing import FakeClock, run, run_sync

TIMEOUT = DEFAULT.timeout


@handler("count")
async def count(ctx: TaskContext) -> dict:
    """Ask the DB, tell how far it is, log."""
    rows = await ctx.env.DB.fetch("SELECT 1")
    ctx.progress(0.5, "half")
    ctx.log.info("rows.counted", count=len(rows))
    return {"count": len(rows), "key": ctx.idempotency_key, "batch": ctx.payload.get("batch")}


@handler("echo")
async def echo(ctx: TaskContext) -> dict:
    """Return the payload."""
    return dict(ctx.payload)


@handler("in-a-thread")
def in_a_thread(ctx: TaskContext) -> str:
    """Tell the thread's name."""
    return threading.current_thread().name


@handler("fails")
async def fails(ctx: TaskContext) -> dict:
    """Fail as the payload says."""
    if ctx.payload.get("permanently"):
        raise PermanentFailure("no use")
    if ctx.payload.get("politely"):
        return {"success": False, "error": "not today", "seen": 3}
    if ctx.payload.get("strangely"):
        return {"when": ctx.now()}
    ctx.log.info("about.to.fail")
    raise ValueError("broken")


@handler("waits")
async def waits(ctx: TaskContext) -> None:
    """Wait for ever."""
    await asyncio.Event().wait()


@handler("heeds")
def heeds(ctx: TaskContext) -> str:
    """Wait in a thread to be asked to stop."""
    ctx.cancelled.wait(60)
    return "stopped"


class Rows:
    """A double of a DB binding."""

    async def fetch(self, _: str) -> list[int]:
        """Return three rows."""
        return [1, 2, 3]


async def test_a_handler_is_called_with_what_the_test_gives():
    """Payload as it comes over the wire, bindings, progress and log lines."""
    ran = await run(count, payload={"batch": 10.0}, env={"DB": Rows()}, scheduled_time=START, attempt=2)
    assert ran.succeeded
    assert ran.result == {"count": 3, "key": ran.idempotency_key, "batch": 10}
    assert (ran.error, ran.failure_kind, ran.duration, ran.abandoned) == (None, None, timedelta(0), False)
    assert ran.progress == ((0.5, "half"),)
    assert ran.logs == ({"event": "rows.counted", "count": 3, "log_level": "info"},)
    assert (ran.context.attempt, ran.context.scheduled_time, ran.context.now()) == (2, START, START)


def test_a_test_need_not_be_async():
    """A plain function runs in a thread, as in the service."""
    assert run_sync(in_a_thread).result.startswith("handler")


@pytest.mark.parametrize(
    ("payload", "kind", "error", "result"),
    [
        ({}, FailureKind.ERROR, "ValueError: broken", None),
        ({"permanently": True}, FailureKind.REJECTED, "no use", None),
        (
            {"politely": True},
            FailureKind.ERROR,
            "not today",
            {"success": False, "error": "not today", "seen": 3},
        ),
        (
            {"strangely": True},
            FailureKind.ERROR,
            "The handler returned what is not JSON: .when: datetime is not JSON",
            None,
        ),
    ],
)
async def test_a_failure_is_judged_as_the_service_does(payload, kind, error, result):
    """And is no exception of the test's."""
    ran = await run(fails, payload=payload)
    assert (ran.succeeded, ran.failure_kind, ran.error, ran.result) == (False, kind, error, result)


async def test_what_a_handler_raised_can_be_looked_at():
    """With its traceback; what the service logs of it is not among the handler's lines."""
    ran = await run(fails)
    assert isinstance(ran.exception, ValueError)
    assert [frame.name for frame in traceback.extract_tb(ran.exception.__traceback__)][-1] == "fails"
    assert [line["event"] for line in ran.logs] == ["about.to.fail"]
    assert (await run(fails, payload={"politely": True})).exception is None


@pytest.mark.parametrize(
    ("given", "got"),
    [
        (2.0, 2),
        (2**53, 2**53),
        (2.0**60, 2.0**60),
        (-0.0, 0),
        ((1, 2), [1, 2]),
        ({"a": {"b": None}}, {"a": {"b": None}}),
    ],
)
async def test_a_payload_is_what_a_server_gets(given, got):
    """Whole doubles are integers, up to 2^53."""
    ran = await run(echo, payload={"value": given})
    assert (ran.context.payload, type(ran.context.payload["value"])) == ({"value": got}, type(got))
    assert ran.context.task.definition.payload == ran.context.payload


async def test_what_the_service_would_refuse_is_refused():
    """A payload that is no JSON or too large, a timeout out of bounds, a function that is no handler."""
    with pytest.raises(InvalidArgument, match=r"payload: \.when: object is not JSON"):
        await run(count, payload={"when": object()})
    with pytest.raises(InvalidArgument, match="more than the 65536 bytes allowed"):
        await run(count, payload={"text": "x" * 65536})
    with pytest.raises(InvalidArgument, match="timeout: must be between 1 s and 24 h"):
        await run(count, timeout=timedelta(0))
    with pytest.raises(ConfigurationError, match="is not decorated"):
        await run(print)


@pytest.mark.parametrize("success", [True, False])
async def test_a_handlers_own_lines_are_kept_whatever_they_are_called(success: bool):
    """Also as the service calls its own."""

    @handler("namesake")
    async def namesake(ctx: TaskContext) -> dict:
        ctx.log.warning("attempt.raised", exc_info=ValueError() if success else None)
        return {"success": success}

    ran = await run(namesake)
    assert ([line["event"] for line in ran.logs], ran.exception) == (["attempt.raised"], None)


# -- bindings


async def test_a_binding_that_was_not_given_is_missing_as_in_the_service():
    """The handler fails, and the error names those there are."""
    assert (await run(count)).error == "ConfigurationError: no binding is named DB (bindings: none)"
    ran = await run(count, env={"QUEUE": object(), "AI": object()})
    assert ran.error == "ConfigurationError: no binding is named DB (bindings: AI, QUEUE)"


async def test_a_url_is_opened_for_the_call(tmp_path: Path):
    """As a server opens it; afterwards it is closed."""
    ran = await run(count, env={"DB": f"sqlite:///{tmp_path}/platform.db"})
    assert ran.result["count"] == 1
    with pytest.raises(BindingError, match="is closed"):
        await ran.context.env.DB.fetch("SELECT 1")
    with closing(sqlite3.connect(tmp_path / "platform.db")) as connection:
        assert connection.execute("SELECT count(*) FROM sessions").fetchone() == (0,)


async def test_a_whole_environment_stays_the_tests_own(tmp_path: Path):
    """It is handed over as it is, and not closed."""
    env = Environment({"DB": f"sqlite:///{tmp_path}/platform.db"})
    ran = await run(count, env=env)
    assert (ran.result["count"], ran.context.env) == (1, env)
    assert await env.DB.fetch("SELECT 1 AS one") == [{"one": 1}]
    await env.aclose()


@pytest.mark.parametrize("env", [{"db": Rows()}, {"_DB": "sqlite:///"}, {"DB": "carrier-pigeon://"}])
async def test_bindings_that_no_server_would_take_are_refused(env: dict):
    """Lower case, and URLs that nothing is opened from."""
    with pytest.raises(ConfigurationError, match="bindings"):
        await run(count, env=env)


async def test_bindings_can_be_named_and_pinged():
    """A double is asked in its own way, where it can be asked."""
    asked = []

    class Double:
        def __init__(self, answer) -> None:
            self.ping = answer

    async def answers() -> None:
        asked.append("async")

    def does_not() -> None:
        raise OSError("away")

    doubles = {"A": Double(answers), "B": Double(lambda: asked.append("sync")), "C": object(), "D": Double(does_not)}
    env = (await run(echo, env=doubles)).context.env
    assert env.names() == ("A", "B", "C", "D")
    for name in ("A", "B", "C"):
        await env.ping(name)
    assert asked == ["async", "sync"]
    with pytest.raises(BindingError, match="D: OSError: away"):
        await env.ping("D")
    with pytest.raises(ConfigurationError, match="no binding is named E"):
        await env.ping("E")


# -- whose attempt, and when


async def test_calls_are_executions_of_their_own_unless_they_are_told_whose_they_are():
    """Attempts of one execution have the same idempotency key."""
    first, other = await run(echo), await run(echo)
    again = await run(echo, attempt=2, execution_id=first.context.execution_id)
    assert again.idempotency_key == first.idempotency_key != other.idempotency_key


async def test_time_begins_where_the_test_says():
    """Now, else at the scheduled time, else at noon; the deadline is the timeout later."""
    later = START + timedelta(minutes=7)
    ran = await run(echo, scheduled_time=START, now=later, timeout=timedelta(minutes=1))
    assert (ran.context.scheduled_time, ran.context.now()) == (START, later)
    assert ran.context.deadline == later + timedelta(minutes=1)
    assert ran.context.task.policy.timeout == timedelta(minutes=1)
    assert (await run(echo)).context.now() == datetime(2026, 1, 31, 12, tzinfo=UTC)
    with pytest.raises(ValueError, match="give one of them"):
        await run(echo, now=START, clock=FakeClock(START))


# -- timeouts


async def test_a_timeout_comes_when_the_clock_comes_to_it():
    """29 seconds, without waiting for one of them."""
    clock = FakeClock(START)
    running = asyncio.create_task(run(waits, clock=clock))
    await clock.advance(28)
    assert not running.done()
    await clock.advance(1)
    ran = await running
    assert (ran.failure_kind, ran.error, ran.duration) == (FailureKind.TIMEOUT, TIMEOUT_ERROR, TIMEOUT)


@pytest.mark.parametrize("function", [waits, heeds])
def test_a_timeout_can_be_seen_from_a_test_that_is_not_async(function):
    """Time passes while the handler runs; one that heeds its cancellation is not given up, but has not succeeded."""
    ran = run_sync(function, advance=TIMEOUT)
    assert (ran.failure_kind, ran.error, ran.abandoned) == (FailureKind.TIMEOUT, TIMEOUT_ERROR, False)


def test_a_handler_that_does_not_heed_its_timeout_is_given_up():
    """Ten seconds later."""
    release = threading.Event()

    @handler("stuck")
    def stuck(_: TaskContext) -> None:
        release.wait(60)

    ran = run_sync(stuck, timeout=timedelta(seconds=5), advance=timedelta(seconds=5) + GRACE)
    release.set()
    assert (ran.failure_kind, ran.abandoned, ran.duration) == (FailureKind.TIMEOUT, True, timedelta(seconds=15))


async def test_time_that_passes_does_no_harm_to_a_handler_that_ends_before():
    """Nor to one that waits for the clock itself."""

    @handler("pauses")
    async def pauses(ctx: TaskContext) -> str:
        await ctx.clock.wait_until(ctx.now() + timedelta(milliseconds=500), asyncio.Event())
        return ctx.now().isoformat()

    assert (await run(pauses, now=START, advance=20)).result == "2026-01-31T10:00:00.500000+00:00"


async def test_a_call_that_the_test_gives_up_leaves_no_handler_behind():
    """It hears its cancellation at once."""
    entered, heard = asyncio.Event(), asyncio.Event()

    @handler("listens")
    async def listens(_: TaskContext) -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            heard.set()

    calling = asyncio.create_task(run(listens))
    await entered.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert heard.is_set()


# -- log lines


async def test_calls_at_the_same_time_hear_their_own_lines():
    """Each handler has a logger of its own, and nobody else's is touched."""
    both = asyncio.Barrier(2)

    @handler("logs")
    async def logs(ctx: TaskContext) -> None:
        log = ctx.log.bind(who=ctx.payload["who"])
        log.debug("met %s", "you")
        await both.wait()
        structlog.get_logger().info("of the module")
        log.warning("parted")

    ran = await asyncio.gather(run(logs, payload={"who": "a"}), run(logs, payload={"who": "b"}))
    for who, each in zip("ab", ran, strict=True):
        assert each.logs == (
            {"event": "met you", "who": who, "log_level": "debug"},
            {"event": "parted", "who": who, "log_level": "warning"},
        )


async def test_loggers_of_the_handlers_module_have_the_execution_on_their_lines():
    """As in the service: by structlog's context variables."""

    @handler("context")
    async def context(_: TaskContext) -> dict:
        return structlog.contextvars.get_contextvars()

    ran = await run(context)
    assert ran.result == {"execution": ran.context.execution_id}
    assert structlog.contextvars.get_contextvars() == {}


# -- tests that are not async


def test_both_ways_to_call_take_the_same_arguments():
    """And a type checker sees it."""
    assert inspect.signature(run_sync).parameters == inspect.signature(run).parameters
    with pytest.raises(ConfigurationError, match="is not decorated"):
        run_sync(print)


async def test_async_code_is_told_to_await():
    """asyncio's own refusal, and no warning of a call that nobody awaited."""
    with pytest.raises(RuntimeError, match="running event loop"):
        run_sync(echo)


def test_testing_a_handler_loads_no_network():
    """Neither gRPC nor protobuf, settings or the command line."""
    heavy = ("grpc", "google.protobuf", "pydantic", "typer")
    # What measures the coverage of the process has modules of its own.
    code = (
        "import sys; before = set(sys.modules); import schedule_grpc.testing; "
        "print([n for n in sys.argv[1:] if n in sys.modules and n not in before])"
    )
    command = [sys.executable, "-c", code, *heavy]
    done = subprocess.run(command, capture_output=True, text=True, timeout=AT_MOST, check=True)
    assert done.stdout.strip() == "[]"
