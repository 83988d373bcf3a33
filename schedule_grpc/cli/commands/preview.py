"""What needs no running server: look at a schedule, bring the database up to date, get the contract."""

from pathlib import Path
from typing import Annotated

import typer

from schedule_grpc.cli.completion import zones
from schedule_grpc.cli.connection import FAILED, USAGE, fail
from schedule_grpc.cli.options import AsJson, ConfigFile, DatabaseUrl, instant


def preview(
    expression: Annotated[str, typer.Argument(help="A schedule: '*/5 * * * *', '@daily', 'every 90 minutes'")],
    *,
    zone: Annotated[
        str, typer.Option(help="IANA time zone in which a cron expression is read", autocompletion=zones)
    ] = "UTC",
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many occurrences to show")] = 5,
    after: Annotated[str | None, typer.Option(help="Show what comes after this instant, such as 2026-03-28")] = None,
    as_json: AsJson = False,
) -> None:
    """Show when a schedule fires. Also how it reads, and what daylight saving time does to it; needs no server."""
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


def migrate(*, database: DatabaseUrl = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Bring the database up to date. Creates the configured one if it is not there; no server may be using it."""
    import asyncio

    from schedule_grpc.errors import ConfigurationError, DatabaseRefused
    from schedule_grpc.events import Hub
    from schedule_grpc.runtime import paths
    from schedule_grpc.settings.config import SQLITE, WrongSettings, load
    from schedule_grpc.store import NEWEST, found_version, open_store, shown

    async def migrated(url: str) -> int | None:
        before = await found_version(url)
        store = await open_store(url, Hub())
        await store.close()
        return before

    try:
        url = load({"database": database}, file=config).database
        before = asyncio.run(migrated(url))
    except WrongSettings as error:
        fail("\n".join(error.complaints), code=USAGE)
    except ConfigurationError as error:
        fail(str(error), code=USAGE)
    except DatabaseRefused as error:
        fail(str(error), code=FAILED)
    place = shown(url)
    if place.startswith(SQLITE):
        place = SQLITE + paths.shown(place.removeprefix(SQLITE))
    if as_json:
        from schedule_grpc.cli.print_json import print_json

        print_json({"database": place, "before": before, "version": NEWEST})
        return
    told = {None: "created with schema version", NEWEST: "is at schema version"}
    print(f"{place.removeprefix(SQLITE)} {told.get(before, f'brought from schema version {before} to')} {NEWEST}")


def proto(
    *,
    out: Annotated[Path, typer.Option(help="Folder to copy to; made if it is not there")],
    as_json: AsJson = False,
) -> None:
    """Copy the .proto files to a folder. Clients in other languages are generated from them."""
    from schedule_grpc.cli.commands.proto import copied

    try:
        written = copied(out)
    except OSError as error:
        fail(f"{error.filename or out}: {error.strerror}", code=FAILED)
    if as_json:
        from schedule_grpc.cli.print_json import print_json

        print_json([str(path) for path in written])
        return
    for path in written:
        print(path)
