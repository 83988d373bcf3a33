"""What an exception means: groups are judged and told by their leaves, causes are told, and everything is bounded."""

import asyncio

import pytest

from schedule_grpc.domain.execution import MAX_TEXT_BYTES
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.handlers import PermanentFailure
from schedule_grpc.handlers.failure import MAX_ERRORS, MAX_PART, description_of, kind_of

ERROR, REJECTED = FailureKind.ERROR, FailureKind.REJECTED


class Refused(PermanentFailure):
    """A kind of permanent failure of a handler's own."""


class RefusedTogether(ExceptionGroup, PermanentFailure):
    """A group that is a permanent failure itself."""


class Endless(ExceptionGroup):
    """A group that gives another group each time it is asked."""

    @property
    def exceptions(self):
        """Give another one."""
        return (Endless("again", [ValueError()]),)


class Unspeakable(Exception):
    """An exception whose text cannot be had."""

    def __str__(self) -> str:
        raise SystemExit(1)


class Sly(ExceptionGroup):
    """A group whose leaves cannot be had."""

    @property
    def exceptions(self):
        """Refuse."""
        raise KeyboardInterrupt


def caused(error: BaseException, *causes: BaseException) -> BaseException:
    """Return an exception as ``raise ... from ...`` leaves it, its causes one of the other."""
    for effect, cause in zip((error, *causes), causes, strict=False):
        effect.__cause__ = cause
    return error


def group(*errors: BaseException, message: str = "unhandled errors in a TaskGroup") -> BaseExceptionGroup:
    """Return a group."""
    return BaseExceptionGroup(message, errors)


def nested(error: BaseException, depth: int) -> BaseException:
    """Return groups within groups."""
    for _ in range(depth):
        error = group(error)
    return error


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (ValueError("bad"), ERROR, "ValueError: bad"),
        (PermanentFailure("no use"), REJECTED, "no use"),
        (Refused("no use"), REJECTED, "no use"),
        (group(PermanentFailure("no use")), REJECTED, "no use"),
        (group(ValueError("bad")), ERROR, "ValueError: bad"),
        (nested(Refused("deep"), 50), REJECTED, "deep"),
        (RefusedTogether("all of them", [ValueError("bad")]), REJECTED, "all of them (1 sub-exception)"),
        (group(ValueError("bad"), OSError("gone")), ERROR, "2 errors: (1) ValueError: bad; (2) OSError: gone"),
        (
            group(ConnectionError("gone"), group(ValueError("bad"), PermanentFailure("no use"))),
            REJECTED,
            "3 errors: (1) no use; (2) ConnectionError: gone; (3) ValueError: bad",
        ),
        (
            group(ValueError("bad"), ValueError("worse"), message="rows that cannot be read"),
            ERROR,
            "rows that cannot be read: 2 errors: (1) ValueError: bad; (2) ValueError: worse",
        ),
        (group(ValueError("bad"), message=""), ERROR, "ValueError: bad"),
        (
            group(SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError("mine")),
            ERROR,
            "3 errors: (1) SystemExit: 3; (2) KeyboardInterrupt: ; (3) CancelledError: mine",
        ),
        (group(SystemExit(3), PermanentFailure("no use")), REJECTED, "2 errors: (1) no use; (2) SystemExit: 3"),
    ],
)
def test_a_group_is_judged_and_told_by_its_leaves(error: BaseException, kind: FailureKind, told: str):
    """One leaf is told as if it had been raised by itself; of several, a permanent one decides and comes first."""
    assert (kind_of(error), description_of(error)) == (kind, told)


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (caused(ValueError("bad"), KeyError("x")), ERROR, "ValueError: bad, caused by KeyError: 'x'"),
        (
            caused(ValueError("a"), KeyError("b"), OSError("c")),
            ERROR,
            "ValueError: a, caused by KeyError: 'b', caused by OSError: c",
        ),
        (caused(PermanentFailure("no x"), KeyError("x")), REJECTED, "no x, caused by KeyError: 'x'"),
        (caused(RuntimeError("again"), PermanentFailure("no use")), ERROR, "RuntimeError: again, caused by no use"),
        (caused(ValueError("cannot read f: gone"), OSError("gone")), ERROR, "ValueError: cannot read f: gone"),
        (caused(ValueError("f: No such file"), OSError(2, "No such file", "f")), ERROR, "ValueError: f: No such file"),
        (caused(ValueError("bad"), KeyError()), ERROR, "ValueError: bad, caused by KeyError: "),
        (
            caused(ValueError("bad"), group(OSError("b"), TypeError("c"))),
            ERROR,
            "ValueError: bad, caused by OSError: b; TypeError: c",
        ),
        (
            group(caused(ValueError("bad"), KeyError("x")), OSError("gone")),
            ERROR,
            "2 errors: (1) ValueError: bad, caused by KeyError: 'x'; (2) OSError: gone",
        ),
        (
            caused(group(ValueError("bad")), OSError("gone")),
            ERROR,
            "ValueError: bad, caused by OSError: gone",
        ),
    ],
)
def test_causes_are_told_and_judge_nothing(error: BaseException, kind: FailureKind, told: str):
    """Each once, along the chain of `raise ... from ...`; what stands in the text already is not said again."""
    assert (kind_of(error), description_of(error)) == (kind, told)


