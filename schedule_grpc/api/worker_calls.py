"""The calls of workers between messages and values."""

from datetime import timedelta

from schedule_grpc.dispatch.values import (
    Finished,
    Held,
    Judged,
    Logged,
    News,
    Progressed,
    Pull,
    Pulled,
    Registered,
    Registration,
    Released,
    StopReason,
    Unreadable,
    Update,
    Verdict,
    token_of,
)
from schedule_grpc.domain.canonical_json import object_text
from schedule_grpc.domain.condition import Condition, checked
from schedule_grpc.domain.execution.log_lines import LogLine
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.domain.worker import MAX_HELD, OfferedHandler
from schedule_grpc.errors import InvalidArgument
from schedule_grpc.formats.protobuf.values import Reader, duration_to, instant_to
from schedule_grpc.handlers.context import bounded_progress
from schedule_grpc.pb import schedule_pb2
from schedule_grpc.pb import worker_pb2 as pb
from schedule_grpc.store import Claim
from schedule_grpc.text.unicode import readable
from schedule_grpc.tracing import TRACEPARENT, Tracer

_LEVELS = frozenset({"debug", "info", "warning", "error"})
_FailureKind = schedule_pb2.Execution.FailureKind
_KINDS = {
    _FailureKind.FAILURE_KIND_UNSPECIFIED: FailureKind.ERROR,
    _FailureKind.ERROR: FailureKind.ERROR,
    _FailureKind.TIMEOUT: FailureKind.TIMEOUT,
    _FailureKind.REJECTED: FailureKind.REJECTED,
}
_REASONS = {StopReason.CANCELLED: pb.Stop.CANCELLED, StopReason.TIMEOUT: pb.Stop.TIMEOUT}
_VERDICTS = {
    Verdict.APPLIED: pb.ReportResponse.APPLIED,
    Verdict.REPEATED: pb.ReportResponse.REPEATED,
    Verdict.STALE: pb.ReportResponse.STALE,
    Verdict.INVALID: pb.ReportResponse.INVALID,
}


def worker_registration_from(request: pb.RegisterWorkerRequest, namespace: str) -> Registration:
    """Return what a worker says of itself.

    Raises:
        InvalidArgument: if its lease is no duration.
    """
    reader = Reader()
    lease = reader.duration(request.lease, "lease") if request.HasField("lease") else None
    reader.check()
    return Registration(
        namespace=namespace,
        name=request.name,
        version=request.version,
        protocol=request.protocol,
        handlers=tuple(
            OfferedHandler(
                name=each.name,
                description=each.description,
                concurrency=each.concurrency if each.HasField("concurrency") else None,
                payload_schema=each.payload_schema_json,
            )
            for each in request.handlers
        ),
        slots=request.slots,
        lease=lease,
        labels=dict(request.labels),
        held_tokens=tuple(request.held_tokens),
    )


def registered_worker_to(registered: Registered) -> pb.RegisterWorkerResponse:
    """Return the message of a session that begins."""
    return pb.RegisterWorkerResponse(
        session_id=registered.session_id,
        protocol=registered.protocol,
        lease=duration_to(registered.lease),
        lost_tokens=registered.lost_tokens,
    )


def pull_from(request: pb.PullRequest) -> Pull:
    """Return a Pull.

    Raises:
        InvalidArgument: if its wait is no duration, or below zero.
    """
    reader = Reader()
    wait = reader.duration(request.wait, "wait") or timedelta(0)
    if wait < timedelta(0):
        reader.refuse("wait", "is below zero")
    if len(request.held) > MAX_HELD:
        reader.refuse("held", f"has {len(request.held)} attempts, of at most {MAX_HELD}")
    if request.capacity < 0:
        reader.refuse("capacity", f"{request.capacity} is below zero")
    reader.check()
    return Pull(
        session_id=request.session_id,
        held=tuple(map(_held_from, request.held)),
        capacity=request.capacity,
        wait=wait,
        draining=request.draining,
    )


