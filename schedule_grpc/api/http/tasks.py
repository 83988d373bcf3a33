"""Routes of tasks: list, get, register, change, delete, enable, disable."""

from collections.abc import Sequence
from enum import Enum
from functools import partial
from typing import Annotated

from fastapi import FastAPI, Query
from starlette.responses import Response

from schedule_grpc.api.http import shown
from schedule_grpc.api.http.bodies import SwitchBody, TaskBody, TaskPatch
from schedule_grpc.api.http.envelope import Answer, encoded, success, success_of_one_written, success_of_written
from schedule_grpc.api.http.namespaces import Namespaced
from schedule_grpc.api.http.routing import (
    BODY,
    DirectRoute,
    Etag,
    PageToken,
    TaskStates,
    View,
    described,
    named_as_asked,
    task_states_of,
)
from schedule_grpc.api.written_tasks import WrittenTasks
from schedule_grpc.domain.listing import TaskOrder
from schedule_grpc.domain.paging import MAX_PAGE_SIZE, Page, token_after_tasks
from schedule_grpc.domain.task import Task, TaskFilter
from schedule_grpc.formats.json_answers import task_json
from schedule_grpc.runtime.threads import weight_of
from schedule_grpc.service import Service

PIECE = 100
"""Tasks that are read and serialized at once: some ten milliseconds."""

TAGS: list[str | Enum] = ["tasks"]


class TaskRoutes:
    """The routes of tasks."""

    def __init__(self, service: Service) -> None:
        self._written = WrittenTasks(_written, service.aside)

    def add_to(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        get, post = partial(app.get, tags=TAGS), partial(app.post, tags=TAGS)
        get("/tasks", responses=described(shown.TasksAnswer))(self.list_tasks)
        post("/tasks", responses=described(shown.TaskAnswer, 404, 409, *BODY))(self.register_task)
        app.router.add_api_route(
            "/tasks/{name}",
            self.get_task,
            methods=["GET"],
            tags=TAGS,
            responses=described(shown.TaskAnswer, 404),
            route_class_override=DirectRoute,
        )
        app.patch("/tasks/{name}", tags=TAGS, responses=described(shown.TaskAnswer, 404, 409, *BODY))(self.update_task)
        app.delete("/tasks/{name}", tags=TAGS, responses=described(shown.MessageAnswer, 404, 409, *BODY))(
            self.delete_task
        )
        post("/tasks/{name}/enable", responses=described(shown.MessageAnswer, 404, 409, *BODY))(self.enable_task)
        post("/tasks/{name}/disable", responses=described(shown.MessageAnswer, 404, 409, *BODY))(self.disable_task)

    async def list_tasks(
        self,
        service: Namespaced,
        *,
        enabled: Annotated[bool | None, Query(description="Only tasks that are enabled, or only disabled ones")] = None,
        handler: Annotated[str, Query(description="Only tasks of this handler")] = "",
        name_prefix: Annotated[str, Query(alias="namePrefix", description="Only names that begin so")] = "",
        category: Annotated[str, Query(description="Only tasks with this metadata.category")] = "",
        query: Annotated[
            str, Query(alias="q", description="Only tasks with this text in name, handler or description")
        ] = "",
        state: TaskStates = "",
        sort: Annotated[
            TaskOrder, Query(description="By name; by next run; by last run, the latest first; by failures in a row")
        ] = TaskOrder.NAME,
        view: Annotated[
            View, Query(description="full: tell of each task how its newest execution ended, and what is open")
        ] = View.BASIC,
        page_size: Annotated[
            int | None, Query(alias="pageSize", ge=1, description="Tasks in one page, at most; unset: all tasks")
        ] = None,
        page_token: PageToken = "",
    ) -> Response:
        """List tasks, by name if nothing else is asked: one page with pageSize, else all."""
        chosen = TaskFilter(
            enabled=enabled,
            handler=handler,
            name_prefix=name_prefix,
            category=category,
            query=query,
            states=task_states_of(state),
            order=sort,
        )
        full = view is View.FULL
        with named_as_asked({"order_by": "sort", "query": "q"}):
            if page_size is None:
                return success_of_written("tasks", await self._all(service, chosen, page_token, full=full))
            page = await service.list_tasks(
                chosen, Page(size=min(page_size, MAX_PAGE_SIZE), token=page_token), full=full
            )
        written = await self._written.page(page.tasks)
        token = token_after_tasks(page, len(written), chosen)
        return success_of_written(
            "tasks", written, nextPageToken=token or None, partial=(page.is_partial and token != "") or None
        )

    async def register_task(self, service: Namespaced, body: TaskBody) -> Answer:
        """Create a task, or replace the definition of the task with this name. Registering never runs the task."""
        body.check_namespace(service.namespace)
        registration = await service.aside.compute(
            body.registration, weight=weight_of(body.payload, body.metadata, body.description)
        )
        task = await service.register(registration)
        return success(task=task_json(task), message=f"Task {task.name} registered successfully")

    async def get_task(self, service: Namespaced, name: str) -> Response:
        """Return a task."""
        return success_of_one_written("task", await self._written.one(await service.get_task(name)))

    async def update_task(self, service: Namespaced, name: str, body: TaskPatch) -> Answer:
        """Change the fields of a task that the body has, and keep all others."""
        body.check_namespace(service.namespace)
        task = await service.update(body.update(name))
        return success(task=task_json(task), message=f"Task {name} updated")

    async def delete_task(self, service: Namespaced, name: str, etag: Etag = "") -> Answer:
        """Delete a task; its history stays until retention removes it."""
        await service.delete(name, etag=etag)
        return success(message=f"Task {name} unregistered")

    async def enable_task(self, service: Namespaced, name: str, body: SwitchBody | None = None) -> Answer:
        """Let a task fire again, counting from now."""
        task = await service.enable(name, etag=body.etag if body else "")
        return success(message=f"Task {name} enabled", task=task_json(task))

    async def disable_task(self, service: Namespaced, name: str, body: SwitchBody | None = None) -> Answer:
        """Stop a task from firing; what runs goes on."""
        given = body or SwitchBody()
        task = await service.disable(name, note=given.note, etag=given.etag)
        return success(message=f"Task {name} disabled", task=task_json(task))

    async def _all(self, service: Service, chosen: TaskFilter, token: str, *, full: bool) -> list[bytes]:
        """Return all tasks, each as JSON; other calls have their turn between two pieces."""
        written: list[bytes] = []
        while True:
            page = await service.list_tasks(chosen, Page(size=PIECE, token=token), full=full)
            written += await service.aside.compute(partial(_all_written, page.tasks))
            token = page.next_page_token
            if not token:
                return written


def _written(task: Task) -> bytes:
    return encoded(task_json(task)).encode()


def _all_written(tasks: Sequence[Task]) -> list[bytes]:
    return [_written(task) for task in tasks]
