"""The default queue: a table of the platform's database, ``queue_jobs``, from which its workers take their jobs."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from schedule_grpc.bindings.instants import POSTGRESQL, written
from schedule_grpc.domain.canonical_json import NotJson, canonical
from schedule_grpc.errors import BindingError
from schedule_grpc.runtime.clock import Clock

QUEUED = "queued"


class TableQueue:
    """Puts jobs into a table, one row each, with the status ``queued``."""

    def __init__(self, name: str, database: Any, table: str, *, clock: Clock) -> None:
        """Take a table.

        Args:
            name: The binding's.
            database: The binding of its database.
            table: Its name, of our own words: it becomes part of the statements.
            clock: Whose time the jobs have.
        """
        self._name = name
        self._database = database
        self._clock = clock
        self._table = table

    async def enqueue(
        self,
        type: str,  # noqa: A002 (the public name)
        payload: Mapping[str, Any],
        *,
        priority: int = 0,
        dedupe_key: str | None = None,
    ) -> bool:
        """Put a job into the queue.

        Args:
            type: The kind of job.
            payload: The job's arguments; JSON.
            priority: A higher one comes first.
            dedupe_key: Among the jobs that are still queued there is one of each key, however many enqueue it at once.

        Returns:
            Whether it was queued: False if one with its key is queued already.

        Raises:
            BindingError: if the job was not queued.
        """
        job = {
            "id": str(uuid4()),
            "type": type,
            "payload": written_payload(self._name, payload),
            "priority": priority,
            "status": QUEUED,
            "dedupe_key": dedupe_key,
            "created_at": written(self._clock.now()),
        }
        columns, values = ", ".join(job), ", ".join(f":{column}" for column in job)
        try:
            if dedupe_key is None:
                await self._database.execute(f"INSERT INTO {self._table} ({columns}) VALUES ({values})", **job)  # noqa: S608 (our own words)
                return True
            async with self._database.transaction() as transaction:
                # SQLite has one writer; on PostgreSQL the table is the user's, and may have no unique index on the key.
                if await self._database.dialect() == POSTGRESQL:
                    lock = "SELECT pg_advisory_xact_lock(hashtextextended(:lock, 0))"
                    await transaction.fetch(lock, lock=f"{self._table}:{dedupe_key}")
                changed = await transaction.execute(
                    f"INSERT INTO {self._table} ({columns}) SELECT {values} WHERE NOT EXISTS"  # noqa: S608
                    f" (SELECT 1 FROM {self._table} WHERE dedupe_key = :dedupe_key AND status = '{QUEUED}')"
                    " ON CONFLICT DO NOTHING",
                    **job,
                )
        except BindingError as error:
            raise error.through(self._name) from None
        return bool(changed)

    async def ping(self) -> None:
        """Return if the table can be read.

        Raises:
            BindingError: if not.
        """
        try:
            await self._database.fetch(f"SELECT id FROM {self._table} LIMIT 1")  # noqa: S608
        except BindingError as error:
            raise error.through(self._name) from None

    async def aclose(self) -> None:
        """Nothing is open here: the database is a binding of its own."""


def written_payload(name: str, payload: Mapping[str, Any]) -> str:
    """Return a job's payload as JSON.

    Raises:
        BindingError: naming the binding and the part that is not JSON.
    """
    try:
        return canonical(payload)
    except NotJson as error:
        raise BindingError(name, f"the payload is not JSON: {error}") from None
