"""The rpcs about keys: what each caller may do, and what it is told."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from support.rigs.rig import START
from support.servers.keyed import Keyed, caller, serving_keys

from schedule_grpc.domain.access.caller import ANYBODY
from schedule_grpc.domain.access.key_text import KeyText
from schedule_grpc.domain.access.keys import Identity
from schedule_grpc.errors import InvalidArgument, KeyExists, KeyNotFound, PermissionDenied
from schedule_grpc.pb import access_pb2 as pb
from schedule_grpc.pb import access_pb2_grpc

DAY = timedelta(days=1)


@pytest.fixture
async def keyed(database: Path) -> AsyncIterator[Keyed]:
    """A server that answers calls about keys."""
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(serving_keys(database))


async def test_a_key_is_made_and_its_text_is_answered_once(keyed: Keyed):
    """Later answers have all but the text."""
    made = await keyed.client.create_key("ci", ["write@reports", "run@reports/a"], lifetime=90 * DAY)
    text = KeyText.read(made.text)
    assert text is not None
    assert (text.id, made.key.id) == (made.key.id, text.id)
    assert (made.key.namespace, made.key.grants) == ("reports", ("write@reports", "run@reports/a"))
    assert (made.key.create_time, made.key.expire_time) == (START, START + 90 * DAY)
    assert made.key.created_by == "key:maker"
    page = await keyed.client.list_keys()
    assert page.keys == (made.key,)
    assert made.text not in repr((made, page))
    stored = await keyed.store.find_key(text.id)
    assert stored is not None
    assert stored.matches(text.digest, START)


async def test_names_grants_and_lifetimes_are_checked_together(keyed: Keyed):
    """Each refused field is named; nothing is made."""
    with pytest.raises(InvalidArgument) as caught:
        await keyed.client.create_key("No Name", ["write@reports", "write@*"], lifetime=timedelta(0))
    assert [each.field for each in caught.value.violations] == ["name", "lifetime", "grants[1]"]
    with pytest.raises(InvalidArgument, match="is a text, not a list"):
        await keyed.client.create_key("ci", "write@reports")
    async with grpc.aio.insecure_channel(keyed.address) as channel:
        stub = access_pb2_grpc.AccessServiceStub(channel)
        wrong = pb.CreateKeyRequest(name="ci", grants=["run@a"], lifetime=Duration(seconds=1, nanos=-1))
        with pytest.raises(grpc.aio.AioRpcError, match="lifetime: is not a valid duration"):
            await stub.CreateKey(wrong)
    assert (await keyed.client.list_keys()).keys == ()


async def test_a_name_is_used_once_and_free_after_its_revocation(keyed: Keyed):
    """The error names the key that is there."""
    await keyed.client.create_key("ci", ["run@reports"])
    with pytest.raises(KeyExists, match="Key exists: ci in reports"):
        await keyed.client.create_key("ci", ["read@reports"])
    gone = await keyed.client.revoke_key("ci")
    assert gone.revoke_time == START
    await keyed.client.create_key("ci", ["read@reports"])
    with pytest.raises(KeyNotFound, match="Key not found: cj"):
        await keyed.client.revoke_key("cj")


async def test_a_callers_keys_are_those_of_its_namespaces(keyed: Keyed):
    """Those of others look as if they did not exist, in lists and by name."""
    for name, grant in (("a", "run@reports"), ("b", "run@billing"), ("c", "read@*"), ("d", "admin@reports")):
        await keyed.client.create_key(name, [grant])
    keyed.caller = caller("admin@reports")
    assert [key.name for key in (await keyed.client.list_keys()).keys] == ["a", "d"]
    for name in ("b", "c", "nothing"):
        for call in (keyed.client.rotate_key, keyed.client.revoke_key):
            with pytest.raises(KeyNotFound, match=f"Key not found: {name}"):
                await call(name)
    for namespace in ("billing", "*"):
        for denied in (
            keyed.client.list_keys(namespace=namespace),
            keyed.client.rotate_key("b", namespace=namespace),
            keyed.client.revoke_key("b", namespace=namespace),
            keyed.client.rotate_key("nothing", namespace=namespace),
        ):
            with pytest.raises(PermissionDenied, match=r"admin@.* is needed"):
                await denied
    with pytest.raises(PermissionDenied, match=r"admin@billing is needed \(to give run@billing\)"):
        await keyed.client.create_key("mine", ["run@reports", "run@billing"])
    keyed.caller = caller("admin@*")
    assert [key.name for key in (await keyed.client.list_keys(namespace="*")).keys] == ["c"]


@pytest.mark.parametrize("grant", ["observe@*", "write@reports", "worker@reports"])
async def test_who_administers_nothing_manages_no_keys(keyed: Keyed, grant: str):
    """A key that may write makes no keys, not even its like."""
    keyed.caller = caller(grant)
    for denied in (
        keyed.client.create_key("mine", [grant]),
        keyed.client.list_keys(),
        keyed.client.list_keys(namespace="reports"),
    ):
        with pytest.raises(PermissionDenied):
            await denied
    with pytest.raises(KeyNotFound):
        await keyed.client.revoke_key("mine")


async def test_a_caller_that_nobody_knows_receives_no_text(keyed: Keyed):
    """Or the first one to come would be the administrator; it may look and revoke as its grants say."""
    await keyed.client.create_key("ci", ["run@reports"])
    keyed.caller = ANYBODY
    for denied in (keyed.client.create_key("mine", ["admin@*"]), keyed.client.rotate_key("ci")):
        with pytest.raises(PermissionDenied, match="keys create --database"):
            await denied
    assert [key.name for key in (await keyed.client.list_keys()).keys] == ["ci"]


async def test_a_rotation_answers_a_new_text_under_the_same_id(keyed: Keyed):
    """The old one is accepted for a day, unless another overlap is asked for."""
    first = await keyed.client.create_key("ci", ["run@reports"], lifetime=90 * DAY)
    keyed.clock.set_wall(START + DAY)
    second = await keyed.client.rotate_key("ci")
    assert (second.key.id, second.text == first.text) == (first.key.id, False)
    assert second.key.old_text_expire_time == START + 2 * DAY
    assert (second.key.rotate_time, second.key.expire_time) == (START + DAY, START + 91 * DAY)
    third = await keyed.client.rotate_key("ci", overlap=timedelta(0))
    assert third.key.old_text_expire_time is None
    with pytest.raises(InvalidArgument, match="overlap"):
        await keyed.client.rotate_key("ci", overlap=31 * DAY)


async def test_a_name_of_several_namespaces_needs_the_namespace(keyed: Keyed):
    """The error names those that the caller manages."""
    for namespace in ("reports", "billing"):
        await keyed.client.create_key("ci", [f"run@{namespace}"])
    with pytest.raises(InvalidArgument, match="namespace: is required: billing, reports have a key ci"):
        await keyed.client.revoke_key("ci")
    assert (await keyed.client.rotate_key("ci", namespace="billing")).key.namespace == "billing"
    assert (await keyed.client.revoke_key("ci", namespace="reports")).grants == ("run@reports",)
    assert [key.namespace for key in (await keyed.client.list_keys()).keys] == ["billing"]


async def test_whoever_finds_a_text_may_revoke_its_key(keyed: Keyed):
    """Its present text or the one before, once or again, without being its administrator."""
    first = await keyed.client.create_key("ci", ["run@reports"])
    await keyed.client.rotate_key("ci")
    keyed.caller = caller("observe@billing")
    gone = await keyed.client.revoke_key(text=first.text)
    assert (gone.name, gone.revoke_time) == ("ci", START)
    keyed.clock.set_wall(START + DAY)
    assert await keyed.client.revoke_key(text=first.text) == gone


async def test_a_text_that_is_no_keys_revokes_nothing(keyed: Keyed):
    """One that is mistyped, one of no key, one from before the last two rotations; none is repeated by the error."""
    first = await keyed.client.create_key("ci", ["run@reports"])
    for _ in range(2):
        await keyed.client.rotate_key("ci")
    with pytest.raises(KeyNotFound, match="No key has this text"):
        await keyed.client.revoke_key(text=first.text)
    with pytest.raises(InvalidArgument, match="text: is not the text of a key") as caught:
        await keyed.client.revoke_key(text=first.text[:-1] + "_")
    assert first.text[13:40] not in caught.value.message
    for wrong in ({}, {"name": "ci", "text": first.text}, {"text": first.text, "namespace": "reports"}):
        with pytest.raises(InvalidArgument):
            await keyed.client.revoke_key(**wrong)
    assert len((await keyed.client.list_keys()).keys) == 1


async def test_lists_come_in_pages_without_the_keys_of_others(keyed: Keyed):
    """However many of those lie between; a token of another question is refused."""
    for number in range(12):
        await keyed.client.create_key(f"k{number:02}", [f"run@{'billing' if number % 4 else 'reports'}"])
    await keyed.client.revoke_key("k00")
    keyed.caller = caller("admin@reports")
    assert [key.name async for key in keyed.client.keys(page_size=1)] == ["k04", "k08"]
    assert [key.name async for key in keyed.client.keys(page_size=2, show_revoked=True)] == ["k00", "k04", "k08"]
    page = await keyed.client.list_keys(page_size=1)
    with pytest.raises(InvalidArgument, match="page_token"):
        await keyed.client.list_keys(page_size=1, show_revoked=True, page_token=page.next_page_token)
    with pytest.raises(InvalidArgument, match="page_size"):
        await keyed.client.list_keys(page_size=-1)


async def test_a_caller_learns_who_it_is(keyed: Keyed):
    """Its name, its grants, the namespace of its calls, and the key that it uses."""
    made = await keyed.client.create_key("ci", ["run@reports"])
    keyed.caller = caller("run@reports", key_id=made.key.id)
    assert await keyed.client.who_am_i() == Identity(
        name="key:maker", grants=("run@reports",), namespace="reports", key=made.key
    )
    keyed.caller = ANYBODY
    assert await keyed.client.who_am_i() == Identity(
        name="anonymous", grants=("admin@*", "worker@*"), namespace="default"
    )
