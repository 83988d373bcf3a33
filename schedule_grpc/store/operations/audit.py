"""Operations on the audit log: rows in the transaction of their change, lists, checks and removal.

A chain's head is the last row that a transaction locks, and it locks one head only: no deadlock forms around it.
"""

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from schedule_grpc.database import Operation, Row, Rows, together
from schedule_grpc.domain.access.audit import (
    AuditEvent,
    AuditFilter,
    AuditPlace,
    ChainCheck,
    ChainHead,
    ChainReport,
    Entry,
    chained,
    event_of,
)
from schedule_grpc.events import Audited, Event
from schedule_grpc.runtime import failpoints
from schedule_grpc.runtime.clock import to_micros
from schedule_grpc.store.columns import FIRST, LAST
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.with_events import WithEvents

T = TypeVar("T")

BEFORE_ALL = -(2**63)
SALT_BYTES = 32
READ_AT_ONCE = 1_000


def audited(operation: Callable[..., Operation[WithEvents[T]]], replica: str, *arguments: Any) -> Operation[Any]:
    """Run an operation, and write the entries that it returns beside its events: the change and its rows, or neither.

    An operation without entries is run as it is: it costs no further statement.
    """
    answer, events = yield from operation(*arguments)
    entries = [each for each in events if isinstance(each, Entry)]
    if not entries:
        return answer, events
    failpoints.reached("audit", "begun")
    written = yield from _append(entries, replica)
    failpoints.reached("audit", "written")
    others: list[Event] = [each for each in events if not isinstance(each, Entry)]
    return answer, [*others, Audited(written)]


def record_calls(entries: Sequence[Entry]) -> Operation[WithEvents[None]]:
    """Write entries of calls that changed nothing."""
    yield from ()
    return None, entries


def list_events(chosen: AuditFilter, after: AuditPlace, limit: int) -> Operation[tuple[AuditEvent, ...]]:
    """Read rows that follow a place, newest first."""
    time, replica, seq = after
    if chosen.end_time is not None and to_micros(chosen.end_time) <= time:
        time, replica, seq = to_micros(chosen.end_time), "", 0
    parameters = {
        "since": FIRST if chosen.start_time is None else to_micros(chosen.start_time),
        "time": time,
        "replica": replica,
        "seq": seq,
        "limit": limit,
        "method": chosen.method,
    }
    if chosen.namespace:
        found = {"namespace": chosen.namespace, "principal": chosen.principal}
        rows = yield QUERIES.audit_events_of_namespace, parameters | found
    elif chosen.principal:
        rows = yield QUERIES.audit_events_of_principal, parameters | {"principal": chosen.principal}
    else:
        rows = yield QUERIES.audit_events, parameters
    return tuple(event_of(_readable(row)) for row in rows)


def check_chains() -> Operation[tuple[ChainReport, ...]]:
    """Read the whole log, and check every chain."""
    found = yield QUERIES.audit_chains, {}
    heads = {row["replica"]: ChainHead(**row) for row in found}
    with_rows = yield QUERIES.audit_replicas, {}
    reports = []
    for replica in sorted({*heads, *(row["replica"] for row in with_rows)}):
        check = ChainCheck(heads.get(replica, ChainHead(replica=replica)))
        rows = yield from _rows_after(replica, BEFORE_ALL)
        while rows:
            check.take(rows)
            rows = yield from _rows_after(replica, rows[-1]["seq"])
        reports.append(check.report())
    return tuple(reports)


def chain_to_shorten(before: datetime) -> Operation[str | None]:
    """Read which chain begins with a row that is older than an instant; None if there is none."""
    chains = yield QUERIES.audit_chains, {}
    for chain in chains:
        rows = yield from _rows_after(chain["replica"], chain["removed_seq"], limit=1)
        if rows and rows[0]["time"] < to_micros(before):
            replica: str = chain["replica"]
            return replica
    return None


def remove_events(replica: str, before: datetime, limit: int) -> Operation[WithEvents[int]]:
    """Remove the oldest rows of a chain, up to the first one that is not older than an instant; return how many."""
    yield QUERIES.begin_audit_removal, {"before": to_micros(before)}
    held = yield QUERIES.audit_head, {"replica": replica}
    rows = yield from _rows_after(replica, held[0]["removed_seq"], limit=limit) if held else _nothing()
    removed = []
    for row in rows:
        if row["time"] >= to_micros(before):
            break
        removed.append(row)
    if removed:
        last = removed[-1]
        yield QUERIES.remove_audit_events, {"replica": replica, "seq": last["seq"]}
        yield QUERIES.note_audit_removal, {"replica": replica, "seq": last["seq"], "hash": last["hash"]}
    return len(removed), ()


def _append(entries: Sequence[Entry], replica: str) -> Operation[tuple[AuditEvent, ...]]:
    held = yield QUERIES.audit_head, {"replica": replica}
    if not held:
        begun = {"salt": secrets.token_hex(SALT_BYTES), "removable_before": BEFORE_ALL}
        yield QUERIES.begin_audit, begun
        yield QUERIES.begin_audit_chain, {"replica": replica}
        held = yield QUERIES.audit_head, {"replica": replica}
    head = dict(held[0])
    salt = head.pop("salt")
    rows = chained(entries, ChainHead(**head), salt)
    moved = [{"replica": replica, "seq": rows[-1]["seq"], "hash": rows[-1]["hash"]}]
    yield from together((QUERIES.insert_audit_events, rows), (QUERIES.move_audit_head, moved))
    return tuple(map(event_of, rows))


def _readable(row: Row) -> dict[str, Any]:
    """Return a row with values that can be shown: a list goes on beside a row that was tampered with."""
    shown: dict[str, Any] = {name: str(value) for name, value in row.items()}
    numbers = {name: row[name] if type(row[name]) is int else 0 for name in ("seq", "count", "time")}
    return shown | numbers | {"time": min(numbers["time"], LAST)}


def _rows_after(replica: str, seq: int, *, limit: int = READ_AT_ONCE) -> Operation[Rows]:
    return (yield QUERIES.audit_chain_after, {"replica": replica, "seq": seq, "limit": limit})


def _nothing() -> Operation[Rows]:
    yield from ()
    return ()
