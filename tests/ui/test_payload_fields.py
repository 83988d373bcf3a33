"""The fields of a payload's form: of flat schemas only, bounded, and none of a schema that is broken or says more."""

import json
from typing import Any

import pytest

from schedule_grpc.api.ui.views.payload_fields import (
    LONGEST_LABEL,
    LONGEST_TEXT,
    MOST_CHOICES,
    MOST_FIELDS,
    TIME_PATTERN,
    PayloadField,
    payload_fields,
)


def of(*, required: Any = (), **properties: Any) -> str:
    """Return a schema with these properties."""
    wanted = required if isinstance(required, str) else list(required)
    return json.dumps({"type": "object", "properties": properties, "required": wanted})


def one(**schema: Any) -> PayloadField:
    """Return the field of the property ``key`` with a schema."""
    (field,) = payload_fields(of(key=schema))
    return field


def test_a_flat_schema_has_a_field_for_each_property():
    """In the schema's order, with its title, what it says, and what the browser checks."""
    schema = of(
        required=["day", "absent"],
        day={"type": "string", "format": "date", "title": "Day", "description": "Of the report"},
        rows={"type": "integer", "minimum": 1, "maximum": 100, "default": 10},
        share={"type": "number", "minimum": 0.5},
        mode={"type": "string", "enum": ["fast", "full", "fast"], "default": "full"},
        dry={"type": "boolean", "default": False},
        note={"type": "string", "default": "none"},
    )
    assert payload_fields(schema) == (
        PayloadField(
            key="day", label="Day", hint="day · required · Of the report", required=True, input={"type": "date"}
        ),
        PayloadField(
            key="rows",
            label="rows",
            hint="1 to 100 · default 10",
            required=False,
            input={"type": "number", "step": "1", "min": "1", "max": "100"},
        ),
        PayloadField(
            key="share",
            label="share",
            hint="at least 0.5",
            required=False,
            input={"type": "number", "step": "any", "min": "0.5"},
        ),
        PayloadField(
            key="mode",
            label="mode",
            hint="default full",
            required=False,
            input={"type": "text"},
            choices=("fast", "full"),
        ),
        PayloadField(
            key="dry",
            label="dry",
            hint="default false",
            required=False,
            input={"type": "text"},
            choices=(True, False),
        ),
        PayloadField(key="note", label="note", hint="default none", required=False, input={"type": "text"}),
    )


def test_a_time_is_a_text_with_its_offset():
    """A browser's own input of times would lose it."""
    assert one(type="string", format="date-time").input["pattern"] == TIME_PATTERN


def test_the_bounds_of_an_integer_are_whole():
    """Browsers count steps of 1 from the least value; with 0.5 no integer would be one."""
    found = one(type="integer", minimum=0.5, maximum=9.5).input
    assert (found["min"], found["max"]) == ("1", "9")


@pytest.mark.parametrize("keyword", ["pattern", "minLength", "exclusiveMaximum", "multipleOf", "examples", "$comment"])
def test_what_only_the_handler_checks_takes_no_field_away(keyword: str):
    """And a worker's regular expression never comes to a browser."""
    found = one(type="string", **{keyword: "(a+)+$"})
    assert found == PayloadField(key="key", label="key", hint="", required=False, input={"type": "text"})


