"""The calls that explain why a task ran, or did not."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from schedule_grpc.domain.examination import LOOKED_AT, examined_task
from schedule_grpc.domain.execution import ExecutionFilter
from schedule_grpc.domain.explanation import MOST_EXPLAINED, DefinitionChange, Explainer, Explanation
from schedule_grpc.domain.finding import Finding
from schedule_grpc.domain.paging import Page
from schedule_grpc.domain.task import Definition, Task
from schedule_grpc.errors import InvalidArgument, TaskNotFound
from schedule_grpc.service.permitted import shown_execution, shown_task
from schedule_grpc.service.upcoming import UpcomingService
from schedule_grpc.text.instants import time_shown

EXPLAINED_BY_DEFAULT = timedelta(hours=24)
MINUTE = timedelta(minutes=1)
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
"""The ends of the calendar, either of which a caller may ask for."""
BACK = (timedelta(hours=1), timedelta(days=1), timedelta(days=32), timedelta(days=400))
"""How far back the occurrence before an instant is looked for, step by step."""


class WhyService(UpcomingService):
    """The part of the Service that explains."""

    async def why(
        self,
        name: str,
        *,
        at: datetime | None = None,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
    ) -> Explanation:
        """Return what became of a task's occurrences, each beside its row or the reason that there is none.

        Args:
            name: Of the task; of one that was deleted, while its history is kept.
            at: Only the occurrences in this minute; where there are none, the one before it and the one after it.
            start_time: The beginning of a range; None: 24 hours before its end.
            end_time: Its end, inclusive; None: now.

        Raises:
            TaskNotFound.
            InvalidArgument: if an instant and a range are given, or the range ends before it begins.
        """
        now = self._clock.now()
        default_end = now if start_time is None or start_time <= now else _moved(start_time, EXPLAINED_BY_DEFAULT)
        until = end_time or default_end
        since = start_time or _moved(until, -EXPLAINED_BY_DEFAULT)
        if at is not None and (start_time is not None or end_time is not None):
            raise InvalidArgument.of("at_time", "cannot be given with start_time or end_time")
        if until < since:
            raise InvalidArgument.of("end_time", "is before start_time")
        if not self._permit.covers(name):
            raise TaskNotFound(name)
        task = await self._store.find_last_task((self._namespace, name))
        if task is None:
            raise TaskNotFound(name)
        note, is_cut = "", False
        if at is not None:
            due, note = await self._searches.compute(partial(_around, task.definition, at))
            since, until = (due[0], due[-1]) if due else (at, at)
        else:
            due, is_cut = await self._searches.compute(partial(_due, task.definition, since, until))
        first = due[0] if is_cut else since
        found = await self._store.records(task, since=first, until=until)
        known = await self.known_handlers()
        handler = known.get(task.handler)
        shown = tuple(shown_execution(each, self._permit) for each in found.executions)
        explainer = Explainer(
            task=task,
            records=replace(found, executions=shown),
            now=now,
            offered=handler is not None and handler.offered,
        )
        explained = explainer.explained(due, first, until)
        return Explanation(
            task=shown_task(task, self._permit),
            start_time=since,
            end_time=until,
            occurrences=tuple(explained[-MOST_EXPLAINED:]),
            is_cut=is_cut or len(explained) > MOST_EXPLAINED,
            note=note,
            changes=tuple(
                DefinitionChange(time=each.time, method=each.method, by=each.principal, changed=each.changed)
                for each in found.changes
            ),
            findings=await self._examined(task),
        )

    async def examine(self, name: str) -> tuple[Finding, ...]:
        """Return what there is to say about a task as it is now: what `doctor` says of it.

        Raises:
            TaskNotFound: if no task has that name.
        """
        task = await self._store.find_task((self._namespace, name)) if self._permit.covers(name) else None
        if task is None:
            raise TaskNotFound(name)
        return await self._examined(task)

    # -- inside

    async def _examined(self, task: Task) -> tuple[Finding, ...]:
        newest = await self.history(task.name, ExecutionFilter(), Page(size=LOOKED_AT))
        handler = (await self.known_handlers()).get(task.handler)
        offered = None if handler is None else handler.offered
        return examined_task(task, newest.executions, offered=offered, now=self._clock.now())


def _due(definition: Definition, since: datetime, until: datetime) -> tuple[Sequence[datetime], bool]:
    """Return the newest occurrences in [since, until], and whether there are more."""
    due = definition.due(_moved(since, -timedelta.resolution), until, MOST_EXPLAINED)
    return due.newest, due.count > len(due.newest)


def _around(definition: Definition, at: datetime) -> tuple[Sequence[datetime], str]:
    """Return the occurrences in the minute of an instant, else those beside it, and a note that says so."""
    minute = at.replace(second=0, microsecond=0)
    within, _ = _due(definition, minute, minute + (MINUTE - timedelta.resolution))
    if within:
        return within, ""
    before = next((newest for back in BACK if (newest := definition.due(_moved(at, -back), at, 1).newest)), ())
    after = definition.next_after(at)
    found: list[datetime] = [*before, *([] if after is None else [after])]
    beside = " and ".join(map(time_shown, found))
    return found, f"not due at {time_shown(at)}" + (f": due at {beside}" if found else "")


def _moved(instant: datetime, by: timedelta) -> datetime:
    """Return an instant moved by a length of time, but not out of the calendar."""
    try:
        return instant + by
    except OverflowError:
        return FIRST if by < timedelta() else LAST
