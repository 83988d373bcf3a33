"""Due occurrences, and the executions to write for them. Pure: a plan is written only if its task is unchanged."""

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from schedule_grpc.domain.execution import ON_TIME, CoveredRange, Execution, Reason, Trigger, missed, planned, skipped
from schedule_grpc.domain.policy import CatchUp
from schedule_grpc.domain.schedule import Due, Unreadable
from schedule_grpc.domain.task import Task, just_before
from schedule_grpc.errors import InvalidArgument, TaskDisabled, TaskUnreadable
from schedule_grpc.runtime.clock import to_micros

CAUGHT_UP = 100
"""How many of the newest occurrences catch-up ALL runs."""
MAX_BACKFILL = 1000
"""How many occurrences one backfill may have."""

_BEFORE_THE_NEXT = timedelta(seconds=1)
_LISTED = {CatchUp.LATEST: 2, CatchUp.ALL: CAUGHT_UP + 2, CatchUp.NONE: 3}
"""How many of the newest occurrences a plan looks at: those that run, and two that a row for the others names."""

NOTHING = Due()


class Firing(Struct, frozen=True, kw_only=True):
    """Everything of one task that is due at one look.

    Held to the task as it was read: it is written only while (uid, revision, next_run_time) still stand.
    """

    task: Task
    settled_time: datetime
    next_run_time: datetime | None
    start_delay: timedelta = timedelta(0)
    """Of the next run."""
    executions: tuple[Execution, ...]


def plan(task: Task, now: datetime) -> Firing:
    """Return the firing of everything that is due after the task's settled time, up to ``now``.

    Occurrences older than the catch-up window become one MISSED row; the task's catch-up policy picks from the rest.
    """
    window_began = just_before(now - task.policy.catch_up_window)
    too_old = NOTHING
    if task.settled_time < window_began:
        too_old = task.definition.due(task.settled_time, window_began, newest=2)
    listed = _LISTED[task.policy.catch_up]
    due = task.definition.due(max(task.settled_time, window_began), now, newest=listed)
    alone = too_old.count + due.count == 1
    executions = [
        *_missed(task, too_old, Reason.CATCH_UP_WINDOW, now),
        *_PLANS[task.policy.catch_up](task, due, now, alone=alone),
    ]
    settled_time = max(task.settled_time, now)
    following = task.definition.next_after(settled_time)
    return Firing(
        task=task,
        settled_time=settled_time,
        next_run_time=following,
        start_delay=start_delay(task, following),
        executions=tuple(executions),
    )


def replanned(task: Task) -> Firing | None:
    """Return what puts a task's next run where its schedule has it by the zone rules there are; None if it is there.

    The stored one was computed by the rules of its time. It is counted from the settled time again, so that no
    occurrence is left out and none is due twice.
    """
    if task.next_run_time is None or task.trouble:
        return None
    next_run_time = task.definition.next_after(task.settled_time)
    if next_run_time == task.next_run_time:
        return None
    return Firing(
        task=task,
        settled_time=task.settled_time,
        next_run_time=next_run_time,
        start_delay=start_delay(task, next_run_time),
        executions=(),
    )


def settlement(before: Task, now: datetime, *, ended_for: Reason | None) -> Firing | None:
    """Return what was due under a definition that is about to change, None if nothing was.

    ``ended_for`` is why none of it could start any more: then it is skipped at once.
    """
    if before.next_run_time is None or before.next_run_time > now:
        return None
    unreadable = isinstance(before.schedule, Unreadable) or not before.definition.has_place
    firing = _known_of_unreadable(before, now) if unreadable else plan(before, now)
    if ended_for is None:
        return firing
    executions = (each if each.state.is_terminal else skipped(each, ended_for, now) for each in firing.executions)
    return replace(firing, executions=tuple(executions))


def _known_of_unreadable(task: Task, now: datetime) -> Firing:
    """Return the firing of a task that cannot be read: of all that came due only its stored next run is known."""
    known = Due() if task.next_run_time is None else Due(newest=(task.next_run_time,), count=1)
    executions = tuple(_PLANS[task.policy.catch_up](task, known, now, alone=False))
    return Firing(task=task, settled_time=max(task.settled_time, now), next_run_time=None, executions=executions)


