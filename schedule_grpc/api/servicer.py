"""The rpcs of ScheduleService: each reads its request, asks the service, and writes its answer."""

from typing import Any, TypeAlias

import grpc  # noqa: TC002 (the alias below names it as text, and readers look it up here)

from schedule_grpc import wire
from schedule_grpc.execution import State
from schedule_grpc.paging import Page
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

    async def GetTask(self, request: pb.GetTaskRequest, context: Context) -> pb.Task:
        """See the contract."""
        return wire.task_to(await self._service.get_task(request.name))

    async def ListTasks(self, request: pb.ListTasksRequest, context: Context) -> pb.ListTasksResponse:
        """See the contract."""
        page = await self._service.list_tasks(wire.task_filter_from(request), _page(request))
        return pb.ListTasksResponse(
            tasks=[wire.task_to(task) for task in page.tasks], next_page_token=page.next_page_token
        )

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

    async def GetTaskHistory(self, request: pb.GetTaskHistoryRequest, context: Context) -> pb.GetTaskHistoryResponse:
        """See the contract."""
        page = await self._service.history(request.name, wire.execution_filter_from(request), _page(request))
        return pb.GetTaskHistoryResponse(
            executions=[wire.execution_to(each) for each in page.executions], next_page_token=page.next_page_token
        )

    async def ListExecutions(self, request: pb.ListExecutionsRequest, context: Context) -> pb.ListExecutionsResponse:
        """See the contract."""
        page = await self._service.executions(wire.execution_filter_from(request), _page(request))
        return pb.ListExecutionsResponse(
            executions=[wire.execution_to(each) for each in page.executions], next_page_token=page.next_page_token
        )

    async def GetExecution(self, request: pb.GetExecutionRequest, context: Context) -> pb.Execution:
        """See the contract."""
        return wire.execution_to(await self._service.execution(request.id))

    async def ListHandlers(self, request: pb.ListHandlersRequest, context: Context) -> pb.ListHandlersResponse:
        """See the contract."""
        return pb.ListHandlersResponse(handlers=[wire.handler_to(each) for each in await self._service.handlers()])

    async def InitializeDefaultTasks(
        self, request: pb.InitializeDefaultTasksRequest, context: Context
    ) -> pb.InitializeDefaultTasksResponse:
        """See the contract."""
        tasks = await self._service.initialize_defaults()
        return pb.InitializeDefaultTasksResponse(tasks=[wire.task_to(task) for task in tasks])


def _page(request: pb.ListTasksRequest | pb.GetTaskHistoryRequest | pb.ListExecutionsRequest) -> Page:
    return Page(size=request.page_size, token=request.page_token)
