"""What a built-in task does on a platform that has none of its tables yet: it waits for them, and says so."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from schedule_grpc.bindings.platform import missing_tables, tables
from schedule_grpc.builtin.reporting import Report
from schedule_grpc.errors import BindingError
from schedule_grpc.handlers import TaskContext

UNCONFIGURED = "unconfigured"

_Task = Callable[[TaskContext], Awaitable[dict[str, Any]]]


def waits_for_tables(task: _Task) -> _Task:
    """Let a task succeed, as unconfigured, on a platform without a single table.

    Nothing has been set up there yet: a failure each hour, with an alert, would tell nothing new. Where some tables are
    there, one that is missing was dropped, or forgotten: that is a failure.
    """

    @wraps(task)
    async def run(ctx: TaskContext) -> dict[str, Any]:
        report = Report(ctx)
        try:
            return await task(ctx)
        except BindingError as error:
            if not await is_unconfigured(ctx, error):
                raise
            said = f"Not configured yet: {error.message}, nor any other table of the platform"
            return report.success(said, status=UNCONFIGURED)

    return run


async def is_unconfigured(ctx: TaskContext, error: BindingError) -> bool:
    """Tell whether what went wrong is that the platform's database has none of its tables."""
    return error.missing_table in tables() and len(await missing_tables(ctx.env.DB)) == len(tables())
