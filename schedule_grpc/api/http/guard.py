"""The guard in front of the routes: which callers may call, how much they may send, and headers of every answer.

A browser shows pages of any site, and lets them send requests here. So the Host must be a name of this server (else a
page could reach it under a name of its own, by DNS rebinding), and a request that changes something must not come from
another site (Origin, Sec-Fetch-Site: https://www.w3.org/TR/fetch-metadata/).
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from email.message import Message as Headline
from typing import Any, TypeAlias

from msgspec import structs
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from schedule_grpc.access.authenticator import Mode
from schedule_grpc.access.credentials import Credentials
from schedule_grpc.access.current import OUTSIDE, Call, begin
from schedule_grpc.access.gate import NOBODY, Gate
from schedule_grpc.access.rules import RULES, Rule, is_reading
from schedule_grpc.access.sessions import Sessions
from schedule_grpc.api.http.answering import HEADERS, Answering
from schedule_grpc.api.http.application import internal_error
from schedule_grpc.api.http.connect import ADMISSION_KEY, answer_to_rpc
from schedule_grpc.api.http.connection import CROWDED, HEALTH_ONLY, credentials_of
from schedule_grpc.api.http.cors import preflight_headers, sharing_headers
from schedule_grpc.api.http.envelope import RETRY_AFTER, Answer, refusal, refusal_of, success
from schedule_grpc.api.http.refused import Refused
from schedule_grpc.api.http.rpcs import OF_HEALTH, check_rpcs, rpc_of
from schedule_grpc.api.http.site import check_site, name_of
from schedule_grpc.api.http.target import ApiRoute, RpcRoute, Target, target_of
from schedule_grpc.errors import ScheduleError
from schedule_grpc.runtime.clock import Clock

MAX_BODY_BYTES = 1024 * 1024
MAX_BODIES_BYTES = 64 * 1024 * 1024
"""All bodies together whose requests are not answered yet."""
SMALL_BODY_BYTES = 16 * 1024
"""A body up to this size is accepted above that limit too: slow callers with large bodies keep no others out."""
BODY_SECONDS = 30.0
"""How long a caller may take to send a body."""
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
SENDING = frozenset({"POST", "PATCH", "PUT", "DELETE"})

FIRST_ERROR = 400
INTERNAL = 500
JSON, UTF_8 = "application/json", "utf-8"
_OTHER_JSON = re.compile(r"application/[^/]+\+json")

STRANGER = Call(NOBODY, Rule(open=True))
"""The call of a caller that was not admitted."""

Answered: TypeAlias = Callable[[str, str, int], None]
"""Called with each call's method, route and status."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """The callers that may call, beside those on this machine."""

    hosts: frozenset[str] = frozenset()
    """Names under which the server is reached, without ports."""
    origins: frozenset[str] = frozenset()
    """Sites whose pages may call, such as ``https://ops.example``."""
    changes: bool = True
    """Whether calls by HTTP may change anything."""


