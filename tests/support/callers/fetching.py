"""Calls by Connect and gRPC-Web, written down here from their specifications, apart from the library that serves them.

https://connectrpc.com/docs/protocol, https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md
"""

import base64
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import httpx2
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.json_format import MessageToJson, Parse
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

SERVICE = "/schedule.v1.ScheduleService/"
FORMS = ("connect+json", "connect+proto", "grpc-web+json", "grpc-web+proto")
"""The protocol, and the form of messages."""
LAST_OF_CONNECT, LAST_OF_WEB = 0b10, 0b10000000
"""Flags of the last part of an answer: Connect's end of a stream, gRPC-Web's trailers."""


class Failed(Exception):
    """An error that a call was answered with: its code in lower case, as Connect writes it."""

    def __init__(self, code: str, message: str, details: list[Packed], status: int) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.details = details
        self.http_status = status

    def unpacked(self, kind: type[Message]) -> Any:
        """Return the one detail of a kind."""
        (found,) = (each for each in self.details if each.Is(kind.DESCRIPTOR))
        made = kind()
        found.Unpack(made)
        return made


GRPC_CODES = (
    "ok", "canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists",
    "permission_denied", "resource_exhausted", "failed_precondition", "aborted", "out_of_range", "unimplemented",
    "internal", "unavailable", "data_loss", "unauthenticated",
)  # fmt: skip


@dataclass
class Fetching:
    """A caller by one protocol and form."""

    web: httpx2.AsyncClient
    form: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def is_json(self) -> bool:
        """Whether messages are JSON."""
        return self.form.endswith("json")

    @property
    def is_connect(self) -> bool:
        """Whether the protocol is Connect."""
        return self.form.startswith("connect")

    async def call(self, rpc: str, request: Message, answer: type[Message], service: str = SERVICE) -> Any:
        """Return the answer of a unary rpc.

        Raises:
            Failed: if it was refused.
        """
        if self.is_connect:
            kind = f"application/{self.form.partition('+')[2]}"
            got = await self.web.post(
                service + rpc, content=self.written(request), headers={"content-type": kind} | self.headers
            )
            if got.status_code != 200:
                raise _of_connect(got.json(), got.status_code)
            assert got.headers["content-type"] == kind
            return self.read(got.content, answer)
        async with self.stream(rpc, request, answer, service) as messages:
            (message,) = [message async for message in messages]
            return message

    @asynccontextmanager
    async def stream(
        self, rpc: str, request: Message, answer: type[Message], service: str = SERVICE
    ) -> AsyncIterator[AsyncIterator[Any]]:
        """Begin a stream; the context gives its messages, which end or raise Failed as the stream does."""
        headers = {"content-type": f"application/{self.form}"} | self.headers
        content = enveloped(self.written(request))
        async with self.web.stream("POST", service + rpc, content=content, headers=headers) as got:
            if "grpc-status" in got.headers:
                raise _of_grpc(got.headers, got.status_code)
            assert (got.status_code, got.headers["content-type"]) == (200, headers["content-type"])
            yield self._messages(got, answer)

    async def _messages(self, got: httpx2.Response, answer: type[Message]) -> AsyncIterator[Any]:
        kept = b""
        async for chunk in got.aiter_bytes():
            kept += chunk
            while len(kept) >= 5 and len(kept) >= 5 + (length := struct.unpack(">I", kept[1:5])[0]):
                flags, content, kept = kept[0], kept[5 : 5 + length], kept[5 + length :]
                if flags & LAST_OF_CONNECT:
                    if "error" in (end := json.loads(content)):
                        raise _of_connect(end["error"], 200)
                    return
                if flags & LAST_OF_WEB:
                    lines = (line.partition(":") for line in content.decode().splitlines())
                    trailers = {name.strip(): value.strip() for name, _, value in lines}
                    if trailers["grpc-status"] != "0":
                        raise _of_grpc(trailers, 200)
                    return
                assert flags == 0
                yield self.read(content, answer)
        raise EOFError

    def written(self, message: Message) -> bytes:
        """Return a message in the form."""
        return MessageToJson(message).encode() if self.is_json else message.SerializeToString()

    def read(self, content: bytes, kind: type[Message]) -> Any:
        """Return a message that came in the form."""
        return Parse(content, kind()) if self.is_json else kind.FromString(content)


def enveloped(content: bytes) -> bytes:
    """Return a message as a stream has it."""
    return struct.pack(">BI", 0, len(content)) + content


def _of_connect(error: dict[str, Any], status: int) -> Failed:
    details = [
        Packed(type_url=f"type.googleapis.com/{each['type']}", value=base64.b64decode(each["value"] + "=="))
        for each in error.get("details", ())
    ]
    return Failed(error["code"], error["message"], details, status)


def _of_grpc(trailers: Any, status: int) -> Failed:
    whole = Status.FromString(base64.b64decode(trailers.get("grpc-status-details-bin", "") + "=="))
    code = GRPC_CODES[int(trailers["grpc-status"])]
    return Failed(code, unquote(trailers.get("grpc-message", "")), list(whole.details), status)
