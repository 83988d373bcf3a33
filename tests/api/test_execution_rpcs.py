"""CancelExecution, WatchExecutions, TriggerCron and BackfillTask over a real socket, to the bare stub."""

import asyncio

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from support.servers.live import HANDLER, Code, Live, asked, refused, struct

from schedule_grpc import events
from schedule_grpc.pb import schedule_pb2 as pb

State = pb.Execution


async def watching(live: Live, **asked_for) -> "grpc.aio.UnaryStreamCall":
    """Return a stream that has begun."""
    stream = live.stub.WatchExecutions(pb.WatchExecutionsRequest(**asked_for))
    await stream.initial_metadata()
    return stream


async def states(stream: "grpc.aio.UnaryStreamCall", until: int) -> list[tuple[str, str]]:
    """Return the changes that a stream tells of, to the first one into a state."""
    found = []
    while True:
        told = (await stream.read()).transition
        found.append((State.State.Name(told.previous_state), State.State.Name(told.execution.state)))
        if told.execution.state == until:
            return found


# -- CancelExecution


async def test_a_running_handler_is_stopped(live: Live, tmp_path):
    """It is told at once, not in the next round of upkeep; the execution ends CANCELLED with the reason."""
    await live.stub.RegisterTask(asked(handler="note", payload=struct({"file": f"{tmp_path}/note", "seconds": 3600})))
    stream = await watching(live)
    begun = await live.stub.RunTaskNow(pb.RunTaskNowRequest(name="task", detach=True))
    await states(stream, State.RUNNING)
    waiting = asyncio.ensure_future(
        live.stub.RunTaskNow(pb.RunTaskNowRequest(name="task", detach=False, request_id="none"))
    )
    asked_for = await live.stub.CancelExecution(pb.CancelExecutionRequest(id=begun.execution.id, note="enough"))
    assert asked_for.HasField("cancel_requested_time")
    assert (await states(stream, State.CANCELLED))[-1] == ("RUNNING", "CANCELLED")
    found = await live.stub.GetExecution(pb.GetExecutionRequest(id=begun.execution.id))
    assert (found.state, found.error, found.failure_kind) == (State.CANCELLED, "enough", State.FAILURE_KIND_UNSPECIFIED)
    assert (await waiting).execution.state == State.SKIPPED


async def test_an_ended_execution_stays_as_it_ended(live: Live):
    """Cancelling it is no error, and changes nothing."""
    await live.stub.RegisterTask(asked())
    ran = await live.stub.RunTaskNow(pb.RunTaskNowRequest(name="task"))
    assert await live.stub.CancelExecution(pb.CancelExecutionRequest(id=ran.execution.id)) == ran.execution


async def test_cancelling_what_is_not_there_is_not_found(live: Live):
    """And a note has an end."""
    code, why, _, _ = await refused(live.stub.CancelExecution(pb.CancelExecutionRequest(id="exec_x")))
    assert (code, why) == (Code.NOT_FOUND, "EXECUTION_NOT_FOUND")
    code, _, _, violations = await refused(
        live.stub.CancelExecution(pb.CancelExecutionRequest(id="exec_x", note="x" * 1025))
    )
    assert (code, list(violations)) == (Code.INVALID_ARGUMENT, ["note"])


# -- WatchExecutions


async def test_a_watcher_sees_every_change(live: Live):
    """From the recording to the end, with the execution as it was after each."""
    await live.stub.RegisterTask(asked())
    stream = await watching(live)
    await live.stub.RunTaskNow(pb.RunTaskNowRequest(name="task"))
    assert await states(stream, State.SUCCEEDED) == [
        ("STATE_UNSPECIFIED", "PENDING"),
        ("PENDING", "RUNNING"),
        ("RUNNING", "SUCCEEDED"),
    ]
    stream.cancel()


async def test_a_watcher_sees_what_it_asked_for(live: Live):
    """One task, some states."""
    await live.stub.RegisterTask(asked(name="a"))
    await live.stub.RegisterTask(asked(name="b"))
    stream = await watching(live, task_name="b", states=[State.SUCCEEDED])
    for name in ("a", "b"):
        await live.stub.RunTaskNow(pb.RunTaskNowRequest(name=name))
    told = (await stream.read()).transition
    assert (told.execution.task_name, told.execution.state) == ("b", State.SUCCEEDED)
    assert told.event_time == told.execution.end_time


