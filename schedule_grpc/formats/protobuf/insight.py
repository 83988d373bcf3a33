"""Summaries, what comes, and explanations between our values and the contract's messages."""

from datetime import datetime

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from schedule_grpc.domain.explanation import Cause, DefinitionChange, Explained, Explanation
from schedule_grpc.domain.finding import Finding, Verdict
from schedule_grpc.domain.summary import Attention, AttentionKind, Counts, NextRun, Summary, WaitingQueue
from schedule_grpc.domain.upcoming import ClockNote, Upcoming, UpcomingRuns
from schedule_grpc.formats.protobuf.executions import execution_from, execution_to
from schedule_grpc.formats.protobuf.status import RemoteError
from schedule_grpc.formats.protobuf.tasks import task_from, task_to
from schedule_grpc.formats.protobuf.values import Reader, duration_from, duration_to, instant_from, instant_to
from schedule_grpc.pb import schedule_pb2 as pb

_MOST = 2**31 - 1
_KIND_TO = {kind: pb.Summary.Attention.Kind.Value(kind.value) for kind in AttentionKind}
_KIND_FROM = {number: kind for kind, number in _KIND_TO.items()}
_CAUSE_TO = {cause: pb.ExplainTaskResponse.Explanation.Cause.Value(cause.value) for cause in Cause}
_CAUSE_FROM = {number: cause for cause, number in _CAUSE_TO.items()}
_VERDICT_TO = {verdict: pb.ExplainTaskResponse.Finding.Verdict.Value(verdict.name) for verdict in Verdict}
_VERDICT_FROM = {number: verdict for verdict, number in _VERDICT_TO.items()}


def summary_to(summary: Summary) -> pb.Summary:
    """Return a summary's message."""
    counts = summary.counts
    return pb.Summary(
        read_time=instant_to(summary.time),
        task_count=counts.tasks,
        disabled_count=counts.disabled,
        failing_count=counts.failing,
        overdue_count=counts.overdue,
        running_count=counts.running,
        waiting_count=counts.waiting,
        lag=None if summary.lag is None else duration_to(summary.lag),
        troubles=summary.troubles,
        waiting_queues=[
            pb.Summary.WaitingQueue(
                handler=each.handler,
                count=each.count,
                oldest_time=instant_to(each.oldest_time),
                offered=each.offered,
            )
            for each in summary.waiting
        ],
        running=map(execution_to, summary.running),
        newest_ends=map(execution_to, summary.newest_ends),
        next_runs=[
            pb.Summary.NextRun(
                task_name=each.name, handler=each.handler, scheduled_time=instant_to(each.time), count=each.count
            )
            for each in summary.next_runs
        ],
        attention=[
            pb.Summary.Attention(
                kind=_KIND_TO[each.kind],
                subject=each.subject,
                text=each.text,
                since_time=_time(each.since),
                count=min(each.count, _MOST),
                key=each.key,
                execution_id=each.execution_id,
            )
            for each in summary.attention
        ],
        last_failure_time=_time(summary.last_failure_time),
    )


def summary_from(message: pb.Summary) -> Summary:
    """Return the summary of a server's message; what needs a person for a reason that is not known is left out."""
    return Summary(
        time=instant_from(message.read_time),
        counts=Counts(
            tasks=message.task_count,
            disabled=message.disabled_count,
            failing=message.failing_count,
            overdue=message.overdue_count,
            running=message.running_count,
            waiting=message.waiting_count,
        ),
        lag=duration_from(message.lag) if message.HasField("lag") else None,
        troubles=tuple(message.troubles),
        waiting=tuple(
            WaitingQueue(
                handler=each.handler,
                count=each.count,
                oldest_time=instant_from(each.oldest_time),
                offered=each.offered,
            )
            for each in message.waiting_queues
        ),
        running=tuple(map(execution_from, message.running)),
        newest_ends=tuple(map(execution_from, message.newest_ends)),
        next_runs=tuple(
            NextRun(
                name=each.task_name,
                handler=each.handler,
                time=instant_from(each.scheduled_time),
                count=each.count,
            )
            for each in message.next_runs
        ),
        attention=tuple(
            Attention(
                kind=_KIND_FROM[each.kind],
                subject=each.subject,
                text=each.text,
                since=_instant(each, "since_time"),
                count=each.count,
                key=each.key,
                execution_id=each.execution_id,
            )
            for each in message.attention
            if each.kind in _KIND_FROM
        ),
        last_failure_time=_instant(message, "last_failure_time"),
    )


