"""The calls that list tasks, and that show the newest runs of each."""

from collections.abc import Mapping, Sequence
from functools import partial

from msgspec import structs

from schedule_grpc.domain.listing import MAX_QUERY, MOST_EXAMINED, MOST_STRIPS, RunMark, TaskFilter, TaskPlace
from schedule_grpc.domain.paging import Page, TaskCursor
from schedule_grpc.domain.task import Task, TaskPage
from schedule_grpc.errors import InvalidArgument
from schedule_grpc.service.offers import OfferService
from schedule_grpc.service.permitted import covered_search, covered_tasks, shown_task
from schedule_grpc.store import Found
from schedule_grpc.text.unicode import checked

TOO_MANY = (
    f"cannot be kept: more than {MOST_EXAMINED:,} tasks would be sorted for each page; narrow the search by states or "
    "name_prefix, or list the tasks by name"
)


class ListService(OfferService):
    """The part of the Service that lists tasks."""

    async def list_tasks(self, chosen: TaskFilter, page: Page, *, full: bool = False) -> TaskPage:
        """Return a page of tasks in the order that the filter asks for.

        A page of a search for a text can be short, or empty, and still have a next page: one call examines at most
        `MOST_EXAMINED` tasks.

        Args:
            chosen: Which tasks, in which order.
            page: The page's size and token.
            full: Tell of each task what its executions are doing (`Task.activity`).

        Raises:
            InvalidArgument: if the page's size or token is invalid, or the text; or if more tasks would have to be
                sorted than one call sorts.
        """
        checked("query", chosen.query, most=MAX_QUERY)
        after = TaskCursor.read(page, chosen).place
        found = await self._listed(chosen, after, page.limit + 1)
        listed = found.listed[: page.limit]
        end = found.ended_at
        if len(found.listed) > len(listed):
            end = listed[-1][1]
        shown = await self._marked(tuple(task for task, _ in listed))
        if full:
            shown = await self._with_activity(shown)
        if not self._permit.sees_all:
            shown = tuple(shown_task(task, self._permit) for task in shown)
        return TaskPage(
            tasks=shown,
            next_page_token="" if end is None else TaskCursor(place=end).write(chosen),
            is_partial=found.ended_at is not None and len(found.listed) == len(listed),
            places=tuple(place for _, place in listed),
        )

    async def strips(self, uids: Sequence[str]) -> Mapping[str, tuple[RunMark, ...]]:
        """Return the newest executions of some tasks by the tasks' uids, the oldest first; none for an unknown uid.

        Raises:
            InvalidArgument: if there are more than `MOST_STRIPS` uids.
        """
        if len(uids) > MOST_STRIPS:
            raise InvalidArgument.of("uids", f"are {len(uids)}, at most {MOST_STRIPS} are accepted")
        found = await self._store.newest_runs(self._namespace, uids)
        covered = {uid: runs for uid, (name, runs) in found.items() if self._permit.covers(name)}
        return {uid: covered.get(uid, ()) for uid in uids}

    # -- inside

    async def _listed(self, chosen: TaskFilter, after: TaskPlace, limit: int) -> Found:
        if chosen.is_plain:
            tasks = await covered_tasks(self._page, self._permit, chosen, after=after.name, limit=limit)
            return Found(listed=tuple((task, TaskPlace(number=0, name=task.name)) for task in tasks))
        search = partial(self._search, after=after, limit=limit)
        found = await covered_search(search, self._permit, chosen)
        if found.too_many:
            raise InvalidArgument.of("order_by", TOO_MANY)
        if len(found.listed) < limit:
            return found
        return Found(listed=found.listed[:limit])

    async def _page(self, chosen: TaskFilter, after: str, limit: int) -> tuple[Task, ...]:
        return await self._store.list_tasks(self._namespace, chosen, after=after, limit=limit)

    async def _search(self, chosen: TaskFilter, *, after: TaskPlace, limit: int) -> Found:
        now = self._clock.now()
        return await self._store.search_tasks(self._namespace, chosen, after=after, limit=limit, now=now)

    async def _with_activity(self, tasks: tuple[Task, ...]) -> tuple[Task, ...]:
        activities = await self._store.activities([task.uid for task in tasks])
        return tuple(structs.replace(task, activity=activities[task.uid]) for task in tasks)
