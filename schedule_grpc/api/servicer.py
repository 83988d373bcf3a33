"""The rpcs of ScheduleService: each reads its request, asks the service, and writes its answer."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Literal, TypeAlias

import grpc  # noqa: TC002 (the alias below names it as text, and readers look it up here)
from google.protobuf.empty_pb2 import Empty

from schedule_grpc import wire
from schedule_grpc.errors import ShuttingDown
from schedule_grpc.execution import State
from schedule_grpc.paging import Page, fitting, token_after_executions, token_after_tasks
from schedule_grpc.pb import schedule_pb2 as pb
from schedule_grpc.pb import schedule_pb2_grpc
from schedule_grpc.service import Service

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class ScheduleServicer(schedule_pb2_grpc.ScheduleServiceServicer):
    """Errors are raised as they come: the interceptor tells callers of them."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def RegisterTask(self, request: pb.RegisterTaskRequest, context: Context) -> pb.Task:
        """See the contract."""
        return wire.task_to(await self._service.register(wire.registration_from(request)))

    async def BatchRegisterTasks(
        self, request: pb.BatchRegisterTasksRequest, context: Context
    ) -> pb.BatchRegisterTasksResponse:
        """See the contract."""
        wanted = wire.registrations_from(request)
        tasks = await self._service.register_all(wanted, validate_only=request.validate_only)
        return pb.BatchRegisterTasksResponse(tasks=[wire.task_to(task) for task in tasks])

    async def UpdateTask(self, request: pb.UpdateTaskRequest, context: Context) -> pb.Task:
        """See the contract."""
        return wire.task_to(await self._service.update(wire.update_from(request)))

    async def DeleteTask(self, request: pb.DeleteTaskRequest, context: Context) -> Empty:
        """See the contract."""
        await self._service.delete(request.name, etag=request.etag)
        return Empty()

    async def GetTask(self, request: pb.GetTaskRequest, context: Context) -> pb.Task:
        """See the contract."""
        return wire.task_to(await self._service.get_task(request.name))

    async def ListTasks(self, request: pb.ListTasksRequest, context: Context) -> pb.ListTasksResponse:
        """See the contract."""
        chosen = wire.task_filter_from(request)
        page = await self._service.list_tasks(chosen, _page(request))
        tasks = fitting(map(wire.task_to, page.tasks), pb.Task.ByteSize)
        return pb.ListTasksResponse(tasks=tasks, next_page_token=token_after_tasks(page, len(tasks), chosen))

    async def EnableTask(self, request: pb.EnableTaskRequest, context: Context) -> pb.Task:
        """See the contract."""
        return wire.task_to(await self._service.enable(request.name, etag=request.etag))

    async def DisableTask(self, request: pb.DisableTaskRequest, context: Context) -> pb.Task:
        """See the contract."""
        return wire.task_to(await self._service.disable(request.name, note=request.note, etag=request.etag))

    async def RunTaskNow(self, request: pb.RunTaskNowRequest, context: Context) -> pb.RunTaskNowResponse:
        """See the contract."""
        execution = await self._service.run_now(
            request.name,
            payload=wire.json_from(request.payload) if request.HasField("payload") else None,
            detach=request.detach,
            request_id=request.request_id,
        )
        success = execution.state is State.SUCCEEDED or (request.detach and not execution.state.ended)
        return pb.RunTaskNowResponse(success=success, execution=wire.execution_to(execution))

    async def TriggerCron(self, request: pb.TriggerCronRequest, context: Context) -> pb.TriggerCronResponse:
        """See the contract."""
        executions = await self._service.trigger_cron(request.cron)
        return pb.TriggerCronResponse(executions=[wire.execution_to(each) for each in executions])

    async def BackfillTask(self, request: pb.BackfillTaskRequest, context: Context) -> pb.BackfillTaskResponse:
        """See the contract."""
        start_time, end_time = _required(request, "start_time"), _required(request, "end_time")
        return wire.backfill_to(await self._service.backfill(request.name, start_time, end_time))

    async def PreviewSchedule(self, request: pb.PreviewScheduleRequest, context: Context) -> pb.PreviewScheduleResponse:
        """See the contract."""
        reader = wire.Reader()
        start_time = reader.instant(request.start_time, "start_time") if request.HasField("start_time") else None
        reader.check()
        preview = self._service.preview(request.schedule, request.time_zone, count=request.count, start_time=start_time)
        return wire.preview_to(preview)

    async def GetTaskHistory(self, request: pb.GetTaskHistoryRequest, context: Context) -> pb.GetTaskHistoryResponse:
        """See the contract."""
        chosen = wire.execution_filter_from(request)
        page = await self._service.history(request.name, chosen, _page(request))
        executions = fitting(map(wire.execution_to, page.executions), pb.Execution.ByteSize)
        token = token_after_executions(page, len(executions), request.name, chosen)
        return pb.GetTaskHistoryResponse(executions=executions, next_page_token=token)

    async def ListExecutions(self, request: pb.ListExecutionsRequest, context: Context) -> pb.ListExecutionsResponse:
        """See the contract."""
        chosen = wire.execution_filter_from(request)
        page = await self._service.executions(chosen, _page(request))
        executions = fitting(map(wire.execution_to, page.executions), pb.Execution.ByteSize)
        token = token_after_executions(page, len(executions), None, chosen)
        return pb.ListExecutionsResponse(executions=executions, next_page_token=token)

    async def GetExecution(self, request: pb.GetExecutionRequest, context: Context) -> pb.Execution:
        """See the contract."""
        return wire.execution_to(await self._service.execution(request.id))

    async def CancelExecution(self, request: pb.CancelExecutionRequest, context: Context) -> pb.Execution:
        """See the contract."""
        return wire.execution_to(await self._service.cancel(request.id, reason=request.reason))

    async def WatchExecutions(
        self, request: pb.WatchExecutionsRequest, context: Context
    ) -> AsyncIterator[pb.WatchExecutionsResponse]:
        """See the contract."""
        states = wire.states_from(request.states)
        if self._service.draining:
            raise ShuttingDown  # the stream would end at once, and who watches would begin it again and again
        with self._service.watching(request.task_name, states) as subscription:
            await context.send_initial_metadata(())
            async for event in subscription:
                yield wire.event_to(event)

    async def ListHandlers(self, request: pb.ListHandlersRequest, context: Context) -> pb.ListHandlersResponse:
        """See the contract."""
        return pb.ListHandlersResponse(handlers=[wire.handler_to(each) for each in await self._service.handlers()])

    async def InitializeDefaultTasks(
        self, request: pb.InitializeDefaultTasksRequest, context: Context
    ) -> pb.InitializeDefaultTasksResponse:
        """See the contract."""
        tasks = await self._service.initialize_defaults()
        return pb.InitializeDefaultTasksResponse(tasks=[wire.task_to(task) for task in tasks])


def _required(request: pb.BackfillTaskRequest, name: Literal["start_time", "end_time"]) -> datetime:
    reader = wire.Reader()
    if not request.HasField(name):
        reader.refuse(name, "is required")
    instant = reader.instant(getattr(request, name), name)
    reader.check()
    if instant is None:
        raise AssertionError("the reader refuses what is no instant")
    return instant


def _page(request: pb.ListTasksRequest | pb.GetTaskHistoryRequest | pb.ListExecutionsRequest) -> Page:
    return Page(size=request.page_size, token=request.page_token)