def upcoming_to(upcoming: Upcoming) -> pb.UpcomingRuns:
    """Return the message of what comes."""
    return pb.UpcomingRuns(
        start_time=instant_to(upcoming.start_time),
        end_time=instant_to(upcoming.end_time),
        step=duration_to(upcoming.step),
        counts=upcoming.counts,
        total_count=upcoming.total,
        task_count=upcoming.task_count,
        busiest_time=_time(upcoming.busiest_time),
        busiest_count=upcoming.busiest_count,
        occurrences=[
            pb.UpcomingRuns.Occurrence(scheduled_time=instant_to(each.time), count=each.count, task_names=each.names)
            for each in upcoming.next
        ],
        clock_notes=[
            pb.UpcomingRuns.ClockNote(
                change_time=instant_to(each.time),
                time_zone=each.time_zone,
                text=each.text,
                count=each.count,
                task_names=each.names,
            )
            for each in upcoming.notes
        ],
    )


def upcoming_from(message: pb.UpcomingRuns) -> Upcoming:
    """Return what comes, of a server's message."""
    return Upcoming(
        start_time=instant_from(message.start_time),
        end_time=instant_from(message.end_time),
        step=duration_from(message.step),
        counts=tuple(message.counts),
        total=message.total_count,
        task_count=message.task_count,
        busiest_time=_instant(message, "busiest_time"),
        busiest_count=message.busiest_count,
        next=tuple(
            UpcomingRuns(time=instant_from(each.scheduled_time), count=each.count, names=tuple(each.task_names))
            for each in message.occurrences
        ),
        notes=tuple(
            ClockNote(
                time=instant_from(each.change_time),
                time_zone=each.time_zone,
                text=each.text,
                count=each.count,
                names=tuple(each.task_names),
            )
            for each in message.clock_notes
        ),
    )


def range_asked(request: pb.ExplainTaskRequest) -> dict[str, datetime | None]:
    """Return the times of a caller's request, as `Service.why` takes them.

    Raises:
        InvalidArgument: for an invalid time.
    """
    reader = Reader()
    fields = {"at": "at_time", "start_time": "start_time", "end_time": "end_time"}
    times = {
        argument: reader.instant(getattr(request, field), field) if request.HasField(field) else None  # type: ignore[arg-type]
        for argument, field in fields.items()
    }
    reader.check()
    return times


def explanation_to(explanation: Explanation) -> pb.ExplainTaskResponse:
    """Return an explanation's message."""
    answer = pb.ExplainTaskResponse
    return answer(
        task=task_to(explanation.task),
        start_time=instant_to(explanation.start_time),
        end_time=instant_to(explanation.end_time),
        explanations=map(_explained_to, explanation.occurrences),
        cut=explanation.is_cut,
        note=explanation.note,
        changes=[
            answer.Change(
                change_time=instant_to(each.time),
                method=each.method,
                changed_by=each.by,
                changed_fields=each.changed,
            )
            for each in explanation.changes
        ],
        findings=[
            answer.Finding(
                verdict=_VERDICT_TO[each.verdict], subject=each.subject, finding=each.finding, advice=each.advice
            )
            for each in explanation.findings
        ],
    )


def explanation_from(message: pb.ExplainTaskResponse) -> Explanation:
    """Return the explanation of a server's message."""
    return Explanation(
        task=task_from(message.task),
        start_time=instant_from(message.start_time),
        end_time=instant_from(message.end_time),
        occurrences=tuple(map(_explained_from, message.explanations)),
        is_cut=message.cut,
        note=message.note,
        changes=tuple(
            DefinitionChange(
                time=instant_from(each.change_time),
                method=each.method,
                by=each.changed_by,
                changed=tuple(each.changed_fields),
            )
            for each in message.changes
        ),
        findings=tuple(
            Finding(_VERDICT_FROM.get(each.verdict, Verdict.WARN), each.subject, each.finding, each.advice)
            for each in message.findings
        ),
    )


def _explained_to(explained: Explained) -> pb.ExplainTaskResponse.Explanation:
    return pb.ExplainTaskResponse.Explanation(
        scheduled_time=instant_to(explained.scheduled_time),
        cause=_CAUSE_TO[explained.cause],
        text=explained.text,
        execution=None if explained.execution is None else execution_to(explained.execution),
        lateness=None if explained.late is None else duration_to(explained.late),
    )


def _explained_from(message: pb.ExplainTaskResponse.Explanation) -> Explained:
    if message.cause not in _CAUSE_FROM:
        text = f"The server sent a cause that this client does not know ({message.cause}): it is older than the server"
        raise RemoteError(text, code="UNKNOWN_VALUE", status="UNIMPLEMENTED")
    return Explained(
        scheduled_time=instant_from(message.scheduled_time),
        cause=_CAUSE_FROM[message.cause],
        text=message.text,
        execution=execution_from(message.execution) if message.HasField("execution") else None,
        late=duration_from(message.lateness) if message.HasField("lateness") else None,
    )


def _time(instant: datetime | None) -> Timestamp | None:
    return None if instant is None else instant_to(instant)


def _instant(message: Message, name: str) -> datetime | None:
    return instant_from(getattr(message, name)) if message.HasField(name) else None
