"""The audit log: a row for each change, chained by hashes, so that a row that was changed or removed is found. Pure.

A row says who did what, to which task, and which fields changed. It never has a value: of a payload it has a hash that
is keyed by a salt of the database.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeAlias

from schedule_grpc.domain.access.caller import Caller
from schedule_grpc.domain.access.key_text import redacted
from schedule_grpc.runtime.clock import from_micros, to_micros

DEFAULT_RETENTION = timedelta(days=400)
"""How long a row is kept: a year, and time to export it."""
LONGEST_TEXT = 200
"""Characters of a text that a caller chose."""
FIRST_HASH = ""
"""The hash before the first row of a chain."""

HASHED = (
    *("replica", "seq", "time", "principal", "via", "key_id", "peer", "user_agent", "method", "namespace", "resource"),
    *("execution", "outcome", "reason", "changed", "payload_hash", "before_etag", "after_etag", "count", "prev_hash"),
)
"""The columns that a row's hash covers, in its order: all but the hash."""


AuditPlace: TypeAlias = tuple[int, str, int]
"""The time in microseconds, the chain and the number of a row: its place in lists."""
BEFORE_NEWEST: AuditPlace = (2**63 - 1, "", 0)
"""The place that all rows follow, newest first."""


class Outcome(StrEnum):
    """What became of the calls that a row tells of."""

    DONE = "DONE"
    DENIED = "DENIED"


