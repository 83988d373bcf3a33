"""``schedule-grpc preview``: when a schedule fires."""

from typing import Annotated

import typer

from schedule_grpc.cli.completion import zones
from schedule_grpc.cli.connection import AsJson
from schedule_grpc.cli.exits import USAGE, fail
from schedule_grpc.cli.options import instant


def preview(
    expression: Annotated[str, typer.Argument(help="A schedule: '*/5 * * * *', '@daily', 'every 90 minutes'")],
    *,
    zone: Annotated[
        str, typer.Option(help="IANA time zone in which a cron expression is read", autocompletion=zones)
    ] = "UTC",
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many occurrences to show")] = 5,
    after: Annotated[str | None, typer.Option(help="Show occurrences after this instant, such as 2026-03-28")] = None,
    as_json: AsJson = False,
) -> None:
    """Show when a schedule fires. Also its description, and the effect of daylight saving time; needs no server."""
    from schedule_grpc.cli.print_json import print_json
    from schedule_grpc.cli.tables import print_preview
    from schedule_grpc.domain.schedule import parse
    from schedule_grpc.errors import InvalidSchedule
    from schedule_grpc.formats.json_answers import preview_json
    from schedule_grpc.runtime.clock import SystemClock

    start = SystemClock().now() if after is None else instant("--after", after)
    try:
        found = parse(expression, zone).preview(start, count)
    except InvalidSchedule as error:
        fail(str(error), code=USAGE)
    if as_json:
        print_json(preview_json(found))
    else:
        print_preview(found)
