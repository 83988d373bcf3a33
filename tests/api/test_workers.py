"""The rpcs of workers, over a socket: what a worker may say, and what it is answered."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from support.patience import calling, until
from support.servers.live import Live, refused, serving
from support.servers.teams import channel_to, serving_teams

from schedule_grpc.domain.execution import State
from schedule_grpc.domain.policy import Overlap, Policy
from schedule_grpc.domain.worker import MAX_HELD
from schedule_grpc.pb import worker_pb2 as pb
from schedule_grpc.pb import worker_pb2_grpc

Code = grpc.StatusCode
OK = pb.Update.Outcome(succeeded=pb.Update.Outcome.Succeeded(result_json='{"a": [1, 2.5, null]}'))
LONG = Duration(seconds=20)
AT_ONCE = 0.05
"""Seconds for which no call may hold up the others."""


@asynccontextmanager
async def worker_of(live: Live) -> AsyncIterator[Any]:
    """Return a stub of the server's workers' service."""
    async with grpc.aio.insecure_channel(live.parts.address) as channel:
        yield worker_pb2_grpc.WorkerServiceStub(channel)


@pytest.fixture
async def stub(live: Live) -> AsyncIterator[Any]:
    """A worker's stub."""
    async with worker_of(live) as made:
        yield made


def registration(**changes: Any) -> pb.RegisterWorkerRequest:
    """Return a registration that would be accepted, but for the changes."""
    values: dict[str, Any] = {"name": "w", "protocol": 1, "handlers": [{"name": "remote"}], "slots": 4}
    return pb.RegisterWorkerRequest(**(values | changes))


async def waiting(live: Live, number: int = 1, **task: Any) -> list[str]:
    """Let executions wait for a worker; return their ids."""
    await live.client.register_task(
        name="task",
        schedule="@manual",
        handler="remote",
        allow_unknown_handler=True,
        policy=Policy(overlap=Overlap.ALLOW_ALL),
        **task,
    )
    return [(await live.client.run_task_now("task", detach=True)).execution.id for _ in range(number)]


async def assigned(stub: Any, session: str, held: tuple[str, ...] = (), **how: Any) -> list[pb.Assignment]:
    """Pull until something is assigned; return that."""
    asked = {"capacity": 4, "wait": LONG} | how
    while True:
        request = pb.PullRequest(session_id=session, held=[{"lease_token": each} for each in held], **asked)
        if found := list((await stub.Pull(request)).assignments):
            return found


async def test_a_worker_runs_an_execution(live: Live, stub: Any):
    """The whole way: what it is assigned is the task's, and its result is in the history as it was written."""
    registered = await stub.RegisterWorker(registration(name="host-1", version="2"))
    assert (registered.protocol, registered.lease.seconds, list(registered.lost_tokens)) == (1, 30, [])
    (execution_id,) = await waiting(live, payload={"n": 2**53, "text": "ü\x00"}, metadata={"team": "a"})
    (got,) = await assigned(stub, registered.session_id)
    assert (got.execution_id, got.task_name, got.handler, got.attempt) == (execution_id, "task", "remote", 1)
    assert (got.payload_json, got.metadata_json) == ('{"n":9007199254740992,"text":"ü\\u0000"}', '{"team":"a"}')
    assert (got.namespace, got.timeout.seconds, got.HasField("scheduled_time")) == ("default", 29, False)
    report = pb.ReportRequest(
        session_id=registered.session_id, updates=[{"lease_token": got.lease_token, "outcome": OK}]
    )
    for verdict in (pb.ReportResponse.APPLIED, pb.ReportResponse.REPEATED):
        assert list((await stub.Report(report)).verdicts) == [verdict]
    ended = await live.client.get_execution(execution_id)
    assert (ended.state, ended.result) == (State.SUCCEEDED, {"a": [1, 2.5, None]})
    await stub.UnregisterWorker(pb.UnregisterWorkerRequest(session_id=registered.session_id))
    with pytest.raises(grpc.aio.AioRpcError, match="Session not known") as gone:
        await stub.Pull(pb.PullRequest(session_id=registered.session_id))
    assert gone.value.code() is Code.NOT_FOUND