def pulled_to(pulled: Pulled, tracer: Tracer | None = None) -> pb.PullResponse:
    """Return the answer to a Pull; with a tracer, its assignments name the spans of their attempts."""
    return pb.PullResponse(
        assignments=[_assignment_to(claim, tracer) for claim in pulled.begin],
        stops=[pb.Stop(lease_token=token, reason=_REASONS[reason]) for token, reason in pulled.stops],
        lost_tokens=pulled.lost_tokens,
        lease=duration_to(pulled.lease),
        server_draining=pulled.server_draining,
    )


def updates_from(request: pb.ReportRequest) -> list[Update]:
    """Return the updates of a report; what cannot be read of one is its news."""
    return [Update(update.lease_token, _news_from(update)) for update in request.updates]


def judged_to(judged: list[Judged]) -> pb.ReportResponse:
    """Return the verdicts on a report's updates."""
    return pb.ReportResponse(
        verdicts=[_VERDICTS[each.verdict] for each in judged],
        reasons={number: each.reason for number, each in enumerate(judged) if each.verdict is Verdict.INVALID},
    )


def _assignment_to(claim: Claim, tracer: Tracer | None) -> pb.Assignment:
    execution, definition = claim.execution, claim.task.definition
    traceparent = execution.traceparent if tracer is None else tracer.attempt_of(execution)
    return pb.Assignment(
        lease_token=token_of(claim),
        execution_id=execution.id,
        task_name=execution.task_name,
        namespace=execution.namespace,
        handler=execution.handler,
        attempt=execution.attempt,
        scheduled_time=None if execution.scheduled_time is None else instant_to(execution.scheduled_time),
        timeout=duration_to(claim.task.policy.timeout),
        payload_json=object_text(claim.payload),
        metadata_json=object_text(definition.metadata),
        headers=None if traceparent is None else {TRACEPARENT: traceparent},
    )


def _held_from(held: pb.PullRequest.Held) -> Held:
    if not held.HasField("progress"):
        return Held(token=held.lease_token)
    fraction, text = bounded_progress(held.progress, held.progress_text)
    return Held(token=held.lease_token, progress=fraction, text=text)


def _news_from(update: pb.Update) -> News:
    try:
        kind = update.WhichOneof("news")
        if kind == "log":
            return Logged(tuple(_line_from(line) for line in update.log.lines))
        if kind == "progress":
            return Progressed(*bounded_progress(update.progress.fraction, update.progress.text))
        if kind == "outcome":
            return _outcome_from(update.outcome)
    except InvalidArgument as error:
        return Unreadable(error.message)
    return Unreadable("has no news that this server knows: log, progress or outcome")


def _line_from(line: pb.Update.LogLine) -> LogLine:
    reader = Reader()
    if line.sequence < 1:
        reader.refuse("sequence", f"{line.sequence} is less than 1")
    time = reader.instant(line.time, "time")
    reader.check()
    if time is None:
        raise AssertionError("a time that cannot be read was refused")
    level = line.level if line.level in _LEVELS else "info"
    return LogLine(sequence=line.sequence, time=time, level=level, text=readable(line.text))


def _outcome_from(outcome: pb.Update.Outcome) -> Finished | Released | Unreadable:
    reader = Reader()
    duration = reader.duration(outcome.duration, "duration") or timedelta(0)
    if duration < timedelta(0):
        reader.refuse("duration", "is below zero")
    reader.check()
    end = outcome.WhichOneof("end")
    conditions = tuple(
        checked(Condition(key=each.key, title=each.title, body=each.body, over=each.over))
        for each in outcome.conditions
    )
    if end == "succeeded":
        return Finished(duration=duration, result_json=outcome.succeeded.result_json, conditions=conditions)
    if end == "failed":
        failed = outcome.failed
        if failed.failure_kind not in _KINDS:
            return Unreadable("failure_kind: is not ERROR, TIMEOUT or REJECTED")
        return Finished(
            duration=duration,
            kind=_KINDS[failed.failure_kind],
            error=failed.error,
            result_json=failed.result_json,
            abandoned=failed.abandoned,
            conditions=conditions,
        )
    if end == "released":
        return Released(began=outcome.released.began)
    return Unreadable("outcome: has no end that this server knows: succeeded, failed or released")
