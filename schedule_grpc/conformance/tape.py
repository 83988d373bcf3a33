"""The tape: every call that a worker makes, with its answer, as the middleman saw it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from schedule_grpc.conformance.check import CLOCK
from schedule_grpc.pb import worker_pb2 as pb

REGISTER, PULL, REPORT, UNREGISTER = "RegisterWorker", "Pull", "Report", "UnregisterWorker"


@dataclass(kw_only=True, slots=True, eq=False)
class Seen:
    """A call."""

    number: int
    """Its place among the calls of its stage, from 1."""
    method: str
    request: Any
    """As the worker sent it."""
    arrived: float
    """By the monotonic clock."""
    deadline: float | None
    """Seconds that the worker gives it; None: it has no deadline."""
    answer: Any = None
    """As the worker gets it; None: it gets none, or a status."""
    status: grpc.StatusCode | None = None
    """How it ended; None while it is in progress."""
    ended: float | None = None
    """By the monotonic clock."""

    @property
    def session(self) -> str:
        """The session in whose name it was made; empty for RegisterWorker."""
        return str(getattr(self.request, "session_id", ""))


@dataclass(frozen=True, slots=True)
class Told:
    """An outcome as a worker reported it."""

    seen: Seen
    token: str
    outcome: pb.Update.Outcome
    verdict: "pb.ReportResponse.Verdict.ValueType | None"
    """What the worker was answered; None: it got no answer."""

    @property
    def end(self) -> str:
        """``succeeded``, ``failed`` or ``released``; empty if the outcome names none."""
        return self.outcome.WhichOneof("end") or ""


@dataclass(slots=True)
class Tape:
    """Everything that the workers of a stage called, in order."""

    calls: list[Seen] = field(default_factory=list)
    assignments: dict[str, pb.Assignment] = field(default_factory=dict)
    """By token, as the server made them, whether or not the worker got them."""

    def begin(self, method: str, request: Any, deadline: float | None) -> Seen:
        """Record a call that has come."""
        number = len(self.calls) + 1
        seen = Seen(number=number, method=method, request=request, arrived=CLOCK.monotonic(), deadline=deadline)
        self.calls.append(seen)
        return seen

    def of(self, method: str, *, since: int = 0) -> list[Seen]:
        """Return the calls of one rpc, after the first so many calls of all."""
        return [seen for seen in self.calls[since:] if seen.method == method]

    def tokens_of(self, execution_id: str) -> list[str]:
        """Return the tokens under which attempts of an execution were assigned, in order."""
        return [token for token, each in self.assignments.items() if each.execution_id == execution_id]

    def outcomes(self, execution_id: str) -> list[Told]:
        """Return the outcomes that were reported of an execution, repeated ones too."""
        tokens = self.tokens_of(execution_id)
        return [told for told in self.told() if told.token in tokens]

    def updates(self, token: str) -> Iterator[tuple[Seen, pb.Update]]:
        """Yield everything that was reported under a token, with the call that reported it."""
        for seen in self.of(REPORT):
            for update in seen.request.updates:
                if update.lease_token == token:
                    yield seen, update

    def last_pull(self) -> Seen | None:
        """Return the newest Pull that was answered."""
        answered = [seen for seen in self.of(PULL) if seen.answer is not None]
        return answered[-1] if answered else None

    def told(self) -> Iterator[Told]:
        """Yield every outcome that was reported, repeated ones too."""
        for seen in self.of(REPORT):
            verdicts = () if seen.answer is None else seen.answer.verdicts
            for place, update in enumerate(seen.request.updates):
                if update.WhichOneof("news") == "outcome":
                    verdict = verdicts[place] if place < len(verdicts) else None
                    yield Told(seen, update.lease_token, update.outcome, verdict)
