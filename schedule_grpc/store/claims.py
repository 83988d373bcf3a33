"""What is claimed, by whom, and how much of it: the values that the store and an engine hand to each other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from msgspec import Struct

from schedule_grpc.errors import ScheduleError
from schedule_grpc.execution import Execution
from schedule_grpc.task import Task


class Claim(Struct, frozen=True, kw_only=True):
    """An execution that its claimant now runs, with the task as it is at the claim.

    What the handler gets is ``payload``: the manual run's own, else the task's.
    """

    execution: Execution
    task: Task
    lease_token: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimRequest:
    """Who wants to run how much of what.

    ``running`` counts what the claimant runs already, by handler: no handler gets more than its share of ``limit``
    while another one waits, and none more than its own in ``limits``.
    """

    owner: str
    handlers: frozenset[str]
    limit: int
    running: Mapping[str, int]
    now: datetime
    limits: Mapping[str, int] = field(default_factory=dict)

    @property
    def free(self) -> int:
        """How many more may run, of all handlers together."""
        return self.limit - sum(self.running.values())

    def room(self, handler: str) -> int:
        """Return how many more of a handler may run, if they have all slots."""
        return self.limits.get(handler, self.limit) - self.running.get(handler, 0)


class Fired(Struct, frozen=True, kw_only=True):
    """What firings recorded, and which of it began at once."""

    executions: tuple[Execution, ...]
    claims: tuple[Claim, ...]


class ManualRun(Struct, frozen=True, kw_only=True):
    """What RunTaskNow asks for; without a payload the task's own counts."""

    name: str
    payload: Mapping[str, Any] | None = None
    request_id: str | None = None


class Submitted(Struct, frozen=True, kw_only=True):
    """What became of manual runs, in their order, and which of them began at once."""

    answers: tuple[Execution | ScheduleError, ...]
    claims: tuple[Claim, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Slots:
    """The free slots of an engine: ``request`` asks for what can begin in them, ``start`` runs a claim."""

    request: ClaimRequest
    start: Callable[[Claim], None]
