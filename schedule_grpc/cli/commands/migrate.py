"""``schedule-grpc migrate``: the database, brought to the newest schema version."""

from schedule_grpc.cli.connection import AsJson
from schedule_grpc.cli.exits import exiting_on_refusals
from schedule_grpc.cli.options import ConfigFile, DatabaseUrl


def migrate(*, database: DatabaseUrl = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Bring the database up to date. Creates the configured one if it is not there; no server may be using it."""
    import asyncio

    from schedule_grpc.events import Hub
    from schedule_grpc.runtime import paths
    from schedule_grpc.settings.config import SQLITE, load
    from schedule_grpc.store import NEWEST, found_version, open_store, shown

    async def migrated(url: str) -> int | None:
        before = await found_version(url)
        store = await open_store(url, Hub())
        await store.close()
        return before

    with exiting_on_refusals():
        url = load({"database": database}, file=config).database
        before = asyncio.run(migrated(url))
    place = shown(url)
    if place.startswith(SQLITE):
        place = SQLITE + paths.shown(place.removeprefix(SQLITE))
    if as_json:
        from schedule_grpc.cli.print_json import print_json

        print_json({"database": place, "before": before, "version": NEWEST})
        return
    outcomes = {None: "created with schema version", NEWEST: "is at schema version"}
    print(f"{place.removeprefix(SQLITE)} {outcomes.get(before, f'brought from schema version {before} to')} {NEWEST}")