BAD = [
    ({"slots": 0}, "slots", "0 is not from 1 to 1000"),
    ({"slots": 1001}, "slots", "1001 is not from 1 to 1000"),
    ({"slots": -1}, "slots", "-1 is not"),
    ({"lease": Duration(seconds=9)}, "lease", "9 s is not from 10 s to 10 min"),
    ({"lease": Duration(seconds=601)}, "lease", "601 s is not"),
    ({"lease": Duration(seconds=-1)}, "lease", "-1 s is not"),
    ({"lease": Duration(seconds=2**60)}, "lease", ""),
    ({"handlers": []}, "handlers", "has 0 handlers, not 1 to 1000"),
    ({"handlers": [{"name": f"h{n}"} for n in range(1001)]}, "handlers", "has 1001 handlers"),
    ({"handlers": [{"name": "a"}, {"name": "a"}]}, "handlers[1].name", "a is there twice"),
    ({"handlers": [{"name": ""}]}, "handlers[0].name", "is not a handler's name"),
    ({"handlers": [{"name": "a b"}]}, "handlers[0].name", "is not a handler's name"),
    ({"handlers": [{"name": "cleanup-expired-sessions"}]}, "handlers[0].name", "is built into the servers"),
    ({"handlers": [{"name": "a", "concurrency": 0}]}, "handlers[0].concurrency", "0 is less than 1"),
    ({"handlers": [{"name": "a", "description": "x" * 1025}]}, "handlers[0].description", "1024"),
    ({"handlers": [{"name": "a", "payload_schema_json": " " * 16_385}]}, "handlers[0].payload_schema_json", "16385"),
    ({"handlers": [{"name": "a", "payload_schema_json": "{"}]}, "handlers[0].payload_schema_json", "is not JSON"),
    ({"handlers": [{"name": "a", "payload_schema_json": "NaN"}]}, "handlers[0].payload_schema_json", "not"),
    ({"handlers": [{"name": "a", "payload_schema_json": "[" * 16_000}]}, "handlers[0].payload_schema_json", "nested"),
    ({"handlers": [{"name": "a", "payload_schema_json": "[1]"}]}, "handlers[0].payload_schema_json", "neither"),
    ({"labels": {f"l{n}": "" for n in range(17)}}, "labels", "has 17 pairs, of at most 16"),
    ({"labels": {"a": "x" * 129}}, "labels.a", "128"),
    ({"labels": {"x" * 129: ""}}, "labels", "128"),
    ({"name": "x" * 129}, "name", "128"),
    ({"version": "x" * 129}, "version", "128"),
    ({"name": "a\x00b"}, "name", ""),
    ({"held_tokens": ["x"] * 1001}, "held_tokens", "has 1001 tokens, of at most 1000"),
    ({"namespace": "A B"}, "namespace", ""),
]


@pytest.mark.parametrize(
    ("changes", "field", "reason"), BAD, ids=[f"{field}-{n}" for n, (_, field, _) in enumerate(BAD)]
)
async def test_what_a_worker_may_not_say_of_itself(stub: Any, changes, field, reason):
    """The refusal names the field, and says why."""
    code, _, _, violations = await refused(stub.RegisterWorker(registration(**changes)))
    assert code is Code.INVALID_ARGUMENT
    assert reason in violations[field]


async def test_all_that_is_wrong_is_told_at_once(stub: Any):
    """Not one field after the other."""
    wrong = registration(slots=0, lease=Duration(seconds=1), name="x" * 200)
    _, _, _, violations = await refused(stub.RegisterWorker(wrong))
    assert violations.keys() == {"slots", "lease", "name"}


async def test_the_bounds_themselves_are_accepted(stub: Any):
    """1,000 handlers, 1,000 slots, 16 labels, a lease of 10 min, a schema of 16 KiB."""
    schema = '{"title": "' + "x" * (16 * 1024 - 13) + '"}'
    handlers = [{"name": f"h{n}", "concurrency": 1} for n in range(999)]
    accepted = registration(
        handlers=[*handlers, {"name": "last", "payload_schema_json": schema, "description": "x" * 1024}],
        slots=1000,
        lease=Duration(seconds=600),
        labels={f"{n}": "x" * 128 for n in range(16)},
        held_tokens=[f"x.{n}" for n in range(1000)],
    )
    answer = await stub.RegisterWorker(accepted)
    assert (answer.lease.seconds, len(answer.lost_tokens)) == (600, 1000)


async def test_a_worker_of_no_protocol(stub: Any):
    """It is told which ones the server speaks."""
    code, reason, metadata, _ = await refused(stub.RegisterWorker(registration(protocol=0)))
    assert (code, reason) == (Code.FAILED_PRECONDITION, "WORKER_PROTOCOL")
    assert metadata == {"oldest": "1", "newest": "1"}


