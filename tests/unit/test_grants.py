"""Scopes, grants, callers and permits: what each allows, and what it does not."""

import pytest

from schedule_grpc.domain.access.caller import ANYBODY, Caller
from schedule_grpc.domain.access.grant import Grant, beyond, read_grants
from schedule_grpc.domain.access.permit import Permit
from schedule_grpc.domain.access.scope import Scope
from schedule_grpc.errors import InvalidArgument, PermissionDenied

LADDER = [Scope.OBSERVE, Scope.READ, Scope.RUN, Scope.WRITE, Scope.ADMIN]


def caller(*grants: str) -> Caller:
    """Return a caller with these grants."""
    return Caller(name="key:x", grants=read_grants(grants))


@pytest.mark.parametrize("scope", LADDER)
def test_a_scope_includes_those_below_it_and_no_other(scope: Scope):
    """The order is observe, read, run, write, admin; worker is in none, and includes none."""
    assert [each for each in Scope if scope.includes(each)] == LADDER[: LADDER.index(scope) + 1]
    assert not Scope.WORKER.includes(scope)


@pytest.mark.parametrize(
    "text", ["write@reports", "observe@*", "run@reports/nightly-", "worker@reports/reports.", "worker@*", "admin@*"]
)
def test_a_grant_reads_as_it_is_written(text: str):
    """Its text is what was read."""
    assert str(Grant.read(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "write", "write@", "@reports", "write@Reports", "write@re ports", "write@reports/", "WRITE@reports"),
        *("write@*", "run@*", "worker@*/a", "observe@*/a", "admin@reports/a", "own@reports", "write@reports\n"),
        *("write@-reports", "write@" + "r" * 64, "write@reports/" + "p" * 201, "write@reports/a\u202e"),
    ],
)
def test_other_texts_are_no_grants(text: str):
    """They are refused by the field's name."""
    with pytest.raises(InvalidArgument) as caught:
        read_grants(["read@reports", text])
    assert [each.field for each in caught.value.violations] == ["grants[1]"]


def test_grants_are_at_most_fifty_and_each_counts_once():
    """A caller is checked against all of them at each call."""
    assert read_grants(["read@a", "read@a"]) == (Grant(Scope.READ, "a"),)
    with pytest.raises(InvalidArgument, match="51 grants"):
        read_grants(["read@a"] * 51)


@pytest.mark.parametrize(
    ("wanted", "held", "given"),
    [
        ("read@reports", "write@reports", True),
        ("write@reports", "write@reports", True),
        ("admin@reports", "write@reports", False),
        ("read@reports", "admin@other", False),
        ("read@reports", "admin@*", True),
        ("read@*", "admin@reports", False),
        ("read@*", "read@*", True),
        ("run@reports/nightly-", "run@reports", True),
        ("run@reports/nightly-", "run@reports/night", True),
        ("run@reports", "run@reports/nightly-", False),
        ("run@reports/daily-", "run@reports/nightly-", False),
        ("worker@reports/reports.", "admin@reports", True),
        ("worker@reports", "write@reports", False),
        ("worker@reports/a", "worker@reports", True),
        ("read@reports", "worker@reports", False),
    ],
)
def test_nobody_gives_more_than_they_hold(wanted: str, held: str, given: bool):
    """A grant is within another one if it allows nothing beyond it."""
    wanted_grant = Grant.read(wanted)
    assert wanted_grant.is_within(Grant.read(held)) is given
    assert beyond([wanted_grant], [Grant.read("observe@z"), Grant.read(held)]) == (() if given else (wanted_grant,))


@pytest.mark.parametrize(
    ("grants", "home"),
    [
        (["write@reports"], "reports"),
        (["write@reports", "observe@reports/a"], "reports"),
        (["write@reports", "read@other"], "default"),
        (["observe@*"], "default"),
        (["write@reports", "observe@*"], "default"),
        ([], "default"),
    ],
)
def test_a_call_without_a_namespace_is_in_the_only_one_of_its_caller(grants: list[str], home: str):
    """Else in `default`: programs that know no namespaces work in their team's."""
    assert caller(*grants).home == home


def test_a_caller_with_a_prefix_reaches_a_namespace_and_does_not_have_it():
    """What concerns the whole of it is not covered."""
    found = caller("run@reports/nightly-")
    assert found.reaches(Scope.RUN, "reports")
    assert not found.may(Scope.RUN, "reports")
    assert not found.reaches(Scope.WRITE, "reports")
    assert not found.reaches(Scope.RUN, "other")
    assert found.has_any(Scope.OBSERVE)
    assert not found.has_any(Scope.WRITE)


def test_all_namespaces_are_had_by_a_star_only():
    """A grant in each of them is not the same: the next one would not be covered."""
    assert caller("observe@*").may(Scope.OBSERVE)
    assert not caller("observe@a", "observe@b").may(Scope.OBSERVE)
    assert ANYBODY.may(Scope.ADMIN)
    assert ANYBODY.may(Scope.WORKER)


def test_a_permit_covers_names_and_says_what_is_missing():
    """The refusal names scope, namespace and name, so that the grant to ask for can be read from it."""
    permit = Permit(caller("run@reports/nightly-", "observe@reports"), "reports", Scope.RUN)
    assert permit.covers("nightly-1")
    assert not permit.covers("daily-1")
    assert permit.covers("daily-1", Scope.OBSERVE)
    assert (permit.sees("nightly-1"), permit.sees("daily-1")) == (True, False)
    assert (permit.covers_all, permit.sees_all) == (False, False)
    permit.require("nightly-1")
    with pytest.raises(PermissionDenied, match="write@reports/nightly-1 is needed"):
        permit.require("nightly-1", Scope.WRITE)


def test_a_permit_of_the_whole_namespace_covers_and_sees_all():
    """It is not asked name by name."""
    permit = Permit(caller("run@reports"), "reports", Scope.RUN)
    assert (permit.covers_all, permit.sees_all) == (True, True)
    assert not Permit(caller("observe@*"), "reports", Scope.OBSERVE).sees_all
