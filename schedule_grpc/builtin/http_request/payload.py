"""The payload of http-request: its fields, and the reason why one is refused."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from schedule_grpc.builtin.http_request.addresses import Refused, Target, read_url
from schedule_grpc.builtin.http_request.task_secrets import KINDS, Secret, TaskSecrets
from schedule_grpc.domain import durations
from schedule_grpc.errors import InvalidArgument
from schedule_grpc.text.secrets import SHORTEST_SECRET, Secrets

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
WITHOUT_BODY = ("GET", "HEAD")
KEPT_BYTES = 64 * 1024
MAX_KEPT_BYTES = 1024 * 1024
MAX_REDIRECTS = 10
FIELDS = ("method", "url", "headers", "body", "expected_status", "timeout", "max_response_bytes", "max_redirects")

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_OURS = frozenset(
    # The first ones frame the message or belong to the connection; the last ones are promised to every service.
    (
        "host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "expect",
        "proxy-authorization", "proxy-connection", "accept-encoding",
        "idempotency-key", "x-schedule-scheduled-time", "x-schedule-execution",
    )
)  # fmt: skip
_RANGE = re.compile(r"(?P<first>[1-5]\d\d)(?:-(?P<last>[1-5]\d\d))?|(?P<hundreds>[1-5])xx")


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A request as its payload asks for it, with the secrets filled in."""

    method: str
    target: Target
    headers: Mapping[str, str] = field(repr=False)
    """By their names in lower case."""
    content: bytes
    expected: tuple[range, ...]
    timeout: timedelta | None
    kept_bytes: int
    max_redirects: int
    secrets: Secrets = field(repr=False)
    """Secrets of the headers: hidden in every text that is logged or stored."""
    secret_headers: Mapping[str, Secret] = field(default_factory=dict)
    """The secrets in headers, by the header's name in lower case: each is sent to its own hosts only."""

    @property
    def read_bytes(self) -> int:
        """Bytes of a response that are read: those that are kept, and the rest of a secret that begins at their end."""
        return self.kept_bytes + self.secrets.longest_spelling

    def check_secrets(self) -> None:
        """Check that the target may be sent every secret of the headers.

        Raises:
            Refused: naming the header and the secret.
        """
        for name, secret in self.secret_headers.items():
            try:
                secret.check(self.target)
            except Refused as error:
                raise Refused(f"must not be sent: the secret {secret.name} of the header {name} {error}") from None


def read_payload(payload: Mapping[str, Any], secrets: TaskSecrets) -> Asked:
    """Return the request of a payload, with the secrets that it refers to.

    Raises:
        InvalidArgument: naming the field and the reason, never a secret.
    """
    for name in payload:
        if name not in FIELDS:
            raise _wrong(name, f"there is no such field ({', '.join(FIELDS)})")
    content, content_type = _content(payload.get("body"))
    method = _method(payload.get("method", "GET"), has_body="body" in payload)
    headers, secret_headers = _headers(payload.get("headers", {}), secrets)
    if content_type:
        headers.setdefault("content-type", content_type)
    return Asked(
        method=method,
        target=_target(payload.get("url")),
        headers=headers,
        content=content,
        expected=_expected(payload.get("expected_status", "2xx")),
        timeout=_timeout(payload.get("timeout")),
        kept_bytes=_whole("max_response_bytes", payload.get("max_response_bytes", KEPT_BYTES), MAX_KEPT_BYTES),
        max_redirects=_whole("max_redirects", payload.get("max_redirects", 0), MAX_REDIRECTS),
        # A shorter one would be found all over an answer.
        secrets=Secrets(each.text for each in secret_headers.values() if len(each.text) >= SHORTEST_SECRET),
        secret_headers=secret_headers,
    )


def _wrong(field: str, reason: str) -> InvalidArgument:
    return InvalidArgument.of(f"payload.{field}", reason)


def _method(method: object, *, has_body: bool) -> str:
    if not isinstance(method, str) or method.upper() not in METHODS:
        raise _wrong("method", f"{method!r} is none of {', '.join(METHODS)}")
    if has_body and method.upper() in WITHOUT_BODY:
        raise _wrong("body", f"{method.upper()} has none: say which method takes it")
    return method.upper()


def _target(url: object) -> Target:
    if not isinstance(url, str):
        raise _wrong("url", "is missing" if url is None else "is not a text")
    try:
        return read_url(url)
    except Refused as error:
        raise _wrong("url", str(error)) from None


def _content(body: object) -> tuple[bytes, str]:
    if body is None:
        return b"", ""
    if isinstance(body, str):
        return body.encode(), "text/plain; charset=utf-8"
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(), "application/json"


def _headers(headers: object, secrets: TaskSecrets) -> tuple[dict[str, str], dict[str, Secret]]:
    """Return the headers' values and, of those that have one, the secrets; by the names in lower case."""
    if not isinstance(headers, Mapping):
        raise _wrong("headers", "is not an object of names and values")
    found: dict[str, str] = {}
    used: dict[str, Secret] = {}
    for name, value in headers.items():
        field = f"headers.{name}"
        if not _NAME.fullmatch(name) or name.lower() in found:
            raise _wrong(field, "is not a header's name, or is there twice")
        if name.lower() in _OURS:
            raise _wrong(field, "is set by the service")
        if isinstance(value, str):
            text = value
        else:
            used[name.lower()] = secret = _secret(field, value, secrets)
            text = value.get("prefix", "") + secret.text
        if not (text.isascii() and text.replace("\t", "").isprintable()) or text != text.strip():
            raise _wrong(
                field, "its value has what no header may have: a line break, other than ASCII, a blank around it"
            )
        found[name.lower()] = text
    return found, used


def _secret(field: str, reference: object, secrets: TaskSecrets) -> Secret:
    if (
        not isinstance(reference, Mapping)
        or len(reference.keys() & set(KINDS)) != 1
        or reference.keys() - {*KINDS, "prefix"}
        or not all(isinstance(text, str) for text in reference.values())
    ):
        raise _wrong(
            field,
            'is neither a text nor {"secret": NAME}, {"env": NAME} or {"file": PATH}, each with an optional "prefix"',
        )
    try:
        return secrets.read(reference)
    except Refused as error:
        raise _wrong(field, str(error)) from None


def _expected(status: object) -> tuple[range, ...]:
    ranges = tuple(_range(each) for each in (status if isinstance(status, list) else [status]))
    if not ranges:
        raise _wrong("expected_status", "is empty: no answer would do")
    return ranges


def _range(status: object) -> range:
    whole = isinstance(status, int) and not isinstance(status, bool)
    match = _RANGE.fullmatch(str(status)) if whole or isinstance(status, str) else None
    if match is None:
        raise _wrong(
            "expected_status", f"{status!r} is neither a status such as 204 nor a range such as 200-204 or 2xx"
        )
    if match["hundreds"]:
        first = int(match["hundreds"]) * 100
        return range(first, first + 100)
    first = int(match["first"])
    return range(first, int(match["last"] or first) + 1)


def _timeout(timeout: object) -> timedelta | None:
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, str | int | float):
        raise _wrong("timeout", f"{timeout!r} is not a duration such as 5s")
    try:
        found = durations.read(str(timeout))
    except ValueError as error:
        raise _wrong("timeout", str(error)) from None
    if not found:
        raise _wrong("timeout", "leaves no time at all")
    return found


def _whole(field: str, value: object, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise _wrong(field, f"{value!r} is not a whole number from 0 to {most}")
    return value