async def test_handlers_of_the_servers_may_be_allowed_to_workers(tmp_path: Path):
    """`[workers] allow_builtin`."""
    builtin = [{"name": "cleanup-expired-sessions"}]
    async with (
        serving(
            tmp_path / "s.db", workers={"allow_builtin": True}, bindings={"DB": f"sqlite:///{tmp_path}/p.db"}
        ) as live,
        worker_of(live) as stub,
    ):
        assert (await stub.RegisterWorker(registration(handlers=builtin))).session_id


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"capacity": -1}, "capacity"),
        ({"wait": Duration(seconds=-1)}, "wait"),
        ({"wait": Duration(seconds=2**62)}, "wait"),
    ],
)
async def test_what_a_pull_may_not_say(stub: Any, changes, field):
    """The refusal names the field."""
    session = (await stub.RegisterWorker(registration())).session_id
    code, _, _, violations = await refused(stub.Pull(pb.PullRequest(session_id=session, **changes)))
    assert (code, list(violations)) == (Code.INVALID_ARGUMENT, [field])


async def test_a_pull_of_a_huge_list(stub: Any):
    """As many tokens as it may name: all are lost, and the server goes on answering others meanwhile."""
    session = (await stub.RegisterWorker(registration())).session_id
    held = [{"lease_token": f"exec_task_{number}.{'0' * 32}", "progress": 0.5} for number in range(MAX_HELD + 1)]
    longest = await longest_pause(stub.Pull(pb.PullRequest(session_id=session, held=held[1:])))
    assert longest < AT_ONCE
    answer = await stub.Pull(pb.PullRequest(session_id=session, held=held[1:]))
    assert len(answer.lost_tokens) == MAX_HELD
    _, _, _, violations = await refused(stub.Pull(pb.PullRequest(session_id=session, held=held)))
    assert violations == {"held": f"has {MAX_HELD + 1} attempts, of at most {MAX_HELD}"}


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        ({}, "no news"),
        ({"outcome": {}}, "outcome: has no end"),
        ({"outcome": {"failed": {"failure_kind": 99}}}, "failure_kind"),
        ({"outcome": {"failed": {}, "duration": Duration(seconds=-1)}}, "duration"),
        ({"outcome": {"succeeded": {"result_json": "{"}}}, "the result is not JSON"),
        ({"outcome": {"succeeded": {"result_json": '{"a":1,"a":1}'}}}, "twice"),
        ({"outcome": {"succeeded": {"result_json": "[NaN]"}}}, "the result is not JSON"),
        ({"outcome": {"succeeded": {"result_json": "[" * 500_000}}}, "nested"),
        ({"outcome": {"succeeded": {}, "conditions": [{"key": "", "title": "x"}]}}, "key"),
        ({"log": {"lines": [{"sequence": 0, "time": Timestamp(seconds=1), "text": "x"}]}}, "sequence"),
    ],
)
async def test_news_that_cannot_be_read_are_invalid_and_say_why(live: Live, stub: Any, update, reason):
    """The other updates of the report are applied."""
    session = (await stub.RegisterWorker(registration())).session_id
    await waiting(live, 2)
    got: list[pb.Assignment] = []
    while len(got) < 2:
        got += await assigned(stub, session, tuple(each.lease_token for each in got))
    one, other = (each.lease_token for each in got)
    updates = [{"lease_token": one, **update}, {"lease_token": other, "outcome": OK}]
    answer = await stub.Report(pb.ReportRequest(session_id=session, updates=updates))
    assert list(answer.verdicts) == [pb.ReportResponse.INVALID, pb.ReportResponse.APPLIED]
    assert list(answer.reasons) == [0]
    assert reason in answer.reasons[0]
    released = {"lease_token": one, "outcome": {"released": {}}}
    answer = await stub.Report(pb.ReportRequest(session_id=session, updates=[released]))
    assert list(answer.verdicts) == [pb.ReportResponse.APPLIED]


async def test_a_report_of_500_updates_and_not_of_501(stub: Any):
    """Nor of none."""
    session = (await stub.RegisterWorker(registration())).session_id
    update = {"lease_token": "x.y", "outcome": OK}
    answer = await stub.Report(pb.ReportRequest(session_id=session, updates=[update] * 500))
    assert set(answer.verdicts) == {pb.ReportResponse.STALE}
    for number in (0, 501):
        wrong = pb.ReportRequest(session_id=session, updates=[update] * number)
        code, _, _, violations = await refused(stub.Report(wrong))
        assert (code, violations["updates"]) == (Code.INVALID_ARGUMENT, f"has {number} updates, not 1 to 500")


