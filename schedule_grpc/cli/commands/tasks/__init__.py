"""``schedule-grpc tasks ...``: register, change, list and run tasks."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schedule_grpc.cli.commands.tasks import apply, run
from schedule_grpc.cli.completion import handler_names, zones
from schedule_grpc.cli.connection import Caller, connection, first
from schedule_grpc.cli.lookup import nothing_of
from schedule_grpc.cli.option_groups import takes
from schedule_grpc.cli.options import (
    AllowUnknownHandler,
    Etag,
    HandlerName,
    Listing,
    TaskName,
    ValidateOnly,
    executions,
    instant,
    json_object,
    one_of,
    policies,
)

if TYPE_CHECKING:
    from schedule_grpc.client import AsyncClient
    from schedule_grpc.domain.execution import Execution
    from schedule_grpc.domain.task import Task

app = typer.Typer(help="Register, change, list and run tasks.", no_args_is_help=True, rich_markup_mode=None)
app.command("apply")(apply.apply)
app.command("run")(run.run)

SCHEDULE = "'*/5 * * * *', '@daily', 'every 90 minutes', an instant, '@manual'"
ZONE = "IANA time zone in which a cron expression is read"
PAYLOAD = "JSON object handed to the handler; @FILE reads it from a file"
METADATA = "JSON object of your own; category and description are understood; @FILE reads it from a file"


@app.command("list")
@takes(call=connection)
def list_(
    *,
    enabled: Annotated[
        bool | None, typer.Option("--enabled/--disabled", help="Only tasks that fire, or only tasks that do not")
    ] = None,
    handler: Annotated[str, typer.Option(help="Only tasks of this handler", autocompletion=handler_names)] = "",
    prefix: Annotated[str, typer.Option(help="Only tasks whose name begins with this")] = "",
    category: Annotated[str, typer.Option(help="Only tasks with this metadata.category")] = "",
    query: Annotated[
        str, typer.Option("--q", "--query", help="Only tasks with this text in name, handler or description")
    ] = "",
    state: Annotated[
        list[str] | None,
        typer.Option(help="Only tasks that are failing, running, waiting, disabled or overdue; can be repeated"),
    ] = None,
    sort: Annotated[str, typer.Option(help="name, next (run), last (run) or failures")] = "name",
    call: Caller,
) -> None:
    """List tasks, each with its last outcome. A ! stands before a handler that no server and no worker offers."""
    from schedule_grpc.cli.answers import show_tasks
    from schedule_grpc.domain.listing import TaskOrder, TaskState
    from schedule_grpc.domain.task import TaskFilter

    chosen = TaskFilter(
        enabled=enabled,
        handler=handler,
        name_prefix=prefix,
        category=category,
        query=query,
        states=frozenset(TaskState(one_of("--state", each, TaskState).upper()) for each in state or ()),
        order=TaskOrder(one_of("--sort", sort, TaskOrder)),
    )

    async def question(client: "AsyncClient") -> "list[Task]":
        return [task async for task in client.tasks(chosen, full=True)]

    show_tasks(call, call.ask(question), none="No tasks.")


@app.command()
@takes(call=connection)
def get(name: TaskName, *, call: Caller) -> None:
    """Show one task."""
    from schedule_grpc.cli.answers import show_task

    show_task(call, call.ask(lambda client: client.get_task(name)))


@app.command()
@takes(policy=policies, call=connection)
def register(
    name: Annotated[str, typer.Argument(help="Name of the task")],
    *,
    schedule: Annotated[str, typer.Option(help=SCHEDULE)],
    handler: HandlerName,
    zone: Annotated[str, typer.Option(help=ZONE, autocompletion=zones)] = "UTC",
    payload: Annotated[str, typer.Option(help=PAYLOAD)] = "{}",
    metadata: Annotated[str, typer.Option(help=METADATA)] = "{}",
    description: Annotated[str, typer.Option(help="Purpose of the task")] = "",
    enabled: Annotated[
        bool | None, typer.Option("--enabled/--disabled", help="Whether it fires [a new task does, others stay]")
    ] = None,
    policy: dict[str, Any],
    etag: Etag = "",
    validate_only: ValidateOnly = False,
    allow_unknown_handler: AllowUnknownHandler = False,
    call: Caller,
) -> None:
    """Create or replace a task. Options left out have their default. Durations: 500ms, 30s, 5m, 2h, 7d, 90."""
    from schedule_grpc.domain.policy import Policy

    registration: dict[str, Any] = {
        "name": name,
        "schedule": schedule,
        "handler": handler,
        "time_zone": zone,
        "payload": json_object("--payload", payload),
        "metadata": json_object("--metadata", metadata),
        "description": description,
        "enabled": enabled,
        "policy": Policy().with_fields(policy),
        "etag": etag,
        "validate_only": validate_only,
        "allow_unknown_handler": allow_unknown_handler,
    }
    _changed(call, call.ask(lambda client: client.register_task(**registration)), validate_only=validate_only)


@app.command()
@takes(policy=policies, call=connection)
def update(
    name: TaskName,
    *,
    schedule: Annotated[str | None, typer.Option(help=SCHEDULE)] = None,
    handler: Annotated[
        str | None, typer.Option(help="Name of the handler that does the work", autocompletion=handler_names)
    ] = None,
    zone: Annotated[str | None, typer.Option(help=ZONE, autocompletion=zones)] = None,
    payload: Annotated[str | None, typer.Option(help=PAYLOAD)] = None,
    metadata: Annotated[str | None, typer.Option(help=METADATA)] = None,
    description: Annotated[str | None, typer.Option(help="Purpose of the task")] = None,
    enabled: Annotated[bool | None, typer.Option("--enabled/--disabled", help="Whether it fires")] = None,
    policy: dict[str, Any],
    etag: Etag = "",
    validate_only: ValidateOnly = False,
    allow_unknown_handler: AllowUnknownHandler = False,
    call: Caller,
) -> None:
    """Change the given fields of a task. The others stay as they are; `default` restores a policy's default."""
    changes: dict[str, Any] = {
        "schedule": schedule,
        "handler": handler,
        "time_zone": zone,
        "payload": None if payload is None else json_object("--payload", payload),
        "metadata": None if metadata is None else json_object("--metadata", metadata),
        "description": description,
        "enabled": enabled,
        "policy": policy or None,
    }
    if all(value is None for value in changes.values()):
        raise typer.BadParameter("nothing to change was given")
    options: dict[str, Any] = {
        "etag": etag,
        "validate_only": validate_only,
        "allow_unknown_handler": allow_unknown_handler,
    }
    _changed(call, call.ask(lambda client: client.update_task(name, **changes, **options)), validate_only=validate_only)