class Guard:
    """An ASGI application that checks requests before another one serves them."""

    def __init__(
        self,
        app: Any,
        *,
        access: Access,
        clock: Clock,
        answered: Answered,
        gate: Gate | None = None,
        leaving: Callable[[], bool] = lambda: False,
        sessions: Sessions | None = None,
    ) -> None:
        """Take an application.

        Args:
            app: Serves the requests that pass.
            access: The callers that may call, beside those on this machine.
            clock: Bounds the time that a caller takes to send a body.
            answered: Called with each call's method, route and status.
            gate: Admits calls; None: all are admitted.
            leaving: Returns whether the server is about to stop: then each answer ends its connection, and the next
                call of that caller goes where a load balancer sends it.
            sessions: The sessions of browsers; None: no cookie is read.

        Raises:
            CannotStart: if a route stands for no rpc, so that no rule says who may call it.
        """
        check_rpcs(app.router.routes)
        self._app = app
        self._routes = [each for each in app.router.routes if not isinstance(each, RpcRoute)]
        self._rpcs = {each.path: each for each in app.router.routes if isinstance(each, RpcRoute)}
        self._gate = gate
        self._sessions = sessions
        self._access = access
        self._hosts = LOOPBACK | access.hosts
        self._clock = clock
        self._answered = answered
        self._leaving = leaving
        self._bodies_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens."""
        if scope["type"] != "http":
            raise AssertionError("the server speaks HTTP only")
        call = dict(scope)  # the server's own still says HEAD: it then sends no body
        headers = Headers(scope=call)
        rpc = self._rpcs.get(call["path"])
        target = target_of(self._routes if rpc is None else (rpc,), call["method"], call["path"])
        answer = Answering(send, self._headers(headers, rpc=rpc is not None))
        try:
            await self._answer(call, headers, target, receive, answer)
        except Refused as refused:
            is_error = rpc is not None and refused.answer.status_code >= FIRST_ERROR
            in_form = answer_to_rpc(refused.answer) if is_error else self._in_form(call, target, refused.answer)
            await in_form(call, receive, answer.send)
        except ScheduleError as error:
            if answer.status is None:
                await self._in_form(call, target, refusal_of(error))(call, receive, answer.send)
            elif not answer.is_complete:  # a stream whose caller may no longer read it
                await answer.send({"type": "http.response.body", "body": b""})
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 (SystemExit of a route must not end the server)
            if answer.status != INTERNAL:  # else a route failed, and the application has logged and answered it
                failure = internal_error(scope["method"], scope["path"], error)
                if answer.status is None:
                    await failure(call, receive, answer.send)
        finally:
            route = getattr(call.get("route"), "path", "other")
            self._answered(scope["method"], route, answer.status or 0)

    async def _answer(self, call: Scope, headers: Headers, target: Target, receive: Receive, answer: Answering) -> None:
        method = call["method"]
        self._check_host(call, headers, target)
        if call["state"][CROWDED] and not target.probes:
            raise Refused.of(503, "There are too many connections", retry_after=RETRY_AFTER)
        if method == "OPTIONS":
            raise Refused(self._options(target, headers, rpc=call["path"] in self._rpcs))
        if target.changes_by(method):
            check_site(method, headers, self._access.origins)
        if target.route is None:
            raise Refused(_nothing() if not target.methods else _not_allowed(target.methods))
        if not self._access.changes and _is_change(target, target.route, method):
            raise Refused.of(403, "Nothing can be changed by HTTP here ([http] changes)")
        admission = await self._admitted(call, method, headers, target.route)
        if isinstance(target.route, RpcRoute):
            call[ADMISSION_KEY] = admission  # connectrpc enters it: the refusal is in the form of its protocol
            await self._serve_rpc(call, target, headers, receive, answer)
            return
        async with admission:
            await self._serve(call, target, target.route, headers, receive, answer)

    async def _admitted(
        self, call: Scope, method: str, headers: Headers, route: ApiRoute
    ) -> AbstractAsyncContextManager[object]:
        rpc = rpc_of(method, route.path)
        health_only = call["state"].get(HEALTH_ONLY, False)
        if health_only and rpc not in OF_HEALTH:
            raise Refused(_nothing())
        if self._gate is None or health_only or route.for_everybody:
            begin(OUTSIDE)  # a pipelined request's task begins in the context of the one before it
            return nullcontext()
        if method == "GET" and not RULES[rpc].safe_to_get and self._gate.mode is not Mode.OFF:
            raise Refused.of(405, "A server that knows its callers changes nothing by GET: use POST", allow="POST")
        if not isinstance(route, RpcRoute) and "authorization" not in headers and "cookie" in headers:
            return self._gate.admitting(rpc, await self._of_browser(call, headers, is_change=method in SENDING))
        return self._gate.admitting(rpc, credentials_of(call, headers))

    async def _of_browser(self, call: Scope, headers: Headers, *, is_change: bool) -> Credentials:
        """Return the credentials of a request with cookies: its session's, if it names one."""
        credentials = credentials_of(call, headers)
        session = None if self._sessions is None else await self._sessions.session_in(headers.getlist("cookie"))
        if session is None:
            return credentials
        if is_change and "origin" not in headers and "sec-fetch-site" not in headers:
            raise Refused.of(403, "A change by a session must say which page asks (Origin)")
        return structs.replace(credentials, key_digest=session.key_digest, session_until=session.expire_time)

    def _in_form(self, call: Scope, target: Target, answer: Response) -> Response:
        """Return the refusal of a call whose caller was not admitted, in the form that its route's callers read."""
        if target.route is None or call["state"].get(HEALTH_ONLY, False):
            return answer
        begin(STRANGER)
        return target.route.refused(Request({**call, "app": self._app}), answer)

    async def _serve(
        self, call: Scope, target: Target, route: ApiRoute, headers: Headers, receive: Receive, answer: Answering
    ) -> None:
        if call["method"] == "HEAD":
            if route.acts or route.lasts:
                raise Refused(success())  # a HEAD must neither run a task nor wait for events
            call["method"] = "GET"
        target.hand_to(call)
        if call["method"] not in SENDING:
            await self._app(call, receive, answer.send)
            return
        async with self._body(headers, receive) as body:
            if body:
                _check_kind(headers)
            await self._app(call, _replayed(body), answer.send)

    async def _serve_rpc(
        self, call: Scope, target: Target, headers: Headers, receive: Receive, answer: Answering
    ) -> None:
        if call["method"] == "HEAD":
            call["method"] = "GET"
        target.hand_to(call)
        async with AsyncExitStack() as stack:
            is_read = call["method"] not in SENDING

            async def body_or_end() -> Message:
                """Return the body when the call is admitted, and then its caller's going away."""
                nonlocal is_read
                if is_read:
                    return await receive()
                is_read = True
                body = await stack.enter_async_context(self._body(headers, receive))
                return {"type": "http.request", "body": body, "more_body": False}

            await self._app(call, body_or_end, answer.send)

    # -- which callers

    def _check_host(self, call: Scope, headers: Headers, target: Target) -> None:
        hosts = headers.getlist("host")
        if not hosts and call["http_version"] == "1.0" and _is_for_probes(call["method"], target):
            return
        if len(hosts) != 1 or not hosts[0]:
            raise Refused.of(400, "Host: is required, once")
        if target.for_everybody:
            return
        name = name_of(hosts[0])
        here = call.get("server") or ("", None)
        if name not in self._hosts and name != here[0] and name.strip("[]") != here[0]:
            raise Refused.of(403, f"Host {name} is not a name of this server ([http] allowed_hosts)")

    # -- how much

    @asynccontextmanager
    async def _body(self, headers: Headers, receive: Receive) -> AsyncIterator[bytes]:
        """Read a body; within this context it counts towards the limit of all bodies."""
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > MAX_BODY_BYTES:
            raise _too_large()
        content = bytearray()
        try:
            try:
                async with self._clock.timeout(BODY_SECONDS):
                    async for part in _parts(receive):
                        content += part
                        self._bodies_bytes += len(part)
                        self._check_size(len(content))
            except TimeoutError:
                raise Refused.of(408, f"The body took more than {BODY_SECONDS:.0f} s", connection="close") from None
            yield bytes(content)
        finally:
            self._bodies_bytes -= len(content)

    def _check_size(self, size: int) -> None:
        if size > MAX_BODY_BYTES:
            raise _too_large()
        if size > SMALL_BODY_BYTES and self._bodies_bytes > MAX_BODIES_BYTES:
            headers = {"retry_after": RETRY_AFTER, "connection": "close"}
            raise Refused.of(503, "There are too many large bodies under way", **headers)

    # -- methods and headers

    def _options(self, target: Target, headers: Headers, *, rpc: bool) -> Answer:
        if not target.methods:
            return _nothing()
        allowed = _listed(target.methods)
        answer = success(methods=allowed.split(", "))
        answer.headers["allow"] = allowed
        if headers.get("origin") in self._access.origins:
            answer.headers.update(preflight_headers(allowed, rpc=rpc))
        return answer

    def _headers(self, headers: Headers, *, rpc: bool) -> Mapping[bytes, bytes]:
        origin = headers.get("origin")
        usual = {**HEADERS, b"connection": b"close"} if self._leaving() else HEADERS
        if origin is None or origin not in self._access.origins:
            return usual
        return {**usual, **sharing_headers(origin, rpc=rpc)}


