"""The rules of keys: when one is valid, what a rotation does, and who may make and manage which."""

from datetime import datetime, timedelta

import pytest
from support.rigs.rig import START

from schedule_grpc.domain.access.caller import ANYBODY, Caller
from schedule_grpc.domain.access.grant import read_grants
from schedule_grpc.domain.access.key_text import KeyText, new_key
from schedule_grpc.domain.access.keys import (
    MAX_LIFETIME,
    MAX_OVERLAP,
    NOTED_EVERY,
    Key,
    KeyRequest,
    made,
    manages,
    revoked,
    rotated,
)
from schedule_grpc.errors import InvalidArgument, PermissionDenied

DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)


def caller(*grants: str) -> Caller:
    """Return a caller with a key that has these grants."""
    return Caller(name="key:maker", grants=read_grants(grants))


ROOT = caller("admin@*")


def a_key(*grants: str, lifetime: timedelta | None = None, text: KeyText | None = None) -> Key:
    """Return a key that was made at the start."""
    request = KeyRequest(name="ci", grants=grants or ("run@reports",), lifetime=lifetime)
    return made(request, text or new_key(), ROOT, START)


def test_a_key_is_valid_until_it_expires():
    """Not at its end, and forever without one; its maker is named."""
    key = a_key(lifetime=90 * DAY)
    assert (key.create_time, key.created_by, key.expire_time) == (START, "key:maker", START + 90 * DAY)
    assert key.is_valid(START + 90 * DAY - TICK)
    assert not key.is_valid(START + 90 * DAY)
    assert a_key().is_valid(START + 36_500 * DAY)


def test_a_key_matches_the_digest_of_its_text():
    """And no other one, nor once it is over."""
    text = new_key()
    key = a_key(lifetime=DAY, text=text)
    assert key.matches(text.digest, START)
    assert not key.matches(new_key(text.id).digest, START)
    assert not key.matches(b"", START)
    assert not key.matches(text.digest, START + DAY)
    assert not revoked(key, START).matches(text.digest, START)


def test_a_revocation_is_once():
    """The time of the first one stays."""
    gone = revoked(a_key(), START)
    assert revoked(gone, START + DAY) is gone
    assert not gone.is_valid(START - DAY)


def test_two_texts_are_valid_after_a_rotation_until_the_overlap_is_over():
    """The new one goes on; the id, the name and the grants stay."""
    old, new = new_key(), new_key()
    before = a_key(text=old)
    now = START + DAY
    after = rotated(before, new, timedelta(hours=24), now)
    for moment, accepted in ((now, True), (now + DAY - TICK, True), (now + DAY, False)):
        assert after.matches(old.digest, moment) is accepted
        assert after.matches(new.digest, moment)
    assert (after.id, after.name, after.grants, after.rotate_time) == (before.id, before.name, before.grants, now)
    assert after.had(old.digest)
    assert after.had(new.digest)


def test_a_second_rotation_ends_the_first_text():
    """There are two at most, however long the first overlap was."""
    texts = [new_key() for _ in range(3)]
    key = a_key(text=texts[0])
    for text in texts[1:]:
        key = rotated(key, text, MAX_OVERLAP, START)
    assert [key.matches(text.digest, START) for text in texts] == [False, True, True]
    assert not key.had(texts[0].digest)


def test_no_overlap_ends_the_old_text_at_once():
    """A leaked text of a key that many use."""
    old, new = new_key(), new_key()
    key = rotated(a_key(text=old), new, timedelta(0), START)
    assert (key.matches(old.digest, START), key.matches(new.digest, START), key.replaced) == (False, True, None)


def test_a_rotated_key_lasts_as_long_again():
    """The old text does not outlive its own end by the overlap."""
    old, new = new_key(), new_key()
    now = START + 89 * DAY
    key = rotated(a_key(lifetime=90 * DAY, text=old), new, MAX_OVERLAP, now)
    assert key.expire_time == now + 90 * DAY
    assert key.replaced is not None
    assert key.replaced.until == START + 90 * DAY
    again = rotated(key, new_key(), DAY, now + DAY)
    assert again.expire_time == now + 91 * DAY
    late = rotated(a_key(lifetime=DAY), new, DAY, START + 2 * DAY)
    assert (late.replaced, late.is_valid(START + 2 * DAY)) == (None, True)


