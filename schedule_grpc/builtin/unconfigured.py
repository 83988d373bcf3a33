"""Built-in tasks on a platform without any of its tables: they succeed, with the status unconfigured."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from schedule_grpc.bindings.platform import missing_tables, tables
from schedule_grpc.builtin.reporting import Report
from schedule_grpc.errors import BindingError
from schedule_grpc.handlers import TaskContext

UNCONFIGURED = "unconfigured"

MAKE_TABLES = "Create them, or have the server do it: create_tables = true in [bindings] DB (docs/platform.md)"

_Task = Callable[[TaskContext], Awaitable[dict[str, Any]]]


def waits_for_tables(task: _Task) -> _Task:
    """Let a task succeed, as unconfigured, on a platform without a single table.

    Such a platform is not set up yet: a failure each hour, with an alert, would be noise. If the platform has some of
    its tables, a missing one was dropped or forgotten: that is a failure.
    """

    @wraps(task)
    async def run(ctx: TaskContext) -> dict[str, Any]:
        report = Report(ctx)
        try:
            return await task(ctx)
        except BindingError as error:
            if not await is_unconfigured(ctx, error):
                raise
            message = f"Not configured yet: {error.message}, nor any other table of the platform. {MAKE_TABLES}"
            return report.success(message, status=UNCONFIGURED)

    return run


async def is_unconfigured(ctx: TaskContext, error: BindingError) -> bool:
    """Tell whether an error's reason is that the platform's database has none of its tables."""
    return error.missing_table in tables() and len(await missing_tables(ctx.env.DB)) == len(tables())
