"""``schedule-grpc workers ...``: the processes that run handlers."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from schedule_grpc.cli.completion import handler_names
from schedule_grpc.cli.connection import Caller, connection
from schedule_grpc.cli.option_groups import takes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schedule_grpc.domain.offers import WorkerInfo

app = typer.Typer(help="List workers: processes that run handlers.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
@takes(call=connection)
def list_(
    *,
    handler: Annotated[
        str, typer.Option(help="Only workers that offer this handler", autocompletion=handler_names)
    ] = "",
    call: Caller,
) -> None:
    """List the workers of the namespace that live, and those whose sessions ended within 24 hours.

    SLOTS: how many attempts a worker has now, and how many it runs at once. --json has all handlers and the labels.
    """
    from schedule_grpc.cli.answers import show
    from schedule_grpc.cli.worker_tables import print_workers
    from schedule_grpc.formats import json_answers as as_json
    from schedule_grpc.runtime.clock import SystemClock

    found: Sequence[WorkerInfo] = call.ask(lambda client: client.list_workers(handler))
    if not found and not call.as_json:
        print("No workers.")
        return
    people = partial(print_workers, now=SystemClock().now())
    show(call, found, json=lambda each: list(map(as_json.worker_json, each)), people=people)
