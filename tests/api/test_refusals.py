"""What the server refuses, over a real socket: the code, the reason, the field."""

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest
from grpc_status import rpc_status
from support.servers.live import HANDLER, Code, Live, asked, refused, struct

from schedule_grpc.pb import schedule_pb2 as pb


def nested(levels: int) -> Struct:
    """Return a Struct of lists within lists."""
    made = Struct()
    value = made.fields["x"]
    for _ in range(levels):
        value.list_value.values.append(Value())
        value = value.list_value.values[0]
    value.number_value = 1
    return made


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        ("0 0 31 2 *", "never fire"),
        ("22-2 * * * *", "backwards"),
        ("*/99 * * * *", "longer than"),
        ("* " * 150, "256"),
        ("@reboot", "@reboot"),
        ("* * * * * *", "6 fields"),
        ("", "empty"),
        ("every 0 minutes", "below the shortest"),
        ("invalid cron", "fields"),
        ("99 99 99 99 99", "minute"),
        ("\x00", "not accepted"),
        ("😀 * * * *", "not accepted"),
    ],
)
async def test_a_bad_schedule_is_refused_with_its_field(live: Live, schedule: str, reason: str):
    """INVALID_ARGUMENT, INVALID_SCHEDULE, and the violation of the field `schedule`."""
    code, why, _, violations = await refused(live.stub.RegisterTask(asked(schedule=schedule)))
    assert (code, why, list(violations)) == (Code.INVALID_ARGUMENT, "INVALID_SCHEDULE", ["schedule"])
    assert reason in violations["schedule"]


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "x" * 10_000, "\x00", "europe/berlin "])
async def test_an_unknown_zone_is_refused(live: Live, zone: str):
    """The violation names time_zone."""
    code, _, _, violations = await refused(live.stub.RegisterTask(asked(time_zone=zone)))
    assert (code, list(violations)) == (Code.INVALID_ARGUMENT, ["time_zone"])


@pytest.mark.parametrize("name", ["", "a/b", "a\x00b", "😀", "x" * 10_240, "a b", "a:b"])
async def test_a_bad_name_is_refused(live: Live, name: str):
    """The violation names the field; nothing was stored."""
    code, _, _, violations = await refused(live.stub.RegisterTask(asked(name=name)))
    assert (code, list(violations)) == (Code.INVALID_ARGUMENT, ["name"])
    assert (await live.client.list_tasks()).tasks == ()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (struct({"x": "y" * 70_000}), "65536"),
        (nested(33), "nested deeper"),
        (struct({"x": float("nan")}), "nan"),
        (struct({"x": float("-inf")}), "-inf"),
    ],
)
async def test_a_bad_payload_is_refused(live: Live, payload: Struct, reason: str):
    """Too large, too deep, not JSON: the violation names payload, in a registration and in a run."""
    code, _, _, violations = await refused(live.stub.RegisterTask(asked(payload=payload)))
    assert (code, list(violations)) == (Code.INVALID_ARGUMENT, ["payload"])
    assert reason in violations["payload"]
    await live.stub.RegisterTask(asked())
    request = pb.RunTaskNowRequest(name="task", payload=payload)
    assert (await refused(live.stub.RunTaskNow(request)))[0] is Code.INVALID_ARGUMENT


