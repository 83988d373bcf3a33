"""Answers of rpcs read into our values, for those that are more than one value of `formats.protobuf`."""

from dataclasses import dataclass

from google.protobuf.empty_pb2 import Empty

from schedule_grpc.domain.access.audit import AuditEvent, AuditPage
from schedule_grpc.domain.access.keys import KeyInfo, KeyPage
from schedule_grpc.domain.access.namespace import Namespace, NamespacePage
from schedule_grpc.domain.execution import Execution, ExecutionPage
from schedule_grpc.domain.task import Handler, Task, TaskPage
from schedule_grpc.formats import protobuf
from schedule_grpc.pb import schedule_pb2 as pb


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """The answer of RunTaskNow: the execution, and whether it SUCCEEDED (detached: whether it was recorded)."""

    success: bool
    execution: Execution


def nothing(_: Empty) -> None:
    """Read an empty answer."""


def tasks(response: pb.BatchRegisterTasksResponse | pb.InitializeDefaultTasksResponse) -> tuple[Task, ...]:
    """Return the tasks of an answer."""
    return tuple(protobuf.task_from(task) for task in response.tasks)


def task_page(response: pb.ListTasksResponse) -> TaskPage:
    """Return the page of a ListTasks answer."""
    found = tuple(protobuf.task_from(task) for task in response.tasks)
    return TaskPage(tasks=found, next_page_token=response.next_page_token, is_partial=response.partial)


def tasks_of(page: TaskPage) -> tuple[Task, ...]:
    """Return the tasks of a page."""
    return page.tasks


def executions(response: pb.TriggerCronResponse) -> tuple[Execution, ...]:
    """Return the executions of a TriggerCron answer."""
    return tuple(protobuf.execution_from(execution) for execution in response.executions)


def executions_of(page: ExecutionPage) -> tuple[Execution, ...]:
    """Return the executions of a page."""
    return page.executions


def namespaces_of(page: NamespacePage) -> tuple[Namespace, ...]:
    """Return the namespaces of a page."""
    return page.namespaces


def audit_events_of(page: AuditPage) -> tuple[AuditEvent, ...]:
    """Return the rows of a page of the audit log."""
    return page.events


def run_result(response: pb.RunTaskNowResponse) -> RunResult:
    """Return the result of a RunTaskNow answer."""
    return RunResult(success=response.success, execution=protobuf.execution_from(response.execution))


def is_over(result: RunResult) -> bool:
    """Return whether a run has ended."""
    return result.execution.state.is_terminal


def handlers(response: pb.ListHandlersResponse) -> tuple[Handler, ...]:
    """Return the handlers of a ListHandlers answer."""
    return tuple(protobuf.handler_from(handler) for handler in response.handlers)


def keys_of(page: KeyPage) -> tuple[KeyInfo, ...]:
    """Return the keys of a page."""
    return page.keys
