"""Every answer is an envelope: ``{"success": true, ...}`` or ``{"success": false, "error": ...}``."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from starlette.responses import Response

from schedule_grpc.errors import (
    HandlerNotFound,
    Internal,
    InvalidArgument,
    InvalidSchedule,
    ScheduleError,
    TaskNotFound,
    Unavailable,
    Violation,
)
from schedule_grpc.policy import DEFAULT

STATUSES: Mapping[str, int] = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
}
"""By the canonical status of an error (google.rpc.Code)."""

_DURATIONS = frozenset(f"policy.{path}" for path, value in DEFAULT.fields().items() if isinstance(value, timedelta))

RETRY_AFTER = "1"
"""Seconds after which a call that was refused for now may be made again."""


class Answer(Response):
    """A JSON answer."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Write the content as JSON."""
        return encoded(content).encode()


def encoded(content: Any) -> str:
    """Return JSON without blanks."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def size(written: str) -> int:
    """Return how many bytes JSON has when it is sent."""
    return len(written.encode())


def success(status: int = 200, **fields: Any) -> Answer:
    """Return the envelope of a call that did what it should; fields that are None are left out."""
    present = {name: value for name, value in fields.items() if value is not None}
    return Answer({"success": True, **present}, status_code=status)


def success_of_many(name: str, written: Sequence[str], *, token: str = "") -> Response:
    """Return the envelope of a list whose items have been written as JSON already, with the next page's token."""
    following = f',"nextPageToken":{encoded(token)}' if token else ""
    content = f'{{"success":true,"count":{len(written)},"{name}":[{",".join(written)}]{following}}}'
    return Response(content, media_type=Answer.media_type)


def refusal(status: int, error: str, *, headers: Mapping[str, str] | None = None, **fields: Any) -> Answer:
    """Return the envelope of a call that did not."""
    return Answer({"success": False, "error": error, **fields}, status_code=status, headers=headers)


def refusal_of(error: ScheduleError) -> Answer:
    """Return the envelope that tells of an error, in the words that callers of the older service know."""
    status = STATUSES[error.status]
    if isinstance(error, InvalidArgument):
        return refusal(status, _of_invalid(error), details=details(error.violations))
    if isinstance(error, HandlerNotFound):
        said = Violation(field="handler", reason=error.message)
        return refusal(status, f"Task handler not found: {error.handler}", details=details([said]))
    if isinstance(error, Internal):
        return refusal(status, "Internal server error", errorId=error.error_id)
    if isinstance(error, Unavailable):
        return refusal(status, error.message, headers={"retry-after": RETRY_AFTER}, details=dict(error.details))
    return refusal(status, "Task not found" if isinstance(error, TaskNotFound) else error.message)


def details(violations: Iterable[Violation]) -> list[dict[str, str]]:
    """Return violations as JSON, their fields as callers wrote them."""
    return [{"field": camel(each.field), "reason": each.reason} for each in violations]


def camel(field: str) -> str:
    """Return ``policy.retry.max_retries`` as callers write it; durations are milliseconds there."""
    first, *others = field.split("_")
    written = first + "".join(other[:1].upper() + other[1:] for other in others)
    return f"{written}Ms" if field in _DURATIONS else written


def _of_invalid(error: InvalidArgument) -> str:
    if isinstance(error, InvalidSchedule) and error.field != "time_zone":
        return f"Invalid schedule expression: {error.text}"
    return "; ".join(f"{each['field']}: {each['reason']}" for each in details(error.violations))