async def test_a_handlers_progress_is_told(live: Live):
    """With its text, between RUNNING and the end."""
    await live.stub.RegisterTask(asked(handler="steps"))
    stream = await watching(live)
    await live.stub.RunTaskNow(pb.RunTaskNowRequest(name="task"))
    kinds = []
    while True:
        message = await stream.read()
        kinds.append(message.WhichOneof("event"))
        if message.HasField("progress"):
            progress = message.progress
        if message.transition.execution.state == State.SUCCEEDED:
            break
    assert kinds == ["transition", "transition", "progress", "transition"]
    assert (progress.task_name, progress.fraction, progress.text) == ("task", 1.0, "all of it")


async def test_a_slow_reader_is_told_what_it_lost(live: Live, monkeypatch):
    """And the service goes on as if nobody watched."""
    monkeypatch.setattr(events, "KEPT", 2)
    await live.stub.RegisterTask(asked())
    with live.parts.service.watching() as subscription:
        for _ in range(3):
            await live.stub.RunTaskNow(pb.RunTaskNowRequest(name="task"))
        live.parts.service.drain()
        told = [event async for event in subscription]
    assert [type(event) for event in told] == [events.Transition, events.Transition, events.Lost]
    assert told[-1] == events.Lost(count=7)


async def test_streams_end_when_the_server_drains(live: Live):
    """At once, and without an error; a new one is refused, or who watches would begin it again and again."""
    stream = await watching(live)
    live.parts.service.drain()
    assert await stream.read() == grpc.aio.EOF
    assert await stream.code() == Code.OK
    again = await watching(live)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await again.read()
    assert refused.value.code() == Code.UNAVAILABLE


