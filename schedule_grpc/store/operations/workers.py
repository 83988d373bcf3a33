"""Operations on workers: their sessions and leases, the attempts that they are given, and those that they lost."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from schedule_grpc.database import Operation, Row
from schedule_grpc.domain.canonical_json import decode, encode
from schedule_grpc.domain.execution import (
    Execution,
    State,
    begun,
    handed_back,
    lost,
    new_lease_token,
    not_stopped,
)
from schedule_grpc.domain.worker import OfferedHandler, Worker
from schedule_grpc.events import Event, Transition
from schedule_grpc.runtime.clock import MICROSECOND, from_micros, to_micros
from schedule_grpc.store.claims import Claim, ClaimRequest, Given, Group, is_of
from schedule_grpc.store.columns import LAST, LATEST, holds_instant
from schedule_grpc.store.operations.claims import begin, chosen_executions, claim_of
from schedule_grpc.store.operations.queue import take
from schedule_grpc.store.operations.tasks import looked_at, tasks_of
from schedule_grpc.store.placement import placed
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.rows import execution_of
from schedule_grpc.store.with_events import WithEvents

Key = tuple[str, str]
"""An attempt: its execution's id, and its lease token."""


def register_worker(worker: Worker, held: Sequence[Key]) -> Operation[WithEvents[frozenset[Key]]]:
    """Begin a session; the attempts in ``held`` that still stand, and that it may run, become its own. Return them."""
    yield QUERIES.insert_worker, _columns(worker)
    if not held:
        return frozenset(), ()
    ids = sorted({execution_id for execution_id, _ in held})
    yield QUERIES.lock_tasks_of, {"execution_ids": ids}
    rows = yield QUERIES.find_executions, [{"id": execution_id} for execution_id in ids]
    wanted = frozenset(held)
    moved = [
        (row["id"], row["lease_token"])
        for row in rows
        if row["state"] == State.RUNNING
        and (row["id"], row["lease_token"]) in wanted
        and row["handler"] in worker.handlers
        and worker.serves(row["namespace"])
    ]
    yield (
        QUERIES.move_attempts,
        [{"id": each, "lease_token": token, "lease_owner": worker.session} for each, token in moved],
    )
    return frozenset(moved), ()


def renew_workers(sessions: Mapping[str, bool], now: datetime) -> Operation[WithEvents[frozenset[str]]]:
    """Renew leases: session → whether the worker stops; return the sessions that live."""
    seen_time = to_micros(now)
    rows = yield (
        QUERIES.renew_workers,
        [
            {"session": session, "seen_time": seen_time, "draining": int(draining)}
            for session, draining in sorted(sessions.items())
        ],
    )
    return frozenset(row["session"] for row in rows), ()


def find_worker(session: str) -> Operation[Worker | None]:
    """Read a session that lives."""
    rows = yield QUERIES.find_worker, {"session": session}
    return worker_of(rows[0]) if rows else None


def living_workers() -> Operation[Mapping[str, tuple[int, timedelta]]]:
    """Read how often each living worker's lease was renewed, and how long it holds."""
    rows = yield QUERIES.living_workers, {}
    return {row["session"]: (row["beat"], row["lease"] * MICROSECOND) for row in rows}


def attempts_of(session: str) -> Operation[tuple[Claim, ...]]:
    """Read the attempts in progress of a session."""
    rows = yield QUERIES.attempts_of_owners, [{"owner": session}]
    executions = [execution_of(row) for row in rows if row["state"] == State.RUNNING]
    tasks = yield from tasks_of({each.task_uid for each in executions})
    return tuple(claim_of(each, tasks[each.task_uid]) for each in executions)


def ended_attempts(keys: Sequence[Key]) -> Operation[frozenset[Key]]:
    """Read which of these attempts were reported: their executions stand as their owners left them."""
    wanted = frozenset(keys)
    rows = yield QUERIES.find_executions, [{"id": each} for each in sorted({key[0] for key in keys})]
    return frozenset(
        key for row in rows if row["state"] != State.RUNNING and (key := (row["id"], row["lease_token"])) in wanted
    )


def give(requests: Sequence[ClaimRequest], now: datetime) -> Operation[WithEvents[Given]]:
    """Begin attempts of workers: for each request as `claim` does for a server, each attempt under a worker's lease."""
    sessions = sorted({taker.owner for request in requests for taker in request.takers})
    rows = yield QUERIES.hold_workers, [{"session": session} for session in sessions]
    living = frozenset(row["session"] for row in rows)
    claims: list[tuple[str, Claim]] = []
    events: list[Event] = []
    leaves = is_room_left = False
    for request in requests:
        takers = tuple(taker for taker in request.takers if taker.owner in living)
        if not takers:
            continue
        given, began, left = yield from _give(replace(request, takers=takers))
        claims += given
        events += began
        leaves |= left
        is_room_left |= len(given) < request.free
    next_time = _earliest((yield from _queues_of([each.group for each in requests], now))) if is_room_left else None
    return Given(claims=tuple(claims), leaves=leaves, next_time=next_time), events


def waiting_for(groups: Sequence[Group], now: datetime) -> Operation[Given]:
    """Read whether executions that are asked for could start, and when the next one becomes available."""
    now_micros = to_micros(now)
    queues = yield from _queues_of(groups, now)
    return Given(
        leaves=any(looked_at(row["available_time"]) <= now_micros for row in queues),
        next_time=_earliest(queues),
    )


