"""What this server knows of one worker's session: its attempts, its lease, and the Pull that waits."""

import asyncio
import itertools
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from schedule_grpc.dispatch.values import StopReason, token_of
from schedule_grpc.domain.access.caller import Caller
from schedule_grpc.domain.access.scope import Scope
from schedule_grpc.domain.worker import Worker
from schedule_grpc.errors import PermissionDenied
from schedule_grpc.store import Answer, Claim, Key, Taker

ENDED_KNOWN = 2000
"""Ended attempts that a session remembers: an update that is repeated is known by them."""
STOPS_AGAIN_AFTER = 2.0
"""Seconds after which an order to stop an attempt is answered again without waiting."""
TIMEOUT_GRACE = timedelta(seconds=2)
"""How long after an attempt's timeout the server orders its stop: workers keep timeouts themselves."""
EARLY = 0.01
"""More seconds than a timer rings early."""
_TURNS = itertools.count()
MOST_BEGUN = 100
"""Attempts in one answer."""
MOST_BYTES = 1024 * 1024
"""Payloads and metadata in one answer, about: clients accept 4 MiB by default."""


@dataclass(slots=True, eq=False)
class Attempt:
    """An attempt in progress under a session's lease, as this server knows it."""

    claim: Claim
    known: float
    """Monotonic seconds since which this server knows of it: servers' wall clocks play no part in its timeout."""
    cancelled: bool = False
    deliveries: int = 0
    """How often it was assigned."""
    ordered: float = float("-inf")
    """Monotonic seconds of the newest order to stop it."""
    outcome: "asyncio.Future[Answer] | None" = None
    """The recording of its outcome, under way."""

    @property
    def key(self) -> Key:
        """What identifies it."""
        return self.claim.execution.id, self.claim.lease_token

    @property
    def overdue(self) -> float:
        """The monotonic seconds from which it takes too long."""
        return self.known + (self.claim.task.policy.timeout + TIMEOUT_GRACE).total_seconds()

    @property
    def order_due(self) -> float:
        """The monotonic seconds of the next order to stop it."""
        return max(self.ordered + STOPS_AGAIN_AFTER, float("-inf") if self.cancelled else self.overdue)

    def stop_reason(self, now: float) -> StopReason | None:
        """Return why it is to stop; None if it may go on."""
        if self.cancelled:
            return StopReason.CANCELLED
        return StopReason.TIMEOUT if now >= self.overdue - EARLY else None


class WaitingPull(asyncio.Event):
    """A Pull that is answered once this is set."""

    def __init__(self, capacity: int, held: frozenset[Key]) -> None:
        super().__init__()
        self.capacity = capacity
        """How many attempts the worker can begin; grows as outcomes of those that it holds are reported meanwhile."""
        self.held = held
        self.turn = next(_TURNS)
        """Its place among the Pulls that wait: a smaller number waits longer."""
        self.is_former = False
        """Whether a later Pull of the session took its place."""


