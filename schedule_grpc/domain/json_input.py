"""JSON and TOML as callers write them: a value that some edge could not carry is refused, never altered in silence.

An integer beyond ±2^53 is refused in payload and metadata, at every edge alike: protobuf's Struct, JavaScript and other
readers of JSON hold numbers as doubles, and would make another integer of it. (What a handler returns is not refused:
HTTP shows it exactly, gRPC as text.) A key that stands twice in one object is refused: readers disagree which counts.
"""

import codecs
import json
import tomllib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from schedule_grpc.domain.canonical_json import MAX_EXACT, Json, NotJson, normalise

_SHOWN_BITS = 256
"""Integers up to this size are repeated in an error."""


def portable(value: object) -> Json:
    """Return ``value`` normalised, if every edge can carry it exactly.

    Raises:
        NotJson: as `json_text.normalise`; for an integer beyond ±2^53, naming the place.
    """
    found = normalise(value)
    _refuse_large_integers(found, "")
    return found


def parsed(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: if it is no JSON, nested too deep, or an object in it has a key twice.
    """
    try:
        return json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_object)
    except RecursionError:
        raise NotJson("nested too deep") from None


def table(content: bytes) -> dict[str, Any]:
    """Return the tables of a TOML file; a byte order mark at its beginning, as some editors write it, is left out.

    Raises:
        ValueError: if it is not TOML in UTF-8.
    """
    return tomllib.loads(text_of(content))


def document(content: bytes) -> Any:
    """Return the content of a file in TOML or JSON: no TOML document begins with a brace.

    Raises:
        ValueError: as `parsed` and `table`.
    """
    text = text_of(content)
    return parsed(text) if text.lstrip().startswith("{") else tomllib.loads(text)


def text_of(content: bytes) -> str:
    """Return a file's text without its byte order mark.

    Raises:
        ValueError: if it is not UTF-8.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("is UTF-16: save it as UTF-8")
    return content.decode("utf-8-sig")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise NotJson(f"the key {twice!r} is given twice in one object")
    return found


def _refuse_large_integers(value: Json, path: str) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            _refuse_large_integers(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_large_integers(item, f"{path}[{index}]")
    elif isinstance(value, int) and abs(value) > MAX_EXACT:
        shown = str(value) if value.bit_length() <= _SHOWN_BITS else f"an integer of {value.bit_length()} bits"
        reason = "is beyond ±2^53, where not every client reads the same integer: write it as text"
        raise NotJson(f"{path or 'value'}: {shown} {reason}")
