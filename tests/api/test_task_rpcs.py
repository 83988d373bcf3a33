"""BatchRegisterTasks, UpdateTask, DeleteTask and PreviewSchedule over a real socket, to the bare stub."""

from datetime import timedelta
from itertools import pairwise

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from support.rigs.rig import at
from support.servers.live import HANDLER, Code, Live, asked, refused, struct

from schedule_grpc.pb import schedule_pb2 as pb


def batch(*requests: pb.RegisterTaskRequest, validate_only: bool = False) -> pb.BatchRegisterTasksRequest:
    """Return a batch."""
    return pb.BatchRegisterTasksRequest(requests=requests, validate_only=validate_only)


def update(*paths: str, name: str = "task", **fields) -> pb.UpdateTaskRequest:
    """Return an update of the fields at these paths."""
    return pb.UpdateTaskRequest(task=pb.Task(name=name, **fields), update_mask=FieldMask(paths=paths))


async def names(live: Live) -> list[str]:
    """Return the names of the tasks that are there."""
    return [task.name for task in (await live.stub.ListTasks(pb.ListTasksRequest())).tasks]


# -- BatchRegisterTasks


async def test_a_batch_registers_all_in_the_order_asked(live: Live):
    """New ones and one that is there; once more changes nothing."""
    await live.stub.RegisterTask(asked(name="b"))
    wanted = batch(asked(name="c"), asked(name="b", schedule="@hourly"), asked(name="a"))
    answer = await live.stub.BatchRegisterTasks(wanted)
    assert [(task.name, task.etag) for task in answer.tasks] == [("c", "1"), ("b", "2"), ("a", "1")]
    assert (await live.stub.BatchRegisterTasks(wanted)).tasks == answer.tasks


async def test_a_batch_with_one_fault_registers_none_and_names_every_fault(live: Live):
    """By the request's place."""
    wanted = batch(asked(name="a"), asked(name="b", schedule="@dayly", handler=""), asked(name="c/d"))
    code, _, _, violations = await refused(live.stub.BatchRegisterTasks(wanted))
    assert (code, sorted(violations)) == (
        Code.INVALID_ARGUMENT,
        ["requests[1].handler", "requests[1].schedule", "requests[2].name"],
    )
    assert await names(live) == []


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (asked(name="b", handler="nobody"), "HANDLER_NOT_FOUND"),
        (asked(name="b", etag="7"), "ETAG_MISMATCH"),
        (asked(name="b", schedule="2020-01-01T00:00:00Z"), "INVALID_ARGUMENT"),
    ],
)
async def test_a_batch_that_the_state_refuses_registers_none(live: Live, second: pb.RegisterTaskRequest, reason: str):
    """An unknown handler, a stale etag, an instant that is past: the good one beside it is not kept either."""
    _, why, details, violations = await refused(live.stub.BatchRegisterTasks(batch(asked(name="a"), second)))
    assert why == reason
    assert list(violations) == ["requests[1].schedule"] or details["task"] == "b"
    assert await names(live) == []


async def test_a_batch_names_each_task_once(live: Live):
    """Which of the two would win?"""
    code, _, _, violations = await refused(live.stub.BatchRegisterTasks(batch(asked(), asked(schedule="@hourly"))))
    assert (code, violations) == (
        Code.INVALID_ARGUMENT,
        {"requests[1].name": "task is registered by requests[0] already"},
    )


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_batch_has_one_to_a_thousand_requests(live: Live, count: int):
    """Refused whole."""
    wanted = batch(*(asked(name=f"t{number}") for number in range(count)))
    code, _, _, violations = await refused(live.stub.BatchRegisterTasks(wanted))
    assert (code, violations) == (Code.INVALID_ARGUMENT, {"requests": f"must be 1 to 1000, not {count}"})


async def test_a_thousand_are_registered_at_once(live: Live):
    """In one transaction."""
    wanted = batch(*(asked(name=f"t{number:04}") for number in range(1000)))
    assert len((await live.stub.BatchRegisterTasks(wanted)).tasks) == 1000


async def test_a_batch_can_be_tried(live: Live):
    """As a whole only."""
    answer = await live.stub.BatchRegisterTasks(batch(asked(name="a"), validate_only=True))
    assert [task.name for task in answer.tasks] == ["a"]
    assert await names(live) == []
    code, _, _, violations = await refused(live.stub.BatchRegisterTasks(batch(asked(validate_only=True))))
    assert (code, list(violations)) == (Code.INVALID_ARGUMENT, ["requests[0].validate_only"])


# -- UpdateTask


