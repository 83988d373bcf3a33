"""The calls that concern keys: make, list, rotate, revoke; who the caller is."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeAlias

from schedule_grpc.domain.access.audit import Author
from schedule_grpc.domain.access.caller import Caller
from schedule_grpc.domain.access.grant import ALL
from schedule_grpc.domain.access.key_text import KeyText, new_key
from schedule_grpc.domain.access.keys import (
    DEFAULT_OVERLAP,
    Identity,
    Key,
    KeyFilter,
    KeyInfo,
    KeyPage,
    KeyPlace,
    KeyRequest,
    NewKey,
    checked_home,
    made,
    manages,
    require_identified,
    revoked,
    rotated,
)
from schedule_grpc.domain.access.scope import Scope
from schedule_grpc.domain.paging import KeyCursor, Page
from schedule_grpc.errors import InvalidArgument, KeyNotFound, PermissionDenied
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.service.overtaken import Overtaken, retried_when_overtaken
from schedule_grpc.store import Store

NOT_A_KEY = "is not the text of a key: sgk_, an id, _ and 49 letters and digits, the last 6 of which check the others"


Changed: TypeAlias = Callable[[], Awaitable[None]]


async def _nothing() -> None:
    pass


class KeyService:
    """Makes, lists, rotates and revokes keys for callers that could have made them."""

    def __init__(self, *, store: Store, clock: Clock, changed: Changed = _nothing) -> None:
        """Take the parts that the service works with; ``changed`` is awaited after each change, before its answer."""
        self._store = store
        self._clock = clock
        self._changed = changed

    async def create_key(self, caller: Caller, request: KeyRequest) -> NewKey:
        """Make a key; its text is in no later answer.

        Raises:
            InvalidArgument: if a field of the request cannot be accepted.
            PermissionDenied: if the caller does not administer a namespace that a grant names.
            KeyExists: if a key of its namespace that is not revoked has the name.
            FailedPrecondition: while a server that knows no keys uses the database.
        """
        now = self._clock.now()
        text = new_key()
        key = await self._store.create_key(
            made(request, text, caller, now), author=Author(caller=caller, method="CreateKey", time=now), now=now
        )
        await self._changed()
        return NewKey(key=key.info, text=text.text)

    async def list_keys(self, caller: Caller, chosen: KeyFilter, page: Page) -> KeyPage:
        """Return a page of the keys that the caller could have made, in the order of their names.

        Raises:
            InvalidArgument: if the namespace, the page's size or its token is invalid.
            PermissionDenied: if the caller administers no namespace, or not the one that is asked for.
        """
        _require_lister(caller, chosen)
        place: KeyPlace | None = KeyCursor.read(page, chosen).place
        shown: list[KeyInfo] = []
        while place is not None and len(shown) <= page.limit:
            found, place = await self._store.list_keys(chosen, after=place, limit=page.limit + 1)
            shown += [key.info for key in found if manages(caller, key)]
        keys = tuple(shown[: page.limit])
        token = KeyCursor.after(keys[-1]).write(chosen) if len(shown) > len(keys) else ""
        return KeyPage(keys=keys, next_page_token=token)

    @retried_when_overtaken
    async def rotate_key(
        self, caller: Caller, name: str, *, namespace: str = "", overlap: timedelta = DEFAULT_OVERLAP
    ) -> NewKey:
        """Give a key a new text; the present one is accepted for the overlap, one that is older no more.

        Raises:
            KeyNotFound: if no key that is not revoked, and that the caller could have made, has the name.
            InvalidArgument: if the overlap is out of bounds, or keys of several namespaces have the name.
            PermissionDenied: if the caller does not administer that namespace, or has not proven who it is.
        """
        require_identified(caller)
        before = await self._found(caller, name, namespace)
        text = new_key(before.id)
        now = self._clock.now()
        after = rotated(before, text, overlap, now)
        await self._change(before, after, Author(caller=caller, method="RotateKey", time=now))
        return NewKey(key=after.info, text=text.text)

    @retried_when_overtaken
    async def revoke_key(self, caller: Caller, name: str, *, namespace: str = "") -> KeyInfo:
        """Revoke a key by its name: its texts are accepted no more.

        Raises:
            KeyNotFound, InvalidArgument, PermissionDenied: as `rotate_key`.
        """
        return await self._revoked(caller, await self._found(caller, name, namespace))

    @retried_when_overtaken
    async def revoke_text(self, caller: Caller, text: str) -> KeyInfo:
        """Revoke the key of a text that became known: any caller that has the text may do so. Again is the same.

        Raises:
            InvalidArgument: if it is not the text of a key.
            KeyNotFound: if it is no key's present text, nor the one before.
        """
        given = KeyText.read(text)
        if given is None:
            raise InvalidArgument.of("text", NOT_A_KEY)
        key = await self._store.find_key(given.id)
        if key is None or not key.had(given.digest):
            raise KeyNotFound
        return await self._revoked(caller, key)

    async def who_am_i(self, caller: Caller) -> Identity:
        """Return what the server knows of a caller."""
        key = await self._store.find_key(caller.key_id) if caller.key_id else None
        return Identity(
            name=caller.name,
            grants=tuple(map(str, caller.grants)),
            namespace=caller.home,
            key=None if key is None else key.info,
        )

    async def _found(self, caller: Caller, name: str, namespace: str) -> Key:
        if namespace and not caller.may(Scope.ADMIN, checked_home("namespace", namespace)):
            raise PermissionDenied(Scope.ADMIN, namespace)
        keys = [
            key
            for key in await self._store.keys_named(name)
            if namespace in ("", key.namespace) and manages(caller, key)
        ]
        if not keys:
            raise KeyNotFound(name)
        if len(keys) > 1:
            raise InvalidArgument.of("namespace", f"is required: {_named(keys)} have a key {name}")
        return keys[0]

    async def _revoked(self, caller: Caller, before: Key) -> KeyInfo:
        now = self._clock.now()
        after = revoked(before, now)
        if after != before:
            await self._change(before, after, Author(caller=caller, method="RevokeKey", time=now))
        return after.info

    async def _change(self, before: Key, after: Key, author: Author) -> None:
        if not await self._store.change_key(before, after, author=author):
            raise Overtaken(before.name, of="Key")
        await self._changed()


def _require_lister(caller: Caller, chosen: KeyFilter) -> None:
    if chosen.namespace:
        home = checked_home("namespace", chosen.namespace)
        if not caller.may(Scope.ADMIN, home):
            raise PermissionDenied(Scope.ADMIN, home)
    elif not caller.has_any(Scope.ADMIN):
        raise PermissionDenied(Scope.ADMIN, ALL)


def _named(keys: Sequence[Key]) -> str:
    return ", ".join(key.namespace for key in keys)
