"""The routes of Connect and gRPC-Web: one for each rpc, at the rpc's own path, answered by connectrpc."""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.server import ConnectASGIApplication, Endpoint
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.descriptor_pool import Default
from google.protobuf.message_factory import GetMessageClass
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Send

from schedule_grpc.api.http.browsers import is_browser
from schedule_grpc.api.http.connect.calls import ADMISSION, Admitting, Calls, Shared
from schedule_grpc.api.http.connect.forms import FORMS
from schedule_grpc.api.http.connect.refusals import answer_to_rpc, connect_error_of_answer
from schedule_grpc.api.http.envelope import refusal
from schedule_grpc.api.http.refused import Refused
from schedule_grpc.api.http.target import RpcRoute

ADMISSION_KEY = "schedule_grpc.admission"
"""The key in a request's scope under which the guard hands over the call's admission."""
MAX_MESSAGE_BYTES = 1024 * 1024
GRPC_WEB = ("application/grpc-web", "application/grpc-web+proto", "application/grpc-web+json")
JSON = "application/json"
OF_UNARY = (JSON, "application/proto", *GRPC_WEB)
OF_STREAMS = ("application/connect+json", "application/connect+proto", *GRPC_WEB)
"""Content types of requests; all others, gRPC's own among them, are refused."""
UNDECLARED = ("", "application/x-www-form-urlencoded")
"""Content types of requests whose sender chose none (`curl -d` sends the second): JSON, if the sender is a program.

A browser sends both for a page of any site, without asking the server by a preflight.
"""


class Application(ConnectASGIApplication[None]):
    """connectrpc's application, with the admission of each call and the bounds of its body."""

    @property
    def path(self) -> str:
        """Return nothing: each endpoint has a whole path."""
        return ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a call."""
        ADMISSION.set(scope[ADMISSION_KEY])
        body = _Body(receive, send)
        async with AsyncExitStack() as stack:
            stack.push_async_exit(scope[ADMISSION_KEY])  # whose credentials are over while a message is sent
            await super().__call__(scope, body.receive, body.send)


class _CheckedApplication:
    """What connectrpc would refuse without a reason, or fail at, is refused here: content types, and odd headers."""

    def __init__(self, app: Application, kinds: Sequence[str]) -> None:
        self._app = app
        self._kinds = kinds

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer a call."""
        headers = Headers(scope=scope)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if scope["method"] == "POST":
            if kind in UNDECLARED and not is_browser(headers):
                kind = JSON
            if kind not in self._kinds:
                kinds = ", ".join(self._kinds)
                answer = refusal(415, f"Content-Type: must be one of {kinds}", headers={"accept-post": kinds})
                await answer_to_rpc(answer)(scope, receive, send)
                return
        await self._app({**scope, "headers": _readable(scope["headers"], kind)}, receive, send)


def _readable(headers: Iterable[tuple[bytes, bytes]], kind: str) -> list[tuple[bytes, bytes]]:
    """Return headers for connectrpc, which fails at bytes that are no UTF-8, and knows content types as plain ones."""
    plain = [each for each in headers if each[0] != b"content-type" and each[1].isascii()]
    return [*plain, (b"content-type", kind.encode("latin-1"))]


class _Body:
    """The body of a call, which the guard bounds: its refusal is answered as any other error of the call."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._headers: list[tuple[bytes, bytes]] = []

    async def receive(self) -> Message:
        """Return the body, or what comes after it."""
        try:
            return await self._receive()
        except Refused as refused:
            self._headers = [each for each in refused.answer.raw_headers if each[0] in (b"connection", b"retry-after")]
            raise connect_error_of_answer(refused.answer) from None

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Send a part of the answer, with the headers of the refusal."""
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *self._headers]
        await self._send(message)


def rpc_routes(servicers: Mapping[str, Any], shared: Shared) -> Iterator[RpcRoute]:
    """Yield the routes of all rpcs.

    Args:
        servicers: What answers the rpcs, by the full name of their service.
        shared: What the calls of all rpcs share.
    """
    endpoints: dict[str, Any] = {}
    app = Application(
        service=None,
        endpoints=lambda _: endpoints,
        interceptors=[Admitting(shared.answered)],
        read_max_bytes=MAX_MESSAGE_BYTES,
        compressions=(),  # as at all routes: a body is sent as it is
        codecs=FORMS,
    )
    for service, servicer in servicers.items():
        for method in Default().FindServiceByName(service).methods:
            rpc = f"/{service}/{method.name}"
            endpoints[rpc] = _endpoint(service, method, servicer, shared)
            checked = _CheckedApplication(app, OF_STREAMS if method.server_streaming else OF_UNARY)
            yield RpcRoute(rpc, checked, methods=["GET", "POST"] if _only_reads(method) else ["POST"])


def _endpoint(service: str, method: MethodDescriptor, servicer: Any, shared: Shared) -> Any:
    request, answer = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    calls = Calls(getattr(servicer, method.name), request=request, answer=answer, shared=shared)
    info: MethodInfo[Any, Any] = MethodInfo(
        name=method.name,
        service_name=service,
        input=request,
        output=answer,
        idempotency_level=IdempotencyLevel.NO_SIDE_EFFECTS if _only_reads(method) else IdempotencyLevel.UNKNOWN,
        stream_type=StreamType.SERVER_STREAM if method.server_streaming else StreamType.UNARY,
    )
    if method.server_streaming:
        return Endpoint.server_stream(info, calls.stream)
    return Endpoint.unary(info, calls.unary)


def _only_reads(method: MethodDescriptor) -> bool:
    """Tell whether a GET may make a call: the contract says that it changes nothing, and it has one answer."""
    level = method.GetOptions().idempotency_level
    return level == MethodOptions.NO_SIDE_EFFECTS and not method.server_streaming