async def test_a_watcher_who_asks_for_nonsense_is_refused(live: Live):
    """With the field, as every call."""
    stream = live.stub.WatchExecutions(pb.WatchExecutionsRequest(states=[99]))  # type: ignore[list-item]
    code, why, _, violations = await refused(stream.read())
    assert (code, why, list(violations)) == (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", ["states"])


async def test_a_watcher_who_leaves_is_forgotten(live: Live):
    """The hub keeps nothing for it."""
    stream = await watching(live)
    assert live.parts.service.hub.watched
    stream.cancel()
    await live.stub.RegisterTask(asked())
    while live.parts.service.hub.watched:
        await live.stub.RunTaskNow(pb.RunTaskNowRequest(name="task"))


# -- TriggerCron


async def test_a_trigger_runs_what_means_the_same(live: Live):
    """By its meaning, whatever the text and the zone; what is disabled, or means another thing, stays."""
    for name, schedule, zone in (
        ("a", "@hourly", "UTC"),
        ("b", "0 * * * *", "Asia/Kathmandu"),
        ("c", "every hour", "UTC"),
        ("d", "0-0 */1 * * 0-7", "UTC"),
        ("e", "30 * * * *", "UTC"),
        ("f", "@manual", "UTC"),
        ("g", "@hourly", "UTC"),
    ):
        await live.stub.RegisterTask(asked(name=name, schedule=schedule, time_zone=zone))
    await live.stub.DisableTask(pb.DisableTaskRequest(name="g"))
    answer = await live.stub.TriggerCron(pb.TriggerCronRequest(cron="@hourly"))
    assert [each.task_name for each in answer.executions] == ["a", "b", "c", "d"]
    assert {each.trigger for each in answer.executions} == {State.CRON}
    assert not any(each.HasField("scheduled_time") for each in answer.executions)


async def test_every_minute_runs_every_task(live: Live):
    """Those that only run by hand too; not the disabled ones."""
    for name, schedule in (("a", "@hourly"), ("b", "@manual"), ("c", "every 45 minutes"), ("d", "@daily")):
        await live.stub.RegisterTask(asked(name=name, schedule=schedule))
    await live.stub.DisableTask(pb.DisableTaskRequest(name="d"))
    answer = await live.stub.TriggerCron(pb.TriggerCronRequest(cron="* * * * *"))
    assert [each.task_name for each in answer.executions] == ["a", "b", "c"]


@pytest.mark.parametrize("cron", ["nonsense", "", "every 45 minutes", "@manual", "2030-01-01T00:00:00Z"])
async def test_what_means_no_cron_expression_is_refused(live: Live, cron: str):
    """Naming the field of this call."""
    code, why, _, violations = await refused(live.stub.TriggerCron(pb.TriggerCronRequest(cron=cron)))
    assert (code, why, list(violations)) == (Code.INVALID_ARGUMENT, "INVALID_SCHEDULE", ["cron"])


# -- BackfillTask


def stretch(name: str, first: int, last: int) -> pb.BackfillTaskRequest:
    """Return a backfill of an hourly task between two hours of 1970."""
    return pb.BackfillTaskRequest(
        name=name, start_time=Timestamp(seconds=first * 3600), end_time=Timestamp(seconds=last * 3600)
    )


async def test_a_backfill_runs_what_is_past_and_can_be_repeated(live: Live):
    """From the start on, before the end; a second call finds them there."""
    await live.stub.RegisterTask(asked(schedule="@hourly"))
    stream = await watching(live, states=[State.SUCCEEDED])
    answer = await live.stub.BackfillTask(stretch("task", 100, 103))
    assert [each.scheduled_time.seconds // 3600 for each in answer.executions] == [100, 101, 102]
    assert {each.trigger for each in answer.executions} == {State.BACKFILL}
    ran = [(await stream.read()).transition.execution.scheduled_time.seconds // 3600 for _ in range(3)]
    assert ran == [100, 101, 102]
    again = await live.stub.BackfillTask(stretch("task", 99, 104))
    assert [each.scheduled_time.seconds // 3600 for each in again.executions] == [99, 103]
    assert again.existing_count == 3


async def test_too_large_a_backfill_is_refused_whole(live: Live):
    """A thousand hours, and one."""
    await live.stub.RegisterTask(asked(schedule="@hourly", handler="fail"))
    code, _, _, violations = await refused(live.stub.BackfillTask(stretch("task", 0, 1001)))
    assert (code, violations) == (
        Code.INVALID_ARGUMENT,
        {"end_time": "1001 occurrences lie in this time, at most 1000 at once"},
    )
    assert not (await live.stub.GetTaskHistory(pb.GetTaskHistoryRequest(name="task"))).executions


@pytest.mark.parametrize(
    ("wanted", "code", "field"),
    [
        (stretch("other", 0, 1), Code.NOT_FOUND, None),
        (stretch("task", 2, 2), Code.INVALID_ARGUMENT, "end_time"),
        (stretch("task", 3, 2), Code.INVALID_ARGUMENT, "end_time"),
        (pb.BackfillTaskRequest(name="task", end_time=Timestamp()), Code.INVALID_ARGUMENT, "start_time"),
        (pb.BackfillTaskRequest(name="task", start_time=Timestamp()), Code.INVALID_ARGUMENT, "end_time"),
        (
            pb.BackfillTaskRequest(name="task", start_time=Timestamp(nanos=-1), end_time=Timestamp()),
            Code.INVALID_ARGUMENT,
            "start_time",
        ),
    ],
)
async def test_a_bad_backfill_is_refused(live: Live, wanted: pb.BackfillTaskRequest, code: Code, field: str | None):
    """With its field."""
    await live.stub.RegisterTask(asked(schedule="@hourly"))
    found, _, _, violations = await refused(live.stub.BackfillTask(wanted))
    assert (found, list(violations)) == (code, [field] if field else [])


async def test_a_disabled_task_is_not_backfilled(live: Live):
    """As it is not run."""
    await live.stub.RegisterTask(asked(schedule="@hourly", enabled=False))
    code, why, _, _ = await refused(live.stub.BackfillTask(stretch("task", 0, 1)))
    assert (code, why) == (Code.FAILED_PRECONDITION, "TASK_DISABLED")


async def test_the_first_and_the_last_instants_of_time_are_instants(live: Live):
    """Year 1 to year 9999: refused for their number of occurrences, not by a fault of ours."""
    await live.stub.RegisterTask(asked(schedule="@hourly", handler=HANDLER))
    wanted = pb.BackfillTaskRequest(
        name="task", start_time=Timestamp(seconds=-62_135_596_800), end_time=Timestamp(seconds=253_402_300_799)
    )
    code, _, _, violations = await refused(live.stub.BackfillTask(wanted))
    assert (code, list(violations)) == (Code.INVALID_ARGUMENT, ["end_time"])
