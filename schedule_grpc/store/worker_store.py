"""The store's operations on workers."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from schedule_grpc.database import Lane
from schedule_grpc.domain.worker import Worker
from schedule_grpc.store.claims import Claim, ClaimRequest, Given, Group
from schedule_grpc.store.operations import workers
from schedule_grpc.store.operations.workers import Key
from schedule_grpc.store.transactions import Transactions


class WorkerStore(Transactions):
    """Operations on workers' sessions, leases and attempts."""

    async def register_worker(self, worker: Worker, *, held: Sequence[Key] = ()) -> frozenset[Key]:
        """Begin a session; return those of the attempts ``held`` that still stand: they are the session's now.

        Safe because an attempt moves only if it runs under the token that is named, which its worker alone knows.
        """
        return await self._write(workers.register_worker, worker, held)

    async def renew_workers(self, sessions: Mapping[str, bool], *, now: datetime) -> frozenset[str]:
        """Renew workers' leases: session → whether the worker stops; return the sessions that live.

        Safe beside `lapse_workers`: whichever is first decides, and a session that ended stays ended.
        """
        return await self._write(workers.renew_workers, sessions, now)

    async def find_worker(self, session: str) -> Worker | None:
        """Return a session that lives; None if there is none, or it has ended."""
        return await self._database.read(partial(workers.find_worker, session))

    async def living_workers(self) -> Mapping[str, tuple[int, timedelta]]:
        """Return the sessions that live, each with the number of its renewals and the length of its lease."""
        return await self._database.read(workers.living_workers, lane=Lane.ENGINE)

    async def attempts_of(self, session: str) -> tuple[Claim, ...]:
        """Return the attempts in progress of a session."""
        return await self._database.read(partial(workers.attempts_of, session))

    async def ended_attempts(self, keys: Sequence[Key]) -> frozenset[Key]:
        """Return which of these attempts were reported, and no later one has begun since."""
        return await self._database.read(partial(workers.ended_attempts, keys))

    async def waiting_for(self, groups: Sequence[Group], *, now: datetime) -> Given:
        """Return whether executions of these groups could start, and when the next one becomes available."""
        return await self._database.read(partial(workers.waiting_for, groups, now), lane=Lane.ENGINE)

    async def give(self, requests: Sequence[ClaimRequest], *, now: datetime) -> Given:
        """Make available executions RUNNING, each under a lease of one of the workers that ask.

        Safe as `claim` is: from PENDING only, and a session that has ended is given nothing.
        """
        return await self._write(workers.give, requests, now)

    async def end_worker(self, session: str, *, now: datetime) -> int:
        """End a session whose worker leaves; hand back its attempts, and return how many."""
        return await self._write(workers.end_worker, session, now)

    async def lapse_workers(self, lapsed: Mapping[str, int], *, now: datetime) -> frozenset[str]:
        """End sessions whose leases are over, and settle their attempts as lost; return the sessions that ended.

        Safe beside a worker that lives after all: a session is ended only while the number of its renewals is as it was
        read, and its attempts are settled in the same transaction; later reports are refused.

        Args:
            lapsed: Session → the number of its renewals, as it was last read.
            now: The time at which the attempts count as lost.
        """
        return await self._write(workers.lapse_workers, lapsed, now)

    async def attempts_of_workers(self) -> Mapping[Key, timedelta]:
        """Return the attempts in progress of all workers, each with its task's timeout."""
        return await self._database.read(workers.attempts_of_workers, lane=Lane.ENGINE)

    async def end_overtime(self, keys: Sequence[Key], *, now: datetime) -> int:
        """End attempts that their workers did not stop in time, if they are still in progress; return how many.

        They end FAILED by TIMEOUT and are not retried: their handlers may still run.
        """
        return await self._write(workers.end_overtime, keys, now)

    async def remove_workers(self, *, ended_before: datetime) -> None:
        """Remove sessions that ended before an instant."""
        await self._write(workers.remove_workers, ended_before)
