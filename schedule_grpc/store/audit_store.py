"""The store's operations on the audit log."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from schedule_grpc.domain.access.audit import BEFORE_NEWEST, AuditEvent, AuditFilter, AuditPlace, Entry
from schedule_grpc.store.operations import audit
from schedule_grpc.store.transactions import Transactions

REMOVED_AT_ONCE = 500
"""Rows."""


class AuditStore(Transactions):
    """Operations on the audit log. Rows of changes are written by the operations that change."""

    async def record_calls(self, entries: Sequence[Entry]) -> None:
        """Write rows of calls that changed nothing: refused ones, and reads."""
        await self._write(audit.record_calls, entries)

    async def list_audit(
        self, chosen: AuditFilter, *, after: AuditPlace = BEFORE_NEWEST, limit: int
    ) -> tuple[AuditEvent, ...]:
        """Return at most ``limit`` rows that follow a place, newest first."""
        return await self._database.read(partial(audit.list_events, chosen, after, limit))

    async def prune_audit(self, *, before: datetime) -> int:
        """Remove a few of the rows that are older than an instant, and return how many: 0 once there are none.

        Safe beside other servers and writers: each waits at the head of the chain, which notes the last removed row.
        """
        replica = await self._database.read(partial(audit.chain_to_shorten, before))
        if replica is None:
            return 0
        return await self._write(audit.remove_events, replica, before, REMOVED_AT_ONCE)
