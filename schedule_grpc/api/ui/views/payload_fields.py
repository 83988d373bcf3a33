"""The fields of a form for a payload, from the JSON Schema that a worker gives of it.

A form is made of a flat schema only: an object whose properties are texts, numbers, integers and booleans. Any other
schema has no fields, and the payload is written as JSON: a form that shows a part of a payload as if it were all of it
is worse than none. So keywords are let through by name, and an unknown one means no form.

A schema is the input of a worker. What is taken from it is bounded; its patterns are not used, for a regular expression
can keep a browser busy forever; and its texts are values, which the page shows as text.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from schedule_grpc.domain.canonical_json import MAX_EXACT
from schedule_grpc.domain.json_input import parsed
from schedule_grpc.domain.worker import MAX_SCHEMA_BYTES
from schedule_grpc.text.unicode import cut, unicode_of

MOST_FIELDS = 40
MOST_CHOICES = 100
LONGEST_KEY = 128
"""Characters of a property's name, and of a choice."""
LONGEST_LABEL = 100
LONGEST_TEXT = 300
"""Characters that are shown of a description, and of a default."""

TIME_PATTERN = r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+\-]\d\d:\d\d)"
"""A date-time of JSON Schema (RFC 3339), as the attribute ``pattern`` of HTML takes it. It is written as text: the
browser's own input of a time has no offset, so it could not show the value without changing it."""
TIME_EXAMPLE = "2026-12-31T10:00:00Z"

_TOLD = frozenset({"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment"})
"""Keywords that restrict nothing."""
_LEFT = frozenset({"minLength", "maxLength", "pattern", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
"""Keywords that restrict a single value, and that only the handler checks: a textarea would not check them either."""
_OF_OBJECT = frozenset({"$schema", "$id", "type", "properties", "required", "additionalProperties"})
_OF_PROPERTY: Mapping[str, frozenset[str]] = {
    "string": frozenset({"type", "enum", "format"}),
    "number": frozenset({"type", "minimum", "maximum"}),
    "integer": frozenset({"type", "minimum", "maximum"}),
    "boolean": frozenset({"type"}),
}
"""By type, the keywords that a form heeds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PayloadField:
    """A field of the form: a key of the payload."""

    key: str
    label: str
    hint: str
    required: bool
    input: Mapping[str, str]
    """The attributes of its input. Their names are ours, none is the schema's."""
    choices: tuple[str | bool, ...] = ()
    """The values of a list to choose from; empty: it is an input."""


class _NotFlat(ValueError):
    """The schema describes more than a form shows."""


def payload_fields(schema: str) -> tuple[PayloadField, ...]:
    """Return the fields for a payload with a schema; none if there is no schema, it is broken, or it is not flat."""
    try:
        if len(schema.encode("utf-8", "replace")) > MAX_SCHEMA_BYTES:
            return ()
        return tuple(_fields(parsed(schema)))
    except (ValueError, RecursionError):
        return ()


def _fields(schema: Any) -> Iterator[PayloadField]:
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        _refuse("the payload is no object")
    _check_keywords(schema, _OF_OBJECT | _TOLD)
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(properties, dict) or len(properties) > MOST_FIELDS:
        _refuse("properties")
    if not isinstance(required, list) or not all(isinstance(each, str) for each in required):
        _refuse("required")
    if not isinstance(schema.get("additionalProperties", True), bool):
        _refuse("additionalProperties")
    for key, found in properties.items():
        yield _field(key, found, required=key in required)


def _field(key: str, schema: Any, *, required: bool) -> PayloadField:
    kind = schema.get("type") if isinstance(schema, dict) else None
    if not isinstance(kind, str) or kind not in _OF_PROPERTY or not _is_exact_in_html(key):
        _refuse(key)
    _check_keywords(schema, _OF_PROPERTY[kind] | _TOLD | _LEFT)
    title = _text(schema, "title", LONGEST_LABEL)
    return PayloadField(
        key=key,
        label=title or key,
        # Beside a title stands the key: a worker's title could be that of another key.
        hint=" · ".join([*([key] if title else []), *(["required"] if required else []), *_hints(schema, kind)]),
        required=required,
        input=_attributes(schema, kind),
        choices=_choices(schema, kind),
    )


def _check_keywords(schema: Mapping[str, Any], known: frozenset[str]) -> None:
    if not known.issuperset(schema):
        _refuse("a keyword that a form cannot heed")


def _attributes(schema: Mapping[str, Any], kind: str) -> dict[str, str]:
    if kind in ("number", "integer"):
        least, most = _bounds(schema, kind)
        bounds = {name: str(bound) for name, bound in (("min", least), ("max", most)) if bound is not None}
        return {"type": "number", "step": "1" if kind == "integer" else "any"} | bounds
    if schema.get("format") == "date":
        return {"type": "date"}
    if schema.get("format") == "date-time":
        return {"type": "text", "pattern": TIME_PATTERN, "placeholder": TIME_EXAMPLE, "title": f"As {TIME_EXAMPLE}"}
    return {"type": "text"}


def _bounds(schema: Mapping[str, Any], kind: str) -> tuple[int | float | None, int | float | None]:
    """Return the least and the greatest value; of an integer, whole: browsers count its steps from the least."""
    least, most = _number(schema, "minimum"), _number(schema, "maximum")
    if kind == "integer":
        least, most = None if least is None else math.ceil(least), None if most is None else math.floor(most)
    if least is not None and most is not None and least > most:
        _refuse("no value is allowed")
    return least, most


def _number(schema: Mapping[str, Any], keyword: str) -> int | float | None:
    found = schema.get(keyword)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not abs(found) <= MAX_EXACT:
        _refuse(keyword)  # no number, NaN, or one that a browser would round
    return found


def _choices(schema: Mapping[str, Any], kind: str) -> tuple[str | bool, ...]:
    if kind == "boolean":
        return (True, False)
    found = schema.get("enum")
    if found is None:
        return ()
    if not isinstance(found, list) or not 0 < len(found) <= MOST_CHOICES:
        _refuse("enum")
    if not all(isinstance(each, str) and _is_exact_in_html(each) for each in found):
        _refuse("enum")
    return tuple(dict.fromkeys(found))


def _hints(schema: Mapping[str, Any], kind: str) -> Iterator[str]:
    if description := _text(schema, "description", LONGEST_TEXT):
        yield description
    if kind in ("number", "integer"):
        least, most = _bounds(schema, kind)
        if least is not None:
            yield f"{least} to {most}" if most is not None else f"at least {least}"
        elif most is not None:
            yield f"at most {most}"
    default = schema.get("default")
    if isinstance(default, bool):
        yield f"default {'true' if default else 'false'}"
    elif isinstance(default, int | float):
        yield f"default {default}"
    elif default and isinstance(default, str):
        yield f"default {unicode_of(cut(default, LONGEST_TEXT))}"


def _text(schema: Mapping[str, Any], keyword: str, longest: int) -> str:
    found = schema.get(keyword, "")
    if not isinstance(found, str):
        _refuse(keyword)
    return unicode_of(cut(found.strip(), longest))


def _is_exact_in_html(text: str) -> bool:
    """Return whether a text goes through the page unchanged, and is seen as it is: no lone surrogates, no controls."""
    return 0 < len(text) <= LONGEST_KEY and text.isprintable()


def _refuse(what: str) -> NoReturn:
    raise _NotFlat(what)
