"""The ids of traces and spans: read and written in W3C's form, and made of what an execution is.

An execution outlives processes, and its attempts run in several. So the ids of its spans are made of its own id, and
nothing has to be kept: every server, of this version or a later one, finds the same.
"""

import re
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

from schedule_grpc.domain.execution import Execution, Trigger
from schedule_grpc.runtime.clock import to_micros

_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?", re.ASCII)
_SAMPLED = 1


class TraceContext(NamedTuple):
    """The ids of a span, and whether it is sampled."""

    trace_id: int
    span_id: int
    sampled: bool

    def __str__(self) -> str:
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{int(self.sampled):02x}"


class ExecutionTrace(NamedTuple):
    """The trace to which an execution belongs, and its own span in it."""

    trace_id: int
    span_id: int
    parent: TraceContext | None
    """The call that asked for it; None: it is the root of its trace."""
    link: TraceContext | None
    """The call that asked for it and for others."""


def read_traceparent(text: str | None) -> TraceContext | None:
    """Return what a ``traceparent`` says; None if it is none."""
    found = None if text is None else _FORM.fullmatch(text)
    if found is None:
        return None
    context = TraceContext(int(found[1], 16), int(found[2], 16), bool(int(found[3], 16) & _SAMPLED))
    return context if context.trace_id and context.span_id else None


def trace_of(execution: Execution) -> ExecutionTrace:
    """Return the trace of an execution.

    A run that a traced call asked for belongs to that call's trace. Every other execution is the root of its own, whose
    id is the beginning of the SHA-256 of its id; so is each of the many that one TriggerCron or BackfillTask makes,
    with a link to that call.
    """
    trace_id, span_id = own_ids(execution.id)
    caller = read_traceparent(execution.traceparent)
    if caller is not None and execution.trigger is Trigger.MANUAL:
        return ExecutionTrace(caller.trace_id, span_id, caller, None)
    return ExecutionTrace(trace_id, span_id, None, caller)


def own_ids(execution_id: str) -> tuple[int, int]:
    """Return the id of the trace whose root an execution is that no traced call asked for, and of its span."""
    digest = sha256(execution_id.encode()).digest()
    return int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])


def attempt_span(execution_id: str, start_time: datetime) -> int:
    """Return the id of the span of an attempt: of two that have the same number, each has its own."""
    return int.from_bytes(sha256(f"{execution_id} {to_micros(start_time)}".encode()).digest()[:8])
