"""The calls that concern tasks: register, change, delete, enable, disable."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from msgspec import structs

from schedule_grpc.domain.access.audit import Author
from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.access.quota import QuotaExceeded
from schedule_grpc.domain.registration import (
    FreshTask,
    Registration,
    TaskChange,
    TaskUpdate,
    check_batch,
    fresh_task,
    registered,
    removed,
    switched,
)
from schedule_grpc.domain.task import MAX_NOTE, Definition, Task
from schedule_grpc.errors import (
    FailedPrecondition,
    HandlerNotFound,
    InvalidArgument,
    SchedulePassed,
    TaskNotFound,
    Violation,
)
from schedule_grpc.runtime.threads import LIGHT, Aside, weight_of
from schedule_grpc.service.listing import ListService
from schedule_grpc.service.overtaken import Overtaken, retried_when_overtaken
from schedule_grpc.service.permitted import shown_task
from schedule_grpc.service.quotas import Quotas
from schedule_grpc.service.registering import check_etag, declared_changes, placed, refuse_repeated_names
from schedule_grpc.service.together import Together
from schedule_grpc.store import Registered
from schedule_grpc.text.unicode import checked

FRESH = LIGHT // 25
"""The weight of computing a new task: finding its first occurrence."""
DECLARED_AT_ONCE = 500
"""Declared tasks that are compared in one reading, and written in one transaction."""
Registrations: TypeAlias = Together[Sequence[FreshTask], tuple[Task, ...] | None]
"""Calls that register one task; those that arrive during one write share the next."""


class TaskService(ListService):
    """The part of the Service that concerns definitions."""

    _registrations: Registrations
    _defaults: Sequence[Definition]
    _quotas: Quotas
    aside: Aside

    async def register(self, wanted: Registration) -> Task:
        """Create the task, or give the task of that name this definition; the same again changes nothing.

        This and all other calls that change tasks raise QuotaExceeded once the namespace has made as many within a
        minute as it may; so do those that create tasks, if it would have more than it may. Nothing is changed then.

        It belongs to this service's namespace: a definition that names none (``default``) is taken into it, one that
        names another is refused.

        Raises:
            NamespaceNotFound: if the namespace does not exist.
            HandlerNotAllowed: if tasks of the namespace may not name the handler.
            HandlerNotFound: if no server or worker offers or ever offered the handler, unless that is allowed.
            EtagMismatch: if an etag is given and the task has another one, or does not exist.
            InvalidArgument: if a new or changed schedule has no occurrence left.
        """
        self._permit.require(wanted.definition.name)
        (wanted,) = self._taken_in([wanted], place="")
        await self._count_write(validate_only=wanted.validate_only)
        await self._require_handlers([wanted])
        author = self._author("RegisterTask")
        (task,) = await self._register((wanted,), author, validate_only=wanted.validate_only, place="")
        return await self._marked_one(task)

    async def register_all(self, wanted: Sequence[Registration], *, validate_only: bool = False) -> tuple[Task, ...]:
        """Register all of the tasks, or none; return them in the same order.

        Raises:
            NamespaceNotFound, HandlerNotAllowed, HandlerNotFound, EtagMismatch: as `register`.
            InvalidArgument: as `register`; if there are none or too many, or two have the same name.
        """
        check_batch(len(wanted))
        refuse_repeated_names(wanted)
        for each in wanted:
            self._permit.require(each.definition.name)
        wanted = self._taken_in(wanted, place="requests[{}].")
        await self._count_write(validate_only=validate_only)
        await self._require_handlers(wanted)
        author = self._author("BatchRegisterTasks")
        tasks = await self._register(wanted, author, validate_only=validate_only, place="requests[{}].")
        return await self._marked(tasks)

    async def declare(self, wanted: Sequence[Registration]) -> tuple[Registration, ...]:
        """Register each of the tasks in its own namespace; handlers that nothing offers are allowed.

        All have different keys. One comparison finds the tasks that are registered so already; the others are written
        many at once.

        Returns:
            The registrations whose schedule is a single instant that is over: these are not registered.

        Raises:
            NamespaceNotFound, HandlerNotAllowed: as `register`; none of them is registered.
        """
        await self._require_allowed(wanted)
        passed: list[Registration] = []
        for first in range(0, len(wanted), DECLARED_AT_ONCE):
            differing = await self._store.differing(wanted[first : first + DECLARED_AT_ONCE])
            if not differing:
                continue
            changed = await self.aside.compute(partial(declared_changes, differing, self._clock.now()))
            author = self._author("RegisterTask")
            if await self._apply([each.by(author) for each in changed.changes]):
                passed += changed.passed
            else:  # another server changed one of the tasks meanwhile: register each by itself
                passed += [each for each, _ in differing if not await self._declare_alone(each)]
        return tuple(passed)

    async def update(self, wanted: TaskUpdate) -> Task:
        """Change some fields of a task.

        Raises:
            TaskNotFound, EtagMismatch.
            HandlerNotAllowed: if the definition changes, and its handler is not allowed in the namespace.
            HandlerNotFound: if no server or worker offers or ever offered the new handler, unless that is allowed.
            InvalidArgument: if the changed definition cannot be accepted.
        """
        self._permit.require(wanted.name)
        await self._count_write(validate_only=wanted.validate_only)
        return await self._marked_one(await self._update(wanted))

    @retried_when_overtaken
    async def _update(self, wanted: TaskUpdate) -> Task:
        before = await self._found(wanted.name)
        check_etag(wanted.name, before, wanted.etag)
        definition = await self.aside.compute(partial(wanted.applied_to, before), weight=weight_of(wanted.fields))
        if definition != before.definition:
            unknown = wanted.allow_unknown_handler or definition.handler == before.handler
            await self._require_handlers([Registration(definition=definition, allow_unknown_handler=unknown)])
        author = self._author("UpdateTask")
        change = registered(before, definition, enabled=wanted.enabled, now=author.time).by(author)
        if not wanted.validate_only:
            await self._write([change])
        return change.after

    async def delete(self, name: str, *, etag: str = "") -> None:
        """Delete a task; its history stays until retention removes it.

        Raises:
            TaskNotFound, EtagMismatch.
        """
        self._permit.require(name)
        await self._count_write()
        await self._delete(name, etag)

    @retried_when_overtaken
    async def _delete(self, name: str, etag: str) -> None:
        before = await self._found(name)
        check_etag(name, before, etag)
        author = self._author("DeleteTask")
        await self._write([removed(before, author.time).by(author)])

    async def get_task(self, name: str) -> Task:
        """Return the task.

        Raises:
            TaskNotFound: if no task has that name.
        """
        if not self._permit.covers(name):
            raise TaskNotFound(name)
        return shown_task(await self._marked_one(await self._found(name)), self._permit)

    async def enable(self, name: str, *, etag: str = "") -> Task:
        """Let the task fire again, counting from now.

        Raises:
            TaskNotFound, EtagMismatch.
        """
        return await self._switch(name, enabled=True, note="", etag=etag)

    async def disable(self, name: str, *, note: str = "", etag: str = "") -> Task:
        """Stop the task from firing; executions that never started are skipped, running ones and retries go on.

        Raises:
            TaskNotFound, EtagMismatch.
            InvalidArgument: if the note is too long, or cannot be kept.
        """
        note = checked("note", note, most=MAX_NOTE)
        return await self._switch(name, enabled=False, note=note, etag=etag)

    async def initialize_defaults(self) -> tuple[Task, ...]:
        """Register the built-in tasks that do not exist, and return them by name; an existing task is never changed.

        Whatever handlers the namespace ``default`` allows: these are the operator's own.

        Raises:
            FailedPrecondition: of a service in another namespace than ``default``, where alone they exist.
        """
        if self._namespace != DEFAULT_NAMESPACE:
            raise FailedPrecondition(f"The built-in tasks exist only in the namespace {DEFAULT_NAMESPACE}")
        initialized = []
        for definition in self._defaults:
            if await self._store.find_task(definition.key) is None:
                author = self._author("InitializeDefaultTasks")
                change = registered(None, definition, enabled=None, now=author.time).by(author)
                if await self._apply([change]):
                    initialized.append(change.after)
        return await self._marked(tuple(initialized))

    # -- inside

    async def _found(self, name: str) -> Task:
        task = await self._store.find_task((self._namespace, name))
        if task is None:
            raise TaskNotFound(name)
        return task

    def _taken_in(self, wanted: Sequence[Registration], *, place: str) -> Sequence[Registration]:
        """Return registrations as those of this namespace.

        Raises:
            InvalidArgument: if one names another namespace.
        """
        violations = [
            Violation(
                field=place.format(number) + "namespace",
                reason=f"{each.definition.namespace} is not {self._namespace}, in which this call works",
            )
            for number, each in enumerate(wanted)
            if each.definition.namespace not in (self._namespace, DEFAULT_NAMESPACE)
        ]
        if violations:
            raise InvalidArgument(*violations)
        if self._namespace == DEFAULT_NAMESPACE:
            return wanted
        ours = (structs.replace(each.definition, namespace=self._namespace) for each in wanted)
        return [replace(each, definition=definition) for each, definition in zip(wanted, ours, strict=True)]

    async def _count_write(self, *, validate_only: bool = False) -> None:
        if not validate_only:
            await self._quotas.take_write(self._namespace)

    async def _register(
        self, wanted: Sequence[Registration], author: Author, *, validate_only: bool, place: str
    ) -> tuple[Task, ...]:
        """Register all or none; ``place`` is the path by which violations name a request, with its number."""
        with self._quotas.noting_refusals():
            if not validate_only and (tasks := await self._registered_at_once(wanted, author)) is not None:
                return tasks
            return await self._register_as_read(wanted, author, validate_only=validate_only, place=place)

    @retried_when_overtaken
    async def _register_as_read(
        self, wanted: Sequence[Registration], author: Author, *, validate_only: bool, place: str
    ) -> tuple[Task, ...]:
        now = self._clock.now()
        await self._require_allowed(wanted)  # a namespace may be gone since
        found = await self._store.find_tasks([each.definition.key for each in wanted])
        changes = []
        for number, each in enumerate(wanted):
            before = found.get(each.definition.key)
            check_etag(each.definition.name, before, each.etag)
            with placed(place.format(number)):
                change = registered(before, each.definition, enabled=each.enabled, now=now)
            changes.append(change.by(author))
        if not validate_only:
            await self._write(changes)
        return tuple(change.after for change in changes)

    async def _registered_at_once(self, wanted: Sequence[Registration], author: Author) -> tuple[Task, ...] | None:
        """Register in one write tasks that are new or unchanged; write nothing and return None if one changes."""
        if any(each.etag for each in wanted):
            return None
        now = self._clock.now()
        try:
            fresh = await self.aside.compute(
                lambda: [fresh_task(each, now, author=author) for each in wanted], weight=FRESH * len(wanted)
            )
        except SchedulePassed:  # the task may be registered so already
            return None
        if len(fresh) == 1:
            return await self._registrations.ask(fresh)
        (answer,) = await self._register_together([fresh])
        if isinstance(answer, QuotaExceeded):
            raise answer
        return answer

    async def _register_together(self, calls: Sequence[Sequence[FreshTask]]) -> Sequence[Registered]:
        namespaces = {fresh.task.namespace for call in calls for fresh in call}
        return await self._store.register_tasks(calls, limited=self._namespaces.limiting_tasks(namespaces))

    async def _declare_alone(self, wanted: Registration) -> bool:
        """Register a declared task; return False if its schedule is a single instant that is over."""
        try:
            await self._register((wanted,), self._author("RegisterTask"), validate_only=False, place="")
        except SchedulePassed:
            return False
        return True

    async def _write(self, changes: Sequence[TaskChange]) -> None:
        """Write the changes.

        Raises:
            Overtaken: if a task is not as its change was computed from; none of them is written.
        """
        if not await self._apply(changes):
            raise Overtaken(", ".join(change.after.name for change in changes[:3]))

    async def _apply(self, changes: Sequence[TaskChange]) -> bool:
        real = [change for change in changes if change.before != change.after]
        limited = self._namespaces.limiting_tasks(each.after.namespace for each in real if each.before is None)
        if not real or await self._store.change_tasks(real, now=real[0].after.update_time, limited=limited):
            return True
        for change in real:
            self._namespaces.forget(change.after.namespace)
        return False

    async def _switch(self, name: str, *, enabled: bool, note: str, etag: str) -> Task:
        self._permit.require(name)
        await self._count_write()
        return await self._marked_one(await self._switch_as_read(name, enabled=enabled, note=note, etag=etag))

    @retried_when_overtaken
    async def _switch_as_read(self, name: str, *, enabled: bool, note: str, etag: str) -> Task:
        before = await self._found(name)
        check_etag(name, before, etag)
        author = self._author("EnableTask" if enabled else "DisableTask")
        change = switched(before, enabled=enabled, note=note, now=author.time).by(author)
        await self._write([change])
        return change.after

    async def _require_allowed(self, wanted: Sequence[Registration]) -> None:
        namespaces = {key: await self._namespaces.get(key) for key in {each.definition.namespace for each in wanted}}
        for definition in (each.definition for each in wanted):
            self._namespaces.check(namespaces[definition.namespace], definition)

    async def _require_handlers(self, wanted: Sequence[Registration]) -> None:
        await self._require_allowed(wanted)
        missing = [
            each.definition
            for each in wanted
            if not each.allow_unknown_handler and each.definition.handler not in self._registry
        ]
        if missing:
            known = tuple(handler.name for handler in await self.handlers())
            for definition in missing:
                if definition.handler not in known:
                    raise HandlerNotFound(definition.handler, known, task=definition.name)
