"""The rpcs of ScheduleService: each reads its request, asks the service, and writes its answer."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Literal, TypeAlias, TypeVar

import grpc  # noqa: TC002 (the alias below names it as text, and readers look it up here)
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from schedule_grpc.access.current import current_call
from schedule_grpc.api.fetch_context import opens_with_message
from schedule_grpc.api.weights import weight_of_event, weight_of_lines
from schedule_grpc.api.written_tasks import WrittenTasks
from schedule_grpc.domain.execution import Execution, State
from schedule_grpc.domain.paging import Page, fitting, token_after_executions, token_after_tasks
from schedule_grpc.domain.task import MAX_PAYLOAD_BYTES, Task
from schedule_grpc.errors import ShuttingDown
from schedule_grpc.events import HEARTBEAT, WatchEvent
from schedule_grpc.formats import protobuf
from schedule_grpc.pb import schedule_pb2 as pb
from schedule_grpc.pb import schedule_pb2_grpc
from schedule_grpc.runtime.threads import LIGHT, weight_of
from schedule_grpc.service import Service

NOTHING = pb.WatchExecutionsResponse()
"""A heartbeat, sent when no event came for `HEARTBEAT`: pings do not pass proxies that end HTTP/2 themselves.

It also opens a stream whose caller sees no headers before the first message.
"""
Request = TypeVar("Request", bound=Message)
Value = TypeVar("Value")
_EACH = LIGHT // 4
"""The weight of one item of a list, beside its payload and result."""

Written: TypeAlias = Any
"""A message that is serialized already: `Methods` sends it as it is."""
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class ScheduleServicer(schedule_pb2_grpc.ScheduleServiceServicer):
    """Methods raise errors as they come: `Methods` answers them as statuses.

    Large messages are read and written aside: walking one in Python takes long.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._aside = service.aside
        self._written = WrittenTasks(protobuf.written_task, service.aside)

    async def RegisterTask(self, request: pb.RegisterTaskRequest, context: Context) -> Written:
        """See the contract."""
        wanted = await self._read(protobuf.registration_from, request)
        return await self._written.one(await self._of(request).register(wanted))

    async def BatchRegisterTasks(self, request: pb.BatchRegisterTasksRequest, context: Context) -> Written:
        """See the contract."""
        wanted = await self._read(protobuf.registrations_from, request)
        tasks = await self._of(request).register_all(wanted, validate_only=request.validate_only)
        return protobuf.batch_of_written(await self._written.batch(tasks))

    async def UpdateTask(self, request: pb.UpdateTaskRequest, context: Context) -> pb.Task:
        """See the contract."""
        return await self._task(await self._of(request).update(await self._read(protobuf.update_from, request)))

    async def DeleteTask(self, request: pb.DeleteTaskRequest, context: Context) -> Empty:
        """See the contract."""
        await self._of(request).delete(request.name, etag=request.etag)
        return Empty()

    async def GetTask(self, request: pb.GetTaskRequest, context: Context) -> Written:
        """See the contract."""
        return await self._written.one(await self._of(request).get_task(request.name))

    async def ListTasks(self, request: pb.ListTasksRequest, context: Context) -> Written:
        """See the contract."""
        chosen = await self._read(protobuf.task_filter_from, request)
        full = request.view == pb.TASK_VIEW_FULL
        page = await self._of(request).list_tasks(chosen, _page(request), full=full)
        tasks = await self._written.page(page.tasks)
        token = token_after_tasks(page, len(tasks), chosen)
        return protobuf.page_of_written(tasks, token, partial=page.is_partial and len(tasks) == len(page.tasks))

    async def EnableTask(self, request: pb.EnableTaskRequest, context: Context) -> pb.Task:
        """See the contract."""
        return await self._task(await self._of(request).enable(request.name, etag=request.etag))

    async def DisableTask(self, request: pb.DisableTaskRequest, context: Context) -> pb.Task:
        """See the contract."""
        return await self._task(await self._of(request).disable(request.name, note=request.note, etag=request.etag))

    async def RunTaskNow(self, request: pb.RunTaskNowRequest, context: Context) -> pb.RunTaskNowResponse:
        """See the contract."""
        execution = await self._of(request).run_now(
            request.name,
            payload=await self._read(_payload, request) if request.HasField("payload") else None,
            detach=request.detach,
            request_id=request.request_id,
        )
        success = execution.state is State.SUCCEEDED or (request.detach and not execution.state.is_terminal)
        return pb.RunTaskNowResponse(success=success, execution=await self._execution(execution))

    async def TriggerCron(self, request: pb.TriggerCronRequest, context: Context) -> pb.TriggerCronResponse:
        """See the contract."""
        executions = await self._of(request).trigger_cron(request.cron)
        return pb.TriggerCronResponse(executions=await self._executions(executions))

    async def BackfillTask(self, request: pb.BackfillTaskRequest, context: Context) -> pb.BackfillTaskResponse:
        """See the contract."""
        start_time, end_time = _required(request, "start_time"), _required(request, "end_time")
        recorded = await self._of(request).backfill(request.name, start_time, end_time)
        return await self._aside.compute(lambda: protobuf.backfill_to(recorded))

    async def PreviewSchedule(self, request: pb.PreviewScheduleRequest, context: Context) -> pb.PreviewScheduleResponse:
        """See the contract."""
        reader = protobuf.Reader()
        start_time = reader.instant(request.start_time, "start_time") if request.HasField("start_time") else None
        reader.check()
        return protobuf.preview_to(
            await self._service.preview(request.schedule, request.time_zone, count=request.count, start_time=start_time)
        )

    async def GetTaskHistory(self, request: pb.GetTaskHistoryRequest, context: Context) -> pb.GetTaskHistoryResponse:
        """See the contract."""
        chosen = await self._read(protobuf.execution_filter_from, request)
        page = await self._of(request).history(request.name, chosen, _page(request))
        executions = await self._executions(page.executions, fits=True)
        token = token_after_executions(page, len(executions), request.name, chosen)
        return pb.GetTaskHistoryResponse(executions=executions, next_page_token=token)

    async def ListExecutions(self, request: pb.ListExecutionsRequest, context: Context) -> pb.ListExecutionsResponse:
        """See the contract."""
        chosen = await self._read(protobuf.execution_filter_from, request)
        page = await self._of(request).executions(chosen, _page(request))
        executions = await self._executions(page.executions, fits=True)
        token = token_after_executions(page, len(executions), None, chosen)
        return pb.ListExecutionsResponse(executions=executions, next_page_token=token)

    async def GetExecution(self, request: pb.GetExecutionRequest, context: Context) -> pb.Execution:
        """See the contract."""
        return await self._execution(await self._of(request).execution(request.id, log_lines=request.log_lines))

    async def CancelExecution(self, request: pb.CancelExecutionRequest, context: Context) -> pb.Execution:
        """See the contract."""
        return await self._execution(await self._of(request).cancel(request.id, note=request.note))

    async def WatchExecutions(
        self, request: pb.WatchExecutionsRequest, context: Context
    ) -> AsyncIterator[pb.WatchExecutionsResponse]:
        """See the contract."""
        states = await self._read(lambda request: protobuf.states_from(request.states), request)
        if self._service.draining:
            raise ShuttingDown  # the stream would end at once, and the watcher would start it again and again
        service = self._of(request)
        async with service.streaming():
            watching = service.watching(
                request.task_name, states, execution_id=request.execution_id, log_lines=request.log_lines
            )
            with watching as subscription:
                await context.send_initial_metadata(())
                if opens_with_message(context):
                    yield NOTHING
                async for event in subscription.beating(self._service.clock, HEARTBEAT):
                    yield NOTHING if event is None else await self._event(event)

    async def ListHandlers(self, request: pb.ListHandlersRequest, context: Context) -> pb.ListHandlersResponse:
        """See the contract."""
        return pb.ListHandlersResponse(
            handlers=[protobuf.handler_to(each) for each in await self._of(request).handlers()]
        )

    async def GetSummary(self, request: pb.GetSummaryRequest, context: Context) -> pb.Summary:
        """See the contract."""
        summary = await self._of(request).summary()
        return await self._aside.compute(partial(protobuf.summary_to, summary))

    async def GetUpcomingRuns(self, request: pb.GetUpcomingRunsRequest, context: Context) -> pb.UpcomingRuns:
        """See the contract."""
        found = await self._of(request).upcoming(
            hours=request.hours or 24, handler=request.handler, category=request.category
        )
        return await self._aside.compute(partial(protobuf.upcoming_to, found))

    async def ExplainTask(self, request: pb.ExplainTaskRequest, context: Context) -> pb.ExplainTaskResponse:
        """See the contract."""
        times = protobuf.range_asked(request)
        explanation = await self._of(request).why(request.name, **times)
        return await self._aside.compute(partial(protobuf.explanation_to, explanation))

    async def InitializeDefaultTasks(
        self, request: pb.InitializeDefaultTasksRequest, context: Context
    ) -> pb.InitializeDefaultTasksResponse:
        """See the contract."""
        tasks = await self._of(request).initialize_defaults()
        return pb.InitializeDefaultTasksResponse(tasks=await self._tasks(tasks))

    # -- reading and writing

    def _of(self, request: Message) -> Service:
        """Return the service as the present call may use it, in the namespace of its request.

        Raises:
            InvalidArgument: if the request names no one namespace.
            PermissionDenied: if the caller may not make such a call there.
        """
        return self._service.seen_by(current_call().permit(protobuf.namespace_asked(request)))

    async def _read(self, read: Callable[[Request], Value], request: Request) -> Value:
        return await self._aside.compute(partial(read, request), weight=request.ByteSize())

    async def _task(self, task: Task) -> pb.Task:
        weight = weight_of(task.definition.payload, task.definition.metadata)
        return await self._aside.compute(partial(protobuf.task_to, task), weight=weight)

    async def _tasks(self, tasks: Sequence[Task]) -> list[pb.Task]:
        weight = weight_of(*(value for task in tasks for value in (task.definition.payload, task.definition.metadata)))
        return await self._aside.compute(
            lambda: [protobuf.task_to(task) for task in tasks], weight=weight + _EACH * len(tasks)
        )

    async def _execution(self, execution: Execution) -> pb.Execution:
        lines = execution.log.lines if execution.log else ()
        weight = weight_of(execution.payload, execution.result) + weight_of_lines(line for _, line in lines)
        return await self._aside.compute(partial(protobuf.execution_to, execution), weight=weight)

    async def _event(self, event: WatchEvent) -> pb.WatchExecutionsResponse:
        return await self._aside.compute(partial(protobuf.event_to, event), weight=weight_of_event(event))

    async def _executions(self, executions: Sequence[Execution], *, fits: bool = False) -> list[pb.Execution]:
        """Return the executions' messages; with ``fits`` only the first ones, as many as fit into one page."""
        weight = weight_of(*(value for each in executions for value in (each.payload, each.result)))
        messages = map(protobuf.execution_to, executions)
        return await self._aside.compute(
            lambda: fitting(messages, pb.Execution.ByteSize) if fits else list(messages),
            weight=weight + _EACH * len(executions),
        )


def _payload(request: pb.RunTaskNowRequest) -> dict[str, Any]:
    return protobuf.json_asked(request.payload, "payload", MAX_PAYLOAD_BYTES)


def _required(request: pb.BackfillTaskRequest, name: Literal["start_time", "end_time"]) -> datetime:
    reader = protobuf.Reader()
    if not request.HasField(name):
        reader.refuse(name, "is required")
    instant = reader.instant(getattr(request, name), name)
    reader.check()
    if instant is None:
        raise AssertionError("the reader refuses a missing instant")
    return instant


def _page(request: pb.ListTasksRequest | pb.GetTaskHistoryRequest | pb.ListExecutionsRequest) -> Page:
    return Page(size=request.page_size, token=request.page_token)
