"""``schedule-grpc executions ...``: list, show, watch and cancel executions; their log lines."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from schedule_grpc.cli.completion import states, task_names
from schedule_grpc.cli.connection import PATIENCE, Caller, connection, first
from schedule_grpc.cli.exits import FAILED, UNREACHABLE, fail
from schedule_grpc.cli.lookup import not_registered
from schedule_grpc.cli.option_groups import takes
from schedule_grpc.cli.options import ExecutionId, Listing, Patience, executions, states_named

if TYPE_CHECKING:
    from schedule_grpc.client import AsyncClient
    from schedule_grpc.domain.execution import Execution

app = typer.Typer(help="Look at executions, watch and cancel them.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
@takes(listing=executions, call=connection)
def list_(*, listing: Listing, call: Caller) -> None:
    """List executions of all tasks, newest first."""
    from schedule_grpc.cli.answers import show_executions

    async def question(client: "AsyncClient") -> "list[Execution]":
        return await first(listing.limit, client.executions(listing.chosen, page_size=listing.page_size))

    show_executions(call, call.ask(question), none="No executions.")


@app.command()
@takes(call=connection)
def get(execution_id: ExecutionId, *, call: Caller) -> None:
    """Show one execution with all its attempts."""
    from schedule_grpc.cli.answers import show_execution

    show_execution(call, call.ask(lambda client: client.get_execution(execution_id)))


@app.command()
@takes(call=connection)
def logs(
    execution_id: ExecutionId,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on until the execution ends; exit code 1 if it does not succeed")
    ] = False,
    lines: Annotated[int, typer.Option(min=0, max=1000, help="How many of the newest kept lines to show")] = 200,
    attempt: Annotated[int | None, typer.Option(min=1, help="Only lines of the attempt with this number")] = None,
    patience: Patience = PATIENCE,
    call: Caller,
) -> None:
    """Show the lines that an execution's handler logged, and its tracebacks; with --json one object a line."""
    from schedule_grpc.cli.commands.execution_log import LogRequest, follow_log, show_log
    from schedule_grpc.domain.execution import State

    request = LogRequest(execution_id=execution_id, lines=lines, attempt=attempt, as_json=call.as_json)
    if not follow:
        call.ask(lambda client: show_log(client, request))
    elif call.ask(lambda client: follow_log(client, request), patience=patience).state is not State.SUCCEEDED:
        raise SystemExit(FAILED)


@app.command()
@takes(call=connection)
def cancel(
    execution_id: ExecutionId,
    *,
    note: Annotated[str, typer.Option(help="Why; kept with the execution")] = "",
    call: Caller,
) -> None:
    """Cancel an execution. A waiting one ends at once, a running one is asked to stop, an ended one stays as it is."""
    from schedule_grpc.cli.answers import show_execution

    show_execution(call, call.ask(lambda client: client.cancel_execution(execution_id, note=note)))


@app.command()
@takes(call=connection)
def watch(
    *,
    task: Annotated[str, typer.Option(help="Only executions of this task", autocompletion=task_names)] = "",
    state: Annotated[
        list[str] | None,
        typer.Option(help="Only changes to these: failed, missed, running ...; repeatable", autocompletion=states),
    ] = None,
    patience: Patience = PATIENCE,
    call: Caller,
) -> None:
    """Show changes of executions. From now on until Ctrl-C, beyond restarts; with --json one object a line."""
    chosen_states = states_named(state or ())

    async def question(client: "AsyncClient") -> None:
        from schedule_grpc.cli.print_json import print_json_line
        from schedule_grpc.cli.progress import event_in_words
        from schedule_grpc.formats.json_answers import event_json
        from schedule_grpc.text.terminal import plain

        async with client.watch_executions(task, chosen_states) as events:
            print(f"Watching {call.server}; Ctrl-C ends it.", file=sys.stderr, flush=True)
            if task and (missing := await not_registered(client, task)):
                print(f"{missing}; watching all the same", file=sys.stderr, flush=True)
            async for event in events:
                if call.as_json:
                    print_json_line(event_json(event))
                else:
                    print(plain(event_in_words(event)), flush=True)

    call.ask(question, patience=patience)
    fail(f"{call.server}: the server stopped", code=UNREACHABLE)
