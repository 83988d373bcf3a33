"""A key that is written without a server: the first one, and another one where the administrator's is lost.

Access to the database is the proof: it holds all that a key could open.
"""

from schedule_grpc.domain.access.caller import EVERYTHING, Caller
from schedule_grpc.domain.access.keys import KeyRequest, NewKey
from schedule_grpc.errors import DatabaseRefused
from schedule_grpc.events import Hub
from schedule_grpc.runtime.agreed_clock import AgreedClock
from schedule_grpc.runtime.clock import Clock, SystemClock
from schedule_grpc.service.keys import KeyService
from schedule_grpc.store import NEWEST, Store, found_version, open_store, shown

OPERATOR = Caller(name="offline", grants=EVERYTHING)


async def create_key(database: str, request: KeyRequest) -> NewKey:
    """Make a key in a database: in a file that no server uses, or in PostgreSQL, beside servers.

    A database that is not there yet is created. An older one is not migrated: servers may be using it.

    Raises:
        DatabaseRefused: if a server uses the file, or the schema is older than this program's.
        ScheduleError: as KeyService.create_key.
    """
    request.checked_grants()  # a request that is refused creates no database
    version = await found_version(database)
    if version is not None and version < NEWEST:
        raise DatabaseRefused(
            f"{shown(database)} has schema version {version}, and this program needs {NEWEST}: "
            "run schedule-grpc migrate first"
        )
    store = await open_store(database, Hub())
    try:
        return await KeyService(store=store, clock=await _clock(store)).create_key(OPERATOR, request)
    finally:
        await store.close()


async def _clock(store: Store) -> Clock:
    """Return the clock of the servers that use the database."""
    machine = SystemClock()
    if not store.is_shared:
        return machine
    clock = AgreedClock(machine)
    await clock.agree(store.time)
    return clock
