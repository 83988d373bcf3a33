"""Calls that change nothing and are in the audit log all the same: refused ones, and reads where that is set.

They are counted, and written once a minute by kind: a flood of refused calls must not become a flood of rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from msgspec import structs

from schedule_grpc.access.credentials import host_of
from schedule_grpc.domain.access.audit import Author, Entry, Outcome
from schedule_grpc.domain.access.caller import ANONYMOUS, Caller
from schedule_grpc.runtime.clock import Clock

PERIOD = 60.0
"""Seconds."""
KINDS_KEPT = 500
"""Kinds of calls that are told apart within a period."""
OTHERS = "(other)"


class AuditLog(Protocol):
    """Where rows of the audit log are written."""

    async def record_calls(self, entries: Sequence[Entry]) -> None:
        """Write rows of calls that changed nothing."""


@dataclass(frozen=True, slots=True)
class _Kind:
    who: str
    """The name of a caller that has proven it, else the address from which it calls."""
    method: str
    namespace: str
    outcome: Outcome
    reason: str


class Tally:
    """Counts calls by caller, method, namespace and outcome."""

    def __init__(self, log: AuditLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._entries: dict[_Kind, Entry] = {}
        self._until = clock.monotonic() + PERIOD

    def note(self, caller: Caller, rpc: str, namespace: str, *, outcome: Outcome, reason: str = "") -> None:
        """Count a call of an rpc, given by its full name, if its caller is audited."""
        if not caller.is_audited:
            return
        host = host_of(caller.peer)
        method = rpc.rpartition("/")[2]
        kind = _Kind(caller.name if caller.is_identified else host, method, namespace, outcome, reason)
        if kind not in self._entries and len(self._entries) >= KINDS_KEPT:
            kind = _Kind(OTHERS, OTHERS, "", outcome, "")
            caller, host, method, namespace, reason = Caller(name=ANONYMOUS, grants=()), OTHERS, OTHERS, "", ""
        known = self._entries.get(kind)
        if known is None:
            author = Author(caller=structs.replace(caller, peer=host), method=method, time=self._clock.now())
            self._entries[kind] = Entry(author=author, namespace=namespace, outcome=outcome, reason=reason)
        else:
            self._entries[kind] = replace(known, count=known.count + 1)

    async def flush(self, *, at_once: bool = False) -> None:
        """Write a row for each kind, if the period is over or ``at_once`` says so; what is not written stays counted.

        Raises:
            DatabaseUnavailable: if the rows cannot be written.
        """
        now = self._clock.monotonic()
        if now < self._until and not at_once:
            return
        self._until = now + PERIOD
        if not self._entries:
            return
        writing, self._entries = self._entries, {}
        try:
            await self._log.record_calls(list(writing.values()))
        except BaseException:
            for kind, entry in self._entries.items():
                known = writing.get(kind)
                writing[kind] = entry if known is None else replace(known, count=known.count + entry.count)
            self._entries = writing
            raise
