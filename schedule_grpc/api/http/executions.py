"""Routes of executions: run, trigger, backfill, cancel, and the history."""

from collections.abc import Sequence
from enum import Enum
from functools import partial
from typing import Annotated, Any

from fastapi import FastAPI, Query
from starlette.responses import Response

from schedule_grpc.api.http import shown
from schedule_grpc.api.http.bodies import BackfillBody, CancelBody, Instant, RunBody
from schedule_grpc.api.http.envelope import (
    Answer,
    refusal,
    success,
    success_of_many,
    success_of_written,
    written_aside,
)
from schedule_grpc.api.http.namespaces import Namespaced
from schedule_grpc.api.http.routing import (
    BODY,
    IdempotencyKey,
    Limit,
    PageToken,
    States,
    described,
    execution_shown,
    page_of,
    states_of,
)
from schedule_grpc.api.http.target import ActingRoute
from schedule_grpc.domain.execution import Execution, ExecutionFilter, ExecutionPage, State
from schedule_grpc.domain.paging import token_after_executions
from schedule_grpc.errors import TaskDisabled, TaskNotFound
from schedule_grpc.formats.json_answers import log_line_json
from schedule_grpc.service import Service
from schedule_grpc.service.executions import MAX_LOG_LINES

NOT_RUNNABLE = "Failed to run task (task not found or disabled)"

From = Annotated[Instant | None, Query(alias="startTime", description="Only executions recorded at or after this time")]
Until = Annotated[Instant | None, Query(alias="endTime", description="Only executions recorded before this time")]
Lines = Annotated[int, Query(ge=0, le=MAX_LOG_LINES, description="Log lines in the answer, at most")]
Cron = Annotated[
    str, Query(min_length=1, description="A cron expression, or a schedule that means one; `* * * * *` runs every task")
]


TAGS: list[str | Enum] = ["executions"]


class ExecutionRoutes:
    """The routes of executions."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def add_to(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        get, post = partial(app.get, tags=TAGS), partial(app.post, tags=TAGS)
        ran = described(shown.RunAnswer, *BODY) | {
            202: {"model": shown.RunAnswer},
            400: {"model": shown.RunRefusal},
        }
        post("/tasks/{name}/run", responses=ran)(self.run_task)
        post("/tasks/{name}/backfill", responses=described(shown.BackfillAnswer, 404, *BODY))(self.backfill_task)
        get("/tasks/{name}/history", responses=described(shown.HistoryAnswer))(self.history)
        get("/executions", responses=described(shown.ExecutionsAnswer))(self.list_executions)
        get("/executions/{id}", responses=described(shown.ExecutionAnswer, 404))(self.get_execution)
        get("/executions/{id}/logs", responses=described(shown.LogAnswer, 404))(self.get_log)
        cancelled = described(shown.ExecutionAnswer, 404, *BODY)
        post("/executions/{id}/cancel", responses=cancelled)(self.cancel_execution)
        app.router.add_api_route(
            "/__scheduled",
            self.trigger,
            methods=["GET"],
            tags=TAGS,
            responses=described(shown.TriggeredAnswer),
            route_class_override=ActingRoute,
        )
        triggered = described(shown.TriggeredAnswer, *BODY)
        post("/__scheduled", responses=triggered, operation_id="post_scheduled")(self.trigger)

    async def run_task(
        self,
        service: Namespaced,
        name: str,
        body: RunBody | None = None,
        *,
        wait: Annotated[bool, Query(description="false: answer 202 as soon as the execution is recorded")] = True,
        idempotency_key: IdempotencyKey = "",
    ) -> Answer:
        """Run a task now, and answer when the execution has ended, retries included. A disconnect does not stop it."""
        payload = body.payload if body else None
        try:
            execution = await service.run_now(name, payload=payload, detach=not wait, request_id=idempotency_key)
        except (TaskNotFound, TaskDisabled) as error:
            why = {"field": "name", "reason": error.message, "code": error.code}
            return refusal(400, NOT_RUNNABLE, details=[why])
        fields = execution_shown(execution)
        if execution.state is State.SUCCEEDED:
            return success(message=f"Task {name} executed successfully", execution=fields)
        if not execution.state.is_terminal:
            return success(202, message=f"Task {name} started", execution=fields)
        return refusal(400, _why(execution), execution=fields)

    async def backfill_task(self, service: Namespaced, name: str, body: BackfillBody) -> Response:
        """Record executions for the occurrences in [startTime, endTime) that have none; they run one by one."""
        done = await service.backfill(name, body.start_time, body.end_time)
        return await self._listed("executions", done.executions, existingCount=done.existing_count)

    async def history(
        self,
        service: Namespaced,
        name: str,
        *,
        limit: Limit = 50,
        page_token: PageToken = "",
        states: States = "",
        start_time: From = None,
        end_time: Until = None,
    ) -> Response:
        """List a task's executions, newest first; the list of an unknown name is empty."""
        chosen = ExecutionFilter(states=states_of(states), start_time=start_time, end_time=end_time)
        page = await service.history(name, chosen, page_of(limit, page_token))
        return await self._page("history", page, name, chosen)

    async def list_executions(
        self,
        service: Namespaced,
        *,
        limit: Limit = 100,
        page_token: PageToken = "",
        states: States = "",
        start_time: From = None,
        end_time: Until = None,
    ) -> Response:
        """List executions of all tasks, newest first."""
        chosen = ExecutionFilter(states=states_of(states), start_time=start_time, end_time=end_time)
        page = await service.executions(chosen, page_of(limit, page_token))
        return await self._page("executions", page, None, chosen)

    async def get_execution(self, service: Namespaced, id: str) -> Answer:  # noqa: A002 (as the path has it)
        """Return an execution."""
        return success(execution=execution_shown(await service.execution(id)))

    async def get_log(self, service: Namespaced, id: str, *, lines: Lines = 200) -> Response:  # noqa: A002 (as the path has it)
        """Return the newest log lines of an execution, over all attempts, the oldest first."""
        log = await service.log_of(id, lines)
        newest = await written_aside(self._service.aside, log.lines[::-1], log_line_json, fits=True)
        dropped = log.dropped + len(log.lines) - len(newest)
        return success_of_written("lines", newest[::-1], dropped=dropped)

    async def cancel_execution(self, service: Namespaced, id: str, body: CancelBody | None = None) -> Answer:  # noqa: A002
        """Cancel an execution: a pending one ends at once, the handler of a running one is asked to stop."""
        cancelled = await service.cancel(id, note=body.note if body else "")
        return success(execution=execution_shown(cancelled))

    async def trigger(self, service: Namespaced, cron: Cron) -> Response:
        """Run, now, every enabled task whose schedule means the same cron expression."""
        executions = await service.trigger_cron(cron)
        return await self._listed("executions", executions, cron=cron)

    async def _page(self, name: str, page: ExecutionPage, task: str | None, chosen: ExecutionFilter) -> Response:
        written = await written_aside(self._service.aside, page.executions, execution_shown, fits=True)
        token = token_after_executions(page, len(written), task, chosen)
        return success_of_written(name, written, nextPageToken=token or None)

    async def _listed(self, name: str, executions: Sequence[Execution], **fields: Any) -> Response:
        return await success_of_many(self._service.aside, name, executions, execution_shown, **fields)


def _why(execution: Execution) -> str:
    return execution.error or f"{execution.state.value}: {execution.reason or 'no reason was given'}"
