"""A round of retention: where it finds the histories that may have something to lose, and how far it has come.

It does not go through all tasks. What may leave is found where it begins: a history's own time has come
(`prune_time`), it got executions, or its task was changed, since the round before; and a few others are looked at in
each round, so that every history has its turn, whatever was overlooked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from schedule_grpc.database import Parameters, Row, Rows
from schedule_grpc.runtime.clock import MICROSECOND, to_micros
from schedule_grpc.store.queries import QUERIES

LOOK_AGAIN = timedelta(minutes=10)
"""When a history is looked at again that has an open execution, or lost some."""
LATE_COMMITS = timedelta(minutes=5)
"""How long after its creation an execution, or a change, may be committed: its write may be tried several times."""
READ_AT_ONCE = 5_000
OTHERS = 100
"""Histories that a round looks at without a reason: every history has its turn."""
BEFORE_ALL = -(2**63)
"""Microseconds: before every instant that a column can hold."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pruned:
    """The number of removed rows, and the tasks that are still to be looked at."""

    removed: int
    left: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A statement that finds histories, and the place from which it goes on."""

    sql: str
    instant: Any = BEFORE_ALL
    id: str = ""
    namespace: str = ""
    """The namespace in which the statement looks, if it looks in one."""
    limit: int = READ_AT_ONCE
    pages: bool = True
    """Whether all that it finds is looked at, page by page; else only the first page is."""

    def parameters(self, now: datetime) -> Parameters:
        """Return what the statement takes."""
        return {
            "now": to_micros(now),
            "instant": self.instant,
            "id": self.id,
            "namespace": self.namespace,
            "limit": self.limit,
        }

    def after(self, rows: Rows) -> "Source | None":
        """Return this source behind a page of its rows; None if that was the last one."""
        if len(rows) < self.limit:
            return None
        return replace(self, instant=rows[-1]["instant"], id=rows[-1]["id"])


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """A round as far as it has come: its first source is read next, and it is over when none is left."""

    begun: datetime
    sources: tuple[Source, ...]
    others_after: str = ""
    """The uid after which the next round looks at others."""

    @classmethod
    def following(cls, mark: Row | None, namespaces: Sequence[str], now: datetime) -> "Round":
        """Return the round that follows the one that left this mark; the first of all looks at every history."""
        if mark is None:
            return cls(begun=now, sources=(Source(sql=QUERIES.tasks_that_changed), Source(sql=QUERIES.histories_after)))
        # Where the clock was set back since, the mark lies ahead of what came after it.
        since = min(mark["instant"], to_micros(now - LOOK_AGAIN)) - LATE_COMMITS // MICROSECOND
        return cls(
            begun=now,
            sources=(
                Source(sql=QUERIES.histories_due),
                *(Source(sql=QUERIES.histories_that_grew, instant=since, namespace=each) for each in namespaces),
                Source(sql=QUERIES.tasks_that_changed, instant=since),
                Source(sql=QUERIES.histories_after, id=mark["word"], limit=OTHERS, pages=False),
            ),
        )

    @property
    def is_over(self) -> bool:
        """Whether every source has been read."""
        return not self.sources

    def behind(self, rows: Rows) -> "Round":
        """Return this round behind a page of its first source."""
        source, *others = self.sources
        rest = source.after(rows)
        if rest is None:
            return replace(self, sources=tuple(others))
        if source.pages:
            return replace(self, sources=(rest, *others))
        return replace(self, sources=tuple(others), others_after=rest.id)
