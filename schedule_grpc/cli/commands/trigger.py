"""``schedule-grpc trigger``: the tasks of a cron expression, run now."""

from typing import Annotated

import typer

from schedule_grpc.cli.connection import Caller, connection
from schedule_grpc.cli.option_groups import takes


@takes(call=connection)
def trigger(
    cron: Annotated[str, typer.Argument(help="'0 * * * *', or a schedule that means the same; '* * * * *' means all")],
    *,
    call: Caller,
) -> None:
    """Run the tasks of a cron expression. All enabled ones whose schedule means the same, now."""
    from schedule_grpc.cli.answers import show_executions

    show_executions(call, call.ask(lambda client: client.trigger_cron(cron)), none="No enabled task has this schedule.")
