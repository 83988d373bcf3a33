"""The commands and their options. What they need is imported inside them, so that --help stays quick."""

import sys
from typing import Annotated

import typer

from schedule_grpc.cli.commands import doctor, executions, preview, serve, tasks
from schedule_grpc.cli.connection import Caller
from schedule_grpc.cli.options import connection, takes
from schedule_grpc.cli.standard_streams import writing

app = typer.Typer(
    name="schedule-grpc",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serve.serve)
app.add_typer(tasks.app, name="tasks")
app.add_typer(executions.app, name="executions")
app.command("preview")(preview.preview)
app.command("migrate")(preview.migrate)
app.command("doctor")(doctor.doctor)
app.command("proto")(preview.proto)


def _show_version(wanted: bool) -> None:
    from importlib.metadata import version

    if wanted:
        print(f"schedule-grpc {version('schedule-grpc')}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """A durable schedule service: register tasks, fire every occurrence, keep the history."""


@app.command()
@takes(call=connection)
def handlers(*, call: Caller) -> None:
    """List the handlers that tasks can name."""
    from schedule_grpc.cli import tables
    from schedule_grpc.cli.answers import show
    from schedule_grpc.formats import json_answers as as_json

    found = call.ask(lambda client: client.list_handlers())
    show(call, found, json=lambda each: list(map(as_json.handler_json, each)), people=tables.print_handlers)


@app.command()
@takes(call=connection)
def init(*, call: Caller) -> None:
    """Register the built-in tasks that are not there."""
    from schedule_grpc.cli.answers import show_tasks

    registered = call.ask(lambda client: client.initialize_default_tasks())
    show_tasks(call, registered, none="All built-in tasks are registered already.")


@app.command()
@takes(call=connection)
def trigger(
    cron: Annotated[str, typer.Argument(help="'0 * * * *', or a schedule that means one; '* * * * *' means all")],
    *,
    call: Caller,
) -> None:
    """Run the tasks of a cron expression. All enabled ones whose schedule means the same, now."""
    from schedule_grpc.cli.answers import show_executions

    show_executions(call, call.ask(lambda client: client.trigger_cron(cron)), none="No enabled task has this schedule.")


def main() -> None:
    """Run the command line, to the end of its process, whatever its output leads to: a file, a reader who is gone."""
    try:
        with writing():
            app()
    except SystemExit as end:
        if "schedule_grpc.app" in sys.modules:  # a server: handlers and their modules may have started anything
            from schedule_grpc.log import set_up as log
            from schedule_grpc.runtime import leaving

            leaving.leave_soon(end.code if isinstance(end.code, int) else 0, last=log.flush)
        raise
