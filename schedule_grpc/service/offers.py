"""The calls that tell who offers which handlers, and the mark of tasks whose handler nothing offers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from msgspec import structs

from schedule_grpc.domain.offers import WorkerInfo, info_of
from schedule_grpc.domain.task import Handler, Task
from schedule_grpc.handlers import Registry
from schedule_grpc.service.authored import Authored
from schedule_grpc.service.known_offers import KnownOffers
from schedule_grpc.service.namespaces import NamespaceSettings
from schedule_grpc.store import Store
from schedule_grpc.text.unicode import checked

LONGEST_NAME = 128
"""Characters of a handler's name."""
ENDED_FOR = timedelta(hours=24)
"""Workers whose sessions ended within this time are listed, too."""
MOST_SCHEMA_BYTES = 2 * 1024 * 1024
"""Of all schemas in one list of handlers; those beyond are left out: a gRPC client accepts 4 MiB by default."""


class OfferService(Authored):
    """The part of the Service that concerns handlers, and who offers them."""

    _store: Store
    _registry: Registry
    _namespace: str
    _namespaces: NamespaceSettings
    _offers: KnownOffers

    async def handlers(self) -> tuple[Handler, ...]:
        """Return the handlers that tasks of the namespace may name, by name, offered now or earlier.

        Raises:
            NamespaceNotFound: if the namespace does not exist.
        """
        namespace = await self._namespaces.get(self._namespace)
        known = await self.known_handlers()
        return _bounded([known[name] for name in sorted(known) if self._namespaces.allow(namespace, name)])

    async def known_handlers(self) -> Mapping[str, Handler]:
        """Return the handlers known in the namespace, by name, offered now or earlier, whether allowed or not."""
        now = self._clock.now()
        elsewhere = await self._store.offered_elsewhere(self._namespace, now=now)
        known = {
            handler.name: replace(handler, offered=handler.name in elsewhere)
            for handler in await self._store.known_handlers()
        }
        for offered in await self._store.handlers_of_workers(self._namespace, now=now):
            known[offered.name] = offered
        for own in self._registry.handlers():
            known[own.name] = _together(own, known.get(own.name, own))
        return known

    async def workers(self, handler: str = "") -> tuple[WorkerInfo, ...]:
        """Return the workers that run executions of the namespace, the newest first; at most 1,000.

        Those that live, and those whose sessions ended within a day. Of a worker of all namespaces only the handlers
        are told that tasks of this one may name; one that offers none of them is left out.

        Args:
            handler: Only workers that offer it; empty: all.

        Raises:
            NamespaceNotFound: if the namespace does not exist.
            InvalidArgument: if the handler is a text that no name can be.
        """
        handler = checked("handler", handler, most=LONGEST_NAME)
        namespace = await self._namespaces.get(self._namespace)
        since = self._clock.now() - ENDED_FOR
        shown = []
        for worker in map(info_of, await self._store.list_workers(self._namespace, handler=handler, since=since)):
            if worker.namespace == self._namespace:
                shown.append(worker)
                continue
            names = tuple(name for name in worker.handlers if self._namespaces.allow(namespace, name))
            if names and (not handler or handler in names):
                shown.append(structs.replace(worker, handlers=names))
        return tuple(shown)

    async def _marked(self, tasks: tuple[Task, ...]) -> tuple[Task, ...]:
        """Return tasks, marked where no server and no worker offers their handlers.

        Nothing is read where this server offers all of them.
        """
        elsewhere = {task.definition.handler for task in tasks} - self._registry.offered.names
        if not elsewhere:
            return tasks
        lacking = elsewhere - await self._offers.within(self._namespace)
        if not lacking:
            return tasks
        return tuple(
            structs.replace(task, no_worker=True) if task.definition.handler in lacking else task for task in tasks
        )

    async def _marked_one(self, task: Task) -> Task:
        (marked,) = await self._marked((task,))
        return marked


def _together(own: Handler, known: Handler) -> Handler:
    """Return a handler of this server with what workers say of it."""
    return replace(
        own,
        payload_schema=known.payload_schema,
        worker_count=known.worker_count,
        worker_versions=known.worker_versions,
    )


def _bounded(handlers: Sequence[Handler]) -> tuple[Handler, ...]:
    """Return handlers without the schemas that are too much for one answer."""
    left, bounded = MOST_SCHEMA_BYTES, []
    for handler in handlers:
        left -= len(handler.payload_schema.encode())
        bounded.append(handler if left >= 0 else replace(handler, payload_schema=""))
    return tuple(bounded)
