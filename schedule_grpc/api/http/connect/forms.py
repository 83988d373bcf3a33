"""The forms of messages, protobuf and JSON: read once the caller is known, large ones aside."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from connectrpc.codec import Codec
from google.protobuf.json_format import MessageToJson, Parse, ParseError
from google.protobuf.message import Message

from schedule_grpc.errors import InvalidArgument
from schedule_grpc.runtime.threads import Aside

Kind: TypeAlias = type[Message]
"""The class of an rpc's requests, or of its answers."""
UNREADABLE = "cannot be read: not this message, or nested too deep"


@dataclass(frozen=True, slots=True)
class Unread:
    """A request that is not read yet."""

    content: bytes
    form: "Form"

    async def read(self, kind: Kind, aside: Aside) -> Message:
        """Return the request.

        Raises:
            InvalidArgument: if it is no message of this kind in its form.
        """
        weight = len(self.content) if self.form.is_slow else 0
        return await aside.compute(partial(self.form.read, self.content, kind), weight=weight)

    async def written(self, answer: Message | bytes, kind: Kind, aside: Aside) -> bytes:
        """Return an answer in the form of its request; one that is bytes is protobuf already."""
        size = len(answer) if isinstance(answer, bytes) else answer.ByteSize()
        return await aside.compute(partial(self.form.write, answer, kind), weight=size if self.form.is_slow else 0)


class Form(Codec[Any, Any]):
    """One form of messages, as a codec of connectrpc that neither reads nor writes.

    connectrpc reads a request before its rpc is called, in the event loop, where a large JSON object would hold up all
    other calls.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[bytes, Kind], Message],
        write: Callable[[Message | bytes, Kind], bytes],
        *,
        is_slow: bool,
    ) -> None:
        """Take the name in content types, the functions, and whether they take long for large messages."""
        self._name = name
        self.read = read
        self.write = write
        self.is_slow = is_slow

    def name(self) -> str:
        """Return the name of the form in content types."""
        return self._name

    def encode(self, message: bytes) -> bytes:
        """Return an answer that is written already."""
        return message

    def decode(self, data: bytes | bytearray, message_class: type[Any]) -> Unread:  # noqa: ARG002 (read later)
        """Return a request that is not read yet."""
        return Unread(bytes(data), self)


def _read_protobuf(content: bytes, kind: Kind) -> Message:
    try:
        return kind.FromString(content)
    except Exception:  # noqa: BLE001 (protobuf's own DecodeError, and others)
        raise InvalidArgument.of("request", UNREADABLE) from None


def _write_protobuf(answer: Message | bytes, _: Kind) -> bytes:
    return answer if isinstance(answer, bytes) else answer.SerializeToString()


def _read_json(content: bytes, kind: Kind) -> Message:
    """Read ProtoJSON. An unknown field is refused: a typo must not change the answer in silence."""
    if content and not content.lstrip().startswith(b"{"):
        raise InvalidArgument.of("request", "should be a JSON object")  # protobuf takes an empty list for one
    try:
        return Parse(content or b"{}", kind())
    except ParseError as error:
        raise InvalidArgument.of("request", " ".join(str(error).split())) from None
    except Exception:  # noqa: BLE001 (json's own errors, RecursionError, integers with too many digits)
        raise InvalidArgument.of("request", UNREADABLE) from None


def _write_json(answer: Message | bytes, kind: Kind) -> bytes:
    message = kind.FromString(answer) if isinstance(answer, bytes) else answer
    return MessageToJson(message, indent=None, ensure_ascii=False).encode()


PROTOBUF = Form("proto", _read_protobuf, _write_protobuf, is_slow=False)
JSON = Form("json", _read_json, _write_json, is_slow=True)
FORMS = (PROTOBUF, JSON)
