"""The call that shows what tasks will do next."""

from datetime import datetime, timedelta
from functools import partial

from schedule_grpc.domain.task import TaskFilter
from schedule_grpc.domain.upcoming import LONGEST, MOST_TASKS, Upcoming, checked_hours, upcoming
from schedule_grpc.errors import InvalidArgument
from schedule_grpc.service.kept import KeptFor
from schedule_grpc.service.offers import LONGEST_NAME
from schedule_grpc.service.permitted import covered_filters
from schedule_grpc.service.summary import SummaryService
from schedule_grpc.text.unicode import checked

KEPT_FOR = 60.0
"""Seconds for which the same tasks are not counted again."""
MARK_KEPT_FOR = 2.0
"""Seconds for which it is not read again whether they are the same."""
LONGEST_CATEGORY = 4096


class UpcomingService(SummaryService):
    """The part of the Service that shows what comes."""

    _counted: KeptFor[Upcoming]
    _marks: KeptFor[object]

    async def upcoming(
        self, *, hours: int = 24, handler: str = "", category: str = "", start: datetime | None = None
    ) -> Upcoming:
        """Return the occurrences of enabled tasks within the next hours, at their scheduled times: jitter is ignored.

        Counted once a minute at most, unless a task changes: what is past by now is left out of the list of the next.

        Args:
            hours: 1 to 168.
            handler: Only tasks with this handler; empty: all.
            category: Only tasks with this ``category`` in their metadata; empty: all.
            start: From when on, if not from now: a whole minute, within `LONGEST` hours of now.

        Raises:
            InvalidArgument: if there are too many hours, or more than `MOST_TASKS` tasks, or ``start`` is too far away.
        """
        checked_hours(hours)
        if start is not None and abs(start - self._clock.now()) > timedelta(hours=LONGEST):
            raise InvalidArgument.of("start", f"must be within {LONGEST} hours of now")
        chosen = TaskFilter(
            handler=checked("handler", handler, most=LONGEST_NAME),
            category=checked("category", category, most=LONGEST_CATEGORY),
        )
        filters = tuple(covered_filters(self._permit, chosen))
        prefixes = tuple(each.name_prefix for each in filters)
        place = self._namespace, prefixes
        mark = await self._marks.get(place, partial(self._store.schedules_mark, self._namespace, prefixes))
        key = *place, handler, category, hours, start, mark
        found = await self._counted.get(key, partial(self._count, filters, hours, start))
        return found.as_of(self._clock.now())

    async def _count(self, filters: tuple[TaskFilter, ...], hours: int, asked: datetime | None) -> Upcoming:
        schedules = await self._store.schedules(self._namespace, filters, most=MOST_TASKS)
        if schedules.too_many:
            reason = f"is needed: there are more than {MOST_TASKS:,} enabled tasks to count; or give a category"
            raise InvalidArgument.of("handler", reason)
        start = _minute(asked or self._clock.now())
        return await self.aside.compute(lambda: upcoming(schedules.groups(), start, hours))


def _minute(instant: datetime) -> datetime:
    return instant.replace(second=0, microsecond=0)
