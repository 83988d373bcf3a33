"""The attempts that are this worker's: each from its assignment until the server has acknowledged its outcome."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from schedule_grpc.domain.condition import Condition
from schedule_grpc.pb import worker_pb2 as pb
from schedule_grpc.worker.assigned import Given
from schedule_grpc.worker.lines import LineNotes
from schedule_grpc.worker.progress import ProgressNotes


class Why(Enum):
    """The reason of a stop request."""

    CANCELLED = auto()
    TIMEOUT = auto()
    """By the server's measure; the worker's own comes first, as a rule."""
    SHUTDOWN = auto()
    LOST = auto()
    """The attempt is not this worker's any more: nothing is said of it."""


@dataclass(slots=True, eq=False)
class HeldAttempt:
    """An attempt that was assigned to this worker."""

    assignment: pb.Assignment
    stop: "asyncio.Future[None]"
    progress: ProgressNotes
    lines: LineNotes
    given: Given | None = None
    """The context of its handler, once that is called."""
    why: Why | None = None
    conditions: list[Condition] = field(default_factory=list)
    handler_end: "asyncio.Future[None] | None" = None
    """Made when a later attempt of the execution waits for this one's handler."""
    has_ended: bool = False
    """Whether its outcome waits to be acknowledged: its handler has ended, or was abandoned."""
    is_left: bool = False
    """Whether its handler did not stop at the worker's end: its lease runs out, and nothing is said of it."""

    @property
    def token(self) -> str:
        """Proves the right to report it."""
        return self.assignment.lease_token

    @property
    def execution_id(self) -> str:
        """The id of its execution."""
        return self.assignment.execution_id

    def ask_to_stop(self, why: Why) -> None:
        """Ask its handler to stop, once. An attempt that is lost stays so."""
        if self.stop.done():
            self.why = why if why is Why.LOST else self.why
            return
        self.why = why
        self.stop.set_result(None)


class Held:
    """The table of these attempts, by lease token."""

    def __init__(self) -> None:
        self._attempts: dict[str, HeldAttempt] = {}
        self._changed = asyncio.Event()

    def add(self, attempt: HeldAttempt) -> None:
        """Add an attempt that was assigned."""
        self._attempts[attempt.token] = attempt

    def get(self, token: str) -> HeldAttempt | None:
        """Return the attempt of a token, None if it is not held."""
        return self._attempts.get(token)

    def remove(self, token: str) -> HeldAttempt | None:
        """Remove and return an attempt: its outcome was acknowledged, or it is lost. None if it is not held."""
        found = self._attempts.pop(token, None)
        if found is not None:
            self.note_change()
        return found

    def note_change(self) -> None:
        """Let `over` look again."""
        self._changed.set()

    def tokens(self) -> list[str]:
        """Return all tokens."""
        return list(self._attempts)

    def tokens_but_left(self) -> list[str]:
        """Return the tokens of attempts whose handlers have ended, or may still end."""
        return [attempt.token for attempt in self if not attempt.is_left]

    async def over(self) -> None:
        """Return once nothing is held but attempts that were left."""
        while not all(attempt.is_left for attempt in self):
            self._changed.clear()
            await self._changed.wait()

    def __contains__(self, token: str) -> bool:
        return token in self._attempts

    def __iter__(self) -> Iterator[HeldAttempt]:
        return iter(tuple(self._attempts.values()))

    def __len__(self) -> int:
        return len(self._attempts)
