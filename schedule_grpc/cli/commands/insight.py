"""``schedule-grpc why`` and ``schedule-grpc upcoming``."""

from typing import Annotated

import typer

from schedule_grpc.cli.completion import handler_names
from schedule_grpc.cli.connection import Caller, connection
from schedule_grpc.cli.option_groups import takes
from schedule_grpc.cli.options import TaskName, instant

AGO = "an instant such as 2026-01-31T10:00:00Z, or a time ago such as 2h"


@takes(call=connection)
def why(
    name: TaskName,
    *,
    at: Annotated[str | None, typer.Option(help=f"Only the occurrence at this time, or those beside it: {AGO}")] = None,
    start: Annotated[str | None, typer.Option("--from", help=f"From this time on: {AGO} [24h before --to]")] = None,
    end: Annotated[str | None, typer.Option("--to", help=f"Up to this time: {AGO} [now]")] = None,
    call: Caller,
) -> None:
    """Explain why a task ran, ran late, or did not run: what became of each occurrence, and who changed the task."""
    from schedule_grpc.cli.answers import show
    from schedule_grpc.cli.insight_tables import print_explanation
    from schedule_grpc.formats.json_insight import explanation_json

    times = {
        "at": None if at is None else instant("--at", at),
        "start_time": None if start is None else instant("--from", start),
        "end_time": None if end is None else instant("--to", end),
    }
    found = call.ask(lambda client: client.explain_task(name, **times))
    show(call, found, json=explanation_json, people=print_explanation)


@takes(call=connection)
def upcoming(
    *,
    hours: Annotated[int, typer.Option(min=1, max=168, help="How many hours from now on")] = 24,
    handler: Annotated[str, typer.Option(help="Only tasks of this handler", autocompletion=handler_names)] = "",
    category: Annotated[str, typer.Option(help="Only tasks with this metadata.category")] = "",
    call: Caller,
) -> None:
    """Show how often tasks will run within the next hours, which come next, and what changes of the clocks do."""
    from functools import partial

    from schedule_grpc.cli.answers import show
    from schedule_grpc.cli.insight_tables import print_upcoming
    from schedule_grpc.formats.json_insight import upcoming_json
    from schedule_grpc.runtime.clock import SystemClock

    found = call.ask(lambda client: client.get_upcoming_runs(hours=hours, handler=handler, category=category))
    show(call, found, json=upcoming_json, people=partial(print_upcoming, now=SystemClock().now()))
