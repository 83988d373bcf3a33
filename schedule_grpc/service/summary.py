"""The calls that show a namespace at a glance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from schedule_grpc.domain.access.permit import Permit
from schedule_grpc.domain.access.scope import Scope
from schedule_grpc.domain.condition import FAILING
from schedule_grpc.domain.durations import brief
from schedule_grpc.domain.execution import ExecutionFilter
from schedule_grpc.domain.listing import TaskFilter, TaskOrder, TaskState
from schedule_grpc.domain.paging import Page
from schedule_grpc.domain.states import State
from schedule_grpc.domain.summary import (
    DAY,
    ENDED,
    LONG_WAIT,
    MOST_ATTENTION,
    MOST_DURATIONS,
    MOST_ENDS,
    MOST_GROUPS,
    MOST_NEXT,
    MOST_RUNNING,
    Attention,
    AttentionKind,
    Counts,
    FailureGroups,
    HandlerDurations,
    NextRun,
    OpenCondition,
    Pulse,
    Summary,
    WaitingQueue,
)
from schedule_grpc.domain.task import Task
from schedule_grpc.service.executions import ExecutionService
from schedule_grpc.service.kept import KeptFor
from schedule_grpc.service.listing import ListService
from schedule_grpc.service.permitted import HIDDEN, covered_filters, shown_execution
from schedule_grpc.service.pulse import Pulses

SHARED_FOR = 1.0
"""Seconds for which all viewers get the same summary."""
DURATIONS_KEPT_FOR = 60.0
"""Seconds for which all viewers get the same durations."""
NEXT_TASKS = 200
"""Tasks that are read for the next runs: many fire at the same time."""
RUNNING_READ = 500
"""Running executions that are read where a caller may see some of them only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Vitals:
    """How this server is, as a summary shows it."""

    troubles: Callable[[], Sequence[str]] = tuple
    """Returns why the server is not healthy; nothing if it is."""
    lag: Callable[[], float | None] = lambda: None
    """Returns the seconds by which the event loop last came round late; None if that is not known."""


class SummaryService(ListService, ExecutionService):
    """The part of the Service that shows a namespace at a glance."""

    _summaries: KeptFor[Summary]
    _durations: KeptFor[HandlerDurations]
    _pulses: Pulses
    _vitals: Vitals

    async def summary(self) -> Summary:
        """Return the namespace at a glance, as it was at most a second ago."""
        permit = self._permit
        key = self._namespace, permit.scope, permit.caller.grants
        return await self._summaries.get(key, self._summed_up)

    async def pulse(self) -> Pulse | None:
        """Return what ended within the last 24 hours; None for a caller that may see a part of the namespace only.

        The first call begins to count, newest first; what is not counted yet is said.
        """
        return await self._pulses.of(self._namespace).pulse() if self._permit.covers_all else None

    async def failures(self) -> FailureGroups:
        """Return the failures of the last 24 hours, grouped by task, kind and the first line of their errors.

        Of more than `MOST_GROUPS` groups, those whose last failures are the newest are shown, and the others counted.
        They are read again every five minutes while somebody looks.
        """
        found = await self._pulses.of(self._namespace).failures()
        covered = [group for group in found.groups if self._permit.covers(group.task_name)]
        shown = tuple(
            group if self._permit.sees(group.task_name) else replace(group, error=HIDDEN)
            for group in covered[:MOST_GROUPS]
        )
        return replace(found, groups=shown, more_count=sum(group.count for group in covered[MOST_GROUPS:]))

    async def durations(self) -> HandlerDurations | None:
        """Return how long executions of the last 24 hours took, by handler; None as for `pulse`.

        All viewers get the same figures for a minute.
        """
        return await self._durations.get(self._namespace, self._measured) if self._permit.covers_all else None

    # -- inside

    async def _measured(self) -> HandlerDurations:
        since = self._clock.now() - DAY
        return await self._store.durations_of_handlers(self._namespace, since=since, most=MOST_DURATIONS)

    async def _summed_up(self) -> Summary:
        now = self._clock.now()
        permit = self._permit
        counts, waiting = await self._counts(now), await self._waiting(now)
        most = MOST_RUNNING if permit.covers_all else RUNNING_READ
        running = await self._store.longest_running(self._namespace, limit=most)
        ended = await self.executions(ExecutionFilter(states=ENDED), Page(size=MOST_ENDS))
        failed = await self.executions(_FAILED, Page(size=1))
        following = await self.list_tasks(_FOLLOWING, Page(size=NEXT_TASKS))
        failing = await self.list_tasks(_FAILING, Page(size=MOST_ATTENTION), full=True)
        conditions = await self._store.open_conditions(self._namespace, without=FAILING, limit=MOST_ATTENTION)
        troubles = tuple(self._vitals.troubles()) if permit.caller.may(Scope.OBSERVE) else ()  # as GET /health
        lag = self._vitals.lag()
        covered = [each for each in running if permit.covers(each.task_name)][:MOST_RUNNING]
        return Summary(
            time=now,
            counts=counts,
            lag=None if lag is None else timedelta(seconds=lag),
            troubles=troubles,
            waiting=waiting,
            running=tuple(shown_execution(each, permit) for each in covered),
            newest_ends=tuple(sorted(ended.executions, key=lambda each: each.end_time or now, reverse=True)),
            next_runs=_next_runs(following.tasks),
            attention=(
                *(Attention(kind=AttentionKind.HEALTH, text=trouble) for trouble in troubles),
                *map(_of_failing, failing.tasks),
                *(_of_condition(each, permit) for each in conditions if permit.covers(each.task_name)),
                *(_of_waiting(queue, now) for queue in waiting if queue.oldest_time < now - LONG_WAIT),
            ),
            last_failure_time=failed.executions[0].end_time if failed.executions else None,
        )

    async def _counts(self, now: datetime) -> Counts:
        prefixes = [within.name_prefix for within in covered_filters(self._permit, TaskFilter())]
        read = partial(self._store.counts, self._namespace, now=now)
        return sum([await read(prefix=prefix) for prefix in prefixes], Counts())

    async def _waiting(self, now: datetime) -> tuple[WaitingQueue, ...]:
        if not self._permit.covers_all:
            return ()
        queues = await self._store.waiting_queues(self._namespace, now=now)
        elsewhere = {queue.handler for queue in queues} - self._registry.offered.names
        offered = await self._offers.within(self._namespace) if elsewhere else frozenset()
        return tuple(replace(each, offered=each.handler not in elsewhere or each.handler in offered) for each in queues)


