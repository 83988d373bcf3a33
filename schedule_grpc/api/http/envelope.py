"""Every answer is an envelope: ``{"success": true, ...}`` or ``{"success": false, "error": ...}``."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from starlette.responses import Response

from schedule_grpc.domain.access.key_text import redacted
from schedule_grpc.domain.paging import fitting
from schedule_grpc.domain.policy import DEFAULT
from schedule_grpc.errors import (
    HandlerNotFound,
    Internal,
    InvalidArgument,
    InvalidSchedule,
    ResourceExhausted,
    ScheduleError,
    TaskNotFound,
    Unauthenticated,
    Unavailable,
)
from schedule_grpc.runtime.threads import LIGHT, Aside
from schedule_grpc.text.unicode import unicode_of
from schedule_grpc.violation import listed

T = TypeVar("T")

STATUSES: Mapping[str, int] = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
}
"""HTTP statuses by the canonical status of an error (google.rpc.Code)."""

_DURATIONS = frozenset(f"policy.{path}" for path, value in DEFAULT.fields().items() if isinstance(value, timedelta))

_POLICY_PATH = re.compile(r"\bpolicy(?:\.[a-z]+(?:_[a-z]+)*)+")

LIGHT_ITEM = LIGHT // 4
"""The weight of an item of a list: a few are serialized at once."""

RETRY_AFTER = "1"
"""Seconds after which a call that was answered 503 may be repeated."""


MAX_DETAIL = 512
"""Characters of a field, of a reason, and of a caller's text that an error repeats."""


class AsWritten(InvalidArgument):
    """Fields of the request cannot be accepted; they are named as the caller wrote them, not as the contract does."""


class Answer(Response):
    """A JSON answer."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Serialize the content as JSON; a text of the caller's that a refusal repeats may be invalid Unicode."""
        return unicode_of(encoded(content)).encode()


class Refusal(Answer):
    """A JSON answer of a call that was refused or failed; keys in it lose their secrets."""

    def render(self, content: Any) -> bytes:
        """Serialize the content as JSON."""
        return redacted(unicode_of(encoded(content))).encode()


def encoded(content: Any) -> str:
    """Return JSON without blanks."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def success(status: int = 200, **fields: Any) -> Answer:
    """Return the envelope of a call that succeeded; fields that are None are left out."""
    present = {name: value for name, value in fields.items() if value is not None}
    return Answer({"success": True, **present}, status_code=status)


async def success_of_many(
    aside: Aside, name: str, items: Sequence[T], shown: Callable[[T], Any], **fields: Any
) -> Response:
    """Return the envelope of a list; fields that are None are left out."""
    return success_of_written(name, await written_aside(aside, items, shown), **fields)


async def written_aside(
    aside: Aside, items: Sequence[T], shown: Callable[[T], Any], *, fits: bool = False
) -> list[bytes]:
    """Return items as JSON; with ``fits`` only the first ones, as many as fit into one page.

    They are serialized aside, one by one: a page may have megabytes, and serializing one text holds the GIL.
    """

    def written() -> list[bytes]:
        each = (encoded(shown(item)).encode() for item in items)
        return fitting(each, len) if fits else list(each)

    return await aside.compute(written, weight=LIGHT_ITEM * len(items))


def success_of_written(name: str, written: Sequence[bytes], **fields: Any) -> Response:
    """Return the envelope of a list whose items are JSON already; fields that are None are left out."""
    more = "".join(f",{encoded(key)}:{encoded(value)}" for key, value in fields.items() if value is not None)
    items = b",".join(written)
    content = b'{"success":true,"count":%d,"%b":[%b]%b}' % (len(written), name.encode(), items, more.encode())
    return Response(content, media_type=Answer.media_type)


def success_of_one_written(name: str, written: bytes) -> Response:
    """Return the envelope of one item that is JSON already."""
    return Response(b'{"success":true,"%b":%b}' % (name.encode(), written), media_type=Answer.media_type)


def refusal(status: int, error: str, *, headers: Mapping[str, str] | None = None, **fields: Any) -> Answer:
    """Return the envelope of a call that was refused or failed."""
    return Refusal({"success": False, "error": error, **fields}, status_code=status, headers=headers)


def refusal_of(error: ScheduleError) -> Answer:
    """Return the envelope of an error, with the texts that callers of the older service know."""
    status = STATUSES[error.status]
    if isinstance(error, InvalidArgument):
        return refusal(status, _of_invalid(error), details=_details(error))
    if isinstance(error, HandlerNotFound):
        invalid = InvalidArgument.of("handler", error.message)
        return refusal(status, f"Task handler not found: {error.handler}", details=_details(invalid))
    if isinstance(error, Internal):
        return refusal(status, "Internal server error", errorId=error.error_id)
    headers = headers_of(error)
    if isinstance(error, Unavailable | ResourceExhausted):
        return refusal(status, error.message, headers=headers, details=dict(error.details))
    return refusal(status, "Task not found" if isinstance(error, TaskNotFound) else error.message, headers=headers)


def headers_of(error: ScheduleError) -> Mapping[str, str]:
    """Return the headers of an error's answer: how to prove who calls, or when a call may be repeated, if it is known.

    The latter is in whole seconds.
    """
    if isinstance(error, Unauthenticated):
        return {"www-authenticate": "Bearer"}
    if isinstance(error, Unavailable):
        return {"retry-after": RETRY_AFTER}
    if isinstance(error, ResourceExhausted) and error.retry_after is not None:
        return {"retry-after": str(max(math.ceil(error.retry_after.total_seconds()), 1))}
    return {}


def _details(error: InvalidArgument) -> list[dict[str, str]]:
    """Return an error's violations as JSON, their fields as callers write them."""
    if isinstance(error, AsWritten):
        violations = [(each.field, each.reason) for each in error.violations]
    else:
        violations = [(camel(each.field), _POLICY_PATH.sub(_camel_found, each.reason)) for each in error.violations]
    return [{"field": field[:MAX_DETAIL], "reason": reason[:MAX_DETAIL]} for field, reason in violations]


def camel(field: str) -> str:
    """Return ``policy.retry.max_retries`` as callers write it; durations are milliseconds there."""
    first, *others = field.split("_")
    written = first + "".join(other[:1].upper() + other[1:] for other in others)
    return f"{written}Ms" if field in _DURATIONS else written


def _camel_found(path: re.Match[str]) -> str:
    return camel(path[0])


def _of_invalid(error: InvalidArgument) -> str:
    if isinstance(error, InvalidSchedule) and error.field != "time_zone":
        return f"Invalid schedule expression: {error.text[:MAX_DETAIL]}"
    return listed((f"{each['field']}: {each['reason']}" for each in _details(error)), error.more)
