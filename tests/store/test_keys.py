"""What the store promises of keys."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support.rigs.rig import START, Rig
from support.witnesses.checker.reading import rows

from schedule_grpc.database import Operation
from schedule_grpc.domain.access.caller import Caller
from schedule_grpc.domain.access.grant import read_grants
from schedule_grpc.domain.access.key_text import KeyText, new_key
from schedule_grpc.domain.access.keys import (
    DEFAULT_OVERLAP,
    KEPT_AFTER_END,
    NOTED_EVERY,
    Key,
    KeyFilter,
    KeyRequest,
    made,
    revoked,
    rotated,
)
from schedule_grpc.errors import FailedPrecondition, KeyExists
from schedule_grpc.events import KeysChanged
from schedule_grpc.store.operations.keys import KEYS_SINCE

ROOT = Caller(name="key:root", grants=read_grants(["admin@*"]))
TICK = timedelta(microseconds=1)


def a_key(
    name: str = "ci",
    *grants: str,
    lifetime: timedelta | None = timedelta(days=90),
    text: KeyText | None = None,
) -> Key:
    """Return a key that is not written."""
    request = KeyRequest(name=name, grants=grants or ("run@reports/a", "read@reports"), lifetime=lifetime)
    return made(request, text or new_key(), ROOT, START)


async def names(rig: Rig, chosen: KeyFilter | None = None) -> list[str]:
    """Return the names of all keys that a list shows."""
    found, place = await rig.store.list_keys(chosen or KeyFilter(), after=("", ""), limit=100)
    assert place is None
    return [key.name for key in found]


async def written(rig: Rig, sql: str, **values: Any) -> None:
    """Write what no operation of the store writes."""

    def operation() -> Operation[None]:
        yield sql, values

    await rig.store._database.write(operation)


async def test_a_key_is_read_as_it_was_written(rig: Rig):
    """Whole, by its id, by its name, in lists, and for a server that keeps it in memory."""
    text = new_key()
    key = await rig.store.create_key(a_key(text=text), now=START)
    assert key == replace(a_key(text=text), version=key.version)
    assert await rig.store.find_key(key.id) == key
    assert await rig.store.keys_named("ci") == (key,)
    assert await rig.store.list_keys(KeyFilter(), after=("", ""), limit=10) == ((key,), None)
    assert (await rig.store.keys_in_use())[1] == (key,)
    assert await rig.store.find_key("nobody00") is None


async def test_no_row_holds_a_text(rig: Rig):
    """After a rotation, either: what is stored opens nothing."""
    texts = [new_key()]
    key = await rig.store.create_key(a_key(text=texts[0]), now=START)
    texts.append(new_key(key.id))
    assert await rig.store.change_key(key, rotated(key, texts[1], DEFAULT_OVERLAP, START))
    (row,) = rows(rig.place, "SELECT * FROM service_keys")
    stored = " ".join(map(str, tuple(row)))
    assert not [text for text in texts if text.text[13:] in stored]


async def test_a_name_is_taken_until_its_key_is_revoked(rig: Rig):
    """Within its namespace: other teams' names are nobody's business."""
    key = await rig.store.create_key(a_key(), now=START)
    with pytest.raises(KeyExists, match="Key exists: ci in reports"):
        await rig.store.create_key(a_key(), now=START)
    other = await rig.store.create_key(a_key("ci", "run@billing"), now=START)
    assert await rig.store.change_key(key, revoked(key, START))
    again = await rig.store.create_key(a_key(), now=START)
    assert {each.id for each in await rig.store.keys_named("ci")} == {other.id, again.id}


async def test_fifty_callers_make_one_key(rig: Rig):
    """At once, under one name: one has it, the others are refused."""
    ended = await asyncio.gather(*(rig.store.create_key(a_key(), now=START) for _ in range(50)), return_exceptions=True)
    assert [type(each) for each in ended if not isinstance(each, KeyExists)] == [Key]
    assert await names(rig) == ["ci"]


async def test_a_change_of_a_key_that_changed_is_not_written(rig: Rig):
    """A rotation and a revocation of what was read before: the first of them counts."""
    key = await rig.store.create_key(a_key(), now=START)
    changes = [rotated(key, new_key(key.id), DEFAULT_OVERLAP, START), revoked(key, START)]
    outcomes = await asyncio.gather(*(rig.store.change_key(key, each) for each in changes))
    assert sorted(outcomes) == [False, True]
    now = await rig.store.find_key(key.id)
    assert now is not None
    assert (now.replaced is None) is not outcomes[0]
    assert (now.revoke_time is None) is not outcomes[1]


async def test_every_change_has_a_version_of_its_own(rig: Rig):
    """Also of changes at the same moment: a server that asks for the version misses none."""
    before = await rig.store.access_version()
    made_keys = await asyncio.gather(*(rig.store.create_key(a_key(f"k{number}"), now=START) for number in range(10)))
    assert sorted(key.version for key in made_keys) == list(range(before + 1, before + 11))
    assert await rig.store.access_version() == before + 10
    await asyncio.gather(*(rig.store.change_key(key, revoked(key, START)) for key in made_keys))
    assert await rig.store.keys_in_use() == (before + 20, ())


async def test_uses_are_no_changes(rig: Rig):
    """Servers need not read all keys again for them; each is written once a minute, and never back."""
    key = await rig.store.create_key(a_key(), now=START)
    version = await rig.store.access_version()
    for now, noted in (
        (START, START),
        (START + NOTED_EVERY - TICK, START),
        (START + NOTED_EVERY, START + NOTED_EVERY),
        (START + TICK, START + NOTED_EVERY),
    ):
        await rig.store.note_keys_used([key.id, "gone0000", key.id], now=now)
        found = await rig.store.find_key(key.id)
        assert found is not None
        assert found.last_used_time == noted
    await rig.store.note_keys_used([], now=START)
    assert await rig.store.access_version() == version
    assert await rig.store.change_key(key, revoked(key, START))


async def test_lists_go_by_name_and_show_the_revoked_on_request(rig: Rig):
    """Page by page, of one namespace or of all."""
    for name, grant in (("b", "run@x"), ("a", "run@y"), ("c", "observe@*"), ("b", "run@y")):
        key = await rig.store.create_key(a_key(name, grant), now=START)
    assert await rig.store.change_key(key, revoked(key, START))
    assert await names(rig) == ["a", "b", "c"]
    assert await names(rig, KeyFilter(show_revoked=True)) == ["a", "b", "b", "c"]
    assert await names(rig, KeyFilter(namespace="y", show_revoked=True)) == ["a", "b"]
    assert await names(rig, KeyFilter(namespace="*")) == ["c"]
    found: list[str] = []
    place: tuple[str, str] | None = ("", "")
    while place is not None:
        page, place = await rig.store.list_keys(KeyFilter(show_revoked=True), after=place, limit=1)
        found += [key.name for key in page]
    assert found == ["a", "b", "b", "c"]


async def test_keys_that_ended_long_ago_are_removed_with_the_next_that_is_made(rig: Rig):
    """400 days after they were revoked, or expired; the others stay."""
    day = timedelta(days=1)
    for name, lifetime in (("expires", day), ("stays", None), ("revoked", None)):
        key = await rig.store.create_key(a_key(name, lifetime=lifetime), now=START)
    assert await rig.store.change_key(key, revoked(key, START + day))
    everything = KeyFilter(show_revoked=True)
    await rig.store.create_key(a_key("next"), now=START + day + KEPT_AFTER_END)
    assert await names(rig, everything) == ["expires", "next", "revoked", "stays"]
    await rig.store.create_key(a_key("last"), now=START + day + KEPT_AFTER_END + TICK)
    assert await names(rig, everything) == ["last", "next", "stays"]


@pytest.mark.parametrize(("program", "age", "refused"), [(0, 0, True), (0, 14, True), (0, 16, False), (1, 0, False)])
async def test_no_key_is_made_beside_a_server_that_knows_none(rig: Rig, program: int, age: int, refused: bool):
    """It would answer everybody; one that is gone for a while answers nobody."""
    await written(
        rig,
        "INSERT INTO replicas (id, start_time, seen_time, handlers, program) VALUES ('old', 0, :seen, '[]', :program)",
        seen=int((START - timedelta(seconds=age)).timestamp() * 1_000_000),
        program=KEYS_SINCE - 1 + program,
    )
    if refused:
        with pytest.raises(FailedPrecondition, match=r"older version .* \(old\)"):
            await rig.store.create_key(a_key(), now=START)
    else:
        await rig.store.create_key(a_key(), now=START)
    assert await names(rig) == ["ci"] * (not refused)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("grants", '["run@reports", "invent@reports"]'),
        ("grants", "no JSON"),
        ("grants", '{"run@reports": 1}'),
        ("digest", "no digits"),
        ("revoke_time", 2**63 - 1),
        ("expire_time", -(2**63)),
    ],
)
async def test_a_key_that_cannot_be_read_lets_nobody_in(rig: Rig, column: str, value: str | int):
    """Written by a newer program, or damaged; the others are read."""
    broken = await rig.store.create_key(a_key("broken"), now=START)
    await rig.store.create_key(a_key("whole"), now=START)
    await written(rig, f"UPDATE service_keys SET {column} = :value WHERE id = :id", value=value, id=broken.id)
    assert await rig.store.find_key(broken.id) is None
    assert [key.name for key in (await rig.store.keys_in_use())[1]] == ["whole"]
    assert await names(rig, KeyFilter(show_revoked=True)) == ["whole"]


async def test_changes_are_published_after_the_commit(rig: Rig):
    """For whoever keeps keys in memory; a change that is not written publishes nothing."""
    seen: list[Any] = []
    with rig.hub.listening(seen.append):
        key = await rig.store.create_key(a_key(), now=START)
        assert await rig.store.change_key(key, revoked(key, START))
        assert not await rig.store.change_key(key, revoked(key, START))
        await rig.store.note_keys_used([key.id], now=START)
    assert seen == [[KeysChanged()], [KeysChanged()]]
