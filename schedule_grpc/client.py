"""A client for other services: one method per rpc, our values and our errors, never protobuf.

::

    async with AsyncClient("127.0.0.1:50051") as client:
        task = await client.register_task(name="report", schedule="@daily", handler="send-report")
        result = await client.run_task_now("report")
"""

from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from schedule_grpc import wire
from schedule_grpc.execution import Execution, ExecutionFilter, ExecutionPage, State
from schedule_grpc.pb import schedule_pb2 as pb
from schedule_grpc.pb import schedule_pb2_grpc
from schedule_grpc.task import Handler, Policy, Task, TaskFilter, TaskPage

T = TypeVar("T")

DEADLINE = 10.0
"""Seconds for every call but a waiting RunTaskNow."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """What RunTaskNow answers: whether the execution SUCCEEDED (detached: was recorded to run), and the execution."""

    success: bool
    execution: Execution


class AsyncClient:
    """Speaks to one server. Every method raises the errors of schedule_grpc.errors; Unavailable if nobody answers."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self._stub = schedule_pb2_grpc.ScheduleServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection."""
        await self._channel.close()

    async def register_task(
        self,
        *,
        name: str,
        schedule: str,
        handler: str,
        enabled: bool | None = None,
        time_zone: str = "",
        payload: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        description: str = "",
        policy: Policy | None = None,
        validate_only: bool = False,
        etag: str = "",
        allow_unknown_handler: bool = False,
    ) -> Task:
        """Create or replace a task; see RegisterTask in the contract."""
        request = pb.RegisterTaskRequest(
            name=name,
            schedule=schedule,
            handler=handler,
            enabled=enabled,
            time_zone=time_zone,
            payload=wire.struct_to(payload or {}),
            metadata=wire.struct_to(metadata or {}),
            description=description,
            policy=wire.policy_to(policy) if policy else None,
            validate_only=validate_only,
            etag=etag,
            allow_unknown_handler=allow_unknown_handler,
        )
        return wire.task_from(await _answer(self._stub.RegisterTask(request, timeout=DEADLINE)))

    async def get_task(self, name: str) -> Task:
        """Return a task."""
        return wire.task_from(await _answer(self._stub.GetTask(pb.GetTaskRequest(name=name), timeout=DEADLINE)))

    async def list_tasks(
        self, chosen: TaskFilter | None = None, *, page_size: int = 0, page_token: str = ""
    ) -> TaskPage:
        """Return one page of tasks, in the order of their names."""
        wanted = chosen or TaskFilter()
        request = pb.ListTasksRequest(
            page_size=page_size,
            page_token=page_token,
            enabled=wanted.enabled,
            handler=wanted.handler,
            name_prefix=wanted.name_prefix,
            category=wanted.category,
        )
        response = await _answer(self._stub.ListTasks(request, timeout=DEADLINE))
        return TaskPage(
            tasks=tuple(wire.task_from(task) for task in response.tasks), next_page_token=response.next_page_token
        )

    async def tasks(self, chosen: TaskFilter | None = None) -> AsyncIterator[Task]:
        """Go through all tasks, page by page."""
        token = ""
        while True:
            page = await self.list_tasks(chosen, page_token=token)
            for task in page.tasks:
                yield task
            token = page.next_page_token
            if not token:
                return

    async def enable_task(self, name: str, *, etag: str = "") -> Task:
        """Let a task fire again."""
        request = pb.EnableTaskRequest(name=name, etag=etag)
        return wire.task_from(await _answer(self._stub.EnableTask(request, timeout=DEADLINE)))

    async def disable_task(self, name: str, *, note: str = "", etag: str = "") -> Task:
        """Stop a task from firing."""
        request = pb.DisableTaskRequest(name=name, note=note, etag=etag)
        return wire.task_from(await _answer(self._stub.DisableTask(request, timeout=DEADLINE)))

    async def run_task_now(
        self, name: str, *, payload: Mapping[str, Any] | None = None, detach: bool = False, request_id: str = ""
    ) -> RunResult:
        """Run a task now and wait for its end, however long that takes, unless detached."""
        request = pb.RunTaskNowRequest(
            name=name,
            payload=None if payload is None else wire.struct_to(payload),
            detach=detach,
            request_id=request_id,
        )
        response = await _answer(self._stub.RunTaskNow(request, timeout=DEADLINE if detach else None))
        return RunResult(success=response.success, execution=wire.execution_from(response.execution))

    async def get_task_history(
        self, name: str, chosen: ExecutionFilter | None = None, *, page_size: int = 0, page_token: str = ""
    ) -> ExecutionPage:
        """Return one page of a task's executions, newest first."""
        request = pb.GetTaskHistoryRequest(
            name=name, page_size=page_size, page_token=page_token, **_filter(chosen or ExecutionFilter())
        )
        return wire.execution_page_from(await _answer(self._stub.GetTaskHistory(request, timeout=DEADLINE)))

    async def list_executions(
        self, chosen: ExecutionFilter | None = None, *, page_size: int = 0, page_token: str = ""
    ) -> ExecutionPage:
        """Return one page of all executions, newest first."""
        request = pb.ListExecutionsRequest(
            page_size=page_size, page_token=page_token, **_filter(chosen or ExecutionFilter())
        )
        return wire.execution_page_from(await _answer(self._stub.ListExecutions(request, timeout=DEADLINE)))

    async def get_execution(self, execution_id: str) -> Execution:
        """Return one execution."""
        request = pb.GetExecutionRequest(id=execution_id)
        return wire.execution_from(await _answer(self._stub.GetExecution(request, timeout=DEADLINE)))

    async def list_handlers(self) -> tuple[Handler, ...]:
        """Return the handlers that tasks can name."""
        response = await _answer(self._stub.ListHandlers(pb.ListHandlersRequest(), timeout=DEADLINE))
        return tuple(wire.handler_from(handler) for handler in response.handlers)

    async def initialize_default_tasks(self) -> tuple[Task, ...]:
        """Register the built-in tasks that are not there; return those."""
        request = pb.InitializeDefaultTasksRequest()
        response = await _answer(self._stub.InitializeDefaultTasks(request, timeout=DEADLINE))
        return tuple(wire.task_from(task) for task in response.tasks)


def _filter(chosen: ExecutionFilter) -> dict[str, Any]:
    states: Iterable[State] = sorted(chosen.states)
    return {
        "states": wire.states_to(states),
        "start_time": wire.instant_to(chosen.start_time) if chosen.start_time else None,
        "end_time": wire.instant_to(chosen.end_time) if chosen.end_time else None,
    }


async def _answer(call: Awaitable[T]) -> T:
    try:
        return await call
    except grpc.RpcError as error:
        raise wire.error_from(error) from None