async def test_an_update_changes_what_the_mask_names(live: Live):
    """And nothing else: what the task sets beside it does not count."""
    policy = pb.TaskPolicy(timeout=Duration(seconds=5), retry=pb.RetryPolicy(max_retries=1))
    before = await live.stub.RegisterTask(asked(description="old", payload=struct({"a": 1}), policy=policy))
    wanted = update(
        "description",
        "policy.retry.max_retries",
        description="new",
        handler="fail",
        policy=pb.TaskPolicy(timeout=Duration(seconds=9), retry=pb.RetryPolicy(max_retries=7)),
    )
    after = await live.stub.UpdateTask(wanted)
    assert (after.description, after.handler, after.policy.retry.max_retries) == ("new", HANDLER, 7)
    assert (after.policy.timeout, after.payload, after.etag) == (Duration(seconds=5), before.payload, "2")
    assert (after.next_run_time, after.create_time, after.uid) == (before.next_run_time, before.create_time, before.uid)


async def test_a_field_that_is_named_and_not_set_gets_its_default(live: Live):
    """As AIP-134 has it; within the policy too."""
    policy = pb.TaskPolicy(timeout=Duration(seconds=5), overlap=pb.TaskPolicy.ALLOW_ALL)
    await live.stub.RegisterTask(
        asked(description="old", payload=struct({"a": 1}), policy=policy, time_zone="Europe/Berlin")
    )
    after = await live.stub.UpdateTask(update("description", "payload", "policy", "time_zone"))
    assert (after.description, dict(after.payload), after.time_zone) == ("", {}, "UTC")
    assert (after.policy.timeout, after.policy.overlap) == (Duration(seconds=29), pb.TaskPolicy.SKIP)


async def test_without_a_mask_what_is_set_counts(live: Live):
    """The rest stays."""
    await live.stub.RegisterTask(asked(description="old", payload=struct({"a": 1})))
    policy = pb.TaskPolicy(jitter=Duration(seconds=3))
    after = await live.stub.UpdateTask(update(schedule="@hourly", policy=policy))
    assert (after.schedule, after.description, dict(after.payload)) == ("@hourly", "old", {"a": 1.0})
    assert (after.policy.jitter, after.policy.timeout) == (Duration(seconds=3), Duration(seconds=29))


async def test_a_star_replaces_the_whole_definition(live: Live):
    """What is not set gets its default, `enabled` too."""
    await live.stub.RegisterTask(asked(description="old", payload=struct({"a": 1})))
    after = await live.stub.UpdateTask(update("*", schedule="@hourly", handler=HANDLER))
    assert (after.schedule, after.description, dict(after.payload), after.enabled) == ("@hourly", "", {}, False)


async def test_an_update_can_pause_and_wake(live: Live):
    """`enabled` is a field like the others."""
    await live.stub.RegisterTask(asked())
    paused = await live.stub.UpdateTask(update("enabled"))
    assert (paused.enabled, paused.HasField("next_run_time")) == (False, False)
    assert (await live.stub.UpdateTask(update("enabled", enabled=True))).enabled is True


async def test_a_group_of_the_policy_can_be_named(live: Live):
    """policy.window is both of its ends."""
    await live.stub.RegisterTask(asked())
    window = pb.TaskPolicy.Window(start_time=Timestamp(seconds=4_000_000_000))
    after = await live.stub.UpdateTask(update("policy.window", policy=pb.TaskPolicy(window=window)))
    assert after.policy.window == window
    assert after.next_run_time.seconds >= 4_000_000_000
    assert (await live.stub.UpdateTask(update("policy.window"))).policy.window == pb.TaskPolicy.Window()


@pytest.mark.parametrize("path", ["name", "uid", "etag", "stats", "policy.nothing", "payload.a", "", "create_time"])
async def test_what_cannot_be_changed_is_refused(live: Live, path: str):
    """Naming the path, with the fields there are."""
    await live.stub.RegisterTask(asked())
    code, _, _, violations = await refused(live.stub.UpdateTask(update(path)))
    assert (code, list(violations)) == (Code.INVALID_ARGUMENT, ["update_mask"])
    assert repr(path) in violations["update_mask"]
    assert (await live.stub.GetTask(pb.GetTaskRequest(name="task"))).etag == "1"


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (update("schedule", schedule="nonsense"), "schedule"),
        (update("schedule"), "schedule"),
        (update("handler"), "handler"),
        (update("policy.jitter", policy=pb.TaskPolicy(jitter=Duration(seconds=-1))), "policy.jitter"),
        (update("policy.overlap", policy=pb.TaskPolicy(overlap=99)), "policy.overlap"),  # type: ignore[arg-type]
        (update("schedule", name="", schedule="@daily"), "task.name"),
    ],
)
async def test_a_bad_update_is_refused_with_its_field(live: Live, wanted: pb.UpdateTaskRequest, field: str):
    """And the task stays as it was."""
    await live.stub.RegisterTask(asked())
    code, _, _, violations = await refused(live.stub.UpdateTask(wanted))
    assert (code, list(violations)) == (Code.INVALID_ARGUMENT, [field])
    assert (await live.stub.GetTask(pb.GetTaskRequest(name="task"))).etag == "1"