@dataclass(frozen=True, kw_only=True, slots=True)
class Author:
    """The caller of one call that changes something."""

    caller: Caller
    method: str
    """The name of the rpc, over HTTP too."""
    time: datetime
    traceparent: str | None = None
    """The span of the call, in W3C's form; None: it is not traced. Kept with the executions that the call makes."""

    @property
    def attribution(self) -> str:
        """The name to which the change is attributed; empty: the caller has proven none."""
        return self.caller.attribution


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What a row tells; its place in a chain is known when it is written."""

    author: Author
    namespace: str = ""
    resource: str = ""
    """The name of the task, key or namespace that changed."""
    execution: str = ""
    """The id of the execution that the call made or ended."""
    outcome: Outcome = Outcome.DONE
    reason: str = ""
    """The code of the error with which the calls were refused."""
    changed: tuple[str, ...] = ()
    """The names of the fields that changed; empty: all, or none."""
    payload: str | None = None
    """The canonical JSON of a new payload: a row has its hash only."""
    before_etag: str = ""
    """Empty: it was not there before."""
    after_etag: str = ""
    """Empty: it is no longer there."""
    count: int = 1
    """The number of calls, or of executions that one call made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditEvent:
    """A row of the audit log, as callers see it."""

    replica: str
    """The chain that the row belongs to: the name of the machine whose server wrote it."""
    seq: int
    """Its number in that chain, from 1, without gaps."""
    time: datetime
    principal: str
    """``key:NAME``, ``spiffe://...``, ``cn:NAME``, ``jwt:SUBJECT``, ``socket``, ``offline`` or ``anonymous``."""
    via: str
    """How the caller proved who it is: ``key``, ``certificate``, ``jwt``, ``socket``, ``offline``; ``none``."""
    key_id: str = ""
    peer: str = ""
    """The address from which the call came."""
    user_agent: str = ""
    """The program that the caller says it is."""
    method: str
    namespace: str = ""
    resource: str = ""
    execution: str = ""
    outcome: str
    """``DONE`` or ``DENIED``."""
    reason: str = ""
    changed: tuple[str, ...] = ()
    payload_hash: str = ""
    before_etag: str = ""
    after_etag: str = ""
    count: int = 1
    prev_hash: str = field(default=FIRST_HASH, repr=False)
    """The hash of the row before it in the chain; empty: it is the first one."""
    hash: str = field(repr=False)
    """The SHA-256 of all other fields."""

    @property
    def place(self) -> AuditPlace:
        """Its place in lists."""
        return to_micros(self.time), self.replica, self.seq


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditFilter:
    """The rows that a caller asks for; empty texts and None: all."""

    namespace: str = ""
    principal: str = ""
    method: str = ""
    start_time: datetime | None = None
    """From this time on."""
    end_time: datetime | None = None
    """Before this time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditPage:
    """One page of rows, newest first; an empty token marks the last one."""

    events: tuple[AuditEvent, ...]
    next_page_token: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainHead:
    """Where a chain ends, and where what is left of it begins: retention removes its oldest rows."""

    replica: str
    seq: int = 0
    hash: str = FIRST_HASH
    removed_seq: int = 0
    removed_hash: str = FIRST_HASH


def chained(entries: Iterable[Entry], head: ChainHead, salt: str) -> list[dict[str, Any]]:
    """Return the rows of entries, in their order, as they follow the head of a chain."""
    rows: list[dict[str, Any]] = []
    seq, previous = head.seq, head.hash
    for entry in entries:
        seq += 1
        row = _row(entry, salt) | {"replica": head.replica, "seq": seq, "prev_hash": previous}
        previous = row["hash"] = hash_of(row)
        rows.append(row)
    return rows


def hash_of(row: Mapping[str, Any]) -> str:
    """Return the hash of a row, in hexadecimal digits: a row with another hash was changed."""
    canonical = json.dumps([row[name] for name in HASHED], separators=(",", ":"), default=repr)
    return hashlib.sha256(canonical.encode()).hexdigest()


def payload_hash(payload: str, salt: str) -> str:
    """Return the hash of a payload's canonical JSON: another database has another one for the same payload."""
    return hmac.new(bytes.fromhex(salt), payload.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def event_of(row: Mapping[str, Any]) -> AuditEvent:
    """Return a row as callers see it."""
    columns = {name: row[name] for name in (*HASHED, "hash")}
    changed = tuple(filter(None, columns["changed"].split(",")))
    return AuditEvent(**columns | {"time": from_micros(columns["time"]), "changed": changed})


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainReport:
    """What a check of one chain found."""

    replica: str
    first: int
    """The number of the first row that is kept."""
    whole_to: int
    """The number of the last row up to which the chain is whole."""
    hash: str
    """The hash of that row: a copy that is kept elsewhere shows whether the chain was written anew."""
    trouble: str = ""
    """What is wrong after that row; empty: nothing is."""


class ChainCheck:
    """Checks the rows of one chain, which are given to it in the order of their numbers."""

    def __init__(self, head: ChainHead) -> None:
        """Take the stored head of the chain."""
        self._head = head
        self._seq = head.removed_seq
        self._hash = head.removed_hash
        self._trouble = ""

    def take(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Check the next rows; after the first trouble nothing is checked."""
        for row in rows:
            if self._trouble:
                return
            self._trouble = self._trouble_of(row)
            if not self._trouble:
                self._seq, self._hash = row["seq"], row["hash"]

    def report(self) -> ChainReport:
        """Return what was found, once all rows were given."""
        trouble = self._trouble
        if not trouble and self._seq < self._head.seq:
            trouble = f"{_rows(self._seq + 1, self._head.seq)} missing at the end"
        elif not trouble and (self._seq, self._hash) != (self._head.seq, self._head.hash):
            trouble = f"the head of the chain is row {self._head.seq}, with another hash than row {self._seq}"
        return ChainReport(
            replica=self._head.replica,
            first=self._head.removed_seq + 1,
            whole_to=self._seq,
            hash=self._hash,
            trouble=trouble,
        )

    def _trouble_of(self, row: Mapping[str, Any]) -> str:
        seq = row["seq"]
        if type(seq) is not int:
            return f"row {self._seq + 1} was changed"
        if seq != self._seq + 1:
            return f"{_rows(self._seq + 1, seq - 1)} missing" if seq > self._seq else f"row {seq} is out of its place"
        if hash_of(row) != row["hash"]:
            return f"row {seq} was changed"
        if row["prev_hash"] != self._hash:
            return f"row {seq} does not follow row {self._seq}: one of them was written anew"
        return ""


def _row(entry: Entry, salt: str) -> dict[str, Any]:
    author = entry.author
    caller = author.caller
    return {
        "time": to_micros(author.time),
        "principal": _kept(caller.name),
        "via": caller.via,
        "key_id": caller.key_id,
        "peer": _kept(caller.peer),
        "user_agent": _kept(caller.agent),
        "method": author.method,
        "namespace": entry.namespace,
        "resource": entry.resource,
        "execution": entry.execution,
        "outcome": str(entry.outcome),
        "reason": entry.reason,
        "changed": ",".join(entry.changed),
        "payload_hash": "" if entry.payload is None else payload_hash(entry.payload, salt),
        "before_etag": entry.before_etag,
        "after_etag": entry.after_etag,
        "count": entry.count,
    }


def _kept(text: str) -> str:
    """Return a caller's text as a row can have it: printable, not too long, and without keys."""
    if not text.isprintable():
        text = "".join(each if each.isprintable() else "\ufffd" for each in text)
    return redacted(text)[:LONGEST_TEXT]


def _rows(first: int, last: int) -> str:
    return f"row {first} is" if first == last else f"rows {first} to {last} are"