HOSTILE = {
    "deep": '{"a":' * 100_000,
    "wide": "[" + "1," * 400_000 + "1]",
    "numbers": "[" + ",".join(["1" * 4000] * 200) + "]",
    "exponents": "[" + ",".join(["1e400"] * 100_000) + "]",
    "keys": "{" + ",".join(f'"{n}":0' for n in range(70_000)) + "}",
    "text": '"' + "ü" * 400_000 + '"',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_result_does_not_hold_up_other_calls(live: Live, stub: Any, text):
    """A megabyte of JSON, as bad as it can be: it is read beside the event loop."""
    session = (await stub.RegisterWorker(registration())).session_id
    await waiting(live)
    (got,) = await assigned(stub, session)
    update = {"lease_token": got.lease_token, "outcome": {"succeeded": {"result_json": text}}}
    longest = await longest_pause(stub.Report(pb.ReportRequest(session_id=session, updates=[update])))
    assert longest < AT_ONCE
    update = {"lease_token": got.lease_token, "outcome": OK}
    await stub.Report(pb.ReportRequest(session_id=session, updates=[update]))


async def test_many_small_results_do_not_hold_up_other_calls(live: Live, stub: Any):
    """Each is read in a moment; 250 of them are read together, beside the event loop."""
    session = (await stub.RegisterWorker(registration())).session_id
    await waiting(live)
    (got,) = await assigned(stub, session)
    text = "[" + "[[0]]," * 650 + '"\\ud800"]'
    update = {"lease_token": got.lease_token, "outcome": {"succeeded": {"result_json": text}}}
    longest = await longest_pause(stub.Report(pb.ReportRequest(session_id=session, updates=[update] * 250)))
    assert longest < AT_ONCE
    update = {"lease_token": got.lease_token, "outcome": OK}
    await stub.Report(pb.ReportRequest(session_id=session, updates=[update]))


async def longest_pause(call: Any) -> float:
    """Make a call of the server in this process; return the longest turn of its event loop, in seconds of its thread.

    Not of a clock: what else the machine computes meanwhile is not the server's. Nor is the collection of other tests'
    garbage.
    """
    longest, done = 0.0, False

    async def watch() -> None:
        nonlocal longest
        before = time.thread_time()
        while not done:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, before = max(longest, now - before), now

    gc.disable()
    watching = asyncio.create_task(watch())
    try:
        await call
    finally:
        done = True
        await watching
        gc.enable()
    return longest


async def test_keys_bound_what_a_worker_offers(tmp_path: Path):
    """Its namespace, its handlers, and all namespaces only with a grant of all."""
    async with (
        serving_teams(tmp_path / "schedule.db", tmp_path) as teams,
        channel_to(teams.live.parts.address) as channel,
    ):
        stub = worker_pb2_grpc.WorkerServiceStub(channel)
        worker = teams.metadata("worker")
        session = (await stub.RegisterWorker(registration(), metadata=worker)).session_id
        for who, changes, code in (
            ("worker", {"namespace": "other"}, Code.PERMISSION_DENIED),
            ("worker", {"namespace": "*"}, Code.PERMISSION_DENIED),
            ("write", {}, Code.PERMISSION_DENIED),
            ("nobody", {}, Code.UNAUTHENTICATED),
            ("a revoked key", {}, Code.UNAUTHENTICATED),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.RegisterWorker(registration(**changes), metadata=teams.metadata(who))
            assert caught.value.code() is code
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Pull(pb.PullRequest(session_id=session), metadata=teams.metadata("other"))
        assert caught.value.code() is Code.PERMISSION_DENIED
        assert (await stub.Pull(pb.PullRequest(session_id=session), metadata=worker)).lease.seconds >= 29


async def test_a_key_that_is_revoked_ends_the_pull_that_waits(tmp_path: Path):
    """UNAUTHENTICATED, and its attempts are the service's again once its lease is over."""
    async with (
        serving_teams(tmp_path / "schedule.db", tmp_path) as teams,
        channel_to(teams.live.parts.address) as channel,
    ):
        stub, metadata = worker_pb2_grpc.WorkerServiceStub(channel), teams.metadata("worker")
        session = (await stub.RegisterWorker(registration(), metadata=metadata)).session_id
        call = asyncio.ensure_future(
            stub.Pull(pb.PullRequest(session_id=session, capacity=1, wait=LONG), metadata=metadata)
        )
        workers = teams.live.parts.workers

        async def waits() -> bool:
            return workers._waiting == 1

        await until(waits)
        async with calling(teams.socket) as operator:
            await operator.revoke_key("worker")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is Code.UNAUTHENTICATED
