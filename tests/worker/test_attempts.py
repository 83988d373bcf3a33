"""What a worker does with an assignment: the handler's context, and the outcome that is reported."""

import asyncio
import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from support.rigs.rig import START
from support.rigs.worker_rig import still, working
from support.servers.worker_service import WorkerService

from schedule_grpc import PermanentFailure, TaskContext, handler
from schedule_grpc.pb import schedule_pb2
from schedule_grpc.pb import worker_pb2 as pb

KINDS = schedule_pb2.Execution.FailureKind
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@handler("echo", description="Returns its payload")
async def echo(ctx: TaskContext) -> dict[str, Any]:
    """Return the payload."""
    return {"got": dict(ctx.payload)}


@handler("plain")
def plain(ctx: TaskContext) -> str:
    """Return the name of its thread."""
    return threading.current_thread().name


async def test_a_success_has_its_result(service: WorkerService):
    """As JSON, with the time that the handler took."""
    async with working(service, echo):
        outcome = await service.outcome(service.give("echo", payload={"a": [1, "ü"]}))
    assert json.loads(outcome.succeeded.result_json) == {"got": {"a": [1, "ü"]}}
    assert outcome.HasField("duration")


async def test_a_plain_function_runs_in_a_thread(service: WorkerService):
    """As in a server."""
    async with working(service, plain):
        outcome = await service.outcome(service.give("plain"))
    assert json.loads(outcome.succeeded.result_json) == "handler plain-1"


async def test_an_async_handler_runs_in_a_loop_of_its_own(service: WorkerService):
    """One that blocks its loop keeps the worker neither from pulling nor from running others."""
    release, blocked = threading.Event(), threading.Event()

    @handler("blocks")
    async def blocks(_: TaskContext) -> None:
        blocked.set()
        release.wait()

    async with working(service, blocks, echo, elsewhere=True):
        token = service.give("blocks")
        await asyncio.to_thread(blocked.wait)
        await service.outcome(service.give("echo"))
        assert token not in service.ended
        release.set()
        assert (await service.outcome(token)).HasField("succeeded")


async def test_the_context_has_what_the_assignment_says(service: WorkerService):
    """The schedule and the other policies of the task are not known here."""
    seen: list[TaskContext] = []

    @handler("looks")
    async def looks(ctx: TaskContext) -> None:
        assert ctx.log is not None
        seen.append(ctx)

    clock = still()
    noon = Timestamp()
    noon.FromDatetime(NOON)
    async with working(service, looks, clock=clock):
        token = service.give(
            "looks",
            payload={"n": 1},
            attempt=3,
            timeout=7,
            task_name="daily",
            namespace="team-a",
            metadata_json='{"category":"x"}',
            scheduled_time=noon,
        )
        await service.outcome(token)
    (ctx,) = seen
    task = ctx.task
    assert (ctx.payload, ctx.attempt, ctx.scheduled_time) == ({"n": 1}, 3, NOON)
    assert (ctx.execution_id, ctx.idempotency_key, ctx.namespace) == ("looks-1", "looks-1", "team-a")
    assert (task.name, task.handler, task.namespace) == ("daily", "looks", "team-a")
    assert (task.definition.metadata, task.definition.payload) == ({"category": "x"}, {"n": 1})
    assert (task.policy.timeout, task.schedule.text) == (timedelta(seconds=7), "@manual")
    assert ctx.deadline == START + timedelta(seconds=7)


def _raises(error: Exception) -> Any:
    async def raising(_: TaskContext) -> None:
        raise error

    return raising


def _returns(value: Any) -> Any:
    async def returning(_: TaskContext) -> Any:
        return value

    return returning


