"""JSON values: what is kept, what is refused, and what is said about it."""

import copy
import json
from collections import OrderedDict
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedule_grpc.domain.canonical_json import (
    MAX_EXACT,
    CanonicalObject,
    NotJson,
    canonical,
    decode,
    encode,
    normalise,
    object_text,
)


class Plain(str, Enum):  # noqa: UP042 (its str() is its name, unlike StrEnum's)
    """A str by mixin."""

    A = "a"


class Modern(StrEnum):
    """A str that shows its value."""

    A = "a"


class Number(IntEnum):
    """An int by another name."""

    ONE = 1


class Shouting(str):
    """A str that shows itself as another."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (Plain.A, "a"),
        ({Plain.A: Modern.A}, {"a": "a"}),
        (Number.ONE, 1),
        (Shouting("quiet"), "quiet"),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (MappingProxyType({"a": (1, [2])}), {"a": [1, [2]]}),
        (True, True),
        (10**300, 10**300),
        (2**63, 2**63),
        (5e-324, 5e-324),
        (1e300, 1e300),
        (-1.0, -1),
        (float(MAX_EXACT), MAX_EXACT),
        ("", ""),
        ("\u2028\x00\U0001f600", "\u2028\x00\U0001f600"),
        ([], []),
        ({"": {}}, {"": {}}),
    ],
)
def test_kinds_of_their_own_become_plain_ones(value: object, kept: object):
    """By value, as json.dumps has it; and nothing but plain types is left."""
    found = normalise(value)
    assert found == kept
    assert type(found) is type(kept)
    assert decode(encode(found)) == kept


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"items": [1, {"price": float("nan")}]}, ".items[1].price: nan is not JSON"),
        ([float("-inf")], "[0]: -inf is not JSON"),
        ({"a": {2: 1}}, ".a: the key 2 is not a string"),
        ({"a": "\udc80"}, ".a: the text has a lone surrogate"),
        ([10**309], "[0]: the number is larger than a double can hold"),
        ([-(10**309)], "[0]: the number is larger than a double can hold"),
        (b"x", "value: bytes is not JSON"),
        ({"when": {1, 2}}, ".when: set is not JSON"),
        (1j, "value: complex is not JSON"),
        ((number for number in [1]), "value: generator is not JSON"),
        (object, "value: type is not JSON"),
    ],
)
def test_what_is_refused_is_told_with_its_place(value: object, told: str):
    """The whole message, path and reason."""
    with pytest.raises(NotJson) as caught:
        canonical(value)
    assert str(caught.value) == told


def test_depth_counts_lists_and_objects_alike():
    """32 levels are accepted and the 33rd is refused with the place of the last one, however wide the value is."""
    value: Any = "leaf"
    for level in range(32):
        value = [value] if level % 2 else {"a": value}
    assert normalise(value) == value
    with pytest.raises(NotJson, match="nested deeper than 32 levels"):
        normalise({"deeper": [], "more": value})
    assert len(normalise([[[]]] * 1000)) == 1000  # type: ignore[arg-type]


def test_equal_values_have_equal_texts():
    """Order of keys and the kind of a whole number make no difference: a client's doubles compare equal."""
    assert canonical({"b": 1, "a": 2.0}) == canonical({"a": 2, "b": 1.0}) == '{"a":2,"b":1}'


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_the_text_of_a_text_is_itself(value: Any):
    """Whatever is JSON is accepted, means the same afterwards, and has a stable text."""
    text = canonical(value)
    assert canonical(decode(text)) == text
    assert json.loads(text) == value


@given(st.dictionaries(st.text(max_size=4), JSON))
def test_an_object_keeps_its_text(value: dict[str, Any]):
    """It equals the object that the text spells, at every depth; an object without a text is encoded, to the same."""
    kept = CanonicalObject(canonical(value))
    assert kept == value
    assert object_text(kept) == object_text(copy.deepcopy(kept)) == canonical(value)


def test_an_object_with_a_text_cannot_be_changed():
    """Or the text would be another object's; its copies are plain."""
    kept = CanonicalObject('{"a":{"b":1}}')
    for change in (lambda: kept.update(a=1), lambda: kept["a"].update(b=2)):
        with pytest.raises(TypeError, match="read-only"):
            change()
    assert (type(copy.copy(kept)), type(copy.deepcopy(kept))) == (dict, dict)
