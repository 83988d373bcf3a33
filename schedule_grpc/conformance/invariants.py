"""What must hold of every call, whatever the check: held lists, Pulls in progress, deadlines, sizes of reports."""

from collections.abc import Callable
from dataclasses import dataclass, field

from schedule_grpc.conformance.check import CLOCK, wait
from schedule_grpc.conformance.tape import PULL, REGISTER, REPORT, UNREGISTER, Seen
from schedule_grpc.pb import worker_pb2 as pb

ONE_PULL, HELD, CAPACITY, DEADLINES, REPORTS = "one-pull", "held", "capacity", "deadlines", "report-bounds"
OVERTAKES = 0.25
"""Seconds by which a call's end may come after the next call: both pass the proxy on ways of their own."""
LETS_GO = 5.0
"""Seconds before the end of a lease at which a worker drops what it holds."""
MORE = 1.0
"""Seconds that a deadline may be longer than the rule says: it is rounded on its way."""
PULL_MORE, OTHERS = 10.0, 10.0
"""Seconds: of a Pull beyond its wait, and of the other calls."""
MAX_UPDATES, MAX_REPORT_BYTES, MAX_LINE_BYTES = 500, 1024 * 1024, 4096
DONE = (pb.ReportResponse.APPLIED, pb.ReportResponse.REPEATED, pb.ReportResponse.STALE)
"""Verdicts after which a worker has an attempt no more."""


@dataclass(slots=True)
class Session:
    """What the kit knows of a session of the worker."""

    slots: int
    lease: float
    holds: dict[str, float] = field(default_factory=dict)
    """Tokens that the worker must name, and when it got them."""
    in_progress: list[Seen] = field(default_factory=list)
    """Pulls."""
    renewed: float = 0.0
    """When the last Pull came that was answered."""


@dataclass(slots=True)
class Invariants:
    """Looks at each call before it is forwarded and after it was answered, and keeps what is wrong."""

    violations: list[tuple[str, str]] = field(default_factory=list)
    """The id of the check that it breaks, and what was seen."""
    was_cut: Callable[[float, float], bool] = lambda _start, _end: False
    """Whether a connection was cut between two moments: an answer of then may not have arrived."""
    sessions: dict[str, Session] = field(default_factory=dict)
    _excused: set[str] = field(default_factory=set)
    """Tokens that the worker may have missed once."""
    given: set[str] = field(default_factory=set)
    """Tokens that a worker was ever given."""

    async def before(self, seen: Seen) -> None:
        """Look at a call that has come."""
        self._look_at_deadline(seen)
        if seen.method == PULL and (session := self.sessions.get(seen.session)) is not None:
            self._look_at_held(seen, session)
            await self._look_at_pulls(seen, session)
        elif seen.method == REPORT:
            self._look_at_report(seen)

    def after(self, seen: Seen) -> None:
        """Look at a call that is being answered."""
        if seen.method == REGISTER:
            known = seen.request.held_tokens
            new = Session(slots=seen.request.slots, lease=seen.answer.lease.ToTimedelta().total_seconds())
            lost = set(seen.answer.lost_tokens)
            new.holds = {token: seen.arrived for token in known if token not in lost}
            self.sessions[seen.answer.session_id] = new
        elif (session := self.sessions.get(seen.session)) is not None:
            if seen.method == PULL:
                self._take(seen, session)
            elif seen.method == REPORT:
                self._acknowledge(seen, session)
            elif seen.method == UNREGISTER:
                del self.sessions[seen.session]

    def ended(self, seen: Seen) -> None:
        """Notice that a call is over, whether it was answered or not."""
        for session in self.sessions.values():
            if seen in session.in_progress:
                session.in_progress.remove(seen)

    def _take(self, seen: Seen, session: Session) -> None:
        session.renewed = seen.arrived
        now = CLOCK.monotonic()
        for assignment in seen.answer.assignments:
            session.holds.setdefault(assignment.lease_token, now)
            self.given.add(assignment.lease_token)
        for token in seen.answer.lost_tokens:
            session.holds.pop(token, None)

    def _acknowledge(self, seen: Seen, session: Session) -> None:
        for update, verdict in zip(seen.request.updates, seen.answer.verdicts, strict=False):
            is_over = update.WhichOneof("news") == "outcome" or verdict == pb.ReportResponse.STALE
            if is_over and verdict in DONE:
                session.holds.pop(update.lease_token, None)

    def _look_at_held(self, seen: Seen, session: Session) -> None:
        if session.renewed and seen.arrived - session.renewed > session.lease - LETS_GO - MORE:
            session.holds.clear()  # it may have dropped them, and must soon
        named = [each.lease_token for each in seen.request.held]
        for token, got in tuple(session.holds.items()):
            if token in named:
                continue
            if self._may_be_lost(token, got, seen):
                del session.holds[token]
                continue
            self._violate(HELD, f"Pull {seen.number} does not name {token}, whose outcome is not acknowledged")
        for token in set(named) - self.given:
            self._violate(HELD, f"Pull {seen.number} names {token!r}, which the worker was never given")
        if len(named) != len(set(named)):
            self._violate(HELD, f"Pull {seen.number} names a token twice")
        if seen.request.capacity < 0 or seen.request.capacity + len(named) > max(session.slots, len(named)):
            asked = f"asks for {seen.request.capacity} and holds {len(named)}"
            self._violate(CAPACITY, f"Pull {seen.number} {asked}, with {session.slots} slots")

    def _may_be_lost(self, token: str, got: float, seen: Seen) -> bool:
        """Return whether a worker may not have got an assignment: it is assigned again then.

        The connection was cut, or the worker gave its Pull up (to ask for more) while the answer was on its way; once
        for each token, for an answer is not lost twice in a row.
        """
        if self.was_cut(got - OVERTAKES, got + OVERTAKES):
            return True
        if token in self._excused or seen.arrived - got > OVERTAKES:
            return False
        self._excused.add(token)
        return True

    async def _look_at_pulls(self, seen: Seen, session: Session) -> None:
        earlier = tuple(session.in_progress)
        session.in_progress.append(seen)
        if earlier:
            await wait(OVERTAKES)
        for other in earlier:
            if other.ended is None:
                self._violate(ONE_PULL, f"Pull {seen.number} came while Pull {other.number} was in progress")

    def _look_at_deadline(self, seen: Seen) -> None:
        name = f"{seen.method} (call {seen.number})"
        most = OTHERS
        if seen.method == PULL:
            waits = seen.request.wait.ToTimedelta().total_seconds()
            most = waits + PULL_MORE
            if seen.deadline is not None and seen.deadline < waits:
                self._violate(DEADLINES, f"{name} waits {waits:.0f} s, and gives up after {seen.deadline:.1f} s")
        if seen.deadline is None:
            self._violate(DEADLINES, f"{name} has no deadline")
        elif seen.deadline > most + MORE:
            self._violate(DEADLINES, f"{name} has a deadline of {seen.deadline:.0f} s, at most {most:.0f} s are right")

    def _look_at_report(self, seen: Seen) -> None:
        size, updates = seen.request.ByteSize(), seen.request.updates
        if size > MAX_REPORT_BYTES:
            self._violate(
                REPORTS, f"Report (call {seen.number}) has {size} bytes, at most {MAX_REPORT_BYTES} are right"
            )
        if not 1 <= len(updates) <= MAX_UPDATES:
            self._violate(REPORTS, f"Report (call {seen.number}) has {len(updates)} updates, 1 to 500 are right")

    def _violate(self, check_id: str, text: str) -> None:
        self.violations.append((check_id, text))
