"""Clients for other services: one method per rpc, with the package's values and errors instead of protobuf.

`Client` waits in threads, `AsyncClient` in an event loop; both have the same methods, made of the same functions (see
`requests`)::

    with Client("127.0.0.1:50051") as client:
        client.register_task(name="report", schedule="@daily", handler="send-report")
        for task in client.tasks():
            print(task.name, task.next_run_time)

    async with AsyncClient("schedule.example:443", tls=Tls(), token=token) as client:
        async with client.watch_executions("report") as events:
            async for event in events:
                print(event)

Every value that their methods take or return is exported here; the errors are in `schedule_grpc.errors`.
"""

from schedule_grpc.client.asynchronous import AsyncClient, AsyncWatch
from schedule_grpc.client.blocking import Client, Watch
from schedule_grpc.client.channel import Tls
from schedule_grpc.client.responses import RunResult
from schedule_grpc.domain.access.audit import AuditEvent, AuditFilter, AuditPage
from schedule_grpc.domain.access.keys import Identity, KeyInfo, KeyPage, NewKey
from schedule_grpc.domain.access.namespace import Limits, Namespace, NamespacePage
from schedule_grpc.domain.execution import (
    Backfill,
    CoveredRange,
    Execution,
    ExecutionFilter,
    ExecutionPage,
    FailedAttempt,
    Reason,
    State,
    Trigger,
)
from schedule_grpc.domain.execution.log_lines import KeptLog, LogLine
from schedule_grpc.domain.execution.log_lines import Progress as KeptProgress
from schedule_grpc.domain.offers import WorkerInfo
from schedule_grpc.domain.policy import CatchUp, Overlap, Policy, Window
from schedule_grpc.domain.registration import Registration, TaskUpdate
from schedule_grpc.domain.retry import FailureKind, RetryPolicy
from schedule_grpc.domain.schedule import Preview
from schedule_grpc.domain.task import Definition, Handler, Task, TaskFilter, TaskPage, TaskStats, define
from schedule_grpc.events import Logged, Lost, Progress, Transition

__all__ = [
    "AsyncClient",
    "AsyncWatch",
    "AuditEvent",
    "AuditFilter",
    "AuditPage",
    "Backfill",
    "CatchUp",
    "Client",
    "CoveredRange",
    "Definition",
    "Execution",
    "ExecutionFilter",
    "ExecutionPage",
    "FailedAttempt",
    "FailureKind",
    "Handler",
    "Identity",
    "KeptLog",
    "KeptProgress",
    "KeyInfo",
    "KeyPage",
    "Limits",
    "LogLine",
    "Logged",
    "Lost",
    "Namespace",
    "NamespacePage",
    "NewKey",
    "Overlap",
    "Policy",
    "Preview",
    "Progress",
    "Reason",
    "Registration",
    "RetryPolicy",
    "RunResult",
    "State",
    "Task",
    "TaskFilter",
    "TaskPage",
    "TaskStats",
    "TaskUpdate",
    "Tls",
    "Transition",
    "Trigger",
    "Watch",
    "Window",
    "WorkerInfo",
    "define",
]