def test_what_an_error_was_raised_beside_is_not_told():
    """Without `from`, nobody said that the one caused the other: its text may be one that should not be seen."""
    error = ValueError("cannot be fetched")
    error.__context__ = OSError("https://user:secret@host")
    assert description_of(error) == "ValueError: cannot be fetched"


def test_chains_that_never_end_are_told_once():
    """A cause of itself, two that cause each other, and a chain of a thousand."""
    itself = ValueError("a")
    itself.__cause__ = itself
    one, other = ValueError("one"), KeyError("other")
    one.__cause__, other.__cause__ = other, one
    long = caused(*(ValueError(f"number {number}") for number in range(1000)))
    assert description_of(itself) == "ValueError: a"
    assert description_of(one) == "ValueError: one, caused by KeyError: 'other'"
    assert description_of(long).count("caused by") == 10


def test_a_huge_group_is_counted_and_its_permanent_leaf_is_told():
    """Ten of fifty thousand leaves, the deciding one first."""
    leaves = [ValueError(f"number {number}") for number in range(50_000)]
    told = description_of(group(*leaves, PermanentFailure("no use")))
    assert told.startswith("50001 errors: (1) no use; (2) ValueError: number 0; ")
    assert told.endswith(f"; and {50_001 - MAX_ERRORS} more")
    assert kind_of(group(*leaves, PermanentFailure("no use"))) is REJECTED


def test_groups_nested_a_thousand_deep_are_looked_through():
    """Without a recursion that would end."""
    assert description_of(nested(PermanentFailure("deep"), 1000)) == "deep"


def test_the_same_error_in_two_groups_is_one():
    """It was raised once."""
    error = ValueError("bad")
    assert description_of(group(group(error), group(error))) == "ValueError: bad"


def test_each_part_is_bounded():
    """A long leaf leaves room for the others; an error that stands alone is told whole."""
    told = description_of(group(ValueError("x" * 10 * MAX_TEXT_BYTES), OSError("gone")))
    assert len(told) < 2 * MAX_PART
    assert told.endswith("…; (2) OSError: gone")
    assert description_of(ValueError("x" * 5000)) == f"ValueError: {'x' * 5000}"
    caused_long = description_of(caused(ValueError("bad"), OSError("x" * 5000)))
    assert len(caused_long) < 2 * MAX_PART


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Unspeakable(), "Unspeakable: (its text raised SystemExit)"),
        (
            group(Unspeakable(), OSError("gone")),
            "2 errors: (1) Unspeakable: (its text raised SystemExit); (2) OSError: gone",
        ),
        (
            caused(ValueError("bad"), Unspeakable()),
            "ValueError: bad, caused by Unspeakable: (its text raised SystemExit)",
        ),
        (Sly("x", [ValueError()]), "Sly: (it cannot be told: KeyboardInterrupt)"),
        (Endless("x", [ValueError()]), "Endless: (it cannot be told: IndexError)"),
    ],
)
def test_exceptions_that_cannot_be_told_are_named(error: BaseException, told: str):
    """Whatever their own code does: the attempt has failed, and can be recorded."""
    assert (kind_of(error), description_of(error)) == (ERROR, told)
