"""JSON that several readers share: it reads as plain JSON, refuses every change, and its copies are plain."""

import copy
import json
import pickle

import pytest

from schedule_grpc.domain.read_only import own_copy, read_only

VALUE = {"a": [1, {"b": [2, []]}], "c": {"d": None}}

CHANGES_OF_OBJECTS = {
    "set": lambda value: value.__setitem__("x", 1),
    "delete": lambda value: value.__delitem__("a"),
    "pop": lambda value: value.pop("a"),
    "popitem": lambda value: value.popitem(),
    "clear": lambda value: value.clear(),
    "update": lambda value: value.update(x=1),
    "setdefault": lambda value: value.setdefault("x", 1),
    "|=": lambda value: value.__ior__({"x": 1}),
}
CHANGES_OF_LISTS = {
    "set": lambda value: value.__setitem__(0, 1),
    "slice": lambda value: value.__setitem__(slice(None), []),
    "delete": lambda value: value.__delitem__(0),
    "append": lambda value: value.append(1),
    "extend": lambda value: value.extend([1]),
    "+=": lambda value: value.__iadd__([1]),
    "*=": lambda value: value.__imul__(2),
    "insert": lambda value: value.insert(0, 1),
    "pop": lambda value: value.pop(),
    "remove": lambda value: value.remove(1),
    "clear": lambda value: value.clear(),
    "sort": lambda value: value.sort(),
    "reverse": lambda value: value.reverse(),
}


@pytest.mark.parametrize("change", CHANGES_OF_OBJECTS.values(), ids=CHANGES_OF_OBJECTS)
def test_an_object_refuses_every_change(change):
    """At every depth, and it says what to do instead."""
    shared = read_only(VALUE)
    for each in (shared, shared["c"], shared["a"][1]):
        with pytest.raises(TypeError, match=r"read-only.*copy\.deepcopy"):
            change(each)
    assert shared == VALUE


@pytest.mark.parametrize("change", CHANGES_OF_LISTS.values(), ids=CHANGES_OF_LISTS)
def test_a_list_refuses_every_change(change):
    """At every depth."""
    shared = read_only(VALUE)
    for each in (shared["a"], shared["a"][1]["b"]):
        with pytest.raises(TypeError, match="read-only"):
            change(each)
    assert shared == VALUE


def test_every_method_that_changes_a_dict_or_a_list_is_covered():
    """What Python adds to them in a later version is refused too, or this fails."""
    for kind, same in (
        (dict, {"copy", "fromkeys", "get", "items", "keys", "values"}),
        (list, {"copy", "count", "index"}),
    ):
        public = {name for name in vars(kind) if not name.startswith("_")}
        refused = {name for name in vars(type(read_only(kind()))) if not name.startswith("_")}
        assert public - same == refused


@pytest.mark.parametrize(
    "copied",
    [
        own_copy,
        copy.deepcopy,
        lambda value: pickle.loads(pickle.dumps(value)),  # noqa: S301
        lambda value: json.loads(json.dumps(value)),
    ],
    ids=["own_copy", "deepcopy", "pickle", "json"],
)
def test_a_copy_is_plain_and_ones_own(copied):
    """Whichever way it is made: dicts and lists that can be changed, and change nothing of what is shared."""
    shared = read_only(VALUE)
    own = copied(shared)
    assert (own, type(own), type(own["a"]), type(own["a"][1]["b"])) == (VALUE, dict, list, list)
    own["a"][1]["b"].append("mine")
    assert shared == VALUE
