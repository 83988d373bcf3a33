"""The end of a worker: in good order, in a hurry, or because the server does not want it."""

import asyncio
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.patience import until
from support.rigs.worker_rig import still, working
from support.servers.worker_service import WorkerService

from schedule_grpc import TaskContext, handler
from schedule_grpc.errors import (
    ConfigurationError,
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    ScheduleError,
    Unauthenticated,
)
from schedule_grpc.pb import worker_pb2 as pb
from schedule_grpc.worker import Worker

begun: list[TaskContext] = []


@handler("waits")
async def waits(ctx: TaskContext) -> str:
    """Wait until the test lets it go on."""
    begun.append(ctx)
    await go_on.wait()
    return "done"


go_on = asyncio.Event()


@pytest.fixture(autouse=True)
def forget() -> None:
    """Forget earlier calls."""
    global go_on  # noqa: PLW0603 (an event belongs to the loop of one test)
    begun.clear()
    go_on = asyncio.Event()


async def test_an_idle_worker_leaves_at_once(service: WorkerService):
    """The Pull that waits is ended, and the session too."""
    service.parks = 20
    async with working(service, waits) as rig:
        await rig.pulled()
        rig.core.stop()
        await rig.over()
    assert service.unregistered == ["session-1"]


async def test_running_attempts_end_before_it_leaves(service: WorkerService):
    """It goes on pulling without capacity, so the lease holds; what comes all the same is handed back."""
    service.parks = 20
    async with working(service, waits) as rig:
        token = service.give("waits")
        await rig.until(lambda: begun)
        rig.core.stop()
        await rig.until(lambda: service.pulls[-1].draining)
        assert (service.pulls[-1].capacity, [each.lease_token for each in service.pulls[-1].held]) == (0, [token])
        late = service.give("waits", number=2)
        service.assigned[late] = service.waiting.pop()
        assert (await service.outcome(late)).HasField("released")
        assert not service.unregistered
        go_on.set()
        await rig.over()
    assert service.ended[token].succeeded.result_json == '"done"'
    assert service.unregistered == ["session-1"]
    assert len(begun) == 1


async def test_after_the_drain_timeout_attempts_are_released(service: WorkerService):
    """They began, and do not count."""
    async with working(service, waits, clock=still(), drain_timeout=5) as rig:
        token = service.give("waits", timeout=600)
        await rig.until(lambda: begun)
        rig.core.stop()
        await rig.until(lambda: service.pulls[-1].draining)
        assert token not in service.ended
        await rig.over(step=0.25)
        assert rig.clock.monotonic() >= 5
    assert (service.ended[token].WhichOneof("end"), service.ended[token].released.began) == ("released", True)
    assert service.unregistered == ["session-1"]


async def test_a_second_request_does_not_wait(service: WorkerService):
    """For what runs: it is stopped, and released."""
    async with working(service, waits, clock=still()) as rig:
        token = service.give("waits", timeout=600)
        await rig.until(lambda: begun)
        rig.core.stop()
        rig.core.stop()
        await rig.over()
    assert service.ended[token].released.began
    assert service.unregistered == ["session-1"]


async def test_a_handler_that_goes_on_keeps_its_lease(service: WorkerService):
    """It may run for as long as the process: nothing is said of it, and the worker does not unregister."""
    release = threading.Event()

    @handler("deaf")
    def deaf(ctx: TaskContext) -> None:
        begun.append(ctx)
        release.wait()

    async with working(service, deaf, clock=still()) as rig:
        token = service.give("deaf", timeout=600)
        await rig.until(lambda: begun)
        rig.core.stop()
        rig.core.stop()
        await rig.over(step=1)
        release.set()
    assert token not in service.ended
    assert not service.unregistered


async def test_a_server_that_is_away_does_not_keep_it(service: WorkerService):
    """It has ended some seconds after its handlers; their leases run out."""
    clock = still()
    async with working(service, waits, clock=clock) as rig:
        service.give("waits", timeout=600)
        await rig.until(lambda: begun)
        for rpc in ("Pull", "Report", "UnregisterWorker"):
            service.script(rpc, *[grpc.StatusCode.UNAVAILABLE] * 1000)
        rig.core.stop()
        rig.core.stop()
        await rig.over(step=0.5)
    assert clock.monotonic() < 60


FINAL = {
    "InvalidArgument": (InvalidArgument.of("slots", "are too many"), InvalidArgument),
    "FailedPrecondition": (FailedPrecondition("protocols 2 to 3 are spoken here"), FailedPrecondition),
    "Unauthenticated": (Unauthenticated(), Unauthenticated),
    "PermissionDenied": (PermissionDenied("worker", "default", name="waits"), PermissionDenied),
    "UNIMPLEMENTED": (grpc.StatusCode.UNIMPLEMENTED, ScheduleError),
}


