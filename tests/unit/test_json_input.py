"""What callers write: numbers that every edge carries, keys that stand once, files with a byte order mark."""

import codecs
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.rigs.rig import START

from schedule_grpc.domain.canonical_json import MAX_EXACT, NotJson, canonical, decode, encode
from schedule_grpc.domain.json_input import document, parsed, portable, table
from schedule_grpc.domain.registration import TaskUpdate, registered
from schedule_grpc.domain.task import checked_payload, define
from schedule_grpc.errors import InvalidArgument
from schedule_grpc.formats import protobuf
from schedule_grpc.formats.protobuf.values import value_from, value_to

BEYOND = 9007199254740993
NUMBERS = st.one_of(st.integers(), st.integers(-MAX_EXACT, MAX_EXACT), st.floats(allow_nan=False, allow_infinity=False))
VALUES = st.recursive(st.one_of(NUMBERS, st.none(), st.booleans(), st.text()), st.lists, max_leaves=10)


@pytest.mark.parametrize("integer", [BEYOND, -BEYOND, 2**63, 10**20, -(10**300)])
@pytest.mark.parametrize("field", ["payload", "metadata"])
def test_an_integer_beyond_two_to_the_53_is_refused_in_a_task(field: str, integer: int):
    """Named by field and place, with what to do; whichever edge it came by, for all of them define the task."""
    with pytest.raises(InvalidArgument) as caught:
        define(name="a", schedule="@daily", handler="h", **{field: {"ids": [1, {"n": integer}]}})
    (violation,) = caught.value.violations
    assert violation.field == field
    assert violation.reason.startswith(".ids[1].n: ")
    assert violation.reason.endswith("is beyond ±2^53, where not every client reads the same integer: write it as text")


def test_an_integer_beyond_two_to_the_53_is_refused_in_a_run():
    """A run by hand has a payload of its own."""
    with pytest.raises(InvalidArgument, match=r"^payload: \.n: 9007199254740993 is beyond"):
        checked_payload({"n": BEYOND})


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (MAX_EXACT, MAX_EXACT),
        (-MAX_EXACT, -MAX_EXACT),
        (float(MAX_EXACT), MAX_EXACT),
        (2.0**60, 2.0**60),
        (1e300, 1e300),
        (-0.0, 0),
        (1.0, 1),
        (5e-324, 5e-324),
        (0.1234567890123456789, 0.12345678901234568),
        (str(BEYOND), str(BEYOND)),
        (True, True),
    ],
)
def test_what_a_double_holds_is_kept(value: object, kept: object):
    """A number with a fraction or an exponent is a double everywhere, and stays the one that it is."""
    found = portable([value])
    assert found == [kept]
    assert type(found[0]) is type(kept)  # type: ignore[index]


@given(VALUES)
def test_what_is_accepted_comes_back_from_every_edge_as_it_is(value: Any):
    """Through gRPC's Struct and through JSON: applying a file twice changes nothing the second time."""
    try:
        kept = portable(value)
    except NotJson:
        return
    over_grpc = value_from(value_to(kept))
    assert encode(over_grpc) == encode(kept) == canonical(decode(encode(kept)))
    assert portable(over_grpc) == kept


@pytest.mark.parametrize("integer", [BEYOND, -BEYOND, 10**300])
def test_a_stored_integer_beyond_two_to_the_53_is_shown_as_text_over_grpc(integer: int):
    """A handler's result, or a payload that an older program accepted: no other integer is made of it."""
    assert value_from(value_to({"ids": [integer, 1]})) == {"ids": [str(integer), 1]}


def test_a_task_with_an_older_payload_can_be_changed_and_shown():
    """What stays is not checked again; what is sent anew is."""
    fresh = define(name="a", schedule="@daily", handler="h")
    fresh = replace(fresh, payload={"n": BEYOND}, metadata={"n": BEYOND, "description": "d"})
    task = registered(None, fresh, enabled=None, now=START).after
    changed = TaskUpdate(name="a", fields={"schedule": "@hourly"}, policy={}).applied_to(task)
    assert (changed.payload, changed.metadata, changed.schedule.text) == (fresh.payload, fresh.metadata, "@hourly")
    assert protobuf.json_from(protobuf.task_to(task).payload) == {"n": str(BEYOND)}
    with pytest.raises(InvalidArgument, match="payload"):
        TaskUpdate(name="a", fields={"payload": {"n": BEYOND}}, policy={}).applied_to(task)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"a": 1, "a": 2}', "a"),
        ('{"a": {"b": [{"c": 1, "d": 2, "c": 1}]}}', "c"),
        ('[{"": 1, "": 1}]', ""),
        ('{"a": 1, "\\u0061": 2}', "a"),
    ],
)
def test_a_key_that_stands_twice_is_refused_by_its_name(text: str, key: str):
    """The last one would win in silence."""
    with pytest.raises(ValueError, match=f"^the key '{key}' is given twice in one object$"):
        parsed(text)


@pytest.mark.timeout(10)  # a look through all keys for each of them takes minutes
def test_a_key_that_stands_twice_is_found_among_many_in_one_pass():
    """Also where it comes last."""
    members = ",".join(f'"k{number}":1' for number in range(200_000))
    with pytest.raises(ValueError, match=r"^the key 'k199999' is given twice in one object$"):
        parsed(f'{{{members},"k199999":2}}')


def test_json_nested_too_deep_is_refused_in_words():
    """Not by an error of Python's own."""
    with pytest.raises(ValueError, match="nested too deep"):
        parsed("[" * 100_000)


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_a_file_may_begin_with_a_byte_order_mark(mark: bytes):
    """TOML and JSON, as some editors write them."""
    assert table(mark + b"a = 1") == {"a": 1}
    assert document(mark + b"a = 1") == {"a": 1}
    assert document(mark + json.dumps({"ä": 1}).encode()) == {"ä": 1}
    assert parsed((mark + b"{}").decode()) == {}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_a_file_in_another_encoding_is_refused(encoding: str):
    """In words where the encoding says itself."""
    mark = codecs.BOM_UTF16_LE if encoding == "utf-16-le" else b""
    with pytest.raises(ValueError, match="is UTF-16: save it as UTF-8" if encoding != "latin-1" else "utf-8"):
        document(mark + "ä = 1".encode(encoding))


@pytest.mark.parametrize("text", ["a = 1\na = 2", "[a]\nb = 1\n[a]\nc = 1", "a = {b = 1, b = 2}"])
def test_toml_refuses_a_key_that_stands_twice(text: str):
    """By its own rules, with line and column."""
    with pytest.raises(ValueError, match=r"at line \d+, column \d+|at end of document"):
        document(text.encode())
