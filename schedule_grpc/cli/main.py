"""The commands, put together. Heavy imports stand inside the commands, so that --help stays quick."""

import sys
from typing import Annotated

import typer

from schedule_grpc.cli.commands import (
    audit,
    contexts,
    doctor,
    executions,
    handlers,
    imports,
    init,
    insight,
    keys,
    migrate,
    namespaces,
    preview,
    proto,
    serve,
    tasks,
    trigger,
    worker,
    worker_check,
    workers,
)
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
app.add_typer(workers.app, name="workers")
app.add_typer(keys.app, name="keys")
app.add_typer(namespaces.app, name="namespaces")
app.add_typer(audit.app, name="audit")
app.add_typer(contexts.app, name="contexts")
app.add_typer(imports.app, name="import")
app.command("preview")(preview.preview)
app.command("upcoming")(insight.upcoming)
app.command("why")(insight.why)
app.command("migrate")(migrate.migrate)
app.command("doctor")(doctor.doctor)
app.command("proto")(proto.proto)
app.command("handlers")(handlers.handlers)
app.command("init")(init.init)
app.command("trigger")(trigger.trigger)
app.command("worker")(worker.worker)
app.command("worker-check")(worker_check.worker_check)


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


def main() -> None:
    """Run the command line to the end of its process; output that cannot be written ends it without a traceback."""
    try:
        with writing():
            app()
    except SystemExit as end:
        if "schedule_grpc.app" in sys.modules:  # a server: handlers may have started threads and processes
            from schedule_grpc.log import set_up as log
            from schedule_grpc.runtime import leaving

            leaving.leave_soon(end.code if isinstance(end.code, int) else 0, last=log.flush)
        raise