@pytest.mark.parametrize("name", FINAL)
@pytest.mark.parametrize("rpc", ["RegisterWorker", "Pull", "Report"])
async def test_a_refusal_ends_the_worker(service: WorkerService, rpc: str, name: str):
    """With the server's reason. What runs ends before, and is reported, where the server takes reports."""
    reply, kind = FINAL[name]
    async with working(service, waits) as rig:
        if rpc == "RegisterWorker":
            service.script(rpc, reply)
        token = service.give("waits")
        if rpc != "RegisterWorker":
            await rig.until(lambda: begun)
            service.script(rpc, reply)
            service.give("nobody")
            if rpc == "Pull":
                await rig.until(lambda: not service.next["Pull"])
            go_on.set()
        with pytest.raises(kind) as error:
            await rig.over()
    text = str(error.value)
    assert "does not take workers" in text if name == "UNIMPLEMENTED" else str(reply) in text
    if rpc == "Pull":
        assert service.ended[token].succeeded.result_json == '"done"'


async def test_a_refused_session_cannot_report(service: WorkerService):
    """So what it ran is stopped at once, and nobody waits for it."""
    async with working(service, waits) as rig:
        service.give("waits")
        await rig.until(lambda: begun)
        service.script("RegisterWorker", Unauthenticated())
        service.forget_sessions()
        with pytest.raises(Unauthenticated):
            await rig.over()


async def test_the_key_goes_with_every_call(service: WorkerService, tmp_path: Path):
    """From its file as it is now."""
    file = tmp_path / "token"
    file.write_text("first\n")
    async with working(service, waits, way={"token_file": file}) as rig:
        await rig.registered()
        file.write_text("the-second\n")
        await rig.until(lambda: service.metadata[-1]["authorization"] == "Bearer the-second")
    assert service.metadata[0]["authorization"] == "Bearer first"


async def test_it_says_who_it_is(service: WorkerService):
    """And what it offers."""

    @handler("described", description="Does it", concurrency=2)
    async def described(_: TaskContext) -> None:
        return

    told: dict[str, Any] = {"name": "w-1", "version": "2", "namespace": "team-a", "labels": {"zone": "eu"}, "slots": 5}
    async with working(service, described, lease=timedelta(seconds=45), **told) as rig:
        await rig.registered()
    (request,) = service.registered
    assert (request.name, request.version, request.namespace, dict(request.labels)) == (
        "w-1",
        "2",
        "team-a",
        told["labels"],
    )
    assert (request.protocol, request.slots, request.lease.seconds) == (1, 5, 45)
    assert list(request.handlers) == [pb.OfferedHandler(name="described", description="Does it", concurrency=2)]


async def test_a_program_runs_a_worker_of_its_own(service: WorkerService):
    """`Worker` runs until it is told to stop, and calls back once it is registered."""
    ready = asyncio.Event()
    worker = Worker(service.address, handlers=[waits, "support.handlers.ordinary"], labels={"a": "b"})
    assert worker.troubles() == ("the worker has not registered yet",)
    run = asyncio.create_task(worker.run(ready=ready.set))
    await ready.wait()
    assert worker.troubles() == ()
    go_on.set()
    await service.outcome(service.give("waits"))
    worker.stop()
    await run
    assert service.unregistered == ["session-1"]


async def test_a_worker_whose_task_is_cancelled_ends(service: WorkerService):
    """Its handlers are stopped; their leases run out."""
    worker = Worker(service.address, handlers=[waits])
    run = asyncio.create_task(worker.run())
    token = service.give("waits")

    async def is_begun() -> bool:
        return bool(begun)

    await until(is_begun)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert token not in service.ended


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no handler": ({"handlers": []}, "a worker offers 1 to 1,000 handlers, not 0"),
    "no decorator": ({"handlers": [print]}, "builtins.print is not decorated with @handler"),
    "slots": ({"slots": 0}, "slots must be 1 to 1,000, not 0"),
    "lease": ({"lease": timedelta(seconds=9)}, "lease must be 10 s to 10 min"),
    "label": ({"labels": {"a": "b" * 129}}, "'bbbbbbbbbbbbbbbbbbbb'... is longer than 128 characters"),
    "labels": ({"labels": {str(each): "" for each in range(17)}}, "at most 16 labels"),
    "binding": ({"bindings": {"db": "sqlite:///x"}}, "db"),
    "namespace": ({"namespace": "A"}, "namespace"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_worker_that_cannot_be_is_refused_at_once(name: str):
    """With the reason, before it calls anybody."""
    arguments, reason = REFUSED[name]
    with pytest.raises(ConfigurationError) as error:
        Worker(**({"handlers": [waits]} | arguments))
    assert reason in str(error.value)


def test_a_key_does_not_leave_this_machine_without_tls():
    """As of a client."""
    with pytest.raises(ValueError, match="a token is not sent to example\\.org"):
        Worker("example.org", handlers=[waits], token="secret")
