"""One function per rpc: it makes a `Call` of a method's arguments. Both clients make their methods of these functions.

Nothing here does I/O. A function refuses only values that a request message would change or cannot hold; the server
checks everything else, and reports all wrong fields at once.
"""

from schedule_grpc.client.requests.access import create_key, keys, list_keys, revoke_key, rotate_key, who_am_i
from schedule_grpc.client.requests.audit import audit_events, list_audit_events
from schedule_grpc.client.requests.executions import (
    backfill_task,
    cancel_execution,
    executions,
    get_execution,
    get_task_history,
    list_executions,
    run_task_now,
    task_history,
    trigger_cron,
    watch_executions,
)
from schedule_grpc.client.requests.insight import explain_task, get_summary, get_upcoming_runs
from schedule_grpc.client.requests.namespaces import (
    create_namespace,
    delete_namespace,
    list_namespaces,
    namespaces,
    update_namespace,
)
from schedule_grpc.client.requests.tasks import (
    batch_register_tasks,
    delete_task,
    disable_task,
    enable_task,
    get_task,
    initialize_default_tasks,
    list_handlers,
    list_tasks,
    preview_schedule,
    register_task,
    tasks,
    update_task,
)
from schedule_grpc.client.requests.workers import list_workers

NEVER_RETRIED = ("TriggerCron", "CreateKey", "RotateKey")
"""Rpcs that do their work once more if they are repeated."""

__all__ = [
    "NEVER_RETRIED",
    "audit_events",
    "backfill_task",
    "batch_register_tasks",
    "cancel_execution",
    "create_key",
    "create_namespace",
    "delete_namespace",
    "delete_task",
    "disable_task",
    "enable_task",
    "executions",
    "explain_task",
    "get_execution",
    "get_summary",
    "get_task",
    "get_task_history",
    "get_upcoming_runs",
    "initialize_default_tasks",
    "keys",
    "list_audit_events",
    "list_executions",
    "list_handlers",
    "list_keys",
    "list_namespaces",
    "list_tasks",
    "list_workers",
    "namespaces",
    "preview_schedule",
    "register_task",
    "revoke_key",
    "rotate_key",
    "run_task_now",
    "task_history",
    "tasks",
    "trigger_cron",
    "update_namespace",
    "update_task",
    "watch_executions",
    "who_am_i",
]
