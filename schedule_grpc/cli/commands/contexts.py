"""``schedule-grpc contexts ...``: the servers that the file of contexts names."""

import typer

from schedule_grpc.cli.connection import AsJson
from schedule_grpc.cli.exits import USAGE, fail

app = typer.Typer(
    help="Servers under names: ~/.config/schedule-grpc/contexts.toml.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def group() -> None:
    """Keep ``list`` a command of its own, though it is the only one."""


@app.command("list")
def list_(*, as_json: AsJson = False) -> None:
    """List contexts, for --context and SCHEDULE_CONTEXT. Asks no server."""
    from schedule_grpc.cli import tables
    from schedule_grpc.cli.contexts import WrongContext, contexts, contexts_file
    from schedule_grpc.cli.print_json import print_json

    file = contexts_file()
    try:
        found = contexts(file)
    except WrongContext as error:
        fail(str(error), code=USAGE)
    if as_json:
        print_json([{"name": name, "server": each.server, "namespace": each.namespace} for name, each in found.items()])
    elif found:
        tables.print_contexts(found)
    else:
        print(f"No contexts: {file} is not there, or empty.")
