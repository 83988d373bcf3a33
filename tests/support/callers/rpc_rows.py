"""Every rpc: a call, the request that it sends, an answer, and what the caller gets of it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from msgspec.structs import replace
from support.rigs.rig import START, at
from support.servers.live import asked, struct

from schedule_grpc.client import RunResult
from schedule_grpc.domain.execution import (
    Backfill,
    Execution,
    ExecutionFilter,
    ExecutionPage,
    FailedAttempt,
    State,
    Trigger,
)
from schedule_grpc.domain.execution.log_lines import KeptLog, LogLine, Progress
from schedule_grpc.domain.offers import WorkerInfo
from schedule_grpc.domain.policy import Overlap, Policy
from schedule_grpc.domain.registration import Registration, registered
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.domain.schedule import Preview, parse
from schedule_grpc.domain.task import Handler, TaskFilter, TaskPage, define
from schedule_grpc.formats import protobuf
from schedule_grpc.pb import schedule_pb2 as pb
from schedule_grpc.pb import worker_pb2

DEFINITION = define(name="report", schedule="@daily", handler="send", time_zone="Europe/Berlin", payload={"to": ["a"]})
# As a caller knows it: how far a task is settled is not told.
TASK = protobuf.task_from(protobuf.task_to(registered(None, DEFINITION, enabled=None, now=START).after))
TASK_TOLD = protobuf.task_to(TASK)
EXECUTION = Execution(
    id="exec_report_1_abc",
    task_uid=TASK.uid,
    task_name="report",
    handler="send",
    trigger=Trigger.MANUAL,
    state=State.SUCCEEDED,
    create_time=START,
    available_time=START,
    revision=0,
    start_time=START,
    end_time=START + timedelta(seconds=2),
    attempt=1,
    result={"sent": 3},
)
TOLD = protobuf.execution_to(EXECUTION)
WITH_LOG = replace(
    EXECUTION,
    worker="host-7 (invoices 3)",
    failed_attempts=(
        FailedAttempt(
            number=1,
            start_time=START,
            duration=timedelta(seconds=1),
            failure_kind=FailureKind.LEASE_LOST,
            error="gone",
            worker="host-6",
        ),
    ),
    progress=Progress(execution_id=EXECUTION.id, attempt=2, fraction=0.5, text="half", report_time=START),
    log=KeptLog(
        lines=((1, LogLine(3, START, "error", "Traceback\n  x")), (2, LogLine(1, START, "info", ""))), dropped=2
    ),
)
WHEN = protobuf.instant_to(START)
LATER = protobuf.instant_to(at("2026-02-01T00:00:00.000001"))
SINCE = ExecutionFilter(
    states=frozenset({State.FAILED, State.CANCELLED}), start_time=START, end_time=at("2026-02-01T00:00:00.000001")
)
STATES = [pb.Execution.CANCELLED, pb.Execution.FAILED]

WORKER = WorkerInfo(
    id="1f2e3d",
    name="host-7",
    version="invoices 3",
    handlers=("send", "sort"),
    slots=8,
    running=3,
    labels={"zone": "eu"},
    start_time=START,
    seen_time=START + timedelta(seconds=20),
    draining=True,
    namespace="default",
    registered_by="key:invoices",
)
GONE = WorkerInfo(
    id="4c5b6a", name="", slots=1, start_time=START, seen_time=START, end_time=START + timedelta(hours=1), namespace="*"
)


@dataclass(kw_only=True)
class Row:
    """A call, the request that it sends, an answer, and what the caller gets of it."""

    rpc: str
    call: Callable[[Any], Any]
    request: Message
    answer: Message
    value: Any


ROWS = [
    Row(
        rpc="RegisterTask",
        call=lambda client: client.register_task(
            name="report",
            schedule="@daily",
            handler="send",
            enabled=False,
            time_zone="Europe/Berlin",
            payload={"to": ["a"]},
            metadata={"category": "mail"},
            description="Sends it",
            policy=Policy(timeout=timedelta(seconds=90), overlap=Overlap.BUFFER_ONE),
            validate_only=True,
            etag="3",
            allow_unknown_handler=True,
        ),
        request=pb.RegisterTaskRequest(
            name="report",
            schedule="@daily",
            handler="send",
            enabled=False,
            time_zone="Europe/Berlin",
            payload=struct({"to": ["a"]}),
            metadata=struct({"category": "mail"}),
            description="Sends it",
            policy=protobuf.policy_to(Policy(timeout=timedelta(seconds=90), overlap=Overlap.BUFFER_ONE)),
            validate_only=True,
            etag="3",
            allow_unknown_handler=True,
        ),
        answer=TASK_TOLD,
        value=TASK,
    ),
    Row(
        rpc="RegisterTask",
        call=lambda client: client.register_task(name="task", schedule="@daily", handler="h"),
        request=asked(handler="h", payload=struct({}), metadata=struct({})),
        answer=TASK_TOLD,
        value=TASK,
    ),
    Row(
        rpc="BatchRegisterTasks",
        call=lambda client: client.batch_register_tasks(
            [Registration(definition=DEFINITION, enabled=True, etag="1")], validate_only=True
        ),
        request=pb.BatchRegisterTasksRequest(
            requests=[
                pb.RegisterTaskRequest(
                    name="report",
                    schedule="@daily",
                    handler="send",
                    enabled=True,
                    time_zone="Europe/Berlin",
                    payload=struct({"to": ["a"]}),
                    metadata=struct({}),
                    policy=protobuf.policy_to(Policy()),
                    etag="1",
                )
            ],
            validate_only=True,
        ),
        answer=pb.BatchRegisterTasksResponse(tasks=[TASK_TOLD]),
        value=(TASK,),
    ),
    Row(
        rpc="DeleteTask",
        call=lambda client: client.delete_task("report", etag="2"),
        request=pb.DeleteTaskRequest(name="report", etag="2"),
        answer=Empty(),
        value=None,
    ),
    Row(
        rpc="GetTask",
        call=lambda client: client.get_task("report"),
        request=pb.GetTaskRequest(name="report"),
        answer=TASK_TOLD,
        value=TASK,
    ),
    Row(
        rpc="ListTasks",
        call=lambda client: client.list_tasks(
            TaskFilter(enabled=False, handler="send", name_prefix="re", category="mail"), page_size=7, page_token="t"
        ),
        request=pb.ListTasksRequest(
            enabled=False, handler="send", name_prefix="re", category="mail", page_size=7, page_token="t"
        ),
        answer=pb.ListTasksResponse(tasks=[TASK_TOLD], next_page_token="n"),
        value=TaskPage(tasks=(TASK,), next_page_token="n"),
    ),
    Row(
        rpc="EnableTask",
        call=lambda client: client.enable_task("report", etag="2"),
        request=pb.EnableTaskRequest(name="report", etag="2"),
        answer=TASK_TOLD,
        value=TASK,
    ),
    Row(
        rpc="DisableTask",
        call=lambda client: client.disable_task("report", note="broken", etag="2"),
        request=pb.DisableTaskRequest(name="report", note="broken", etag="2"),
        answer=TASK_TOLD,
        value=TASK,
    ),
    Row(
        rpc="RunTaskNow",
        call=lambda client: client.run_task_now("report", payload={}, detach=True, request_id="r"),
        request=pb.RunTaskNowRequest(name="report", payload=struct({}), detach=True, request_id="r"),
        answer=pb.RunTaskNowResponse(success=True, execution=TOLD),
        value=RunResult(success=True, execution=EXECUTION),
    ),
    Row(
        rpc="TriggerCron",
        call=lambda client: client.trigger_cron("0 * * * *"),
        request=pb.TriggerCronRequest(cron="0 * * * *"),
        answer=pb.TriggerCronResponse(executions=[TOLD, TOLD]),
        value=(EXECUTION, EXECUTION),
    ),
    Row(
        rpc="BackfillTask",
        call=lambda client: client.backfill_task("report", start_time=START, end_time=SINCE.end_time),
        request=pb.BackfillTaskRequest(name="report", start_time=WHEN, end_time=LATER),
        answer=pb.BackfillTaskResponse(executions=[TOLD], existing_count=4),
        value=Backfill(executions=(EXECUTION,), existing_count=4),
    ),
    Row(
        rpc="PreviewSchedule",
        call=lambda client: client.preview_schedule("@daily", time_zone="Asia/Tokyo", count=2, start_time=START),
        request=pb.PreviewScheduleRequest(schedule="@daily", time_zone="Asia/Tokyo", count=2, start_time=WHEN),
        answer=pb.PreviewScheduleResponse(cron="0 0 * * *", next_run_times=[WHEN, LATER], notes=["a note"]),
        value=Preview(schedule=parse("@daily", "Asia/Tokyo"), times=(START, SINCE.end_time), notes=("a note",)),
    ),
    Row(
        rpc="PreviewSchedule",
        call=lambda client: client.preview_schedule("@manual"),
        request=pb.PreviewScheduleRequest(schedule="@manual", time_zone="UTC", count=10),
        answer=pb.PreviewScheduleResponse(),
        value=Preview(schedule=parse("@manual"), times=(), notes=()),
    ),
    Row(
        rpc="GetTaskHistory",
        call=lambda client: client.get_task_history("report", SINCE, page_size=7, page_token="t"),
        request=pb.GetTaskHistoryRequest(
            name="report", states=STATES, start_time=WHEN, end_time=LATER, page_size=7, page_token="t"
        ),
        answer=pb.GetTaskHistoryResponse(executions=[TOLD], next_page_token="n"),
        value=ExecutionPage(executions=(EXECUTION,), next_page_token="n"),
    ),
    Row(
        rpc="ListExecutions",
        call=lambda client: client.list_executions(SINCE, page_size=7, page_token="t"),
        request=pb.ListExecutionsRequest(states=STATES, start_time=WHEN, end_time=LATER, page_size=7, page_token="t"),
        answer=pb.ListExecutionsResponse(executions=[TOLD], next_page_token="n"),
        value=ExecutionPage(executions=(EXECUTION,), next_page_token="n"),
    ),
    Row(
        rpc="GetExecution",
        call=lambda client: client.get_execution("exec_1"),
        request=pb.GetExecutionRequest(id="exec_1"),
        answer=TOLD,
        value=EXECUTION,
    ),
    Row(
        rpc="GetExecution",
        call=lambda client: client.get_execution("exec_1", log_lines=50),
        request=pb.GetExecutionRequest(id="exec_1", log_lines=50),
        answer=protobuf.execution_to(WITH_LOG),
        value=WITH_LOG,
    ),
    Row(
        rpc="CancelExecution",
        call=lambda client: client.cancel_execution("exec_1", note="wrong day"),
        request=pb.CancelExecutionRequest(id="exec_1", note="wrong day"),
        answer=TOLD,
        value=EXECUTION,
    ),
    Row(
        rpc="ListHandlers",
        call=lambda client: client.list_handlers(),
        request=pb.ListHandlersRequest(),
        answer=pb.ListHandlersResponse(
            handlers=[
                pb.Handler(name="send", description="Sends", offered=True),
                pb.Handler(
                    name="sort",
                    offered=True,
                    concurrency=2,
                    payload_schema_json="{}",
                    worker_count=2,
                    worker_versions=["1", "2"],
                ),
            ]
        ),
        value=(
            Handler(name="send", description="Sends", offered=True),
            Handler(
                name="sort",
                concurrency=2,
                payload_schema="{}",
                worker_count=2,
                worker_versions=("1", "2"),
                offered=True,
            ),
        ),
    ),
    Row(
        rpc="ListWorkers",
        call=lambda client: client.list_workers("send"),
        request=worker_pb2.ListWorkersRequest(handler="send"),
        answer=worker_pb2.ListWorkersResponse(workers=[protobuf.worker_to(WORKER), protobuf.worker_to(GONE)]),
        value=(WORKER, GONE),
    ),
    Row(
        rpc="InitializeDefaultTasks",
        call=lambda client: client.initialize_default_tasks(),
        request=pb.InitializeDefaultTasksRequest(),
        answer=pb.InitializeDefaultTasksResponse(tasks=[TASK_TOLD]),
        value=(TASK,),
    ),
    Row(
        rpc="UpdateTask",
        call=lambda client: client.update_task("report", enabled=False),
        request=pb.UpdateTaskRequest(task=pb.Task(name="report"), update_mask={"paths": ["enabled"]}),
        answer=TASK_TOLD,
        value=TASK,
    ),
    Row(
        rpc="UpdateTask",
        call=lambda client: client.update_task("report", etag="4"),
        request=pb.UpdateTaskRequest(task=pb.Task(name="report", etag="4"), update_mask={}),
        answer=TASK_TOLD,
        value=TASK,
    ),
]
