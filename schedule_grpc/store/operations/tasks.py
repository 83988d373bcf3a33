"""Operations on tasks, as generators (see schedule_grpc.database): what a registration or a firing writes."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from schedule_grpc.database import ByPlace, Operation, together
from schedule_grpc.domain.access.namespace import TaskKey
from schedule_grpc.domain.access.quota import QuotaExceeded
from schedule_grpc.domain.condition import UNREADABLE
from schedule_grpc.domain.execution import Gate, Reason, deleted
from schedule_grpc.domain.planning import Firing
from schedule_grpc.domain.registration import FreshTask, TaskChange
from schedule_grpc.domain.task import Handler, Task, TaskFilter
from schedule_grpc.events import AlertsChanged, Event, TaskChanged
from schedule_grpc.runtime.clock import to_micros
from schedule_grpc.store.columns import LAST, Columns
from schedule_grpc.store.listed_tasks import LISTED, places_in
from schedule_grpc.store.operations.gates import Comer, end_all_pending, end_pending, record_new
from schedule_grpc.store.operations.quotas import limited_namespaces, room_in
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.rows import execution_of, micros, task_parameters, task_read_again, tasks_in
from schedule_grpc.store.tables import advanced_tasks
from schedule_grpc.store.with_events import WithEvents

AFTER_EVERY_NAME = "\U0010ffff"
_LIST_TASKS = ByPlace(QUERIES.list_tasks)


Registered: TypeAlias = tuple[Task, ...] | QuotaExceeded | None
"""The answer to a registering call: its tasks; the refusal of its namespace; None if one of its tasks would change."""


class Overtaken(Exception):
    """A task is no longer as it was read: undoes the whole of an operation."""


def change_tasks(
    changes: Sequence[TaskChange], now: datetime, limited: Collection[str] = ()
) -> Operation[WithEvents[None]]:
    """Compare-and-set tasks, settle what was due, and carry the changes into what waits.

    Raises:
        Overtaken: if one of them is no longer as it was read.
        QuotaExceeded: if one of the ``limited`` namespaces would have more tasks than it may.
    """
    changed = sorted((each for each in changes if each.before != each.after), key=lambda each: each.after.key)
    yield QUERIES.lock_tasks, {"uids": [change.after.uid for change in changed]}
    new = [each.after for each in changed if each.before is None]
    room = yield from room_in(limited_namespaces(new, limited))
    if (refusal := room.take(new)) is not None:
        raise refusal
    inserted = yield QUERIES.insert_tasks, [task_parameters(task) for task in new]
    updated = yield (
        QUERIES.update_tasks,
        [task_parameters(each.after) | _as_read(each.before) for each in changed if each.before is not None],
    )
    written = {row["uid"] for row in (*inserted, *updated)}
    events: list[Event] = []
    for change in changed:
        if change.after.uid not in written:
            raise Overtaken(change.after.name)
        events += yield from _carry(change, now)
    return None, [*events, *(entry for change in changed if (entry := change.entry) is not None)]


def register_tasks(
    calls: Sequence[Sequence[FreshTask]], limited: Collection[str] = ()
) -> Operation[WithEvents[tuple[Registered, ...]]]:
    """Create the tasks that calls want and that are not there; a call that would change one is left out, whole.

    So is one for whose tasks one of the ``limited`` namespaces has no room.

    Raises:
        Overtaken: if another server took a name meanwhile, or deleted a namespace.
    """
    keys = dict.fromkeys(fresh.task.key for call in calls for fresh in call)
    rows = yield QUERIES.find_tasks_by_name, keyed(keys)
    there = {task.key: task for task in map(task_read_again, rows)}
    missing = (fresh.task for call in calls for fresh in call if fresh.task.key not in there)
    room = yield from room_in(limited_namespaces(missing, limited))
    answers: list[Registered] = []
    new: list[FreshTask] = []
    for call in calls:
        tasks = tuple(filter(None, (fresh.beside(there.get(fresh.task.key)) for fresh in call)))
        if len(tasks) < len(call):
            answers.append(None)
            continue
        created = [fresh for fresh in call if fresh.task.key not in there]
        refusal = room.take(fresh.task for fresh in created)
        answers.append(tasks if refusal is None else refusal)
        if refusal is None:
            there |= {fresh.task.key: fresh.task for fresh in created}
            new += created
    inserted = yield QUERIES.insert_tasks, [task_parameters(fresh.task) for fresh in new]
    if len(inserted) < len(new):
        raise Overtaken("one of them was created by another server, or its namespace is not there")
    events = [TaskChanged(namespace=fresh.task.namespace, name=fresh.task.name) for fresh in new]
    return tuple(answers), [*events, *(entry for fresh in new if (entry := fresh.entry) is not None)]


def _as_read(before: Task) -> dict[str, Any]:
    unread = dict(before.definition.unread)
    return {
        "read_revision": unread.get("revision", before.revision),
        "read_next_run_time": unread.get("next_run_time", micros(before.next_run_time)),
    }


def _carry(change: TaskChange, now: datetime) -> Operation[list[Event]]:
    """Carry a change that is written into what its task has open."""
    before, after = change.before, change.after
    deleted_uid = "" if after.delete_time is None else after.uid
    events: list[Event] = [TaskChanged(namespace=after.namespace, name=after.name, deleted_uid=deleted_uid)]
    if before is None:
        return events
    if before.trouble and not after.trouble:
        ended = yield QUERIES.end_alerts, [{"task_uid": after.uid, "key": UNREADABLE, "now": to_micros(now)}]
        events += [AlertsChanged()] if ended else []
    if change.settlement is not None:
        events += yield from record_new(comers_of([change.settlement]), now)
    if after.delete_time is not None:
        ended = yield QUERIES.end_alerts_of_task, {"task_uid": after.uid, "now": to_micros(now)}
        events += [AlertsChanged()] if ended else []
        return events + (yield from _delete_pending(after, now))
    if before.handler != after.handler:
        yield QUERIES.rename_pending_handler, {"task_uid": after.uid, "handler": after.handler}
    if before.enabled and not after.enabled:
        events += yield from end_all_pending(after, Reason.TASK_DISABLED, now)
    return events


def find_task(key: TaskKey) -> Operation[Task | None]:
    """Read the living task of a namespace and a name."""
    namespace, name = key
    rows = yield QUERIES.find_task, {"namespace": namespace, "name": name}
    return task_read_again(rows[0]) if rows else None


def find_tasks(keys: Sequence[TaskKey]) -> Operation[dict[TaskKey, Task]]:
    """Read the living tasks of some namespaces and names, by these."""
    rows = yield QUERIES.find_tasks_by_name, keyed(keys)
    return {task.key: task for task in tasks_in(rows)}


def keyed(keys: Iterable[TaskKey]) -> list[dict[str, Any]]:
    """Return the rows of find_tasks_by_name and hold_tasks_by_name."""
    return [{"namespace": namespace, "name": name} for namespace, name in keys]


def list_tasks(namespace: str, chosen: TaskFilter, after: str, limit: int) -> Operation[tuple[Task, ...]]:
    """Read living tasks of a namespace in the order of their names."""
    rows = yield (
        _LIST_TASKS,
        {
            "namespace": namespace,
            "after": after,
            "name_from": chosen.name_prefix,
            "name_to": chosen.name_prefix + AFTER_EVERY_NAME if chosen.name_prefix else None,
            "enabled": None if chosen.enabled is None else int(chosen.enabled),
            "handler": chosen.handler,
            "category": chosen.category,
            "limit": limit,
        },
    )
    places = places_in(rows)
    known = {place[0]: LISTED.known(place) for place in places}
    whole = yield QUERIES.find_tasks, [{"uid": uid} for uid, task in known.items() if task is None]
    known |= {row["uid"]: LISTED.learn(row) for row in whole}
    return tuple(task for task in known.values() if task is not None)


def next_tasks(until: datetime, limit: int) -> Operation[tuple[tuple[Task, ...], tuple[Task, ...]]]:
    """Read at most ``limit`` tasks that are due by then, the first ones first, and beside them what cannot be read.

    Tasks that cannot be read stay due, and crowd out no others: as many more are read.
    """
    asked = limit
    while True:
        rows = yield QUERIES.due_tasks, {"now": to_micros(until), "limit": asked}
        tasks = tasks_in(rows)
        readable = tuple([task for task in tasks if not task.definition.troubles])
        if len(readable) >= limit or len(rows) < asked:
            return readable[:limit], tuple([task for task in tasks if task.definition.troubles])
        asked *= 2


def move_on(firings: Sequence[Firing], owner: str | None) -> Operation[tuple[bool, list[Firing]]]:
    """Move tasks on, and hold the lease of an owner, if one is named.

    Returns:
        Whether the lease is held that was asked for, and the firings of those tasks that were still as they were read.
    """
    first: dict[str, Firing] = {}
    for firing in firings:
        first.setdefault(firing.task.uid, firing)
    held, advanced = yield from together(
        (QUERIES.hold_lease, [] if owner is None else [{"id": owner}]),
        (QUERIES.advance_tasks, advanced_tasks(list(first.values()))),
    )
    moved = set(advanced)  # a server answers in any order
    return owner is None or bool(held), [firing for uid, firing in first.items() if uid in moved]


def comers_of(firings: Iterable[Firing]) -> list[Comer]:
    """Return what firings bring to their tasks' gates."""
    return [Comer(execution, firing.task.policy) for firing in firings for execution in firing.executions]


