"""``schedule-grpc executions ...``."""

from typing import Annotated

import typer

from schedule_grpc.cli.options import AsJson, Limit, Server

app = typer.Typer(help="Look at executions of all tasks.", no_args_is_help=True, rich_markup_mode=None)

LOCAL = "127.0.0.1:50051"


@app.command("list")
def list_(*, limit: Limit = 20, server: Server = LOCAL, as_json: AsJson = False) -> None:
    """List executions of all tasks, newest first."""
    from schedule_grpc.cli import output
    from schedule_grpc.cli.calling import ask

    page = ask(server, lambda client: client.list_executions(page_size=limit))
    if as_json:
        output.print_json([output.execution_json(each) for each in page.executions])
    else:
        output.print_executions(page.executions)


@app.command()
def get(
    execution_id: Annotated[str, typer.Argument(help="Id of the execution")],
    *,
    server: Server = LOCAL,
    as_json: AsJson = False,
) -> None:
    """Show one execution with all its attempts."""
    from schedule_grpc.cli import output
    from schedule_grpc.cli.calling import ask

    execution = ask(server, lambda client: client.get_execution(execution_id))
    if as_json:
        output.print_json(output.execution_json(execution))
    else:
        output.print_execution(execution)