_FAILED = ExecutionFilter(states=frozenset({State.FAILED}))
_FOLLOWING = TaskFilter(enabled=True, order=TaskOrder.NEXT)
_FAILING = TaskFilter(states=frozenset({TaskState.FAILING}), order=TaskOrder.FAILURES)


def _next_runs(tasks: Sequence[Task]) -> tuple[NextRun, ...]:
    """Return the next runs of tasks, one for each time, by time; with jitter tasks fire in another order."""
    runs: dict[datetime, NextRun] = {}
    for task in tasks:
        time = task.next_run_time
        if time is None:
            continue
        known = runs.get(time)
        if known is not None:
            runs[time] = replace(known, count=known.count + 1)
        elif len(runs) < MOST_NEXT:
            runs[time] = NextRun(name=task.name, handler=task.handler, time=time)
    return tuple(runs[time] for time in sorted(runs))


def _of_failing(task: Task) -> Attention:
    failures = task.stats.consecutive_failures
    last = task.activity.last if task.activity is not None else None
    failed = last is not None and last.state is State.FAILED
    text = "failed" if failures == 1 else f"failed {failures:,} times in a row"
    if last is not None and failed and last.failure_kind is not None:
        text = f"{text}, last by {last.failure_kind}"
    return Attention(
        kind=AttentionKind.FAILING,
        subject=task.name,
        text=text,
        since=task.stats.last_failure_time,
        count=failures,
        execution_id=last.execution_id if last is not None and failed else "",
    )


def _of_condition(condition: OpenCondition, permit: Permit) -> Attention:
    return Attention(
        kind=AttentionKind.CONDITION,
        subject=condition.task_name,
        text=condition.title if permit.sees(condition.task_name) else condition.key,
        since=condition.start_time,
        key=condition.key,
    )


def _of_waiting(queue: WaitingQueue, now: datetime) -> Attention:
    why = "" if queue.offered else ": no server and no worker offers it"
    count = "an execution waits" if queue.count == 1 else f"{queue.count:,} executions wait"
    return Attention(
        kind=AttentionKind.WAITING,
        subject=queue.handler,
        text=f"{count}, the first for {brief(now - queue.oldest_time)}{why}",
        since=queue.oldest_time,
        count=queue.count,
    )
