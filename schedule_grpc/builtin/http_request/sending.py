"""One request and its redirects: each goes to an address that was checked, on a connection of its own.

The connection is made to the address itself, with the host's name in the Host header and in TLS, where the certificate
is checked against the name. No connection is kept: one that was made for a name must not serve another name at the same
address. Proxies, cookies, .netrc and other settings of the environment are ignored.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from schedule_grpc.builtin.http_request.addresses import Refused, Target, read_url
from schedule_grpc.builtin.http_request.payload import Asked
from schedule_grpc.builtin.http_request.settings import Reach
from schedule_grpc.tracing import TRACEPARENT, Kind, present_span

if TYPE_CHECKING:
    from httpx2 import Response

CONNECT_SECONDS = 5.0
"""The time to connect to one address; after it, the next one is tried."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEEPS_METHOD = frozenset({307, 308})
_FIRST_ERROR = 400
_HARMLESS = frozenset({"accept", "accept-language", "content-type", "user-agent"})
"""Headers that are sent to another origin too, unless they hold a secret."""
_COMPRESSED = ("gzip", "x-gzip", "deflate")
_ANY_ZLIB = 47
"""zlib's own form and gzip's: https://zlib.net/manual.html, inflateInit2."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The response to a request, after its redirects."""

    target: Target
    """The target that answered, after redirects."""
    status: int
    reason: str
    headers: Mapping[str, str]
    """By their names in lower case; several of one name are joined by commas."""
    body: bytes
    """At least the first ``read_bytes`` of the request; more than that only if the body is longer."""
    redirects: int


async def send(asked: Asked, reach: Reach, *, ours: Mapping[str, str]) -> Answer:
    """Send a request, and follow its redirects up to its limit.

    Args:
        asked: The request.
        reach: The hosts that it may go to.
        ours: Headers that are sent to every origin.

    Raises:
        Refused: if the request, or a redirect, must not be sent, or not with its secrets.
        Unresolved: if a host has no address now.
        httpx2.HTTPError: if no complete response arrives.
    """
    for number in range(asked.max_redirects + 1):
        answer = await _exchanged(asked, reach, ours)
        location = answer.headers.get("location")
        if not asked.max_redirects or answer.status not in _REDIRECTS or location is None:
            return replace(answer, redirects=number)
        asked = _redirected(asked, answer.status, location)
    raise Refused(f"was redirected more than {asked.max_redirects} times")


def _redirected(asked: Asked, status: int, location: str) -> Asked:
    from httpx2 import InvalidURL  # noqa: PLC0415

    try:
        target = read_url(str(asked.target.url.join(location)))
    except InvalidURL as error:
        raise Refused(f"was redirected to a URL that cannot be read: {error}") from None
    except Refused as error:
        raise Refused(f"was redirected to a URL that {error}") from None
    if (asked.target.url.scheme, target.url.scheme) == ("https", "http"):
        raise Refused(f"was redirected from https to {target.shown}")
    method, content, headers, secrets = asked.method, asked.content, dict(asked.headers), asked.secret_headers
    if status not in _KEEPS_METHOD and method not in ("GET", "HEAD"):
        method, content = "GET", b""
        headers.pop("content-type", None)
    if target.origin != asked.target.origin:
        harmless = _HARMLESS - secrets.keys()
        headers, secrets = {name: value for name, value in headers.items() if name in harmless}, {}
    return replace(asked, target=target, method=method, content=content, headers=headers, secret_headers=secrets)


async def _exchanged(asked: Asked, reach: Reach, ours: Mapping[str, str]) -> Answer:
    """Send one request; within a traced handler it is a span, whose ``traceparent`` goes along.

    The span names the host and not the path, which may hold a secret, as those of webhooks do.
    """
    span = present_span()
    if span is None:
        return await _answered(asked, reach, ours)
    target = asked.target
    attributes: dict[str, str | int] = {
        "http.request.method": asked.method,
        "url.scheme": target.url.scheme,
        "server.address": target.host,
        "server.port": target.port,
    }
    with span.child(asked.method, Kind.CLIENT, attributes) as sent:
        answer = await _answered(asked, reach, {**ours, TRACEPARENT: sent.traceparent})
        sent.note({"http.response.status_code": answer.status})
        if answer.status >= _FIRST_ERROR:
            sent.fail(str(answer.status))
        return answer
    raise AssertionError("the context swallows nothing")


async def _answered(asked: Asked, reach: Reach, ours: Mapping[str, str]) -> Answer:
    from httpx2 import AsyncHTTPTransport, ConnectError, ConnectTimeout, Limits, Request  # noqa: PLC0415

    target = asked.target
    asked.check_secrets()
    *others, last = await reach.addresses(target)
    headers = {"accept": "*/*", "user-agent": "schedule-grpc", "accept-encoding": "identity", **asked.headers, **ours}
    limits = Limits(max_keepalive_connections=0)
    async with AsyncHTTPTransport(verify=reach.tls, trust_env=False, limits=limits) as transport:
        for address in (*others, last):
            request = Request(
                asked.method,
                target.url.copy_with(host=address),
                headers={"host": target.url.netloc.decode("ascii"), **headers},
                content=asked.content or None,
                extensions={"sni_hostname": target.host, "timeout": {"connect": CONNECT_SECONDS}},
            )
            try:
                response = await transport.handle_async_request(request)
            except (ConnectError, ConnectTimeout):
                if address == last:
                    raise
            else:
                break
        try:
            return await _read(response, asked)
        finally:
            await response.aclose()


async def _read(response: "Response", asked: Asked) -> Answer:
    from httpx2 import DecodingError  # noqa: PLC0415

    unpack = _unpacker(response.headers.get("content-encoding", ""))
    body = bytearray()
    try:
        async for chunk in response.aiter_raw():
            body += chunk if unpack is None else unpack.decompress(chunk, asked.read_bytes + 1 - len(body))
            if len(body) > asked.read_bytes:
                break
    except zlib.error as error:
        raise DecodingError(str(error)) from None
    return Answer(
        target=asked.target,
        status=response.status_code,
        reason=response.reason_phrase,
        headers={name.lower(): value for name, value in response.headers.items()},
        body=bytes(body),
        redirects=0,
    )


def _unpacker(encoding: str) -> "zlib._Decompress | None":
    """Return a decompressor for a server that compresses unasked; it never unpacks more than is kept."""
    return zlib.decompressobj(_ANY_ZLIB) if encoding.strip().lower() in _COMPRESSED else None