def end_worker(session: str, now: datetime) -> Operation[WithEvents[int]]:
    """End a session whose worker leaves; hand back what it held, and return how many attempts that were."""
    ended = yield QUERIES.end_worker, {"session": session, "now": to_micros(now)}
    rows = yield QUERIES.attempts_of_owners, [{"owner": row["session"]} for row in ended]
    return (yield from take([(rows, handed_back)], now))


def lapse_workers(lapsed: Mapping[str, int], now: datetime) -> Operation[WithEvents[frozenset[str]]]:
    """End sessions that were not renewed since they were read, and settle their attempts as lost; return them."""
    at = to_micros(now)
    ended: list[str] = []
    for session, beat in sorted(lapsed.items()):
        rows = yield QUERIES.lapse_worker, {"session": session, "beat": beat, "now": at}
        ended += [row["session"] for row in rows]
    rows = yield QUERIES.attempts_of_owners, [{"owner": session} for session in ended]
    _, events = yield from take([(rows, lost)], now)
    return frozenset(ended), events


def attempts_of_workers() -> Operation[Mapping[Key, timedelta]]:
    """Read the attempts in progress of all workers, each with its task's timeout."""
    rows = yield QUERIES.attempts_of_workers, {}
    tasks = yield from tasks_of({row["task_uid"] for row in rows})
    return {(row["id"], row["lease_token"]): tasks[row["task_uid"]].policy.timeout for row in rows}


def end_overtime(keys: Sequence[Key], now: datetime) -> Operation[WithEvents[int]]:
    """End attempts that their workers did not stop, if they are still in progress: FAILED, without a retry."""
    rows = yield QUERIES.find_executions, [{"id": execution_id} for execution_id, _ in keys]
    wanted = frozenset(keys)
    over = [row for row in rows if (row["id"], row["lease_token"]) in wanted]
    return (yield from take([(over, not_stopped)], now))


def remove_workers(ended_before: datetime) -> Operation[WithEvents[None]]:
    """Remove sessions that ended long ago."""
    yield QUERIES.remove_workers, {"ended_before": to_micros(ended_before)}
    return None, ()


def worker_of(row: Row) -> Worker:
    """Return the session in a row of workers."""
    return Worker(
        session=row["session"],
        namespace=row["namespace"],
        name=row["name"],
        version=row["version"],
        labels=decode(row["labels"]),
        offers=tuple(OfferedHandler(**offer) for offer in decode(row["offers"])),
        slots=row["slots"],
        lease=row["lease"] * MICROSECOND,
        beat=row["beat"],
        draining=bool(row["draining"]),
        start_time=from_micros(row["start_time"]),
        seen_time=from_micros(row["seen_time"]) if holds_instant(row["seen_time"]) else LATEST,
        end_time=None if row["end_time"] is None else from_micros(row["end_time"]),
        registered_by=row["registered_by"],
    )


def _give(request: ClaimRequest) -> Operation[tuple[list[tuple[str, Claim]], list[Transition], bool]]:
    """Begin attempts of one request's workers; return them, and whether executions were left that could start."""
    chosen, tasks, leaves = yield from chosen_executions(request)
    places = placed([row["handler"] for row in chosen], request.takers)
    executions: list[Execution] = []
    owners: list[str] = []
    for row, taker in zip(chosen, places, strict=True):
        if taker is not None:
            revision = tasks[row["task_uid"]].revision
            token = new_lease_token()
            execution = execution_of(row)
            executions.append(
                begun(execution, lease_token=token, revision=revision, now=request.now, worker=taker.title)
            )
            owners.append(taker.owner)
    events = yield from begin(executions, owners, request.now)
    claims = [(owner, claim_of(each, tasks[each.task_uid])) for owner, each in zip(owners, executions, strict=True)]
    return claims, events, leaves or len(executions) < len(chosen)


def _queues_of(groups: Sequence[Group], now: datetime) -> Operation[list[Row]]:
    """Read the queues of these groups, each with the times of its first executions."""
    rows = yield QUERIES.what_is_ahead, {"now": to_micros(now)}
    return [row for row in rows if row["what"] == "QUEUE" and _is_of(row, groups)]


def _is_of(row: Row, groups: Sequence[Group]) -> bool:
    return any(is_of((row["namespace"], row["handler"]), group) for group in groups)


def _earliest(queues: Sequence[Row]) -> datetime | None:
    first = min((looked_at(row["next_time"]) for row in queues), default=LAST)
    return None if first >= LAST else from_micros(first)


def _columns(worker: Worker) -> dict[str, Any]:
    return {
        "session": worker.session,
        "namespace": worker.namespace,
        "name": worker.name,
        "version": worker.version,
        "labels": encode(dict(worker.labels)),
        "handlers": encode(sorted(worker.handlers)),
        "offers": encode(
            [
                {
                    "name": offer.name,
                    "description": offer.description,
                    "concurrency": offer.concurrency,
                    "payload_schema": offer.payload_schema,
                }
                for offer in worker.offers
            ]
        ),
        "slots": worker.slots,
        "lease": worker.lease // MICROSECOND,
        "start_time": to_micros(worker.start_time),
        "seen_time": to_micros(worker.seen_time),
        "registered_by": worker.registered_by,
    }