async def _parts(receive: Receive) -> AsyncIterator[bytes]:
    """Iterate over the parts of a body, up to its end."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused.of(400, "The body ended early", connection="close")
        yield message.get("body", b"")
        more = message.get("more_body", False)


def _replayed(body: bytes) -> Receive:
    """Return an ASGI receive function for a body that was read already."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


def _is_change(target: Target, route: ApiRoute, method: str) -> bool:
    """Tell whether a request may change something of the service; most rpcs that only read are called by POST."""
    if isinstance(route, RpcRoute):
        return not is_reading(route.path)
    return target.changes_by(method) and not route.of_session


def _nothing() -> Answer:
    return refusal(404, "Not found")


def _not_allowed(methods: frozenset[str]) -> Answer:
    return refusal(405, "Method not allowed", headers={"allow": _listed(methods)})


def _is_for_probes(method: str, target: Target) -> bool:
    """Tell whether a request without a Host header may be answered.

    Browsers always send Host, so its caller is no page that uses DNS rebinding. HAProxy's health checks send none.
    """
    return method == "OPTIONS" or target.probes


def _listed(methods: frozenset[str]) -> str:
    more = {"OPTIONS", "HEAD"} if "GET" in methods else {"OPTIONS"}
    return ", ".join(sorted(methods | more))


def _too_large() -> Refused:
    return Refused.of(413, f"The body is larger than {MAX_BODY_BYTES} bytes", connection="close")


def _check_kind(headers: Headers) -> None:
    """Refuse a body that is not plain JSON in UTF-8."""
    encodings = [each.strip().lower() for each in ",".join(headers.getlist("content-encoding")).split(",")]
    if any(each not in ("", "identity") for each in encodings):
        raise Refused.of(415, "Content-Encoding: a body must be sent as it is", accept_encoding="identity")
    kind = Headline()
    kind["content-type"] = headers.get("content-type") or JSON
    if kind.get_content_type() != JSON and not _OTHER_JSON.fullmatch(kind.get_content_type()):
        raise Refused.of(415, "Content-Type: must be application/json")
    if str(kind.get_param("charset", UTF_8)).lower() not in (UTF_8, "utf8", "us-ascii"):
        raise Refused.of(415, "Content-Type: JSON is sent in UTF-8")
