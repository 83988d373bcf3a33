"""``schedule-grpc migrate``: the database, brought to the newest schema version."""

from schedule_grpc.cli.connection import AsJson
from schedule_grpc.cli.exits import FAILED, USAGE, fail
from schedule_grpc.cli.options import ConfigFile, DatabaseUrl


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
    outcomes = {None: "created with schema version", NEWEST: "is at schema version"}
    print(f"{place.removeprefix(SQLITE)} {outcomes.get(before, f'brought from schema version {before} to')} {NEWEST}")
