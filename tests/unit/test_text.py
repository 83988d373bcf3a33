"""What a text may hold, and what becomes of the rest."""

from enum import StrEnum

import pytest

from schedule_grpc.errors import InvalidArgument
from schedule_grpc.text.unicode import checked, cut, fault_of, readable, unicode_of


class Sly(str):
    """A text that lies about itself."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\ud800"


class Colour(StrEnum):
    """A text of its own kind."""

    RED = "red"


@pytest.mark.parametrize(
    ("text", "shown", "with_nul"),
    [
        ("", "", ""),
        ("naïve 😀 \ufffd \uffff", "naïve 😀 \ufffd \uffff", "naïve 😀 \ufffd \uffff"),
        ("a\ud800b\udfffc", "a\ufffdb\ufffdc", "a\ufffdb\ufffdc"),
        ("\ud83d\ude00", "\ufffd\ufffd", "\ufffd\ufffd"),
        ("a\x00b", "a\ufffdb", "a\x00b"),
        (Colour.RED, "red", "red"),
        (Sly("plain"), "plain", "plain"),
    ],
)
def test_a_readable_text_can_be_sent_everywhere(text: str, shown: str, with_nul: str):
    """Every lone surrogate is one U+FFFD, and so is NUL where it cannot be kept; the rest stays."""
    assert (readable(text), type(readable(text))) == (shown, str)
    assert unicode_of(text) == with_nul
    assert readable(text).encode().decode() == shown


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("naïve 😀", None),
        ("a\ud800", "is not Unicode: it has a lone surrogate"),
        ("a\x00b", "has a NUL character"),
        ("\udcff\x00", "is not Unicode: it has a lone surrogate"),
    ],
)
def test_a_callers_text_is_refused_with_the_reason(text: str, fault: str | None):
    """A field's violations say everything that is wrong with it."""
    assert fault_of(text) == fault
    if fault is None:
        assert checked("note", text, most=10) == text
        return
    with pytest.raises(InvalidArgument) as raised:
        checked("note", text, most=1)
    long = ["longer than 1 characters"] if len(text) > 1 else []
    assert [violation.reason for violation in raised.value.violations] == [fault, *long]


def test_a_cut_text_says_so():
    """Within its bound, the mark included."""
    assert (cut("abcd", 4), cut("abcde", 4)) == ("abcd", "abc…")
