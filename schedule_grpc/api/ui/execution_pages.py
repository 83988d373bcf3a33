"""The pages of executions: the list, and one of them with its log."""

from fastapi import FastAPI
from starlette.responses import Response

from schedule_grpc.api.http.routing import states_of
from schedule_grpc.api.ui.asked import From, Text, instant_of
from schedule_grpc.api.ui.page_route import add_route
from schedule_grpc.api.ui.views.execution_view import execution_view
from schedule_grpc.api.ui.views.runs import run_rows
from schedule_grpc.api.ui.visit import Visit, Visited
from schedule_grpc.domain.execution import STATES, Execution, ExecutionFilter
from schedule_grpc.domain.paging import Page
from schedule_grpc.domain.policy import Policy
from schedule_grpc.errors import TaskNotFound

ROWS = 50
"""Rows of a list."""
LINES = 200
"""Log lines that the page of an execution shows; the route of JSON has more."""


def add_to(app: FastAPI) -> None:
    """Add the routes to an application."""
    add_route(app, "/ui/executions", executions)
    add_route(app, "/ui/executions/{id}", execution)


async def executions(
    visit: Visited, *, states: Text = "", task: Text = "", from_: From = "", to: Text = "", after: Text = ""
) -> Response:
    """List executions, newest first."""
    chosen = ExecutionFilter(
        states=states_of(states),
        start_time=instant_of("from", from_, visit.now),
        end_time=instant_of("to", to, visit.now),
    )
    page = Page(size=ROWS, token=after)
    found = await (visit.service.history(task, chosen, page) if task else visit.service.executions(chosen, page))
    shown = sorted(each.value for each in chosen.states)
    asked = {"states": states, "task": task, "from": from_, "to": to}
    is_gone = bool(task and found.executions) and not await _is_there(visit, task)
    return await visit.page(
        "executions.html",
        title="Executions",
        here="executions",
        rows=run_rows(found.executions),
        asked=asked,
        is_gone=is_gone,
        states=[each.value for each in STATES],
        first=visit.links.to("executions", **asked) if after else "",
        next=visit.links.to("executions", **asked, after=found.next_page_token) if found.next_page_token else "",
        watch=f"task:{task}" if task else "*",
        rpc=("GetTaskHistory", {"name": task, "states": shown}) if task else ("ListExecutions", {"states": shown}),
        api=visit.links.api("tasks", task, "history") if task else visit.links.api("executions", states=states),
    )


async def execution(visit: Visited, id: str) -> Response:  # noqa: A002 (as the path has it)
    """Show an execution, with its log."""
    found = await visit.service.execution(id, log_lines=LINES)
    policy = await _policy_of(visit, found)
    log = found.log
    return await visit.page(
        "execution.html",
        title=found.task_name,
        here="executions",
        view=execution_view(found, policy, visit.now),
        lines=() if log is None else log.lines,
        dropped=0 if log is None else log.dropped,
        sees=visit.viewer.may("read", found.task_name),
        watch=f"execution:{id}",
        rpc=("GetExecution", {"id": id, "logLines": LINES}),
        api=visit.links.api("executions", id),
    )


async def _is_there(visit: Visit, name: str) -> bool:
    try:
        await visit.service.get_task(name)
    except TaskNotFound:
        return False
    return True


async def _policy_of(visit: Visit, found: Execution) -> Policy | None:
    try:
        return (await visit.service.get_task(found.task_name)).policy
    except TaskNotFound:
        return None
