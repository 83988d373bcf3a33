"""The calls that concern tasks: register, change, delete, enable, disable, list."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TypeAlias

from schedule_grpc.domain.paging import Page, TaskCursor
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
from schedule_grpc.domain.task import MAX_NOTE, Definition, Handler, Task, TaskFilter, TaskPage
from schedule_grpc.errors import (
    EtagMismatch,
    HandlerNotFound,
    InvalidArgument,
    SchedulePassed,
    TaskNotFound,
    Violation,
)
from schedule_grpc.handlers import Registry
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.runtime.threads import LIGHT, Aside, weight_of
from schedule_grpc.service.overtaken import Overtaken, retried_when_overtaken
from schedule_grpc.service.together import Together
from schedule_grpc.store import Store
from schedule_grpc.text.unicode import checked

FRESH = LIGHT // 25
"""The weight of computing a new task: finding its first occurrence."""
MAX_ETAG = 1024
"""Characters of an etag that a caller may send; the service's own have a few."""
DECLARED_AT_ONCE = 500
"""Declared tasks that are compared in one reading, and written in one transaction."""
Registrations: TypeAlias = Together[Sequence[FreshTask], tuple[Task, ...] | None]
"""Calls that register one task; those that arrive during one write share the next."""


class TaskService:
    """The part of the Service that concerns definitions."""

    _store: Store
    _registrations: Registrations
    _clock: Clock
    _registry: Registry
    _defaults: Sequence[Definition]
    aside: Aside

    async def register(self, wanted: Registration) -> Task:
        """Create the task, or give the task of that name this definition; the same again changes nothing.

        Raises:
            HandlerNotFound: if no server offers or ever offered the handler, unless that is allowed.
            EtagMismatch: if an etag is given and the task has another one, or does not exist.
            InvalidArgument: if a new or changed schedule has no occurrence left.
        """
        await self._require_handlers([wanted])
        (task,) = await self._register((wanted,), validate_only=wanted.validate_only, place="")
        return task

    async def register_all(self, wanted: Sequence[Registration], *, validate_only: bool = False) -> tuple[Task, ...]:
        """Register all of the tasks, or none; return them in the same order.

        Raises:
            HandlerNotFound, EtagMismatch: as `register`.
            InvalidArgument: as `register`; if there are none or too many, or two have the same name.
        """
        check_batch(len(wanted))
        _refuse_repeated_names(wanted)
        await self._require_handlers(wanted)
        return await self._register(wanted, validate_only=validate_only, place="requests[{}].")

    async def declare(self, wanted: Sequence[Registration]) -> tuple[Registration, ...]:
        """Register each of the tasks, all of different names; handlers that no server offers are allowed.

        One comparison finds the tasks that are registered so already; the others are written many at once.

        Returns:
            The registrations whose schedule is a single instant that is over: these are not registered.
        """
        passed: list[Registration] = []
        for first in range(0, len(wanted), DECLARED_AT_ONCE):
            differing = await self._store.differing(wanted[first : first + DECLARED_AT_ONCE])
            if not differing:
                continue
            changed = await self.aside.compute(partial(_declared, differing, self._clock.now()))
            if await self._apply(changed.changes):
                passed += changed.passed
            else:  # another server changed one of the tasks meanwhile: register each by itself
                passed += [each for each, _ in differing if not await self._declare_alone(each)]
        return tuple(passed)

    @retried_when_overtaken
    async def update(self, wanted: TaskUpdate) -> Task:
        """Change some fields of a task.

        Raises:
            TaskNotFound, EtagMismatch.
            HandlerNotFound: if no server offers or ever offered the new handler, unless that is allowed.
            InvalidArgument: if the changed definition cannot be accepted.
        """
        before = await self.get_task(wanted.name)
        _check_etag(wanted.name, before, wanted.etag)
        definition = await self.aside.compute(partial(wanted.applied_to, before), weight=weight_of(wanted.fields))
        if definition.handler != before.handler and not wanted.allow_unknown_handler:
            await self._require_handlers([Registration(definition=definition)])
        change = registered(before, definition, enabled=wanted.enabled, now=self._clock.now())
        if not wanted.validate_only:
            await self._write([change])
        return change.after

    @retried_when_overtaken
    async def delete(self, name: str, *, etag: str = "") -> None:
        """Delete a task; its history stays until retention removes it.

        Raises:
            TaskNotFound, EtagMismatch.
        """
        before = await self.get_task(name)
        _check_etag(name, before, etag)
        await self._write([removed(before, self._clock.now())])

    async def get_task(self, name: str) -> Task:
        """Return the task.

        Raises:
            TaskNotFound: if no task has that name.
        """
        task = await self._store.find_task(name)
        if task is None:
            raise TaskNotFound(name)
        return task

    async def list_tasks(self, chosen: TaskFilter, page: Page) -> TaskPage:
        """Return a page of tasks in the order of their names.

        Raises:
            InvalidArgument: if the page's size or token is invalid.
        """
        cursor = TaskCursor.read(page, chosen)
        tasks = await self._store.list_tasks(chosen, after=cursor.name, limit=page.limit + 1)
        shown = tasks[: page.limit]
        token = TaskCursor(name=shown[-1].name).write(chosen) if len(tasks) > len(shown) else ""
        return TaskPage(tasks=shown, next_page_token=token)

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
        """Register the built-in tasks that do not exist, and return them by name; an existing task is never changed."""
        initialized = []
        for definition in self._defaults:
            if await self._store.find_task(definition.name) is None:
                change = registered(None, definition, enabled=None, now=self._clock.now())
                if await self._apply([change]):
                    initialized.append(change.after)
        return tuple(initialized)

    async def handlers(self) -> tuple[Handler, ...]:
        """Return the handlers that tasks can name, by name: the ones offered now, and the ones offered earlier."""
        elsewhere = await self._store.offered_elsewhere(now=self._clock.now())
        known = {
            handler.name: replace(handler, offered=handler.name in elsewhere)
            for handler in await self._store.known_handlers()
        }
        known |= {handler.name: handler for handler in self._registry.handlers()}
        return tuple(sorted(known.values(), key=lambda handler: handler.name))

    # -- inside

    async def _register(self, wanted: Sequence[Registration], *, validate_only: bool, place: str) -> tuple[Task, ...]:
        """Register all or none; ``place`` is the path by which violations name a request, with its number."""
        if not validate_only and (tasks := await self._registered_at_once(wanted)) is not None:
            return tasks
        return await self._register_as_read(wanted, validate_only=validate_only, place=place)

    @retried_when_overtaken
    async def _register_as_read(
        self, wanted: Sequence[Registration], *, validate_only: bool, place: str
    ) -> tuple[Task, ...]:
        now = self._clock.now()
        found = await self._store.find_tasks([each.definition.name for each in wanted])
        changes = []
        for number, each in enumerate(wanted):
            before = found.get(each.definition.name)
            _check_etag(each.definition.name, before, each.etag)
            with _placed(place.format(number)):
                changes.append(registered(before, each.definition, enabled=each.enabled, now=now))
        if not validate_only:
            await self._write(changes)
        return tuple(change.after for change in changes)

    async def _registered_at_once(self, wanted: Sequence[Registration]) -> tuple[Task, ...] | None:
        """Register in one write tasks that are new or unchanged; write nothing and return None if one changes."""
        if any(each.etag for each in wanted):
            return None
        now = self._clock.now()
        weight = FRESH * len(wanted)
        try:
            fresh = await self.aside.compute(lambda: [fresh_task(each, now) for each in wanted], weight=weight)
        except SchedulePassed:  # the task may be registered so already
            return None
        if len(fresh) == 1:
            return await self._registrations.ask(fresh)
        (tasks,) = await self._store.register_tasks([fresh])
        return tasks

    async def _declare_alone(self, wanted: Registration) -> bool:
        """Register a declared task; return False if its schedule is a single instant that is over."""
        try:
            await self._register((wanted,), validate_only=False, place="")
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
        return not real or await self._store.change_tasks(real, now=real[0].after.update_time)

    @retried_when_overtaken
    async def _switch(self, name: str, *, enabled: bool, note: str, etag: str) -> Task:
        before = await self.get_task(name)
        _check_etag(name, before, etag)
        change = switched(before, enabled=enabled, note=note, now=self._clock.now())
        await self._write([change])
        return change.after

    async def _require_handlers(self, wanted: Sequence[Registration]) -> None:
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Declared:
    """The changes that declared tasks make, and the registrations whose single instant is over."""

    changes: Sequence[TaskChange]
    passed: Sequence[Registration]