async def test_an_update_is_held_to_its_etag_and_to_known_handlers(live: Live):
    """ABORTED, FAILED_PRECONDITION, NOT_FOUND; and it can be tried."""
    await live.stub.RegisterTask(asked())
    _, why, _, _ = await refused(live.stub.UpdateTask(update("description", etag="7")))
    assert why == "ETAG_MISMATCH"
    unknown = update("handler", handler="nobody")
    _, why, _, _ = await refused(live.stub.UpdateTask(unknown))
    assert why == "HANDLER_NOT_FOUND"
    unknown.allow_unknown_handler = unknown.validate_only = True
    assert (await live.stub.UpdateTask(unknown)).handler == "nobody"
    assert (await live.stub.GetTask(pb.GetTaskRequest(name="task"))).handler == HANDLER
    _, why, _, _ = await refused(live.stub.UpdateTask(update("description", name="other")))
    assert why == "TASK_NOT_FOUND"


# -- DeleteTask


async def test_a_deleted_task_is_gone_and_its_history_is_not(live: Live):
    """A recreated one is another: new uid, empty stats, and its own history."""
    before = await live.stub.RegisterTask(asked())
    ran = await live.stub.RunTaskNow(pb.RunTaskNowRequest(name="task"))
    await live.stub.DeleteTask(pb.DeleteTaskRequest(name="task"))
    code, why, _, _ = await refused(live.stub.GetTask(pb.GetTaskRequest(name="task")))
    assert (code, why) == (Code.NOT_FOUND, "TASK_NOT_FOUND")
    assert await names(live) == []
    history = await live.stub.GetTaskHistory(pb.GetTaskHistoryRequest(name="task"))
    assert [each.id for each in history.executions] == [ran.execution.id]
    after = await live.stub.RegisterTask(asked())
    assert (after.uid != before.uid, after.etag, after.stats.success_count) == (True, "1", 0)
    assert not (await live.stub.GetTaskHistory(pb.GetTaskHistoryRequest(name="task"))).executions
    assert (await live.stub.GetExecution(pb.GetExecutionRequest(id=ran.execution.id))).task_uid == before.uid


async def test_deleting_what_is_not_there_is_not_found(live: Live):
    """And a stale etag is ABORTED."""
    code, why, _, _ = await refused(live.stub.DeleteTask(pb.DeleteTaskRequest(name="task")))
    assert (code, why) == (Code.NOT_FOUND, "TASK_NOT_FOUND")
    await live.stub.RegisterTask(asked())
    _, why, _, _ = await refused(live.stub.DeleteTask(pb.DeleteTaskRequest(name="task", etag="7")))
    assert why == "ETAG_MISMATCH"
    await live.stub.DeleteTask(pb.DeleteTaskRequest(name="task", etag="1"))
    code, _, _, _ = await refused(live.stub.DeleteTask(pb.DeleteTaskRequest(name="task")))
    assert code == Code.NOT_FOUND


# -- PreviewSchedule


async def test_a_preview_tells_when_and_why(live: Live):
    """Times, the English reading, the cron expression, and the night when clocks change."""
    wanted = pb.PreviewScheduleRequest(schedule="30 2 * * *", time_zone="Europe/Berlin", count=3)
    wanted.start_time.FromDatetime(at("2026-03-27T12:00"))
    answer = await live.stub.PreviewSchedule(wanted)
    assert (answer.description, answer.cron) == ("At 02:30", "30 2 * * *")
    assert [each.ToJsonString() for each in answer.next_run_times] == [
        "2026-03-28T01:30:00Z",
        "2026-03-29T01:00:00Z",
        "2026-03-30T00:30:00Z",
    ]
    assert list(answer.notes) == [
        "2026-03-29 Europe/Berlin: clocks skip from 02:00 to 03:00; 02:30 does not exist and runs at 03:00 (01:00Z)"
    ]


async def test_a_preview_shows_ten_from_now_unless_told(live: Live):
    """In UTC; an interval may mean no cron expression."""
    answer = await live.stub.PreviewSchedule(pb.PreviewScheduleRequest(schedule="every 45 minutes"))
    times = [each.ToDatetime() for each in answer.next_run_times]
    assert (len(times), answer.cron) == (10, "")
    assert {later - earlier for earlier, later in pairwise(times)} == {timedelta(minutes=45)}


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (pb.PreviewScheduleRequest(schedule="nonsense"), "schedule"),
        (pb.PreviewScheduleRequest(schedule="@daily", time_zone="X/Y"), "time_zone"),
        (pb.PreviewScheduleRequest(schedule="@daily", count=1001), "count"),
        (pb.PreviewScheduleRequest(schedule="@daily", count=-1), "count"),
        (pb.PreviewScheduleRequest(schedule="@daily", start_time=Timestamp(nanos=-1)), "start_time"),
    ],
)
async def test_a_bad_preview_is_refused_with_its_field(live: Live, wanted: pb.PreviewScheduleRequest, field: str):
    """Nothing is guessed."""
    code, _, _, violations = await refused(live.stub.PreviewSchedule(wanted))
    assert (code, list(violations)) == (Code.INVALID_ARGUMENT, [field])
