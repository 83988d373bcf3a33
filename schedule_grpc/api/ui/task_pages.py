"""The pages of tasks: the list, one of them with its history, and the form that makes or changes one."""

from dataclasses import asdict
from typing import Any

from fastapi import FastAPI
from starlette.responses import RedirectResponse, Response

from schedule_grpc.api.http.envelope import camel, success
from schedule_grpc.api.http.routing import states_of
from schedule_grpc.api.http.target import ApiRoute
from schedule_grpc.api.ui.asked import From, Text, instant_of, words_of
from schedule_grpc.api.ui.page_route import add_route
from schedule_grpc.api.ui.views.form import blank_form, form_of, object_text
from schedule_grpc.api.ui.views.payload_fields import payload_fields
from schedule_grpc.api.ui.views.runs import run_rows
from schedule_grpc.api.ui.views.task_rows import task_rows
from schedule_grpc.api.ui.views.task_view import duration_chart, lateness_chart, task_view
from schedule_grpc.api.ui.views.why import why_view
from schedule_grpc.api.ui.visit import Visit, Visited
from schedule_grpc.domain.execution import STATES, ExecutionFilter, State
from schedule_grpc.domain.listing import TaskOrder, TaskState
from schedule_grpc.domain.paging import Page
from schedule_grpc.domain.policy import Overlap
from schedule_grpc.domain.task import TaskFilter
from schedule_grpc.errors import TaskNotFound

ROWS = 50
"""Rows of a list."""
CHARTED = 200
"""Executions that the charts of a task show."""


def add_to(app: FastAPI) -> None:
    """Add the routes to an application."""
    add_route(app, "/ui/tasks", tasks)
    add_route(app, "/ui/tasks/new", new)
    add_route(app, "/ui/tasks/{name}", task)
    add_route(app, "/ui/tasks/{name}/edit", edit)
    add_route(app, "/ui/tasks/{name}/why", why)
    add_route(app, "/ui/tasks/{name}/run-form", run_form, kind=ApiRoute)


async def tasks(
    visit: Visited,
    *,
    q: Text = "",
    state: Text = "",
    handler: Text = "",
    category: Text = "",
    sort: Text = "",
    after: Text = "",
) -> Response:
    """List tasks."""
    (order,) = words_of("sort", sort, TaskOrder) or {TaskOrder.NAME}
    chosen = TaskFilter(
        query=q.strip(), states=words_of("state", state, TaskState), handler=handler, category=category, order=order
    )
    found = await visit.service.list_tasks(chosen, Page(size=ROWS, token=after), full=True)
    strips = await visit.service.strips([each.uid for each in found.tasks])
    asked = {"q": q, "state": state, "handler": handler, "category": category, "sort": sort}
    return await visit.page(
        "tasks.html",
        title="Tasks",
        here="tasks",
        rows=task_rows(found.tasks, strips, visit.now),
        asked=asked,
        is_filtered=any(value for name, value in asked.items() if name != "sort"),
        is_partial=found.is_partial,
        states=[each.value.lower() for each in TaskState],
        handlers=await handler_names(visit),
        first=visit.links.to("tasks", **asked) if after else "",
        next=visit.links.to("tasks", **asked, after=found.next_page_token) if found.next_page_token else "",
        watch="*",
        rpc=("ListTasks", {"query": q.strip(), "handler": handler, "category": category, "pageSize": ROWS}),
        api=visit.links.api("tasks", **asked, pageSize=ROWS),
    )


async def task(
    visit: Visited, name: str, *, states: Text = "", from_: From = "", to: Text = "", after: Text = ""
) -> Response:
    """Show a task, and its history; of a task that was deleted, the history alone."""
    chosen = ExecutionFilter(
        states=states_of(states),
        start_time=instant_of("from", from_, visit.now),
        end_time=instant_of("to", to, visit.now),
    )
    page = await visit.service.history(name, chosen, Page(size=ROWS, token=after))
    try:
        found = await visit.service.get_task(name)
    except TaskNotFound:
        if not page.executions:
            raise
        return RedirectResponse(visit.links.to("executions", task=name, states=states), 303)
    charted = await _ended(visit, name)
    asked = {"states": states, "from": from_, "to": to}
    return await visit.page(
        "task.html",
        title=name,
        here="tasks",
        view=task_view(found),
        rows=run_rows(page.executions),
        durations=duration_chart(charted, found.policy.timeout),
        lateness=lateness_chart(charted),
        asked=asked,
        states=[each.value for each in STATES],
        first=visit.links.to("tasks", name, **asked) if after else "",
        next=visit.links.to("tasks", name, **asked, after=page.next_page_token) if page.next_page_token else "",
        watch=f"task:{name}",
        rpc=("GetTask", {"name": name}),
        api=visit.links.api("tasks", name),
    )


async def new(visit: Visited, *, copy: Text = "") -> Response:
    """Show the form of a new task, or of a copy of another one."""
    form = form_of(await visit.service.get_task(copy), camel, as_copy=True) if copy else blank_form(camel)
    return await _form(visit, "New task", form)


async def edit(visit: Visited, name: str) -> Response:
    """Show the form that changes a task."""
    return await _form(visit, f"Edit {name}", form_of(await visit.service.get_task(name), camel))


async def why(visit: Visited, name: str, *, at: Text = "", from_: From = "", to: Text = "") -> Response:
    """Explain what became of a task's occurrences."""
    found = await visit.service.why(
        name,
        at=instant_of("at", at, visit.now),
        start_time=instant_of("from", from_, visit.now),
        end_time=instant_of("to", to, visit.now),
    )
    asked = {"at": at, "from": from_, "to": to}
    return await visit.page(
        "why.html",
        title=f"Why {name}",
        here="tasks",
        view=why_view(found),
        asked=asked,
        watch=f"task:{name}",
        rpc=("ExplainTask", {"name": name}),
        api=visit.links.api("tasks", name, "why", **asked),
    )


async def run_form(visit: Visited, name: str, *, execution: Text = "") -> Response:
    """Return what the dialog of a run shows: a payload, the fields that it is written in, and what would stop the run.

    The payload is that of an execution if one is named, so that the same can run again; else, the task's. It is sent as
    a text, with its numbers as they are stored. Without fields the dialog shows the text.
    """
    found = await visit.service.get_task(name)
    own = (await visit.service.execution(execution)).payload if execution else None
    schemas = {each.name: each.payload_schema for each in await visit.service.handlers()}
    not_ended = ExecutionFilter(states=frozenset({State.PENDING, State.RUNNING}))
    has_open = bool((await visit.service.history(name, not_ended, Page(size=1))).executions)
    return success(
        payload=object_text(found.definition.payload if own is None else own),
        fields=[asdict(each) for each in payload_fields(schemas.get(found.handler, ""))],
        skips=has_open and found.policy.overlap is Overlap.SKIP,
    )


async def handler_names(visit: Visit) -> tuple[str, ...]:
    """Return the names of the handlers that tasks of the namespace may name."""
    return tuple(each.name for each in await visit.service.handlers())


async def _form(visit: Visit, title: str, form: Any) -> Response:
    return await visit.page(
        "edit.html", title=title, here="tasks", form=form, handlers=await handler_names(visit), watch=""
    )


async def _ended(visit: Visit, name: str) -> Any:
    """Return the newest executions of a task that ran to an end."""
    ran = ExecutionFilter(states=frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED}))
    return (await visit.service.history(name, ran, Page(size=CHARTED))).executions