FAILURES = {
    "an exception": (_raises(ValueError("no")), KINDS.ERROR, "ValueError: no", ""),
    "a permanent failure": (_raises(PermanentFailure("never")), KINDS.REJECTED, "never", ""),
    "success: false": (
        _returns({"success": False, "error": "not yet"}),
        *(KINDS.ERROR, "not yet", '{"error":"not yet","success":false}'),
    ),
    "what is no JSON": (
        _returns({"a": NOON}),
        *(KINDS.ERROR, "The handler returned what is not JSON: .a: datetime is not JSON", ""),
    ),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_a_failure_has_its_kind_and_its_text(service: WorkerService, name: str):
    """And what the handler returned all the same."""
    function, kind, error, result = FAILURES[name]
    async with working(service, handler("fails")(function)):
        failed = (await service.outcome(service.give("fails"))).failed
    assert (failed.failure_kind, failed.error, failed.result_json, failed.abandoned) == (kind, error, result, False)


async def test_a_large_result_is_cut(service: WorkerService):
    """As a server cuts it."""
    async with working(service, handler("large")(_returns("x" * 100_000))):
        outcome = await service.outcome(service.give("large"))
    cut = json.loads(outcome.succeeded.result_json)
    assert (cut["truncated"], cut["size_bytes"]) == (True, 100_002)
    assert len(outcome.succeeded.result_json) < 64 * 1024


async def test_a_timeout_is_the_workers_own(service: WorkerService):
    """By its monotonic clock; nobody has to order it."""
    clock = still()

    @handler("endless")
    async def endless(_: TaskContext) -> None:
        await asyncio.Event().wait()

    async with working(service, endless, clock=clock) as rig:
        token = service.give("endless", timeout=3)
        await rig.until(lambda: token in service.assigned)
        await rig.until(lambda: token in service.ended, step=0.5)
    failed = service.ended[token].failed
    assert (failed.failure_kind, failed.error) == (KINDS.TIMEOUT, "Task execution timeout")
    assert service.ended[token].duration.seconds == 3


async def test_a_deaf_handler_is_abandoned(service: WorkerService):
    """Ten seconds after its timeout: the server is told, so that it does not begin another attempt beside it."""
    clock, release = still(), threading.Event()

    @handler("deaf")
    def deaf(_: TaskContext) -> None:
        release.wait()

    async with working(service, deaf, clock=clock) as rig:
        token = service.give("deaf", timeout=1)
        await rig.until(lambda: token in service.ended, step=0.5)
        failed = service.ended[token].failed
        assert (failed.failure_kind, failed.abandoned) == (KINDS.TIMEOUT, True)
        release.set()


ORDERS = {
    pb.Stop.CANCELLED: "released",
    pb.Stop.REASON_UNSPECIFIED: "released",
    77: "released",
    pb.Stop.TIMEOUT: "failed",
}
"""By the reason; one that a newer server names is a cancellation."""


@pytest.mark.parametrize("reason", ORDERS)
async def test_an_order_to_stop_is_obeyed(service: WorkerService, reason: int):
    """What was stopped by a cancellation is handed back; the server ends it. A timeout is a failure."""
    seen: list[TaskContext] = []

    @handler("endless")
    async def endless(ctx: TaskContext) -> None:
        seen.append(ctx)
        await asyncio.Event().wait()

    async with working(service, endless) as rig:
        token = service.give("endless")
        await rig.until(lambda: seen)
        service.order(token, reason)
        outcome = await service.outcome(token)
        assert seen[0].cancelled.is_set()
    assert outcome.WhichOneof("end") == ORDERS[reason]
    if outcome.HasField("released"):
        assert outcome.released.began
    else:
        assert (outcome.failed.failure_kind, outcome.failed.error) == (KINDS.TIMEOUT, "Task execution timeout")


async def test_a_success_that_came_first_stands(service: WorkerService):
    """Though the attempt was to be stopped."""
    seen: list[TaskContext] = []

    @handler("finishes")
    async def finishes(ctx: TaskContext) -> str:
        seen.append(ctx)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done all the same"
        return "never"

    async with working(service, finishes) as rig:
        token = service.give("finishes")
        await rig.until(lambda: seen)
        service.order(token)
        assert (await service.outcome(token)).succeeded.result_json == '"done all the same"'


async def test_conditions_travel_with_the_outcome(service: WorkerService):
    """In their order."""

    @handler("alerts")
    async def alerts(ctx: TaskContext) -> None:
        ctx.alert("Disk full", "of data", key="disk")
        ctx.recovered("net")

    async with working(service, alerts):
        outcome = await service.outcome(service.give("alerts"))
    told = [(each.key, each.title, each.body, each.over) for each in outcome.conditions]
    assert told == [("disk", "Disk full", "of data", False), ("net", "", "", True)]


async def test_too_many_conditions_are_cut_to_what_a_call_carries(service: WorkerService):
    """The newest stay."""

    @handler("alerts")
    async def alerts(ctx: TaskContext) -> None:
        for number in range(300):
            ctx.alert("x", "y" * 8000, key=str(number))

    async with working(service, alerts):
        outcome = await service.outcome(service.give("alerts"))
    assert 50 < len(outcome.conditions) < 100
    assert outcome.conditions[-1].key == "299"


async def test_progress_goes_with_a_report_and_with_every_pull(service: WorkerService):
    """The newest one, at most twice a second; the last one goes before the outcome."""
    clock, go_on = still(), asyncio.Event()

    @handler("steps")
    async def steps(ctx: TaskContext) -> None:
        for number in range(100):
            ctx.progress(number / 100, f"step {number}")
        await go_on.wait()
        ctx.progress(0.995, "nearly")

    async with working(service, steps, clock=clock) as rig:
        token = service.give("steps")
        await rig.until(lambda: service.news)
        first = service.news[0].progress
        assert (first.fraction, first.text) == (0.99, "step 99")
        service.give("nobody")  # the Pull that waits is answered, and the next one names the progress
        held = await rig.until(lambda: [each for each in service.pulls[-1].held if each.HasField("progress")])
        assert (held[0].progress, held[0].progress_text) == (0.99, "step 99")
        go_on.set()
        await service.outcome(token)
    mine = [each for each in service.news if each.lease_token == token]
    assert [each.WhichOneof("news") for each in mine] == ["progress", "progress", "outcome"]
    assert mine[1].progress.text == "nearly"


async def test_what_is_not_offered_is_handed_back(service: WorkerService):
    """Though a server should not assign it."""
    async with working(service, echo):
        outcome = await service.outcome(service.give("other"))
    assert (outcome.WhichOneof("end"), outcome.released.began) == ("released", False)


@pytest.mark.parametrize("payload", ["[1]", "{", "NaN", "[" * 10_000])
async def test_an_assignment_that_cannot_be_read_fails(service: WorkerService, payload: str):
    """The handler is not called, and the attempt ends."""
    async with working(service, echo):
        token = service.give("echo", metadata_json=payload)
        failed = (await service.outcome(token)).failed
    assert failed.error.startswith("metadata_json of the assignment is not ")


async def test_never_more_than_its_slots_run_at_once(service: WorkerService):
    """A hundred wait, and three run."""
    running, most = 0, 0

    @handler("counts")
    async def counts(_: TaskContext) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    tokens = [service.give("counts", number=number) for number in range(100)]
    async with working(service, counts, slots=3):
        for token in tokens:
            assert (await service.outcome(token)).HasField("succeeded")
    assert most == 3
    assert service.most_pulls == 1
    assert all(pull.capacity + len(pull.held) <= 3 or not pull.capacity for pull in service.pulls)


async def test_a_server_that_assigns_too_much_gets_it_back(service: WorkerService):
    """At once, and not begun."""
    go_on = asyncio.Event()

    @handler("waits")
    async def waits(_: TaskContext) -> None:
        await go_on.wait()

    async def all_of_them(request: Any, _: Any) -> Any:
        for number in range(3):
            service.give("waits", number=number)
        service.assigned |= {each.lease_token: each for each in service.waiting}
        service.waiting.clear()
        return pb.PullResponse(assignments=service.assigned.values(), lease={"seconds": 30})

    service.script("Pull", all_of_them)
    async with working(service, waits, slots=2):
        outcome = await service.outcome("waits-2.token")
        assert (outcome.WhichOneof("end"), outcome.released.began) == ("released", False)
        go_on.set()
        assert (await service.outcome("waits-0.token")).HasField("succeeded")
        assert (await service.outcome("waits-1.token")).HasField("succeeded")
