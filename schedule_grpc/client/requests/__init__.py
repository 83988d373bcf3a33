"""One function per rpc: it makes a `Call` of a method's arguments. Both clients make their methods of these functions.

Nothing here does I/O. A function refuses only values that a request message would change or cannot hold; the server
checks everything else, and reports all wrong fields at once.
"""

from schedule_grpc.client.requests.executions import (
    NEVER_RETRIED,
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

__all__ = [
    "NEVER_RETRIED",
    "backfill_task",
    "batch_register_tasks",
    "cancel_execution",
    "delete_task",
    "disable_task",
    "enable_task",
    "executions",
    "get_execution",
    "get_task",
    "get_task_history",
    "initialize_default_tasks",
    "list_executions",
    "list_handlers",
    "list_tasks",
    "preview_schedule",
    "register_task",
    "run_task_now",
    "task_history",
    "tasks",
    "trigger_cron",
    "update_task",
    "watch_executions",
]
