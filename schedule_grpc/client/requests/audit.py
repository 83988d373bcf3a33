"""The functions of the rpc about the audit log."""

from typing import Any

from schedule_grpc.client import responses
from schedule_grpc.client.call import Call, Pages
from schedule_grpc.client.values import given, instant
from schedule_grpc.domain.access.audit import AuditEvent, AuditFilter, AuditPage
from schedule_grpc.formats import protobuf
from schedule_grpc.formats.protobuf import request_of
from schedule_grpc.pb import access_pb2 as pb


def list_audit_events(
    chosen: AuditFilter | None = None, *, page_size: int = 0, page_token: str = ""
) -> Call[AuditPage]:
    """Return one page of the audit log, newest first; 100 rows if ``page_size`` is 0.

    A filter without a namespace means all rows to a caller with ``admin@*``, and those of its namespace to another one.

    Raises:
        PermissionDenied: if this caller does not administer the namespace.
    """
    request = request_of(pb.ListAuditEventsRequest, page_size=page_size, page_token=page_token, **_filter(chosen))
    return Call(rpc="ListAuditEvents", request=request, read=protobuf.audit_page_from)


def audit_events(chosen: AuditFilter | None = None, *, page_size: int = 0) -> Pages[AuditEvent]:
    """Iterate over the audit log, newest first; pages are fetched as they are needed."""
    return Pages(
        page=lambda token: list_audit_events(chosen, page_size=page_size, page_token=token),
        items=responses.audit_events_of,
    )


def _filter(chosen: AuditFilter | None) -> dict[str, Any]:
    criteria = given(AuditFilter, "chosen", chosen) or AuditFilter()
    return {
        "namespace": criteria.namespace,
        "principal": criteria.principal,
        "method": criteria.method,
        "start_time": instant("start_time", criteria.start_time),
        "end_time": instant("end_time", criteria.end_time),
    }
