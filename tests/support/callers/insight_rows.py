"""The rpcs that show what there is, what comes, and why: as in rpc_rows.py."""

from datetime import timedelta

from msgspec.structs import replace
from support.callers.rpc_rows import EXECUTION, TASK, Row
from support.rigs.rig import START, at

from schedule_grpc.domain.execution import State
from schedule_grpc.domain.explanation import Cause, DefinitionChange, Explained, Explanation
from schedule_grpc.domain.finding import Finding, Verdict
from schedule_grpc.domain.listing import LastOutcome, TaskActivity, TaskOrder, TaskState
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.domain.summary import Attention, AttentionKind, Counts, NextRun, Summary, WaitingQueue
from schedule_grpc.domain.task import TaskFilter, TaskPage
from schedule_grpc.domain.upcoming import ClockNote, Upcoming, UpcomingRuns
from schedule_grpc.formats import protobuf
from schedule_grpc.pb import schedule_pb2 as pb

SOUGHT = TaskFilter(query="rep", states=frozenset({TaskState.OVERDUE, TaskState.FAILING}), order=TaskOrder.LAST)
ACTIVE = replace(
    TASK,
    activity=TaskActivity(
        running=1,
        waiting=2,
        last=LastOutcome(
            execution_id="exec_1",
            state=State.FAILED,
            failure_kind=FailureKind.TIMEOUT,
            start_time=START,
            end_time=START + timedelta(seconds=3),
        ),
    ),
)
SUMMARY = Summary(
    time=START,
    counts=Counts(tasks=6, disabled=5, failing=4, overdue=3, running=2, waiting=1),
    lag=timedelta(milliseconds=4),
    troubles=("nothing was looked for in 60 s",),
    waiting=(WaitingQueue(handler="send", count=7, oldest_time=START, offered=False),),
    running=(EXECUTION,),
    newest_ends=(EXECUTION,),
    next_runs=(NextRun(name="report", handler="send", time=START, count=3),),
    attention=(
        Attention(kind=AttentionKind.HEALTH, text="nothing was looked for in 60 s"),
        Attention(
            kind=AttentionKind.FAILING, subject="report", text="failed", since=START, count=1, execution_id="exec_1"
        ),
        Attention(kind=AttentionKind.CONDITION, subject="report", text="late", since=START, key="overdue"),
    ),
    last_failure_time=START,
)
UPCOMING = Upcoming(
    start_time=START,
    end_time=START + timedelta(hours=3),
    counts=(0, 3, 1),
    total=4,
    task_count=2,
    busiest_time=START,
    busiest_count=3,
    next=(UpcomingRuns(time=START, count=3, names=("a", "b")),),
    notes=(ClockNote(time=START, time_zone="Europe/Berlin", text="comes twice", count=1, names=("a",)),),
)
EXPLANATION = Explanation(
    task=TASK,
    start_time=START,
    end_time=START + timedelta(hours=2),
    occurrences=(
        Explained(scheduled_time=START, cause=Cause.LATE, text="ran", execution=EXECUTION, late=timedelta(seconds=2)),
        Explained(scheduled_time=START, cause=Cause.NOT_DUE, text="is yet to come"),
    ),
    is_cut=True,
    note="not due then",
    changes=(DefinitionChange(time=START, method="UpdateTask", by="key:ops", changed=("schedule",)),),
    findings=(Finding(Verdict.WARN, "task", "it is disabled", "enable it"),),
)

INSIGHT_ROWS = [
    Row(
        rpc="GetSummary",
        call=lambda client: client.get_summary(),
        request=pb.GetSummaryRequest(),
        answer=protobuf.summary_to(SUMMARY),
        value=SUMMARY,
    ),
    Row(
        rpc="GetUpcomingRuns",
        call=lambda client: client.get_upcoming_runs(hours=3, handler="send", category="mail"),
        request=pb.GetUpcomingRunsRequest(hours=3, handler="send", category="mail"),
        answer=protobuf.upcoming_to(UPCOMING),
        value=UPCOMING,
    ),
    Row(
        rpc="ExplainTask",
        call=lambda client: client.explain_task("report", start_time=START, end_time=at("2026-01-31T12:00")),
        request=pb.ExplainTaskRequest(
            name="report",
            start_time=protobuf.instant_to(START),
            end_time=protobuf.instant_to(at("2026-01-31T12:00")),
        ),
        answer=protobuf.explanation_to(EXPLANATION),
        value=EXPLANATION,
    ),
    Row(
        rpc="ListTasks",
        call=lambda client: client.list_tasks(SOUGHT, page_size=7, full=True),
        request=pb.ListTasksRequest(
            page_size=7,
            query="rep",
            states=[pb.TASK_STATE_FAILING, pb.TASK_STATE_OVERDUE],
            order_by="last_run_time desc",
            view=pb.TASK_VIEW_FULL,
        ),
        answer=pb.ListTasksResponse(tasks=[protobuf.task_to(ACTIVE)], next_page_token="more", partial=True),
        value=TaskPage(tasks=(ACTIVE,), next_page_token="more", is_partial=True),
    ),
]
