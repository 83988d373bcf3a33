"""Operations that read when tasks are due."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from schedule_grpc.database import ByPlace, Operation
from schedule_grpc.domain.schedule import read_stored
from schedule_grpc.domain.task import TaskFilter
from schedule_grpc.domain.upcoming import TaskGroup
from schedule_grpc.store.listed_tasks import places_in
from schedule_grpc.store.operations.listing import AFTER_EVERY_NAME
from schedule_grpc.store.policies import stored_policy
from schedule_grpc.store.queries import QUERIES

if TYPE_CHECKING:
    from schedule_grpc.domain.policy import Window

_SCHEDULES = ByPlace(QUERIES.schedules)
AT_ONCE = 5000
"""Rows of one statement."""

Stored: TypeAlias = tuple[str, str, str, str]
"""A task's name, its schedule, its zone and its policy, as they are stored."""


@dataclass(frozen=True, slots=True)
class Schedules:
    """When tasks are due, as it is stored."""

    rows: Sequence[Stored]
    too_many: bool = False
    """Whether there are more than were to be read."""

    def groups(self) -> list[TaskGroup]:
        """Return the tasks, by what they have in common; tasks that cannot be read are never due."""
        alike: dict[tuple[str, str, Window], list[str]] = {}
        for name, schedule, time_zone, policy in self.rows:
            alike.setdefault((schedule, time_zone, stored_policy(policy)[0].window), []).append(name)
        return [
            TaskGroup(schedule=read_stored(schedule, time_zone)[0], window=window, names=names)
            for (schedule, time_zone, window), names in alike.items()
        ]


def schedules(namespace: str, chosen: Sequence[TaskFilter], most: int) -> Operation[Schedules]:
    """Read when the enabled tasks of a namespace are due that some filters choose, by prefix, handler and category."""
    rows: list[Stored] = []
    for each in chosen:
        parameters = _range(namespace, each) | {"handler": each.handler, "category": each.category, "limit": AT_ONCE}
        after = ""
        while True:
            found: Sequence[Any] = places_in((yield _SCHEDULES, {**parameters, "after": after}))
            rows += found
            if len(rows) > most:
                return Schedules((), too_many=True)
            if len(found) < AT_ONCE:
                break
            after = found[-1][0]
    return Schedules(rows)


def schedules_mark(namespace: str, prefixes: Sequence[str]) -> Operation[tuple[Any, ...]]:
    """Read what is another value after each change of tasks whose names begin with one of these."""
    marks = []
    for prefix in prefixes:
        (row,) = yield QUERIES.schedules_mark, _range(namespace, TaskFilter(name_prefix=prefix))
        marks.append((row["count"], row["revisions"], row["newest"]))
    return tuple(marks)


def _range(namespace: str, chosen: TaskFilter) -> dict[str, Any]:
    prefix = chosen.name_prefix
    return {"namespace": namespace, "name_from": prefix, "name_to": prefix + AFTER_EVERY_NAME if prefix else None}
