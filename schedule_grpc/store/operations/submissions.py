"""Operations on manual runs: calls that arrive together are recorded together, and their runs begin where they can."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

from schedule_grpc.database import Operation, Table, together_with
from schedule_grpc.domain.access.audit import Entry
from schedule_grpc.domain.access.namespace import TaskKey
from schedule_grpc.domain.canonical_json import object_text
from schedule_grpc.domain.execution import Execution, Trigger, planned
from schedule_grpc.domain.task import Task
from schedule_grpc.errors import InvalidArgument, ScheduleError, TaskDisabled, TaskNotFound, TaskUnreadable
from schedule_grpc.events import Event, Transition
from schedule_grpc.runtime.clock import to_micros
from schedule_grpc.store.claims import Claim, ClaimRequest, ManualRun, QueueKey, Submitted
from schedule_grpc.store.operations.claims import record_and_begin
from schedule_grpc.store.operations.gates import Comer
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.rows import execution_of, tasks_in
from schedule_grpc.store.with_events import WithEvents

Answers: TypeAlias = dict[int, Execution | ScheduleError]
"""What became of runs, by their place in the submission."""


def submit(
    runs: Sequence[ManualRun], now: datetime, request: ClaimRequest | None, shared: bool
) -> Operation[WithEvents[Submitted]]:
    """Record manual runs, or find the ones recorded under their request ids; runs that can start now begin.

    In a shared database they begin only under the owner's lease. If an older execution waits that could start here, all
    wait behind it: the engine claims them in their turn.
    """
    keys = list(dict.fromkeys(run.task_key for run in runs))
    names = Table({"name": [name for _, name in keys], "namespace": [namespace for namespace, _ in keys]})
    rows, (leased, older) = yield from together_with(
        (QUERIES.hold_tasks_by_name, names),
        (QUERIES.hold_lease, [{"id": request.owner}] if request is not None and shared else []),
        (QUERIES.older_work, [] if request is None else [{"now": to_micros(request.now)}]),
    )
    tasks = {task.key: task for task in tasks_in(rows)}
    by_uid = {task.uid: task for task in tasks.values()}
    if request is not None:
        request = _not_overtaking(request, frozenset(map(_queue, older))) if leased or not shared else None
    answers: Answers = {}
    claims: tuple[Claim, ...] = ()
    events: list[Event | Entry] = []
    for wave in _waves(runs):
        fresh, known = yield from _recorded_before(wave)
        executions, refused = _planned(fresh, tasks, now)
        comers = [Comer(execution, by_uid[execution.task_uid].policy) for execution in executions.values()]
        recorded, begun = yield from record_and_begin(comers, by_uid, None if claims else request, now)
        newest = {event.execution.id: event.execution for event in begun if isinstance(event, Transition)}
        answers |= known | refused | {number: newest[each.id] for number, each in executions.items()}
        claims += recorded.claims
        events += [*begun, *_entries(wave, executions)]
    return Submitted(answers=tuple(answers[number] for number in range(len(runs))), claims=claims), events


def _queue(text: str) -> QueueKey:
    """Return the queue that older_work writes as one text."""
    namespace, _, handler = text.partition("/")
    return namespace, handler


def _entries(runs: Mapping[int, ManualRun], executions: Mapping[int, Execution]) -> Iterator[Entry]:
    for number, execution in executions.items():
        run = runs[number]
        if run.author is not None and run.author.caller.is_audited:
            yield Entry(
                author=run.author,
                namespace=run.namespace,
                resource=run.name,
                execution=execution.id,
                payload=None if run.payload is None else object_text(run.payload),
            )


def _not_overtaking(request: ClaimRequest, older: AbstractSet[QueueKey]) -> ClaimRequest | None:
    """Return what may begin at once: nothing, while something older could start in one of these slots."""
    if any(not queue[1] or (queue[1] in request.handlers and request.room(queue) > 0) for queue in older):
        return None
    return replace(request, overtaken=frozenset(older))


def _waves(runs: Sequence[ManualRun]) -> Iterator[dict[int, ManualRun]]:
    """Put runs of the same request id into waves of their own, so that the later one finds what the first recorded."""
    left = dict(enumerate(runs))
    while left:
        first = {_request(run) or number: number for number, run in reversed(left.items())}
        yield {number: left.pop(number) for number in sorted(first.values())}


def _recorded_before(runs: Mapping[int, ManualRun]) -> Operation[tuple[dict[int, ManualRun], Answers]]:
    """Return the new runs, and the answers to runs that were recorded before."""
    asked = [
        {"request_id": run.request_id, "namespace": run.namespace}
        for run in runs.values()
        if run.request_id is not None
    ]
    rows = yield QUERIES.find_executions_by_request, asked
    found = {(each.namespace, each.request_id): each for each in map(execution_of, rows)}
    fresh = {number: run for number, run in runs.items() if _request(run) not in found}
    return fresh, {
        number: _same_request(found[run.namespace, run.request_id], run)
        for number, run in runs.items()
        if number not in fresh
    }


def _request(run: ManualRun) -> tuple[str, str] | None:
    """Return what identifies the request of a run: a request id belongs to its namespace; None if it has none."""
    return None if run.request_id is None else (run.namespace, run.request_id)


def _planned(
    runs: Mapping[int, ManualRun], tasks: Mapping[TaskKey, Task], now: datetime
) -> tuple[dict[int, Execution], Answers]:
    """Return the executions that runs ask for of tasks, by their keys, and why the other runs are refused."""
    executions: dict[int, Execution] = {}
    refused: Answers = {}
    for number, run in runs.items():
        try:
            task = _runnable(tasks.get(run.task_key), run.name)
        except ScheduleError as error:
            refused[number] = error
        else:
            executions[number] = planned(
                task,
                trigger=Trigger.MANUAL,
                now=now,
                payload=run.payload,
                request_id=run.request_id,
                triggered_by=run.triggered_by,
                traceparent=run.traceparent,
            )
    return executions, refused


def _runnable(task: Task | None, name: str) -> Task:
    if task is None:
        raise TaskNotFound(name)
    if not task.enabled:
        raise TaskDisabled(name)
    if not task.definition.can_run:
        raise TaskUnreadable(name, task.trouble)
    return task


def _same_request(execution: Execution, run: ManualRun) -> Execution | ScheduleError:
    if execution.task_name != run.name or execution.payload != run.payload:
        return InvalidArgument.of("request_id", "was used for another task or another payload")
    return execution