def move_next_runs(moves: Sequence[Firing]) -> Operation[list[Event]]:
    """Write next runs anew, each if its task is still as it was read."""
    moved = yield QUERIES.advance_tasks, advanced_tasks(moves)
    tasks = {move.task.uid: move.task for move in moves}
    return [TaskChanged(namespace=tasks[row["uid"]].namespace, name=tasks[row["uid"]].name) for row in moved]


def tasks_of(uids: Collection[str]) -> Operation[dict[str, Task]]:
    """Read tasks, living or deleted, by their uids."""
    rows = yield QUERIES.find_tasks, [{"uid": uid} for uid in sorted(uids)]
    return {task.uid: task for task in tasks_in(rows)}


def looked_at(stored: Any) -> int:
    """Return when a look has something to do; never for a value that is no instant."""
    return stored if type(stored) is int and stored <= LAST else LAST


def latest_settled() -> Operation[datetime | None]:
    """Read up to when the task that is furthest is accounted for."""
    (row,) = yield QUERIES.latest_settled, {"last": LAST}
    return Columns().instant("settled_time", row["settled_time"])


def offer_handlers(handlers: Sequence[Handler], now: datetime) -> Operation[WithEvents[None]]:
    """Remember handlers."""
    yield (
        QUERIES.offer_handler,
        [
            {"name": handler.name, "description": handler.description, "now": to_micros(now)}
            for handler in sorted(handlers, key=lambda each: each.name)
        ],
    )
    return None, ()


def known_handlers() -> Operation[tuple[Handler, ...]]:
    """Read every handler ever offered."""
    rows = yield QUERIES.known_handlers, {}
    return tuple(Handler(name=row["name"], description=row["description"], offered=False) for row in rows)


def _delete_pending(task: Task, now: datetime) -> Operation[list[Event]]:
    rows = yield QUERIES.pending_executions, {"task_uid": task.uid}
    events: list[Event] = []
    for execution in sorted(map(execution_of, rows), key=lambda each: each.gate is Gate.ACTIVE):
        events += yield from end_pending(execution, deleted(execution, now), now)
    return events