@pytest.mark.parametrize(
    "schema",
    [
        "",
        "{",
        "null",
        "true",
        "[]",
        '"text"',
        "[" * 9000,
        "1" * 5000,
        "{}",
        '{"type": "object"}',
        '{"type": "array", "properties": {"key": {"type": "string"}}}',
        '{"type": ["object"], "properties": {"key": {"type": "string"}}}',
        '{"properties": []}',
        '{"properties": {"key": {"type": "string"}}, "required": "key"}',
        '{"properties": {"key": {"type": "string"}}, "required": [["key"]]}',
        '{"properties": {"key": {"type": "string"}}, "oneOf": []}',
        '{"properties": {"key": {"type": "string"}}, "$ref": "#/other"}',
        '{"properties": {"key": {"type": "string"}}, "$defs": {}}',
        '{"properties": {"key": {"type": "string"}}, "additionalProperties": {"type": "string"}}',
        '{"properties": {"key": {"type": "string"}, "key": {"type": "number"}}}',
        '{"properties": {"key": {"type": "number", "minimum": NaN}}}',
        '{"properties": {"key": {"type": "number", "minimum": -Infinity}}}',
        '{"properties": {"key": {"type": "number", "minimum": 1' + "0" * 400 + "}}}",
        '{"properties": {"key": {"type": "string", "title": "\\ud800", "enum": ["\\ud800"]}}}',
        '{"properties": {"\\ud800": {"type": "string"}}}',
        '{"properties": {"\\u0000": {"type": "string"}}}',
        '{"properties": {"\\r": {"type": "string"}}}',
        '{"properties": {"\\u202eyek": {"type": "string"}}}',
        '{"properties": {"": {"type": "string"}}}',
    ],
)
def test_a_broken_schema_has_no_fields(schema: str):
    """Nor has one that says more than fields show, or whose keys would not come back from a page as they are."""
    assert payload_fields(schema) == ()


@pytest.mark.parametrize(
    "property_",
    [
        True,
        {},
        {"type": "object"},
        {"type": "array", "items": {"type": "string"}},
        {"type": "null"},
        {"type": ["string", "null"]},
        {"type": {"a": 1}},
        {"$ref": "#/$defs/Mode"},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"type": "string", "oneOf": []},
        {"type": "string", "const": "a"},
        {"type": "string", "unknown": 1},
        {"type": "string", "title": ["a"]},
        {"type": "string", "description": {"a": 1}},
        {"type": "string", "enum": []},
        {"type": "string", "enum": "abc"},
        {"type": "string", "enum": ["a", 1]},
        {"type": "string", "enum": ["a", ""]},
        {"type": "string", "enum": ["a\nb"]},
        {"type": "string", "enum": [str(number) for number in range(MOST_CHOICES + 1)]},
        {"type": "integer", "enum": [1, 2]},
        {"type": "number", "minimum": "1"},
        {"type": "number", "minimum": True},
        {"type": "number", "minimum": 2**54},
        {"type": "number", "minimum": 2, "maximum": 1},
        {"type": "integer", "minimum": 1.2, "maximum": 1.8},
    ],
)
def test_one_property_that_no_field_shows_takes_all_fields_away(property_: Any):
    """A form that shows a part of a payload looks like all of it."""
    assert payload_fields(of(fine={"type": "string"}, key=property_)) == ()


def test_what_a_schema_may_bring_to_a_page_is_bounded():
    """The number of fields, their keys, and the length of what is shown."""
    plain = {"type": "string"}
    assert len(payload_fields(of(**{f"key{number}": plain for number in range(MOST_FIELDS)}))) == MOST_FIELDS
    assert payload_fields(of(**{f"key{number}": plain for number in range(MOST_FIELDS + 1)})) == ()
    assert payload_fields(of(**{"k" * 129: plain})) == ()
    assert payload_fields(of(key={"type": "string", "description": "x" * 17_000})) == ()
    long = one(type="string", title="t" * 5000, description="d" * 5000, default="v" * 5000)
    assert len(long.label) == LONGEST_LABEL
    assert len(long.hint) == len("key · " + " · ") + LONGEST_TEXT + len("default ") + LONGEST_TEXT


def test_a_lone_surrogate_in_what_is_shown_becomes_readable():
    """JSON may spell one; no answer can carry it."""
    assert one(type="string", title="\ud800x", default="\udfff").label == "\ufffdx"
    assert payload_fields('{"properties": {"key": {"type": "string", "title": "\\ud800"}}}')[0].label == "\ufffd"
