"""Task files that an import writes: TOML and JSON that read back as they were, whatever the texts in them."""

import json
import tomllib
import unicodedata
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedule_grpc.domain.task import NAME
from schedule_grpc.formats.imported.crontab import read_crontab
from schedule_grpc.formats.imported.values import MAX_ENTRIES, Found, Imported, NotReadable, bounded
from schedule_grpc.formats.imported.written import json_text, toml_text, without_nulls
from schedule_grpc.formats.task_file import task_file

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
HOSTILE = "a\x1b[2Jb\x9bc\u202ed\u2028e\x7ff\u0085g\r\n[[tasks]]\nname = 'x'\U000e0041 \\ \" ''' #"

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)
unchanging = settings(derandomize=True, deadline=None, database=None, max_examples=200)


def found_of(payload: dict[str, Any], *, name: str = "task", **more: Any) -> Imported:
    """Return an import of one task."""
    found = Found()
    added = {"place": "line 1", "source": "x", "schedule": "@daily", "handler": "h", "policy": {}} | more
    found.add(wanted_name=name, payload=payload, **added)
    return found.imported()


def toml(imported: Imported) -> str:
    """Return the file in TOML."""
    return toml_text(imported, title="title", owner="set")


@unchanging
@given(st.dictionaries(texts, values.filter(lambda value: value not in ("", [], {})), max_size=3))
def test_payloads_read_back_as_they_were(payload: dict[str, Any]):
    """From both forms, by the reader of task files."""
    imported = found_of(payload)
    for document in (tomllib.loads(toml(imported)), json.loads(json_text(imported, owner="set"))):
        (registration,) = task_file(document).registrations
        assert registration.definition.payload == payload


@unchanging
@given(st.lists(texts, max_size=8))
def test_names_are_valid_and_unique(wanted: list[str]):
    """Whatever they are made of."""
    found = Found()
    for name in [*wanted, *wanted]:
        found.add(place="", source="", wanted_name=name, schedule="@daily", handler="h", payload={}, policy={})
    names = [task.name for task in found.imported().tasks]
    assert len(names) == len(set(names)) == 2 * len(wanted)
    assert all(NAME.fullmatch(name) for name in names)


def test_hostile_texts_stay_texts():
    """In comments as in values: no line is added, and nothing that a terminal would obey or hide is written."""
    found = found_of({HOSTILE: HOSTILE}, source=HOSTILE, place=HOSTILE, notes=(HOSTILE,))
    lost = Found(notes=[HOSTILE])
    lost.leave(HOSTILE, HOSTILE, HOSTILE)
    imported = Imported(entries=(*found.entries, *lost.entries), notes=tuple(lost.notes))
    written = toml_text(imported, title=HOSTILE, owner=HOSTILE)
    (task,) = tomllib.loads(written)["tasks"]
    assert task["payload"] == {HOSTILE: HOSTILE}
    unsafe = {each for each in written if each != "\n" and unicodedata.category(each) in ("Cc", "Cf", "Zl", "Zp")}
    assert unsafe == set()
    assert json_text(imported, owner=HOSTILE).isascii()


def test_a_null_is_said_in_json_only():
    """TOML has none."""
    imported = found_of({"args": [1, {"a": None}]})
    assert [left.reason for left in without_nulls(imported).left] == [
        "its payload has a null, which TOML lacks: import with --json"
    ]
    assert json.loads(json_text(imported, owner="set"))["tasks"][0]["payload"] == {"args": [1, {"a": None}]}


def test_what_no_server_would_accept_is_left_out():
    """With the reasons that it would give."""
    (left,) = found_of({"a": 2**60}, handler="no handler", time_zone="Mars/Base").left
    for text in (
        "handler: 'no handler' is not a letter",
        "Mars/Base",
        "payload: .a: 1152921504606846976 is beyond",
    ):
        assert text in left.reason


def test_documents_have_bounds():
    """Of depth and of size, checked without recursion."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(NotReadable, match="nested more than 64 deep"):
        bounded(deep)
    with pytest.raises(NotReadable, match="more than 200000 values"):
        bounded({"a": [0] * 200_001})
    assert bounded({"a": [1, {"b": None}]}) == {"a": [1, {"b": None}]}


def test_a_file_has_at_most_so_many_jobs():
    """Those that are left out count, too."""
    with pytest.raises(NotReadable, match=f"line {MAX_ENTRIES + 1}: is more than the {MAX_ENTRIES} jobs"):
        read_crontab("@reboot a\n" * (MAX_ENTRIES + 1), time_zone="UTC")


def test_many_jobs_of_one_name_are_written_soon():
    """The time grows with their number: the next name is not looked for from the first on."""
    imported = read_crontab("@daily a\n" * 5_000, time_zone="UTC")
    assert len(imported.tasks) == 5_000
    assert toml(imported).count("[[tasks]]") == 5_000
