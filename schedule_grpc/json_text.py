"""JSON values as the service keeps them: one canonical text for one value.

Whole doubles up to 2^53 become integers (protobuf's Struct makes every number a double); NaN, infinities, keys that are
not strings, text that is not Unicode, and anything JSON does not know are refused. Depth is bounded because protobuf's
parser refuses messages nested deeper than about a hundred levels: what is accepted can always be shown again.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, TypeAlias

Json: TypeAlias = bool | int | float | str | list[Any] | dict[str, Any] | None

MAX_DEPTH = 32
"""Levels of lists and objects: a Struct spends three message levels on each."""

MAX_EXACT = 2**53
"""Every whole double up to here is one integer (IEEE 754)."""


class NotJson(ValueError):
    """A value has no canonical JSON text; the message says which part and why."""


def normalise(value: object, *, path: str = "") -> Json:
    """Return ``value`` as plain JSON types, whole doubles as integers.

    Raises:
        NotJson: for what JSON cannot hold, naming the place, for example ``.items[3].price: nan is not JSON``.
    """
    return _normalised(value, path, MAX_DEPTH)


def canonical(value: object) -> str:
    """Return the one text of ``value``: keys sorted, no blanks, Unicode as it is.

    Raises:
        NotJson: as `normalise`.
    """
    return encode(normalise(value))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def encode(value: Json) -> str:
    """Return the text of an already normalised value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def decode(text: str) -> Any:
    """Return the value of a text made by `encode`.

    Raises:
        ValueError, RecursionError: for any other text.
    """
    return _DECODER.decode(text)


def whole(number: float) -> int | float:
    """Return a double that is one integer as that integer, any other as it is."""
    return int(number) if number.is_integer() and abs(number) <= MAX_EXACT else number


def _normalised(value: object, path: str, levels_left: int) -> Json:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, int):
        return _integer(value, path)
    if isinstance(value, float):
        return _number(value, path)
    if levels_left == 0:
        raise NotJson(f"{path or 'value'}: nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        return {_key(key, path): _normalised(item, f"{path}.{key}", levels_left - 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_normalised(item, f"{path}[{index}]", levels_left - 1) for index, item in enumerate(value)]
    raise NotJson(f"{path or 'value'}: {type(value).__name__} is not JSON")


def _key(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise NotJson(f"{path or 'value'}: the key {key!r} is not a string")
    return _text(key, path)


def _text(text: str, path: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise NotJson(f"{path or 'value'}: the text has a lone surrogate") from None
    return str.__str__(text)  # an Enum that is a str is its value, whatever it shows itself as


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
