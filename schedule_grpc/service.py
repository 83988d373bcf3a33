"""The application: what the service does when it is asked, whatever the edge it is asked through."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from schedule_grpc.clock import Clock
from schedule_grpc.errors import (
    EtagMismatch,
    ExecutionNotFound,
    HandlerNotFound,
    InvalidArgument,
    NoWorker,
    ShuttingDown,
    TaskNotFound,
    Unavailable,
)
from schedule_grpc.events import Hub
from schedule_grpc.execution import Execution, ExecutionFilter, ExecutionPage, State
from schedule_grpc.handlers import Registry
from schedule_grpc.paging import ExecutionCursor, Page, TaskCursor
from schedule_grpc.planning import Registration, TaskChange, registration, switching
from schedule_grpc.store import Store
from schedule_grpc.task import MAX_NOTE, Definition, Handler, Task, TaskFilter, TaskPage, checked_payload

MAX_REQUEST_ID = 128
NO_WORKER_AFTER = timedelta(seconds=30)
"""How long a waiting RunTaskNow stands by for somebody to offer the handler."""
TRIES = 20
"""How often a change that others overtook is computed anew; each time somebody else made progress."""


class Service:
    """Registers, lists, runs and switches tasks, and reads their history."""

    def __init__(
        self, *, store: Store, clock: Clock, hub: Hub, registry: Registry, defaults: Sequence[Definition] = ()
    ) -> None:
        self._store = store
        self._clock = clock
        self._hub = hub
        self._registry = registry
        self._defaults = tuple(sorted(defaults, key=lambda definition: definition.name))
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """Stop accepting runs, and let those who wait for one go with ShuttingDown."""
        self._draining.set()

    # -- tasks

    async def register(self, wanted: Registration) -> Task:
        """Create the task, or make it what is wanted; the same again changes nothing.

        Raises:
            HandlerNotFound: if nobody offers or ever offered the handler, unless that is allowed.
            EtagMismatch: if an etag is given and the task is not as it was, or is not there.
            InvalidArgument: if a new or changed schedule has no occurrence left.
        """
        definition = wanted.definition
        if not wanted.allow_unknown_handler:
            await self._require_handler(definition.handler)
        for _ in range(TRIES):
            now = self._clock.now()
            before = await self._store.find_task(definition.name)
            _check_etag(definition.name, before, wanted.etag)
            change = registration(before, definition, enabled=wanted.enabled, now=now)
            if wanted.validate_only or await self._apply(change):
                return change.after
        raise _overtaken(definition.name)

    async def get_task(self, name: str) -> Task:
        """Return the task.

        Raises:
            TaskNotFound: if there is none of that name.
        """
        task = await self._store.find_task(name)
        if task is None:
            raise TaskNotFound(name)
        return task

    async def list_tasks(self, chosen: TaskFilter, page: Page) -> TaskPage:
        """Return a page of tasks in the order of their names.

        Raises:
            InvalidArgument: if the page's size or token is not one of ours.
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
            InvalidArgument: if the note is too long.
        """
        if len(note) > MAX_NOTE:
            raise InvalidArgument.of("note", f"longer than {MAX_NOTE} characters")
        return await self._switch(name, enabled=False, note=note, etag=etag)

    async def initialize_defaults(self) -> tuple[Task, ...]:
        """Register the built-in tasks that are not there; return those, by name. An existing one is never touched."""
        registered = []
        for definition in self._defaults:
            if await self._store.find_task(definition.name) is None:
                change = registration(None, definition, enabled=None, now=self._clock.now())
                if await self._apply(change):
                    registered.append(change.after)
        return tuple(registered)

    # -- executions

    async def run_now(
        self, name: str, *, payload: Mapping[str, Any] | None = None, detach: bool = False, request_id: str = ""
    ) -> Execution:
        """Run the task beside its schedule; return the execution at its end, or at once with ``detach``.

        Raises:
            TaskNotFound, TaskDisabled.
            InvalidArgument: if the payload is not acceptable, or the request id was used for something else.
            NoWorker: if nobody who offers the handler took it in time (it has ended SKIPPED).
            ShuttingDown: if this server stops meanwhile; the execution goes on.
        """
        if self._draining.is_set():
            raise ShuttingDown
        if len(request_id) > MAX_REQUEST_ID:
            raise InvalidArgument.of("request_id", f"longer than {MAX_REQUEST_ID} characters")
        execution = await self._store.submit(
            name,
            payload=None if payload is None else checked_payload(payload),
            request_id=request_id or None,
            now=self._clock.now(),
        )
        if detach or execution.state.ended:
            return execution
        return await self._ended(execution)

    async def history(self, name: str, chosen: ExecutionFilter, page: Page) -> ExecutionPage:
        """Return a page of one task's executions, newest first; an unknown name gives an empty one.

        Raises:
            InvalidArgument: if the page's size or token is not one of ours.
        """
        return await self._executions(name, chosen, page)

    async def executions(self, chosen: ExecutionFilter, page: Page) -> ExecutionPage:
        """Return a page of all tasks' executions, newest first.

        Raises:
            InvalidArgument: if the page's size or token is not one of ours.
        """
        return await self._executions(None, chosen, page)

    async def execution(self, execution_id: str) -> Execution:
        """Return one execution.

        Raises:
            ExecutionNotFound: if the history does not hold it.
        """
        execution = await self._store.find_execution(execution_id)
        if execution is None:
            raise ExecutionNotFound(execution_id)
        return execution

    # -- handlers

    async def handlers(self) -> tuple[Handler, ...]:
        """Return the handlers that tasks can name, by name: those offered now, and those that once were."""
        known = {handler.name: replace(handler, offered=False) for handler in await self._store.known_handlers()}
        known |= {offer.name: Handler(name=offer.name, description=offer.description) for offer in self._registry}
        return tuple(sorted(known.values(), key=lambda handler: handler.name))

    # -- inside

    async def _apply(self, change: TaskChange) -> bool:
        return change.before == change.after or await self._store.change_task(change, now=change.after.update_time)

    async def _switch(self, name: str, *, enabled: bool, note: str, etag: str) -> Task:
        for _ in range(TRIES):
            before = await self.get_task(name)
            _check_etag(name, before, etag)
            change = switching(before, enabled=enabled, note=note, now=self._clock.now())
            if await self._apply(change):
                return change.after
        raise _overtaken(name)

    async def _require_handler(self, name: str) -> None:
        if name not in self._registry:
            known = await self.handlers()
            if all(handler.name != name for handler in known):
                raise HandlerNotFound(name, tuple(handler.name for handler in known))

    async def _executions(self, name: str | None, chosen: ExecutionFilter, page: Page) -> ExecutionPage:
        cursor = ExecutionCursor.read(page, name, chosen)
        executions = await self._store.list_executions(name, chosen, after=cursor.position, limit=page.limit + 1)
        shown = executions[: page.limit]
        token = ""
        if len(executions) > len(shown):
            token = ExecutionCursor(position=(shown[-1].create_time, shown[-1].id)).write(name, chosen)
        return ExecutionPage(executions=shown, next_page_token=token)

    async def _ended(self, execution: Execution) -> Execution:
        give_up_time = self._clock.now() + NO_WORKER_AFTER
        with self._hub.ending(execution.id) as changed:
            while True:
                found = await self._store.find_execution(execution.id)
                if found is None or found.state.ended:
                    return found or execution
                if self._draining.is_set():
                    raise ShuttingDown(execution.id)
                now = self._clock.now()
                if self._nobody_comes(found) and now >= give_up_time:
                    await self._store.give_up(found.id, now=now)
                    raise NoWorker(found.handler, found.id)
                await self._clock.wait_until(None, changed)

    def _nobody_comes(self, execution: Execution) -> bool:
        never_started = execution.state is State.PENDING and execution.start_time is None
        return never_started and execution.handler not in self._registry


def _check_etag(name: str, task: Task | None, etag: str) -> None:
    if etag and (task is None or task.etag != etag):
        raise EtagMismatch(name, given=etag, current=task.etag if task else "none: there is no such task")


def _overtaken(name: str) -> Unavailable:
    return Unavailable(f"Task {name} kept changing while it was being changed; try again")