@pytest.mark.parametrize("overlap", [-TICK, MAX_OVERLAP + TICK])
def test_an_overlap_has_bounds(overlap: timedelta):
    """Of 0 and 30 days."""
    with pytest.raises(InvalidArgument, match="overlap: must be at least 0 s and at most 30 days"):
        rotated(a_key(), new_key(), overlap, START)


@pytest.mark.parametrize("name", ["", "A", "1a", "-a", "a_b", "a.b", "a" * 64, "a\n", "ä"])
def test_names_that_are_none(name: str):
    """They stand in logs, in lists and in the names of callers."""
    with pytest.raises(InvalidArgument, match="name: must be a-z"):
        made(KeyRequest(name=name, grants=("run@reports",)), new_key(), ROOT, START)


def test_all_that_is_wrong_is_named_at_once():
    """The name, each grant and the lifetime."""
    for lifetime in (timedelta(0), MAX_LIFETIME + TICK):
        request = KeyRequest(name="X", grants=("run@reports", "all@reports"), lifetime=lifetime)
        with pytest.raises(InvalidArgument) as caught:
            made(request, new_key(), ROOT, START)
        assert [each.field for each in caught.value.violations] == ["name", "lifetime", "grants[1]"]
    with pytest.raises(InvalidArgument, match="grants: at least one is required"):
        made(KeyRequest(name="x", grants=()), new_key(), ROOT, START)


@pytest.mark.parametrize(
    ("held", "given", "allowed"),
    [
        (["admin@*"], ["admin@*"], True),
        (["admin@*"], ["observe@*", "write@reports/a", "worker@reports"], True),
        (["admin@reports"], ["admin@reports"], True),
        (["admin@reports"], ["run@reports/nightly-", "worker@reports"], True),
        (["admin@reports"], ["write@billing"], False),
        (["admin@reports"], ["write@reports", "observe@*"], False),
        (["admin@reports", "admin@billing"], ["write@reports", "write@billing"], True),
        (["write@reports"], ["read@reports"], False),
        (["admin@reports", "write@billing"], ["read@billing"], False),
        (["worker@reports"], ["worker@reports"], False),
    ],
)
def test_a_caller_gives_what_it_administers(held: list[str], given: list[str], allowed: bool):
    """Never more than it holds: a key that may only write makes no keys. It manages what it could have made."""
    maker = caller(*held)
    assert manages(maker, a_key(*given)) is allowed
    request = KeyRequest(name="ci", grants=given)
    if allowed:
        assert made(request, new_key(), maker, START).grants == read_grants(given)
        return
    with pytest.raises(PermissionDenied, match="to give"):
        made(request, new_key(), maker, START)


def test_a_caller_that_nobody_knows_is_given_no_key():
    """Although a server without keys lets it do everything: the first key would be that of whoever comes first."""
    with pytest.raises(PermissionDenied, match="keys create --database"):
        made(KeyRequest(name="mine", grants=("admin@*",)), new_key(), ANYBODY, START)


@pytest.mark.parametrize(
    ("grants", "namespace"),
    [
        (["run@reports"], "reports"),
        (["run@reports", "read@reports/a"], "reports"),
        (["observe@*"], "*"),
        (["run@a", "run@b"], "*"),
    ],
)
def test_a_key_belongs_to_the_namespace_that_it_names(grants: list[str], namespace: str):
    """To all of them, if there are several."""
    assert a_key(*grants).namespace == namespace


@pytest.mark.parametrize(
    ("last", "due"), [(None, True), (START - NOTED_EVERY, True), (START - NOTED_EVERY + TICK, False), (START, False)]
)
def test_uses_are_written_once_a_minute(last: datetime | None, due: bool):
    """Not at each call."""
    key = Key(
        id="a",
        name="a",
        grants=(),
        digest=b"",
        create_time=START,
        rotate_time=START,
        created_by="",
        last_used_time=last,
    )
    assert key.is_due_to_be_noted(START) is due


def test_no_key_shows_a_digest():
    """In its repr, whichever of its values is printed."""
    key = rotated(a_key(), new_key(), DAY, START)
    assert "digest" not in repr(key) + repr(key.info)
