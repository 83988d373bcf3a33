"""JSON values as the service keeps them: one canonical text for one value.

Whole doubles up to 2^53 become integers (protobuf's Struct makes every number a double); NaN, infinities, keys that are
not strings, text that is not Unicode, and anything JSON does not know are refused. Depth is bounded because protobuf's
parser refuses messages nested deeper than about a hundred levels: an accepted value can always be sent again.
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from schedule_grpc.domain.read_only import ReadOnlyDict, read_only

Json: TypeAlias = bool | int | float | str | list[Any] | dict[str, Any] | None

MAX_DEPTH = 32
"""Levels of lists and objects: a Struct spends three message levels on each."""

MAX_EXACT = 2**53
"""Every whole double up to here is one integer (IEEE 754)."""


class NotJson(ValueError):
    """A value has no canonical JSON text; the message names the part and the reason."""


def checked_text(text: str) -> str:
    """Return a text as it is.

    Raises:
        NotJson: if it has a lone surrogate, which is no Unicode. NUL is: JSON escapes it.
    """
    plain = str.__str__(text)  # an Enum that is a str is its value, whatever it shows itself as
    try:
        plain.encode()
    except UnicodeEncodeError:
        raise NotJson("the text has a lone surrogate") from None
    return plain


def normalise(value: object, *, path: str = "", text_of: Callable[[str], str] = checked_text) -> Json:
    """Return ``value`` as plain JSON types of its own, whole doubles as integers.

    Args:
        value: Any Python value.
        path: The value's own path, a prefix of the paths in errors.
        text_of: Returns each text and key as it is kept; by default it checks them.

    Raises:
        NotJson: for what JSON cannot hold, naming the place, for example ``.items[3].price: nan is not JSON``.
    """
    return _Normal(text_of).of(value, path, MAX_DEPTH)


def canonical(value: object) -> str:
    """Return the one text of ``value``: keys sorted, no blanks, Unicode as it is.

    Raises:
        NotJson: as `normalise`.
    """
    return encode(normalise(value))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def encode(value: Json) -> str:
    """Return the text of an already normalised value."""
    return _ENCODER.encode(value)


def decode(text: str) -> Any:
    """Return the value of a text made by `encode`.

    Raises:
        ValueError, RecursionError: for any other text.
    """
    return _DECODER.decode(text)


class CanonicalObject(ReadOnlyDict):
    """A read-only JSON object with its text, which is made once: to check a value, and to store it."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        """Take the object's text, as `encode` makes it."""
        super().__init__((key, read_only(item)) for key, item in decode(text).items())
        self.text = text


def object_text(value: Mapping[str, Any]) -> str:
    """Return the text of an already normalised object."""
    return value.text if isinstance(value, CanonicalObject) else encode(dict(value))


def whole(number: float) -> int | float:
    """Return a double that is one integer as that integer, any other as it is."""
    return int(number) if number.is_integer() and abs(number) <= MAX_EXACT else number


class _Normal:
    """Makes values normal, their texts by a function."""

    def __init__(self, text_of: Callable[[str], str]) -> None:
        self._text_of = text_of

    def of(self, value: object, path: str, levels_left: int) -> Json:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, int):
            return _integer(value, path)
        if isinstance(value, float):
            return _number(value, path)
        if levels_left == 0:
            raise NotJson(f"{path or 'value'}: nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, Mapping):
            return self._object(value, path, levels_left - 1)
        if isinstance(value, list | tuple):
            return [self.of(item, f"{path}[{index}]", levels_left - 1) for index, item in enumerate(value)]
        raise NotJson(f"{path or 'value'}: {type(value).__name__} is not JSON")

    def _object(self, value: Mapping[Any, object], path: str, levels_left: int) -> Json:
        items = tuple(value.items())  # at one moment: a thread of a handler's may still be changing it
        kept = {self._key(key, path): self.of(item, f"{path}.{key}", levels_left) for key, item in items}
        if len(kept) < len(items):
            raise NotJson(f"{path or 'value'}: two keys are the same once what is no Unicode is replaced")
        return kept

    def _key(self, key: object, path: str) -> str:
        if not isinstance(key, str):
            raise NotJson(f"{path or 'value'}: the key {key!r} is not a string")
        return self._text(key, path)

    def _text(self, text: str, path: str) -> str:
        try:
            return self._text_of(text)
        except NotJson as error:
            raise NotJson(f"{path or 'value'}: {error}") from None


def _integer(number: int, path: str) -> int:
    try:
        float(number)
    except OverflowError:
        raise NotJson(f"{path or 'value'}: the number is larger than a double can hold") from None
    return int(number)


def _number(number: float, path: str) -> int | float:
    if not math.isfinite(number):
        raise NotJson(f"{path or 'value'}: {number} is not JSON")
    return whole(float(number))
