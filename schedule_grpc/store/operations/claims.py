"""Operations that begin attempts: of executions that wait in the queue, and of tasks that are just due."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from schedule_grpc.database import Operation, Row, Rows, count, together
from schedule_grpc.domain.execution import Execution, Gate, State, begun, new_lease_token
from schedule_grpc.domain.planning import Firing
from schedule_grpc.domain.task import Task
from schedule_grpc.events import Transition
from schedule_grpc.runtime.clock import to_micros
from schedule_grpc.store.claims import Claim, Claimed, ClaimRequest, Fired, Look, QueueKey
from schedule_grpc.store.free_slots import in_turn, slots_by_queue
from schedule_grpc.store.operations.gates import Comer, record_new
from schedule_grpc.store.operations.queue import look
from schedule_grpc.store.operations.tasks import comers_of, looked_at, move_on, tasks_of
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.rows import can_begin, execution_of
from schedule_grpc.store.tables import begun_executions, started_runs
from schedule_grpc.store.with_events import WithEvents


class _Beginning:
    """Lets new executions begin at once, each queue's up to its share of the free slots.

    Where several of one task come together none does: one that came later might have made the first one end before it
    ever began.
    """

    def __init__(self, request: ClaimRequest, executions: Sequence[Execution]) -> None:
        self._request = request
        coming = Counter([each.task_uid for each in executions if each.state is State.PENDING])
        ready = [
            each
            for each in executions
            if each.state is State.PENDING
            and coming[each.task_uid] == 1
            and each.available_time <= request.now
            and each.handler in request.handlers
            and not (request.overtaken and each.queue in request.overtaken)
        ]
        self._ready = {each.id for each in ready}
        self._left = slots_by_queue(request, Counter([each.queue for each in ready]))

    @property
    def owner(self) -> str:
        """The id of the server that runs the attempts that begin."""
        return self._request.owner

    def begun(self, execution: Execution) -> Execution:
        """Return an execution that was let in as it begins, or as it is."""
        past_the_gate = execution.gate is Gate.ACTIVE or execution.gate is Gate.FREE
        if not (past_the_gate and execution.id in self._ready and self._left.get(queue := execution.queue)):
            return execution
        self._left[queue] -= 1
        return _begun(execution, execution.revision, self._request)

    def take_back(self, execution: Execution) -> None:
        """Free the slot of an execution that was not recorded as it begins."""
        self._left[execution.queue] += 1


def fire(
    firings: Sequence[Firing], now: datetime, request: ClaimRequest | None, shared: bool
) -> Operation[WithEvents[Fired]]:
    """Advance each task, if it is still as it was read, and record its executions.

    Executions that can start now, and for which the request has a free slot, are recorded as RUNNING at once. In a
    shared database this needs the owner's lease, which is locked until they are written.
    """
    is_leased, moved = yield from move_on(firings, request.owner if request is not None and shared else None)
    tasks = {firing.task.uid: firing.task for firing in moved}
    return (yield from record_and_begin(comers_of(moved), tasks, request if is_leased else None, now))


def record_and_begin(
    comers: Sequence[Comer], tasks: Mapping[str, Task], request: ClaimRequest | None, now: datetime
) -> Operation[WithEvents[Fired]]:
    """Record new executions of tasks, by uid; what of them can start now begins, as far as slots are requested."""
    beginning = None if request is None else _Beginning(request, [comer.execution for comer in comers])
    events = yield from record_new(comers, now, beginning=beginning)
    new = [event for event in events if isinstance(event, Transition)]
    started = [event.execution for event in new if event.execution.state is State.RUNNING]
    claims = tuple(claim_of(execution, tasks[execution.task_uid]) for execution in started)
    behind = yield from _look_behind(request)
    executions = tuple(event.execution for event in new if event.previous_state is None)
    return Fired(executions=executions, claims=claims, look=behind), events


def claim(request: ClaimRequest, shared: bool) -> Operation[WithEvents[Claimed]]:
    """Begin attempts: each queue gets its share of the slots, the longest available execution first.

    In a shared database this needs the owner's lease, which is locked until the attempts are written.
    """
    if not (yield from _may_claim(request, shared)):
        return Claimed(), ()
    chosen, tasks, _ = yield from chosen_executions(request)
    executions = [_begun(execution_of(row), tasks[row["task_uid"]].revision, request) for row in chosen]
    events = yield from begin(executions, [request.owner] * len(executions), request.now)
    behind = yield from _look_behind(request)
    return Claimed(claims=tuple(claim_of(each, tasks[each.task_uid]) for each in executions), look=behind), events


def begin(executions: Sequence[Execution], owners: Sequence[str], now: datetime) -> Operation[list[Transition]]:
    """Write attempts that begin, each under its owner's lease. The executions were read, and held, before."""
    first = [execution for execution in executions if execution.attempt_start_time == execution.start_time]
    written, _ = yield from together(
        (QUERIES.claim_executions, begun_executions(executions, owners)),
        (QUERIES.note_runs, started_runs(first)),
    )
    if count(written) != len(executions):
        raise AssertionError("what is claimed was read, and held, in this transaction")
    return [Transition(previous_state=State.PENDING, execution=each, time=now) for each in executions]


def _look_behind(request: ClaimRequest | None) -> Operation[Look | None]:
    """Look for further work in the same step, which spares a look of its own."""
    if request is None or not request.looks_at:
        return None
    return (yield from look(request.handlers, request.now, request.looks_at, request.horizon))


def _may_claim(request: ClaimRequest, shared: bool) -> Operation[bool]:
    return not shared or bool((yield QUERIES.hold_lease, [{"id": request.owner}]))


def chosen_executions(request: ClaimRequest) -> Operation[tuple[list[Row], dict[str, Task], bool]]:
    """Read what to claim, its tasks, and whether more could be claimed in more slots.

    What cannot be read waits, and takes no other's place.
    """
    now = to_micros(request.now)
    waiting = yield QUERIES.waiting_queues, {}
    ready = {
        (row["namespace"], row["handler"]): time
        for row in waiting
        if (time := looked_at(row["available_time"])) <= now and request.wants((row["namespace"], row["handler"]))
    }
    queues = in_turn(request, ready)
    left: set[str] = set()
    while True:
        candidates: dict[QueueKey, Rows] = {}
        for namespace, handler in queues:
            if len(candidates) == request.reads:
                break  # there is no slot for any other
            asked = {"namespace": namespace, "handler": handler, "now": now, "limit": request.reads + len(left)}
            rows = yield QUERIES.available_executions, asked
            if readable := [row for row in rows if row["id"] not in left]:
                candidates[namespace, handler] = readable
        counts = {queue: len(rows) for queue, rows in candidates.items()}
        chosen = [row for queue, share in slots_by_queue(request, counts).items() for row in candidates[queue][:share]]
        tasks = yield from tasks_of({row["task_uid"] for row in chosen})
        unread = {r["id"] for r in chosen if not (can_begin(r) and tasks[r["task_uid"]].definition.can_run)}
        if not unread:
            leaves = len(candidates) < len(ready) or len(chosen) < sum(counts.values())
            return chosen, tasks, leaves
        left |= unread


def _begun(execution: Execution, revision: int, request: ClaimRequest) -> Execution:
    return begun(execution, lease_token=new_lease_token(), revision=revision, now=request.now)


def claim_of(execution: Execution, task: Task) -> Claim:
    """Return the claim of an execution that has begun."""
    payload = task.definition.payload if execution.payload is None else execution.payload
    return Claim(execution=execution, task=task, lease_token=execution.lease_token or "", payload=payload)