def _declared(wanted: Sequence[tuple[Registration, Task | None]], now: datetime) -> _Declared:
    changes, passed = [], []
    for each, before in wanted:
        try:
            changes.append(registered(before, each.definition, enabled=each.enabled, now=now))
        except SchedulePassed:
            passed.append(each)
    return _Declared(changes=changes, passed=passed)


@contextmanager
def _placed(place: str) -> Iterator[None]:
    """Within this context, violations name their fields by the place in the request."""
    try:
        yield
    except InvalidArgument as error:
        if not place:
            raise
        raise InvalidArgument(
            *(Violation(field=place + each.field, reason=each.reason) for each in error.violations), more=error.more
        ) from None


def _refuse_repeated_names(wanted: Sequence[Registration]) -> None:
    first: dict[str, int] = {}
    violations = []
    for index, each in enumerate(wanted):
        name = each.definition.name
        if first.setdefault(name, index) != index:
            reason = f"{name} is registered by requests[{first[name]}] already"
            violations.append(Violation(field=f"requests[{index}].name", reason=reason))
    if violations:
        raise InvalidArgument(*violations)


def _check_etag(name: str, task: Task | None, etag: str) -> None:
    if checked("etag", etag, most=MAX_ETAG) and (task is None or task.etag != etag):
        raise EtagMismatch(name, given=etag, current=task.etag if task else "none: there is no such task")