def backfill(
    task: Task,
    start_time: datetime,
    end_time: datetime,
    now: datetime,
    *,
    by: str | None = None,
    traceparent: str | None = None,
) -> tuple[Execution, ...]:
    """Return executions for the occurrences in [start_time, end_time), in their order; none after the settled time.

    The engine's loop records occurrences after the settled time. ``by`` is the caller that asks for them, and
    ``traceparent`` the span of its call.

    Raises:
        TaskDisabled: for a disabled task.
        TaskUnreadable: for a task that this program cannot read in full.
        InvalidArgument: if the end is not after the start, or the occurrences are more than `MAX_BACKFILL`.
    """
    if not task.enabled:
        raise TaskDisabled(task.name)
    if task.trouble:
        raise TaskUnreadable(task.name, task.trouble)
    if end_time <= start_time:
        raise InvalidArgument.of("end_time", "must be later than start_time")
    last = min(just_before(end_time), task.settled_time, now)
    due = task.definition.due(just_before(start_time), last, newest=MAX_BACKFILL)
    if due.count > MAX_BACKFILL:
        count = f"{due.count}" if due.exact else f"more than {due.count}"
        raise InvalidArgument.of("end_time", f"{count} occurrences lie in this time, at most {MAX_BACKFILL} at once")
    return tuple(
        planned(
            task,
            trigger=Trigger.BACKFILL,
            now=now,
            scheduled_time=each,
            triggered_by=by,
            traceparent=traceparent,
        )
        for each in due.newest
    )


def _latest(task: Task, due: Due, now: datetime, *, alone: bool) -> Iterator[Execution]:
    if due.newest:
        yield _running(task, due.newest[-1], now, covers=_others(due), alone=alone)


def _all(task: Task, due: Due, now: datetime, *, alone: bool) -> Iterator[Execution]:
    caught_up = due.newest[-CAUGHT_UP:]
    yield from _missed(task, _without_newest(due, len(caught_up)), Reason.CATCH_UP_LIMIT, now)
    for occurrence in caught_up:
        yield _running(task, occurrence, now, alone=alone)


def _none(task: Task, due: Due, now: datetime, *, alone: bool) -> Iterator[Execution]:
    on_time = due.newest[-1:] if due.newest and now - due.newest[-1] <= ON_TIME else ()
    yield from _missed(task, _without_newest(due, len(on_time)), Reason.CATCH_UP_NONE, now)
    for occurrence in on_time:
        yield _running(task, occurrence, now, alone=alone)


_PLANS = {CatchUp.LATEST: _latest, CatchUp.ALL: _all, CatchUp.NONE: _none}


def _running(
    task: Task, occurrence: datetime, now: datetime, *, covers: CoveredRange | None = None, alone: bool
) -> Execution:
    on_schedule = alone or now - occurrence <= ON_TIME
    return planned(
        task,
        trigger=Trigger.SCHEDULE if on_schedule else Trigger.CATCH_UP,
        now=now,
        available_time=occurrence + start_delay(task, occurrence) if on_schedule else now,
        scheduled_time=occurrence,
        covers=covers,
    )


def _missed(task: Task, due: Due, reason: Reason, now: datetime) -> Iterator[Execution]:
    """Give the one row that stands for all that is due and does not run, if there is any."""
    if due.newest:
        row = planned(task, trigger=Trigger.CATCH_UP, now=now, scheduled_time=due.newest[-1], covers=_others(due))
        yield missed(row, reason, now)


def _others(due: Due) -> CoveredRange | None:
    """Return the range of all due occurrences but the newest."""
    if due.count < 2 or due.oldest is None:  # noqa: PLR2004 (there are others)
        return None
    return CoveredRange(from_time=due.oldest, to_time=due.newest[-2], count=due.count - 1, exact=due.exact)


def _without_newest(due: Due, count: int) -> Due:
    """Return the due occurrences without the ``count`` newest."""
    left = due.newest[: len(due.newest) - count]
    if not left:
        return Due()
    return Due(newest=left, oldest=due.oldest, count=due.count - count, exact=due.exact)


def start_delay(task: Task, occurrence: datetime | None) -> timedelta:
    """Return how much later an occurrence starts, its jitter: always the same for it, and before the next one is due.

    So a task is fired no sooner than its occurrence starts: what waited in the queue until then would be written twice.
    """
    longest = task.policy.jitter
    if not longest or occurrence is None:
        return timedelta(0)
    following = task.definition.next_after(occurrence)
    if following is not None:
        longest = max(min(longest, following - occurrence - _BEFORE_THE_NEXT), timedelta(0))
    digest = hashlib.blake2b(f"{task.uid} {to_micros(occurrence)}".encode(), digest_size=8).digest()
    return longest * (int.from_bytes(digest) / 2**64)
