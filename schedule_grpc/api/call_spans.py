"""The spans of rpcs: which rpcs have one, and its attributes by OpenTelemetry's conventions.

https://opentelemetry.io/docs/specs/semconv/rpc/
"""

from collections.abc import Callable
from typing import TypeAlias

from schedule_grpc.access.rules import ACCESS, SCHEDULE, WORKERS
from schedule_grpc.tracing import Attributes, present_span

Answered: TypeAlias = Callable[[str, str], None]
"""Called with each call's method and the name of its status."""

_TRACED = (SCHEDULE, ACCESS, WORKERS)
_UNTRACED = frozenset({WORKERS + "Pull", WORKERS + "Report"})
"""Called by each worker all the time. What they carry has spans of its own: the attempts."""
_FAULTS = frozenset({"DATA_LOSS", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "UNIMPLEMENTED", "UNKNOWN"})
"""Statuses of calls that failed by the server."""


def is_traced(method: str) -> bool:
    """Return whether the calls of an rpc, by its full name, are spans."""
    return method.startswith(_TRACED) and method not in _UNTRACED


def of_grpc(method: str) -> Attributes:
    """Return the attributes of a call by gRPC."""
    return {"rpc.system.name": "grpc", "rpc.method": method[1:]}


def noting_status(answered: Answered) -> Answered:
    """Return what counts a call as ``answered`` does, and notes its status in its span."""

    def noted(method: str, status: str) -> None:
        answered(method, status)
        span = present_span()
        if span is not None:
            span.note({"rpc.method": method[1:], "rpc.response.status_code": status})
            if status in _FAULTS:
                span.fail(status)

    return noted
