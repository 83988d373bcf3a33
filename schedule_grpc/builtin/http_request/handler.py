"""http-request: calls a URL, as most jobs of cloud schedulers do."""

import json
from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from schedule_grpc.builtin.http_request.addresses import Refused, Unresolved
from schedule_grpc.builtin.http_request.payload import Asked, read_payload
from schedule_grpc.builtin.http_request.sending import Answer, send
from schedule_grpc.builtin.http_request.settings import HttpSettings, Reach
from schedule_grpc.domain.canonical_json import NotJson, encode, normalise
from schedule_grpc.domain.durations import human
from schedule_grpc.domain.execution import MAX_TEXT_BYTES
from schedule_grpc.errors import ConfigurationError, InvalidArgument
from schedule_grpc.handlers import PermanentFailure, TaskContext, handler
from schedule_grpc.runtime.threads import in_thread
from schedule_grpc.tracing import TRACEPARENT

_SHOWN_HEADERS = ("content-type", "date", "etag", "last-modified", "location", "retry-after", "x-request-id")
_MAX_HEADER = 500
_QUOTED = 200
"""Characters of a response that an error quotes."""
_TRIED_AGAIN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_MARGIN = 1024
_CHARSETS = frozenset({"us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252", "utf-16"})
"""Charsets that are decoded beside UTF-8. Python knows more; some of them are very slow."""


@handler("http-request", description="Call a URL and check the status of its answer")
async def http_request(ctx: TaskContext) -> dict[str, Any]:
    """Send a request to an allowed host.

    Payload: ``url``, ``method`` (``GET``), ``headers`` (texts, or secrets by reference: ``{"secret": "REPORTS",
    "prefix": "Bearer "}``; in the namespace ``default`` also ``{"env": "SCHEDULE_SECRET_X"}`` and
    ``{"file": "token"}``), ``body`` (a text, or JSON), ``expected_status`` (``2xx``; a status,
    a range, or a list of them), ``timeout`` (what is left of the attempt), ``max_response_bytes`` (65,536 are kept),
    ``max_redirects`` (0). Each request carries ``Idempotency-Key``, the same over all attempts of an execution,
    and of a traced execution ``traceparent``.
    """
    began = ctx.clock.monotonic()
    settings: HttpSettings = ctx.env.HTTP
    try:
        reach = await settings.within(ctx.namespace)
        asked = read_payload(ctx.payload, reach.secrets)
        outcome = await _outcome(ctx, asked, reach)
    except (InvalidArgument, ConfigurationError) as error:
        raise PermanentFailure(error.message) from None
    duration = round((ctx.clock.monotonic() - began) * 1000)
    return _fitting(outcome | {"duration": duration})


async def _outcome(ctx: TaskContext, asked: Asked, reach: Reach) -> dict[str, Any]:
    from httpx2 import HTTPError  # noqa: PLC0415 (50 ms, and most servers send none)

    left = ctx.deadline - ctx.now()
    patience = left if asked.timeout is None else min(asked.timeout, left)
    called = f"{asked.method} {asked.target.shown}"
    try:
        async with ctx.clock.timeout(max(patience.total_seconds(), 0)):
            answer = await send(asked, reach, ours=_ours(ctx))
    except Refused as error:
        raise PermanentFailure(f"{called} {asked.secrets.hide(str(error))}") from None
    except TimeoutError:
        return _failed(f"{called} was not answered in {human(max(patience, timedelta(0)))}")
    except Unresolved as error:
        return _failed(f"{called}: {error}")
    except HTTPError as error:
        return _failed(f"{called}: {type(error).__name__} {asked.secrets.hide(str(error))}".rstrip())
    # Searching a response of a megabyte for every spelling of a secret takes a while.
    return await in_thread(lambda _: _outcome_of(called, asked, answer), name="read an answer", abandon=True)


def _ours(ctx: TaskContext) -> Mapping[str, str]:
    headers = {"idempotency-key": ctx.idempotency_key, "x-schedule-execution": ctx.execution_id}
    if ctx.traceparent is not None:
        headers[TRACEPARENT] = ctx.traceparent
    if ctx.scheduled_time is not None:
        headers["x-schedule-scheduled-time"] = ctx.scheduled_time.isoformat().replace("+00:00", "Z")
    return headers


def _outcome_of(called: str, asked: Asked, answer: Answer) -> dict[str, Any]:
    text, cut = _text(asked, answer)
    outcome: dict[str, Any] = {
        "status": answer.status,
        "headers": {
            name: asked.secrets.hide(answer.headers[name])[:_MAX_HEADER]
            for name in _SHOWN_HEADERS
            if name in answer.headers
        },
        "body": text if cut else _parsed(text, answer),
        "truncated": cut,
    }
    if answer.redirects:
        outcome["url"] = asked.secrets.hide(answer.target.shown)
    message = f"{called} answered {answer.status}"
    if any(answer.status in statuses for statuses in asked.expected):
        return {"success": True, **outcome, "message": message}
    error = message + _details(outcome, asked.secrets.hide(answer.reason), text)
    if 300 <= answer.status < 500 and answer.status not in _TRIED_AGAIN:  # noqa: PLR2004 (redirects and its own fault)
        raise PermanentFailure(error)
    return _failed(error, **outcome)


def _details(outcome: Mapping[str, Any], reason: str, text: str) -> str:
    details = f" {reason}" if reason.isprintable() else ""
    for name in ("retry-after", "location"):
        if name in outcome["headers"]:
            details += f" ({name.title()}: {outcome['headers'][name]})"
    return f"{details}: {text[:_QUOTED]}" if text else details


def _failed(error: str, **outcome: Any) -> dict[str, Any]:
    return {"success": False, **outcome, "error": error}


def _text(asked: Asked, answer: Answer) -> tuple[str, bool]:
    """Return the part of a body that is kept, as text, and whether the body was longer; invalid bytes become U+FFFD."""
    _, _, charset = answer.headers.get("content-type", "").lower().partition("charset=")
    charset = charset.partition(";")[0].strip(" \"'")
    charset = charset if charset in _CHARSETS else "utf-8"
    text = answer.body.decode(charset, "replace")
    length = len(answer.body[: asked.kept_bytes].decode(charset, "replace"))
    covered = asked.secrets.cover(text, length).encode("utf-8", "replace")
    kept = covered[: asked.kept_bytes].decode("utf-8", "ignore")
    return kept, len(answer.body) > asked.kept_bytes or len(covered) > asked.kept_bytes


def _parsed(text: str, answer: Answer) -> Any:
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not text:
        return None
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return normalise(json.loads(text))
        except (ValueError, NotJson, RecursionError):
            return text
    return text


def _fitting(result: dict[str, Any]) -> dict[str, Any]:
    """Return the result with its body cut to fit: a larger result would be stored as a cut text."""
    size = len(encode(normalise(result)).encode())
    if size <= MAX_TEXT_BYTES:
        return result
    body = result["body"] if isinstance(result["body"], str) else encode(result["body"])
    # JSON text doubles quotes and backslashes, and makes six characters of a control character.
    while size > MAX_TEXT_BYTES:
        body = body[: max(len(body) * (MAX_TEXT_BYTES - _MARGIN) // size, 0)]
        result = result | {"body": body, "truncated": True}
        size = len(encode(normalise(result)).encode())
    return result
