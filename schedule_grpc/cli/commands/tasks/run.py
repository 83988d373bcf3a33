"""``schedule-grpc tasks run``: a task run by hand, and watched while it runs."""

from typing import TYPE_CHECKING, Annotated

import typer

from schedule_grpc.cli.connection import PATIENCE, Caller, connection
from schedule_grpc.cli.exits import FAILED, INTERRUPTED, fail
from schedule_grpc.cli.option_groups import takes
from schedule_grpc.cli.options import Patience, TaskName, json_object

if TYPE_CHECKING:
    from schedule_grpc.domain.execution import Execution


@takes(call=connection)
def run(
    name: TaskName,
    *,
    payload: Annotated[
        str | None, typer.Option(help="JSON object in place of the task's payload; @FILE reads it from a file")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for the end")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show the lines that the handler logs, too, as they come")
    ] = False,
    cancel_on_interrupt: Annotated[
        bool, typer.Option("--cancel-on-interrupt", help="Ctrl-C cancels the execution; else it goes on")
    ] = False,
    request_id: Annotated[str, typer.Option(help="The same id again gives the same execution, not another one")] = "",
    patience: Patience = PATIENCE,
    call: Caller,
) -> None:
    """Run a task now. Waits for its end; exit code 1 if it did not succeed.

    Shows what the run waits for before it begins, and its progress, on standard error.
    """
    from uuid import uuid4

    from schedule_grpc.cli import tables
    from schedule_grpc.cli.answers import show
    from schedule_grpc.cli.commands.tasks.attended_run import Interrupted, RunRequest, attend_run, start_run
    from schedule_grpc.formats import json_answers as as_json

    if follow and detach:
        raise typer.BadParameter("excludes --detach", param_hint="--follow")
    request = RunRequest(
        name=name,
        payload=None if payload is None else json_object("--payload", payload),
        request_id=request_id or uuid4().hex,
        cancel_on_interrupt=cancel_on_interrupt,
        follow=follow,
    )
    try:
        result = call.ask(
            lambda client: start_run(client, request) if detach else attend_run(client, request), patience=patience
        )
    except Interrupted as interrupted:
        fail(_farewell(interrupted.execution, cancelled=cancel_on_interrupt), code=INTERRUPTED)
    show(
        call,
        result,
        json=lambda each: {"success": each.success, "execution": as_json.execution_json(each.execution)},
        people=lambda each: tables.print_execution(each.execution),
    )
    if not result.success:
        raise SystemExit(FAILED)


def _farewell(execution: "Execution", *, cancelled: bool) -> str:
    if execution.state.is_terminal:
        return f"interrupted; {execution.id} has ended {execution.state.value}"
    if cancelled:
        return f"interrupted; {execution.id} has been asked to stop"
    return (
        f"interrupted; {execution.id} goes on. Look at it or stop it:\n"
        f"  schedule-grpc executions get {execution.id}\n"
        f"  schedule-grpc executions cancel {execution.id}"
    )