@app.command()
@takes(call=connection)
def delete(name: TaskName, *, etag: Etag = "", call: Caller) -> None:
    """Delete a task. Its history stays until retention removes it; a running attempt may finish."""
    from schedule_grpc.cli.answers import show

    call.ask(lambda client: client.delete_task(name, etag=etag))
    show(
        call, name, json=lambda each: {"name": each, "deleted": True}, people=lambda each: print(f"Task {each} deleted")
    )


@app.command()
@takes(call=connection)
def enable(name: TaskName, *, etag: Etag = "", call: Caller) -> None:
    """Let a task fire again, counting from now."""
    from schedule_grpc.cli.answers import show_task

    show_task(call, call.ask(lambda client: client.enable_task(name, etag=etag)))


@app.command()
@takes(call=connection)
def disable(
    name: TaskName,
    *,
    note: Annotated[str, typer.Option(help="Why; shown with the task until it is enabled")] = "",
    etag: Etag = "",
    call: Caller,
) -> None:
    """Stop a task from firing; running executions go on."""
    from schedule_grpc.cli.answers import show_task

    show_task(call, call.ask(lambda client: client.disable_task(name, note=note, etag=etag)))


@app.command()
@takes(listing=executions, call=connection)
def history(name: TaskName, *, listing: Listing, call: Caller) -> None:
    """List a task's executions, newest first."""
    from schedule_grpc.cli.answers import show_executions

    async def question(client: "AsyncClient") -> "list[Execution]":
        found = await first(listing.limit, client.task_history(name, listing.chosen, page_size=listing.page_size))
        return found or await nothing_of(client, name)

    show_executions(call, call.ask(question), none="No executions.")


@app.command()
@takes(call=connection)
def backfill(
    name: TaskName,
    *,
    start: Annotated[str, typer.Option("--from", help="First instant: 2026-01-31, 2026-01-31T10:00Z, or 7d ago as 7d")],
    end: Annotated[str, typer.Option("--to", help="Occurrences lie before this instant")] = "0s",
    call: Caller,
) -> None:
    """Run past occurrences. Those between two instants, one by one; an occurrence that ran is not run again."""
    from schedule_grpc.cli.answers import show_backfill

    start_time, end_time = instant("--from", start), instant("--to", end)
    show_backfill(call, call.ask(lambda client: client.backfill_task(name, start_time=start_time, end_time=end_time)))


def _changed(call: Caller, task: "Task", *, validate_only: bool) -> None:
    from schedule_grpc.cli.answers import show_task

    show_task(call, task)
    if validate_only:
        print("Valid; nothing was stored.", file=sys.stderr)