class Session:
    """One worker's session. All of it can be read from the database again, except for the Pull that waits."""

    def __init__(self, worker: Worker, *, confirmed: float | None = None, synced: float | None = None) -> None:
        """Take the worker.

        Args:
            worker: As it registered.
            confirmed: Monotonic seconds at which the newest renewal of its lease, which is on disk, was begun.
            synced: Monotonic seconds at which its attempts were read.
        """
        self.worker = worker
        self.handlers = worker.handlers
        self.limits: Mapping[str, int] = {
            offer.name: offer.concurrency for offer in worker.offers if offer.concurrency is not None
        }
        self.confirmed = confirmed
        self.synced = synced
        self.known_until: float | None = None
        """Monotonic seconds until which its lease holds by the newest answer; None if there was none here."""
        self.heard = float("-inf")
        self.draining = worker.draining
        self.attempts: dict[Key, Attempt] = {}
        self.by_handler: Counter[str] = Counter()
        self.by_namespace: Counter[str] = Counter()
        self.waiting: WaitingPull | None = None
        self.has_ended = False
        self.running = 0
        """Attempts whose outcomes are not being recorded: where one is, the handler has ended, and the slot is free."""
        self._read_since = float("-inf")
        """Monotonic seconds at which the newest reading of its attempts began."""
        self.shunned: dict[str, float] = {}
        """Handlers of which it is given nothing, until monotonic seconds."""
        self._ended: OrderedDict[Key, None] = OrderedDict()
        self._checked: object = None
        """The grants of the caller that was checked last."""

    @property
    def id(self) -> str:
        """Its id."""
        return self.worker.session

    def require(self, caller: Caller) -> None:
        """Check that a caller may speak for the worker.

        Raises:
            PermissionDenied: if its grants do not cover every handler that the worker offers.
        """
        if caller.grants is self._checked:
            return
        require_handlers(caller, self.worker.namespace, self.handlers)
        self._checked = caller.grants

    # -- its attempts

    def add(self, claim: Claim, now: float) -> Attempt:
        """Note an attempt in progress, unless it was read meanwhile."""
        attempt = Attempt(claim, known=now, cancelled=claim.execution.cancel_requested_time is not None)
        if attempt.key in self.attempts:
            return self.attempts[attempt.key]
        self.attempts[attempt.key] = attempt
        self._count(attempt, 1)
        return attempt

    def forget(self, key: Key) -> None:
        """Note that an attempt is over, or no longer the worker's."""
        attempt = self.attempts.pop(key, None)
        if attempt is not None and attempt.outcome is None:
            self._count(attempt, -1)

    def note_ending(self, attempt: Attempt, recording: "asyncio.Future[Answer]") -> None:
        """Note that an attempt's outcome is being recorded; a Pull that holds it can take one more."""
        attempt.outcome = recording
        self._count(attempt, -1)
        if self.waiting is not None and attempt.key in self.waiting.held:
            self.waiting.capacity += 1

    def note_recorded(self, attempt: Attempt, answer: Answer) -> None:
        """Note what became of the recording: the outcome is on disk, was refused, or is to be reported again."""
        if isinstance(answer, Exception):
            attempt.outcome = None
            self._count(attempt, 1)
            return
        self.forget(attempt.key)
        if answer is not None:
            self._ended[attempt.key] = None
            if len(self._ended) > ENDED_KNOWN:
                self._ended.popitem(last=False)

    def was_reported(self, key: Key) -> bool:
        """Return whether the outcome of an attempt was recorded here."""
        return key in self._ended

    def has_freed(self, key: Key) -> bool:
        """Return whether an attempt has ended, though its worker may not know that the outcome arrived."""
        attempt = self.attempts.get(key)
        return key in self._ended if attempt is None else attempt.outcome is not None

    def replace_by(self, claims: Iterable[Claim], *, read_since: float, now: float) -> None:
        """Take the attempts as the database has them.

        Attempts that were added since ``read_since``, monotonic seconds, may be missing there. An older reading that
        comes after a newer one is ignored.
        """
        if read_since < self._read_since:
            return
        self._read_since = read_since
        found = {(claim.execution.id, claim.lease_token): claim for claim in claims}
        gone = [
            key
            for key, attempt in self.attempts.items()
            if key not in found and attempt.known < read_since and attempt.outcome is None
        ]
        for key in gone:
            self.forget(key)
        for key, claim in found.items():
            known = self.attempts.get(key)
            if known is not None:
                known.cancelled |= claim.execution.cancel_requested_time is not None
            elif key not in self._ended:
                self.add(claim, now)
        self.synced = read_since

    def pull(self, capacity: int, held: frozenset[Key]) -> WaitingPull:
        """Begin a Pull; one that waits is answered."""
        if self.waiting is not None:
            self.waiting.is_former = True
            self.waiting.set()
        self.waiting = WaitingPull(capacity + sum(self.has_freed(key) for key in held), held)
        return self.waiting

    def unnamed(self, held: frozenset[Key]) -> list[Attempt]:
        """Return the attempts that a Pull does not name and that no Report has ended: the worker lacks them."""
        return [each for key, each in self.attempts.items() if key not in held and each.outcome is None]

    def fitting(self, attempts: Iterable[Attempt]) -> list[Attempt]:
        """Return the first attempts, as many as one answer holds."""
        chosen: list[Attempt] = []
        size = 0
        for attempt in attempts:
            size += size_of(attempt.claim)
            if chosen and (size > MOST_BYTES or len(chosen) == MOST_BEGUN):
                break
            chosen.append(attempt)
        return chosen

    def stops(self, held: frozenset[Key], now: float) -> list[tuple[Attempt, StopReason]]:
        """Return the attempts, of those that the worker has, that are to stop."""
        return [(attempt, reason) for attempt in self._had(held) if (reason := attempt.stop_reason(now)) is not None]

    def next_order(self, held: frozenset[Key]) -> float:
        """Return the monotonic seconds of the next order to stop one of the attempts that the worker has."""
        return min((each.order_due for each in self._had(held)), default=float("inf"))

    def _had(self, held: frozenset[Key]) -> list[Attempt]:
        """Return the attempts that the worker has, and has not reported the ends of."""
        return [each for key, each in self.attempts.items() if key in held and each.outcome is None]

    # -- its slots

    @property
    def free_slots(self) -> int:
        """How many attempts a claim can give it now; 0 or less where no Pull waits, or it has no free slot."""
        if self.waiting is None or self.waiting.is_set() or self.draining or self.has_ended:
            return 0
        return min(self.waiting.capacity, self.worker.slots - self.running, MOST_BEGUN)

    def taker(self, now: float) -> Taker | None:
        """Return what a claim can give it now; None where no Pull waits, or it has no free slot."""
        free = self.free_slots
        if free <= 0:
            return None
        room = {handler: max(most - self.by_handler[handler], 0) for handler, most in self.limits.items()}
        room |= {handler: 0 for handler, until in self.shunned.items() if until > now}
        return Taker(owner=self.id, title=self.worker.title, slots=self.worker.slots, free=free, room=room)

    def _count(self, attempt: Attempt, number: int) -> None:
        self.running += number
        self.by_handler[attempt.claim.execution.handler] += number
        self.by_namespace[attempt.claim.execution.namespace] += number

    # -- its lease

    def lease_at(self, arrived: float) -> timedelta | None:
        """Return how long the lease holds from the sending of a Pull that arrived then; None if that is not known."""
        if self.confirmed is None:
            return None
        return self.worker.lease - timedelta(seconds=max(arrived - self.confirmed, 0.0))


def require_handlers(caller: Caller, namespace: str, handlers: Iterable[str]) -> None:
    """Check that a caller may run these handlers in a namespace.

    Raises:
        PermissionDenied: naming the first one that it may not.
    """
    if caller.may(Scope.WORKER, namespace):
        return
    for handler in sorted(handlers):
        if not any(grant.covers(Scope.WORKER, namespace, handler) for grant in caller.grants):
            raise PermissionDenied(Scope.WORKER, namespace, name=handler)


def size_of(claim: Claim) -> int:
    """Return about how many bytes an attempt takes in an answer."""
    definition = claim.task.definition
    return 512 + len(token_of(claim)) + _size(claim.payload) + _size(definition.metadata)


def _size(value: Mapping[str, object]) -> int:
    return len(repr(value)) if value else 2
