"""Functions that jobs of Python call, as handlers with the arguments in the payload."""

import re
from dataclasses import dataclass
from typing import Any

from schedule_grpc.formats.imported.documents import Table
from schedule_grpc.formats.imported.values import NAME_LENGTH, NotTheSame

_NOT_OF_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Called:
    """A handler and its payload."""

    handler: str
    payload: dict[str, Any]


def call_of(job: Table, function: str, handler: str) -> Called:
    """Return what a job calls: the handler named, or one named after its function.

    Raises:
        NotTheSame: if its arguments are no JSON.
    """
    if unreadable := job.list("unreadable"):
        raise NotTheSame(f"{', '.join(map(str, unreadable))[:200]}: no JSON, so no payload can hold it")
    payload: dict[str, Any] = {"args": job.list("args"), "kwargs": dict(job.table("kwargs").value)}
    if handler:
        return Called(handler=handler, payload={"function": function, **payload})
    named = _NOT_OF_NAMES.sub(".", function).strip("._-")[:NAME_LENGTH] or "handler"
    return Called(handler=named, payload=payload)