async def test_a_payload_deeper_than_protobuf_reads_is_refused(live: Live):
    """The bytes cannot even be parsed: still INVALID_ARGUMENT, not INTERNAL."""
    inner = Value(number_value=1).SerializeToString()

    def wrapped(tag: int, content: bytes) -> bytes:
        length, size = b"", len(content)
        while size > 127:
            length += bytes([size & 127 | 128])
            size >>= 7
        return bytes([tag << 3 | 2]) + length + bytes([size]) + content

    for _ in range(200):
        inner = wrapped(6, wrapped(1, inner))
    entry = wrapped(1, b"x") + wrapped(2, inner)
    message = asked().SerializeToString() + wrapped(7, wrapped(1, entry))
    async with grpc.aio.insecure_channel(live.parts.address) as channel:
        call = channel.unary_unary("/schedule.v1.ScheduleService/RegisterTask")
        code, reason, _, violations = await refused(call(message))
    assert (code, reason, list(violations)) == (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", ["request"])


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (pb.TaskPolicy(timeout=Duration(seconds=-1)), "policy.timeout"),
        (pb.TaskPolicy(timeout=Duration(seconds=2**62)), "policy.timeout"),
        (pb.TaskPolicy(timeout=Duration(seconds=1, nanos=-1)), "policy.timeout"),
        (pb.TaskPolicy(timeout=Duration(nanos=999_999_999)), "policy.timeout"),
        (pb.TaskPolicy(overlap=77), "policy.overlap"),  # type: ignore[arg-type]
        (pb.TaskPolicy(retry=pb.RetryPolicy(max_retries=-1)), "policy.retry.max_retries"),
        (pb.TaskPolicy(retry=pb.RetryPolicy(multiplier=float("nan"))), "policy.retry.multiplier"),
    ],
)
async def test_a_bad_policy_is_refused(live: Live, policy: pb.TaskPolicy, field: str):
    """By the name of its field in the contract."""
    code, _, _, violations = await refused(live.stub.RegisterTask(asked(policy=policy)))
    assert (code, list(violations)) == (Code.INVALID_ARGUMENT, [field])


async def test_a_zero_that_is_set_is_not_a_default(live: Live):
    """max_retries 0 means none; unset means three."""
    retry = pb.RetryPolicy(max_retries=0, initial_backoff=Duration())
    task = await live.stub.RegisterTask(asked(policy=pb.TaskPolicy(retry=retry)))
    assert (task.policy.retry.max_retries, task.policy.retry.initial_backoff) == (0, Duration())
    assert task.policy.retry.max_backoff == Duration(seconds=10)
    assert (await live.stub.RegisterTask(asked())).policy.retry.max_retries == 3


async def test_an_unknown_handler_is_refused_with_the_names(live: Live):
    """FAILED_PRECONDITION, unless it is allowed."""
    code, reason, metadata, _ = await refused(live.stub.RegisterTask(asked(handler="toString")))
    assert (code, reason) == (Code.FAILED_PRECONDITION, "HANDLER_NOT_FOUND")
    assert HANDLER in metadata["handlers"]
    task = await live.stub.RegisterTask(asked(handler="toString", allow_unknown_handler=True))
    assert task.handler == "toString"


async def test_what_is_not_there_is_not_found(live: Live):
    """Each rpc that names one thing."""
    for call in (
        live.stub.GetTask(pb.GetTaskRequest(name="x")),
        live.stub.EnableTask(pb.EnableTaskRequest(name="x")),
        live.stub.DisableTask(pb.DisableTaskRequest(name="x")),
        live.stub.RunTaskNow(pb.RunTaskNowRequest(name="x")),
    ):
        code, reason, metadata, _ = await refused(call)
        assert (code, reason, metadata) == (Code.NOT_FOUND, "TASK_NOT_FOUND", {"task": "x"})
    code, reason, _, _ = await refused(live.stub.GetExecution(pb.GetExecutionRequest(id="x")))
    assert (code, reason) == (Code.NOT_FOUND, "EXECUTION_NOT_FOUND")
    assert (await live.client.get_task_history("x")).executions == ()


async def test_a_stale_etag_is_aborted(live: Live):
    """ABORTED, with the etag as it is."""
    task = await live.stub.RegisterTask(asked())
    code, reason, metadata, _ = await refused(live.stub.DisableTask(pb.DisableTaskRequest(name="task", etag="99")))
    assert (code, reason, metadata["etag"]) == (Code.ABORTED, "ETAG_MISMATCH", task.etag)


async def test_a_disabled_task_is_not_run(live: Live):
    """FAILED_PRECONDITION."""
    await live.stub.RegisterTask(asked(enabled=False))
    code, reason, _, _ = await refused(live.stub.RunTaskNow(pb.RunTaskNowRequest(name="task")))
    assert (code, reason) == (Code.FAILED_PRECONDITION, "TASK_DISABLED")


