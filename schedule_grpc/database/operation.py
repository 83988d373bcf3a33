"""Operations, and the protocol of a database that runs them."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any, Protocol, TypeAlias, TypeVar

from schedule_grpc.database.set_query import SetQuery

T = TypeVar("T")


class ByPlace(str):
    """SQL whose rows are read by column positions alone: the driver's own rows will do."""

    __slots__ = ()


Parameters: TypeAlias = Mapping[str, Any]
Row: TypeAlias = Mapping[str, Any]
Rows: TypeAlias = Sequence[Row]
Statement: TypeAlias = tuple[str | SetQuery, Parameters | Sequence[Parameters]]
"""SQL with named parameters; with a list of them it is run for each, and the rows of all are received together.

A query over rows is run once for all of them, and not at all for none.
"""


@dataclass(frozen=True, slots=True)
class Together:
    """Queries over rows that share one round trip to a server, which runs them as one statement: see `together`.

    Each row has the ``number`` of a query and one ``answer`` of it; where it is of the first one that is ``whole``, it
    has all columns, and no answer.
    """

    queries: tuple[tuple[SetQuery, Sequence[Parameters]], ...]
    whole: bool = False


Operation: TypeAlias = Generator[Statement | Together, Rows, T]
Factory: TypeAlias = Callable[[], Operation[T]]
"""Begins an operation anew: after a failed commit a batch is run again, one by one."""

OnCommit: TypeAlias = Callable[[int, float], None]
"""Called after a commit with the number of operations in it, and the seconds that it took from its begin."""


def together(*queries: tuple[SetQuery, Sequence[Parameters]]) -> Operation[list[list[str]]]:
    """Run queries over rows in one round trip; return the answer of each.

    An answer is the texts of the one column that a query selects or returns, else the number of rows that it wrote;
    nothing for no rows.

    None of them may depend on what an earlier one writes, and no two may write the same row. A file runs them in their
    order; to a server they are one statement, in which each sees the database as it was before all of them.
    """
    asked = [number for number, (_, parameters) in enumerate(queries) if parameters]
    rows = (yield Together(tuple(queries[number] for number in asked))) if asked else ()
    answers: list[list[str]] = [[] for _ in queries]
    for row in rows:
        answers[asked[row["number"]]].append(row["answer"])
    return answers


def together_with(
    first: tuple[SetQuery, Sequence[Parameters]], *queries: tuple[SetQuery, Sequence[Parameters]]
) -> Operation[tuple[Rows, list[list[str]]]]:
    """Run queries as `together`; return the whole rows of the first one, a SELECT, and the answers of the others."""
    asked = [number for number, (_, parameters) in enumerate(queries) if parameters]
    rows = yield Together((first, *(queries[number] for number in asked)), whole=True)
    answers: list[list[str]] = [[] for _ in queries]
    for row in rows:
        if row["number"]:
            answers[asked[row["number"] - 1]].append(row["answer"])
    return [row for row in rows if not row["number"]], answers


def count(answer: Sequence[str]) -> int:
    """Return how many rows a query wrote that shared a round trip, by its answer."""
    return sum(map(int, answer))


class Lane(Enum):
    """The queue that a read waits in: the engine's reads never wait behind callers' reads, however slow these are."""

    CALLERS = auto()
    ENGINE = auto()


class Database(Protocol):
    """Runs operations. Both calls raise DatabaseUnavailable where the database does not answer or refuses."""

    async def write(self, factory: Factory[T], *, committed: Callable[[T], None] | None = None) -> T:
        """Run an operation in a transaction; return its result once it is on disk.

        An exception that the operation raises undoes its writes and reaches the caller. A caller that is cancelled
        leaves no open transaction; the operation then happened whole or not at all. ``committed`` is called with the
        result of a committed operation, even if its caller was cancelled.
        """

    async def read(self, factory: Factory[T], *, lane: Lane = Lane.CALLERS) -> T:
        """Run an operation that only reads.

        A file shows the operation one state of the database; a server shows each statement the rows committed by then.
        """

    async def try_write(self) -> None:
        """Commit a write that changes nothing; return if that succeeds, with room for more."""

    async def time(self) -> datetime | None:
        """Return the time by the database's own clock; None where it has none."""

    async def close(self) -> None:
        """Finish the writes under way and close the database."""
