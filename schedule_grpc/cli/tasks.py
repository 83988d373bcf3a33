"""``schedule-grpc tasks ...``."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schedule_grpc.cli.options import AsJson, Limit, Server

if TYPE_CHECKING:
    from schedule_grpc.client import AsyncClient
    from schedule_grpc.task import Policy, Task

app = typer.Typer(help="Register, list, run and switch tasks.", no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(help="Name of the task")]
LOCAL = "127.0.0.1:50051"


@app.command("list")
def list_(
    *,
    prefix: Annotated[str, typer.Option(help="Only names that begin like this")] = "",
    server: Server = LOCAL,
    as_json: AsJson = False,
) -> None:
    """List tasks in the order of their names."""
    from schedule_grpc.cli import output
    from schedule_grpc.cli.calling import ask
    from schedule_grpc.task import TaskFilter

    async def question(client: "AsyncClient") -> "list[Task]":
        return [task async for task in client.tasks(TaskFilter(name_prefix=prefix))]

    found = ask(server, question)
    if as_json:
        output.print_json([output.task_json(task) for task in found])
    else:
        output.print_tasks(found)


@app.command()
def get(name: Name, *, server: Server = LOCAL, as_json: AsJson = False) -> None:
    """Show one task."""
    from schedule_grpc.cli.calling import ask

    _show(ask(server, lambda client: client.get_task(name)), as_json=as_json)


@app.command()
def register(
    name: Name,
    *,
    schedule: Annotated[str, typer.Option(help="'*/5 * * * *', '@daily', 'every 90 minutes', an instant, '@manual'")],
    handler: Annotated[str, typer.Option(help="Name of the handler that does the work")],
    zone: Annotated[str, typer.Option(help="IANA time zone in which a cron expression is read")] = "UTC",
    payload: Annotated[str, typer.Option(help="JSON object handed to the handler")] = "{}",
    metadata: Annotated[str, typer.Option(help="JSON object of your own")] = "{}",
    description: Annotated[str, typer.Option(help="What the task is for")] = "",
    enabled: Annotated[bool | None, typer.Option("--enabled/--disabled", help="Whether it fires")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that one attempt may take [29]")] = None,
    max_retries: Annotated[int | None, typer.Option(help="Attempts after the first [3]")] = None,
    overlap: Annotated[str, typer.Option(help="skip or allow-all: what if the last run is not over [skip]")] = "skip",
    allow_unknown_handler: Annotated[
        bool, typer.Option("--allow-unknown-handler", help="Accept a handler that nobody offers yet")
    ] = False,
    server: Server = LOCAL,
    as_json: AsJson = False,
) -> None:
    """Create a task, or replace the definition of the one of that name."""
    from schedule_grpc.cli.calling import ask

    wanted: dict[str, Any] = {
        "name": name,
        "schedule": schedule,
        "handler": handler,
        "time_zone": zone,
        "payload": _object("--payload", payload),
        "metadata": _object("--metadata", metadata),
        "description": description,
        "enabled": enabled,
        "policy": _policy(timeout=timeout, max_retries=max_retries, overlap=overlap),
        "allow_unknown_handler": allow_unknown_handler,
    }
    _show(ask(server, lambda client: client.register_task(**wanted)), as_json=as_json)


@app.command()
def run(
    name: Name,
    *,
    payload: Annotated[str | None, typer.Option(help="JSON object in place of the task's payload")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for the end")] = False,
    server: Server = LOCAL,
    as_json: AsJson = False,
) -> None:
    """Run a task now, wait for its end, and show it; exit code 1 if it did not succeed."""
    from schedule_grpc.cli import output
    from schedule_grpc.cli.calling import FAILED, ask

    handed = None if payload is None else _object("--payload", payload)
    result = ask(server, lambda client: client.run_task_now(name, payload=handed, detach=detach))
    if as_json:
        output.print_json({"success": result.success, "execution": output.execution_json(result.execution)})
    else:
        output.print_execution(result.execution)
    if not result.success:
        raise SystemExit(FAILED)


@app.command()
def history(name: Name, *, limit: Limit = 20, server: Server = LOCAL, as_json: AsJson = False) -> None:
    """List a task's executions, newest first."""
    from schedule_grpc.cli import output
    from schedule_grpc.cli.calling import ask

    page = ask(server, lambda client: client.get_task_history(name, page_size=limit))
    if as_json:
        output.print_json([output.execution_json(each) for each in page.executions])
    else:
        output.print_executions(page.executions)


@app.command()
def enable(name: Name, *, server: Server = LOCAL, as_json: AsJson = False) -> None:
    """Let a task fire again, counting from now."""
    from schedule_grpc.cli.calling import ask

    _show(ask(server, lambda client: client.enable_task(name)), as_json=as_json)


@app.command()
def disable(
    name: Name,
    *,
    note: Annotated[str, typer.Option(help="Why; shown with the task")] = "",
    server: Server = LOCAL,
    as_json: AsJson = False,
) -> None:
    """Stop a task from firing; what runs goes on."""
    from schedule_grpc.cli.calling import ask

    _show(ask(server, lambda client: client.disable_task(name, note=note)), as_json=as_json)


def _show(task: "Task", *, as_json: bool) -> None:
    from schedule_grpc.cli import output

    if as_json:
        output.print_json(output.task_json(task))
    else:
        output.print_task(task)


def _object(option: str, text: str) -> Mapping[str, Any]:
    import json

    try:
        value = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from None
    if not isinstance(value, dict):
        raise typer.BadParameter(f"{option}: is not a JSON object")
    return value


def _policy(*, timeout: float | None, max_retries: int | None, overlap: str) -> "Policy":
    from dataclasses import replace

    from schedule_grpc.task import Overlap, Policy

    try:
        policy = Policy(overlap=Overlap(overlap.upper().replace("-", "_")))
    except ValueError:
        raise typer.BadParameter(f"--overlap: {overlap!r} is not skip or allow-all") from None
    if timeout is not None:
        policy = replace(policy, timeout=timedelta(seconds=timeout))
    if max_retries is not None:
        policy = replace(policy, retry=replace(policy.retry, max_retries=max_retries))
    return policy