@pytest.mark.parametrize("rpc", ["ListTasks", "ListExecutions", "GetTaskHistory"])
async def test_bad_pages_are_refused_and_large_ones_cut(live: Live, rpc: str):
    """Negative sizes and foreign tokens are refused, 2^31-1 is not."""
    request = {"ListTasks": pb.ListTasksRequest, "ListExecutions": pb.ListExecutionsRequest}.get(
        rpc, pb.GetTaskHistoryRequest
    )
    call = getattr(live.stub, rpc)
    assert list((await refused(call(request(page_size=-1))))[3]) == ["page_size"]
    assert list((await refused(call(request(page_token="foreign"))))[3]) == ["page_token"]
    await call(request(page_size=2**31 - 1))


async def test_bad_filters_are_refused(live: Live):
    """Times outside the years 1 to 9999 and states that are none."""
    for request, field in (
        (pb.ListExecutionsRequest(start_time=Timestamp(seconds=2**60)), "start_time"),
        (pb.ListExecutionsRequest(end_time=Timestamp(nanos=-1)), "end_time"),
        (pb.ListExecutionsRequest(states=[99]), "states"),  # type: ignore[list-item]
    ):
        assert list((await refused(live.stub.ListExecutions(request)))[3]) == [field]


async def test_a_request_over_a_mebibyte_is_refused(live: Live):
    """By gRPC itself, before it is read."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await live.stub.RegisterTask(asked(payload=struct({"x": "y" * 1_100_000})))
    assert caught.value.code() is Code.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("count", [25, 60, 1000])
async def test_many_violations_are_one_invalid_argument(live: Live, count: int):
    """As far as they fit into what a client accepts; the others are counted."""
    request = pb.BatchRegisterTasksRequest(requests=[asked(name=f"no name {each}") for each in range(count)])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await live.stub.BatchRegisterTasks(request)
    assert caught.value.code() is Code.INVALID_ARGUMENT
    told = (caught.value.details() or "").partition("; and ")[2]
    status = rpc_status.from_call(caught.value)
    bad_request = BadRequest()
    assert status is not None
    assert status.details[1].Unpack(bad_request)
    assert bad_request.field_violations[0].field == "requests[0].name"
    assert told == f"{count - len(bad_request.field_violations)} more"


@pytest.mark.parametrize("count", [0, 1001, 400_000])
async def test_a_batch_is_counted_before_it_is_read(live: Live, count: int):
    """One violation, of the whole, though every request in it is wrong too."""
    request = pb.BatchRegisterTasksRequest(requests=[pb.RegisterTaskRequest()] * count)
    code, _, _, violations = await refused(live.stub.BatchRegisterTasks(request))
    assert (code, violations) == (Code.INVALID_ARGUMENT, {"requests": f"must be 1 to 1000, not {count}"})


async def test_a_mask_is_counted_before_it_is_read(live: Live):
    """One violation, however many fields it names; of fewer that are none the first twenty."""
    task = pb.Task(name="task")
    mask = FieldMask(paths=[f"x{each}" for each in range(100_000)])
    code, _, _, violations = await refused(live.stub.UpdateTask(pb.UpdateTaskRequest(task=task, update_mask=mask)))
    assert (code, violations) == (Code.INVALID_ARGUMENT, {"update_mask": "names 100000 fields, more than 100"})
    mask = FieldMask(paths=["x" * 5000 + str(each) for each in range(100)])
    code, _, _, violations = await refused(live.stub.UpdateTask(pb.UpdateTaskRequest(task=task, update_mask=mask)))
    assert (code, list(violations)) == (Code.INVALID_ARGUMENT, ["update_mask"])


@pytest.mark.parametrize("state", [1, 77])
async def test_a_state_that_is_named_often_is_one(live: Live, state: int):
    """Or one violation."""
    request = pb.ListExecutionsRequest(states=[state] * 500_000)  # type: ignore[list-item]
    if state == 1:
        assert not (await live.stub.ListExecutions(request)).executions
    else:
        code, _, _, violations = await refused(live.stub.ListExecutions(request))
        assert (code, violations) == (Code.INVALID_ARGUMENT, {"states": "77 is not a state that this server knows"})
