"""Rows of the audit log to messages of access.proto, and back."""

from schedule_grpc.domain.access.audit import AuditEvent, AuditFilter, AuditPage
from schedule_grpc.formats.protobuf.values import Reader, instant_from, instant_to
from schedule_grpc.pb import access_pb2 as pb


def audit_event_to(event: AuditEvent) -> pb.AuditEvent:
    """Return the message of a row."""
    return pb.AuditEvent(
        replica=event.replica,
        seq=event.seq,
        time=instant_to(event.time),
        principal=event.principal,
        via=event.via,
        key_id=event.key_id,
        peer=event.peer,
        user_agent=event.user_agent,
        method=event.method,
        namespace=event.namespace,
        resource=event.resource,
        execution=event.execution,
        outcome=event.outcome,
        reason=event.reason,
        changed=event.changed,
        payload_hash=event.payload_hash,
        before_etag=event.before_etag,
        after_etag=event.after_etag,
        count=event.count,
        prev_hash=event.prev_hash,
        hash=event.hash,
    )


def audit_event_from(message: pb.AuditEvent) -> AuditEvent:
    """Return the row in a server's message."""
    return AuditEvent(
        replica=message.replica,
        seq=message.seq,
        time=instant_from(message.time),
        principal=message.principal,
        via=message.via,
        key_id=message.key_id,
        peer=message.peer,
        user_agent=message.user_agent,
        method=message.method,
        namespace=message.namespace,
        resource=message.resource,
        execution=message.execution,
        outcome=message.outcome,
        reason=message.reason,
        changed=tuple(message.changed),
        payload_hash=message.payload_hash,
        before_etag=message.before_etag,
        after_etag=message.after_etag,
        count=message.count,
        prev_hash=message.prev_hash,
        hash=message.hash,
    )


def audit_filter_from(request: pb.ListAuditEventsRequest) -> AuditFilter:
    """Return the filter of a caller's request.

    Raises:
        InvalidArgument: for an invalid time.
    """
    reader = Reader()
    chosen = AuditFilter(
        namespace=request.namespace,
        principal=request.principal,
        method=request.method,
        start_time=reader.instant(request.start_time, "start_time") if request.HasField("start_time") else None,
        end_time=reader.instant(request.end_time, "end_time") if request.HasField("end_time") else None,
    )
    reader.check()
    return chosen


def audit_page_to(page: AuditPage) -> pb.ListAuditEventsResponse:
    """Return the message of a page of rows."""
    return pb.ListAuditEventsResponse(events=map(audit_event_to, page.events), next_page_token=page.next_page_token)


def audit_page_from(message: pb.ListAuditEventsResponse) -> AuditPage:
    """Return the page of rows in a server's answer."""
    return AuditPage(events=tuple(map(audit_event_from, message.events)), next_page_token=message.next_page_token)
