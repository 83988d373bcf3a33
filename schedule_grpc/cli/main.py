"""The commands and their options. What they need is imported inside them, so that --help stays quick."""

from typing import Annotated

import typer

from schedule_grpc.cli import executions, serving, tasks
from schedule_grpc.cli.options import AsJson, Server

app = typer.Typer(
    name="schedule-grpc",
    help="A durable schedule service: register tasks, fire every occurrence, keep the history.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("serve")(serving.serve)
app.add_typer(tasks.app, name="tasks")
app.add_typer(executions.app, name="executions")


@app.command()
def handlers(*, server: Server = "127.0.0.1:50051", as_json: AsJson = False) -> None:
    """List the handlers that tasks can name."""
    from schedule_grpc.cli import output
    from schedule_grpc.cli.calling import ask

    found = ask(server, lambda client: client.list_handlers())
    if as_json:
        output.print_json(
            [{"name": each.name, "description": each.description, "offered": each.offered} for each in found]
        )
    else:
        output.print_handlers(found)


@app.command()
def init(*, server: Server = "127.0.0.1:50051", as_json: AsJson = False) -> None:
    """Register the built-in tasks that are not there."""
    from schedule_grpc.cli import output
    from schedule_grpc.cli.calling import ask

    registered = ask(server, lambda client: client.initialize_default_tasks())
    if as_json:
        output.print_json([output.task_json(task) for task in registered])
    elif registered:
        output.print_tasks(registered)
    else:
        print("All built-in tasks are registered already.")


@app.command()
def preview(
    expression: Annotated[str, typer.Argument(help="A schedule: '*/5 * * * *', '@daily', 'every 90 minutes'")],
    *,
    zone: Annotated[str, typer.Option(help="IANA time zone in which a cron expression is read")] = "UTC",
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many occurrences to show")] = 5,
    as_json: AsJson = False,
) -> None:
    """Show when a schedule will fire, and how it reads; no server is needed."""
    from schedule_grpc.cli import output
    from schedule_grpc.cli.calling import fail
    from schedule_grpc.clock import SystemClock
    from schedule_grpc.errors import InvalidSchedule
    from schedule_grpc.schedule import parse

    try:
        schedule = parse(expression, zone)
    except InvalidSchedule as error:
        fail(str(error), code=2)
    times = schedule.upcoming(SystemClock().now(), count)
    if as_json:
        output.print_json(
            {
                "schedule": expression,
                "timeZone": zone,
                "description": schedule.description,
                "nextRuns": [output.time_json(instant) for instant in times],
            }
        )
    else:
        output.print_preview(schedule, times)


def main() -> None:
    """Run the command line."""
    app()
