"""The calls that concern namespaces, and their settings, which the other calls heed."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

from schedule_grpc.domain.access.namespace import (
    DEFAULT_LIMITS,
    DEFAULT_NAMESPACE,
    EVERY_HANDLER,
    Limits,
    Namespace,
    NamespacePage,
    checked_namespace,
    defined_namespace,
)
from schedule_grpc.domain.paging import NamespaceCursor, Page
from schedule_grpc.domain.task import Definition
from schedule_grpc.errors import (
    EtagMismatch,
    HandlerNotAllowed,
    NamespaceExists,
    NamespaceNotEmpty,
    NamespaceNotFound,
)
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.service.authored import Authored
from schedule_grpc.service.overtaken import Overtaken, retried_when_overtaken
from schedule_grpc.store import NamespaceInUse, Store
from schedule_grpc.text.unicode import checked

KNOWN_FOR = 1.0
"""Seconds for which settings are not read again: a change on another server is heeded by then."""
KEPT = 1_000
"""Namespaces whose settings are kept."""
MAX_ETAG = 1024
"""Characters of an etag that a caller may send."""


class NamespaceSettings:
    """The settings of namespaces, read again when older than `KNOWN_FOR`, and after a change by this server."""

    def __init__(self, store: Store, clock: Clock, builtins: AbstractSet[str]) -> None:
        """Take the names of the built-in handlers, beside the store that has the settings."""
        self._store = store
        self._clock = clock
        self._builtins = builtins
        self._known: OrderedDict[str, tuple[float, Namespace]] = OrderedDict()
        self._changes = 0
        """A reading that began before the last change is not kept."""

    async def get(self, name: str) -> Namespace:
        """Return the settings of a namespace.

        Raises:
            NamespaceNotFound: if there is none of that name.
        """
        now, changes = self._clock.monotonic(), self._changes
        known = self._known.get(name)
        if known is not None and now < known[0] + KNOWN_FOR:
            return known[1]
        found = await self._store.find_namespace(name)
        if found is None:
            self._known.pop(name, None)
            raise NamespaceNotFound(name)
        if changes == self._changes:
            self._known[name] = now, found
            self._known.move_to_end(name)
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        return found

    def limiting_tasks(self, names: Iterable[str]) -> set[str]:
        """Return the namespaces whose tasks may be limited in number, by settings that may be old: writes ask again."""
        known = {name: self._known.get(name) for name in set(names)}
        return {name for name, found in known.items() if found is None or found[1].limits.max_tasks is not None}

    def forget(self, name: str) -> None:
        """Read the settings of a namespace again next time: they may have changed, or it may be gone."""
        self._changes += 1
        self._known.pop(name, None)

    def allow(self, namespace: Namespace, handler: str) -> bool:
        """Return whether tasks of a namespace may name a handler."""
        return namespace.allows(handler, builtin=handler in self._builtins)

    def check(self, namespace: Namespace, definition: Definition) -> None:
        """Return if a task of a namespace may be defined so.

        Raises:
            HandlerNotAllowed: if it may not name its handler.
        """
        if not self.allow(namespace, definition.handler):
            raise HandlerNotAllowed(
                definition.handler,
                namespace=namespace.name,
                patterns=namespace.handlers,
                builtin=definition.handler in self._builtins,
                task=definition.name,
            )


class NamespaceService(Authored):
    """The part of the Service that concerns namespaces: it works alike whatever namespace the service is in."""

    _store: Store
    _namespaces: NamespaceSettings

    async def create_namespace(
        self, name: str, *, handlers: Sequence[str] = (EVERY_HANDLER,), limits: Limits = DEFAULT_LIMITS
    ) -> Namespace:
        """Create a namespace.

        Args:
            name: A small letter, followed by up to 62 small letters, digits or ``-``.
            handlers: Patterns of the handlers that its tasks may name: a name, the beginning of names and ``*``, or
                ``*`` alone. A built-in handler is allowed by its whole name only.
            limits: How much it may have and do.

        Raises:
            InvalidArgument: naming each field that is wrong.
            NamespaceExists: if there is one of that name.
        """
        new = defined_namespace(name, handlers=handlers, limits=limits, create_time=self._clock.now())
        if not await self._store.create_namespace(new, author=self._author("CreateNamespace")):
            raise NamespaceExists(name)
        self._namespaces.forget(name)
        return new

    async def get_namespace(self, name: str) -> Namespace:
        """Return the settings of a namespace.

        Raises:
            InvalidArgument: if the name is none of a namespace.
            NamespaceNotFound: if there is none of that name.
        """
        found = await self._store.find_namespace(checked_namespace("name", name))
        if found is None:
            raise NamespaceNotFound(name)
        return found

    @retried_when_overtaken
    async def update_namespace(
        self,
        name: str,
        *,
        handlers: Sequence[str] | None = None,
        limits: Limits | Mapping[str, Any] | None = None,
        etag: str = "",
    ) -> Namespace:
        """Change settings of a namespace; None leaves them as they are, and so does a limit that is not given.

        Its tasks stay as they are: one whose handler is no longer allowed goes on, and cannot be registered or changed.

        Raises:
            NamespaceNotFound, EtagMismatch.
            InvalidArgument: naming each field that is wrong.
        """
        before = await self.get_namespace(name)
        _check_etag(before, etag)
        changed = defined_namespace(
            name,
            handlers=before.handlers if handlers is None else handlers,
            limits=limits if isinstance(limits, Limits) else replace(before.limits, **(limits or {})),
            create_time=before.create_time,
        )
        after = replace(changed, version=before.version)
        if after == before:
            return before
        after = replace(after, version=before.version + 1)
        if not await self._store.update_namespace(before, after, author=self._author("UpdateNamespace")):
            raise Overtaken(name, "changed", of="Namespace")
        self._namespaces.forget(name)
        return after

    @retried_when_overtaken
    async def delete_namespace(self, name: str, *, etag: str = "") -> None:
        """Delete a namespace in which nothing is left.

        Raises:
            NamespaceNotFound, EtagMismatch.
            NamespaceNotEmpty: if it has tasks, or the history of deleted ones, or if it is ``default``.
        """
        before = await self.get_namespace(name)
        _check_etag(before, etag)
        if name == DEFAULT_NAMESPACE:
            raise NamespaceNotEmpty(name, "cannot be deleted: calls that name no namespace work in it")
        try:
            is_deleted = await self._store.delete_namespace(before, author=self._author("DeleteNamespace"))
        except NamespaceInUse as error:
            left = "has tasks" if error.living else "has the history of deleted tasks, which retention removes in time"
            raise NamespaceNotEmpty(name, left) from None
        if not is_deleted:
            raise Overtaken(name, "deleted", of="Namespace")
        self._namespaces.forget(name)

    async def list_namespaces(self, page: Page) -> NamespacePage:
        """Return a page of namespaces in the order of their names.

        Raises:
            InvalidArgument: if the page's size or token is invalid.
        """
        cursor = NamespaceCursor.read(page)
        found = await self._store.list_namespaces(after=cursor.name, limit=page.limit + 1)
        shown = found[: page.limit]
        token = NamespaceCursor(name=shown[-1].name).write() if len(found) > len(shown) else ""
        return NamespacePage(namespaces=shown, next_page_token=token)


def _check_etag(namespace: Namespace, etag: str) -> None:
    if checked("etag", etag, most=MAX_ETAG) and namespace.etag != etag:
        raise EtagMismatch(namespace.name, given=etag, current=namespace.etag, of="namespace")
