"""The rpc about the audit log: as in rpc_rows.py."""

from datetime import timedelta

from support.callers.rpc_rows import Row
from support.rigs.rig import START

from schedule_grpc.domain.access.audit import AuditEvent, AuditFilter, AuditPage
from schedule_grpc.formats import protobuf
from schedule_grpc.pb import access_pb2 as pb

CHANGED = AuditEvent(
    replica="web-1",
    seq=2**40,
    time=START + timedelta(microseconds=1),
    principal="key:reports-ci",
    via="key",
    key_id="0a1B2c3D",
    peer="ipv4:10.0.0.7:4711",
    user_agent="curl/8.5.0",
    method="UpdateTask",
    namespace="reports",
    resource="nightly",
    outcome="DONE",
    changed=("schedule", "payload"),
    payload_hash="ab" * 32,
    before_etag="1",
    after_etag="2",
    prev_hash="cd" * 32,
    hash="ef" * 32,
)
DENIED = AuditEvent(
    replica="web-1",
    seq=1,
    time=START,
    principal="anonymous",
    via="none",
    peer="ipv4:10.0.0.8",
    method="RunTaskNow",
    outcome="DENIED",
    reason="UNAUTHENTICATED",
    count=1000,
    hash="cd" * 32,
)
AUDIT_ROWS = [
    Row(
        rpc="ListAuditEvents",
        call=lambda client: client.list_audit_events(
            AuditFilter(
                namespace="reports",
                principal="key:reports-ci",
                method="UpdateTask",
                start_time=START,
                end_time=START + timedelta(days=1),
            ),
            page_size=2,
            page_token="a",
        ),
        request=pb.ListAuditEventsRequest(
            namespace="reports",
            principal="key:reports-ci",
            method="UpdateTask",
            start_time=protobuf.instant_to(START),
            end_time=protobuf.instant_to(START + timedelta(days=1)),
            page_size=2,
            page_token="a",
        ),
        answer=pb.ListAuditEventsResponse(
            events=[protobuf.audit_event_to(CHANGED), protobuf.audit_event_to(DENIED)], next_page_token="b"
        ),
        value=AuditPage(events=(CHANGED, DENIED), next_page_token="b"),
    ),
    Row(
        rpc="ListAuditEvents",
        call=lambda client: client.list_audit_events(),
        request=pb.ListAuditEventsRequest(),
        answer=pb.ListAuditEventsResponse(),
        value=AuditPage(events=()),
    ),
]
