"""The calls of workers: register, pull, report, leave. Any server answers any of them; what matters is on disk."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import timedelta

import structlog

from schedule_grpc.dispatch import registering
from schedule_grpc.dispatch.giving import Giving
from schedule_grpc.dispatch.refusals import SessionUnknown
from schedule_grpc.dispatch.renewals import Renewals
from schedule_grpc.dispatch.reports import Reports, hand_back
from schedule_grpc.dispatch.session import EARLY, Session, WaitingPull, require_handlers
from schedule_grpc.dispatch.upkeep import Upkeep
from schedule_grpc.dispatch.values import (
    Judged,
    Pull,
    Pulled,
    Registered,
    Registration,
    Update,
    key_of,
    token_of,
)
from schedule_grpc.domain.access.caller import Caller
from schedule_grpc.domain.task import Handler
from schedule_grpc.domain.worker import DEFAULT_LEASE, PROTOCOL, Worker, new_session_id
from schedule_grpc.errors import InvalidArgument, ResourceExhausted
from schedule_grpc.events import CancelRequested, Event, Hub
from schedule_grpc.runtime.clock import Alarm, Clock
from schedule_grpc.store import Key, LogBook, Store

log = structlog.get_logger(__name__)

MOST_SESSIONS = 5000
"""Sessions of workers that one server knows."""
MOST_WAITING = 2000
"""Pulls that wait at one server."""
LONGEST_WAIT = timedelta(seconds=20)
LONGEST_WAIT_HOLDING = timedelta(seconds=8)
"""How long a Pull waits at most where the worker holds attempts: its lease is renewed by the next one."""
HEARS_BEFORE = 6.0
"""Seconds before the end of its lease by which a worker hears of a longer one: it stops its handlers 5 s before it."""
A_PULL = 1.0
"""Seconds that a worker has for its next Pull once it got attempts."""
SYNC_EVERY = 10.0
"""Seconds after which a session's attempts are read again: another server may have changed them."""
MOST_UPDATES = 500
MOST_DELIVERIES = 20
"""How often an attempt is assigned to a worker that does not name it afterwards; then it is handed back."""
SHUNNED_FOR = 60.0
"""Seconds for which such a worker is given no more attempts of that handler."""
FORGOTTEN_AFTER = timedelta(seconds=60)
"""How long after its lease a session without a call here is forgotten: its worker calls another server."""


class Workers:
    """Answers workers' calls."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        hub: Hub,
        logbook: LogBook,
        kept: Collection[str] = frozenset(),
        lapsed: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Take the parts.

        Args:
            store: The database.
            clock: The time.
            hub: Tells what happens.
            logbook: Takes what handlers log and report.
            kept: The names of handlers that no worker may offer.
            lapsed: Is called with the number of workers that did not renew their leases, where this server ends them.
        """
        self._store = store
        self._clock = clock
        self._hub = hub
        self._logbook = logbook
        self._kept = kept
        self._sessions: dict[str, Session] = {}
        self._waiting = 0
        self._renewals = Renewals(store, clock)
        self._giving = Giving(store, clock, hub, self._sessions)
        self._reports = Reports(store, clock, logbook, slot_is_free=self._giving.wake)
        self._upkeep = Upkeep(store, clock, ended=self._note_ended, lapsed=lapsed, forget=self._forget_absent)
        self._drained = asyncio.Event()

    async def run(self, finished: asyncio.Event) -> None:
        """Give attempts until drained, and keep sessions until finished."""
        with self._giving.hearing(), self._hub.listening(self._notice, with_peers=True):
            upkeep = asyncio.create_task(self._upkeep.run(finished), name="workers' upkeep")
            await self._giving.run(self._drained)
            await upkeep

    def drain(self) -> None:
        """Answer the Pulls that wait, and give no more attempts: the server stops."""
        self._drained.set()
        self._giving.wake()
        for session in self._sessions.values():
            _wake(session)

    @property
    def known(self) -> int:
        """The number of workers that call this server."""
        return len(self._sessions)

    # -- the calls

    async def register(self, caller: Caller, wanted: Registration) -> Registered:
        """Begin a session.

        Raises:
            InvalidArgument: naming each field that cannot be accepted.
            ProtocolUnknown: if the worker speaks another protocol.
            PermissionDenied: if the caller may not run one of the handlers.
            ResourceExhausted: if this server knows as many workers as it can.
        """
        registering.check(wanted, kept=self._kept)
        require_handlers(caller, wanted.namespace, (offer.name for offer in wanted.handlers))
        if len(self._sessions) >= MOST_SESSIONS:
            raise ResourceExhausted(f"This server knows {MOST_SESSIONS} workers, and takes no more")
        asked, now = self._clock.monotonic(), self._clock.now()
        worker = Worker(
            session=new_session_id(),
            namespace=wanted.namespace,
            name=wanted.name,
            version=wanted.version,
            labels=wanted.labels,
            offers=wanted.handlers,
            slots=wanted.slots,
            lease=wanted.lease or DEFAULT_LEASE,
            start_time=now,
            seen_time=now,
            registered_by=caller.attribution,
        )
        await self._store.offer_handlers(
            [Handler(name=each.name, description=each.description) for each in wanted.handlers], now=now
        )
        held = [key_of(token) for token in wanted.held_tokens]
        moved = await self._store.register_worker(worker, held=held)
        session = Session(worker, confirmed=asked, synced=None if moved else asked)
        session.heard = asked
        self._sessions[session.id] = session
        log.info(
            "worker.registered",
            worker=worker.id,
            name=worker.name,
            version=worker.version,
            namespace=worker.namespace,
            handlers=len(worker.offers),
            slots=worker.slots,
        )
        lost = tuple(token for token in wanted.held_tokens if key_of(token) not in moved)
        return Registered(
            session_id=session.id, protocol=min(wanted.protocol, PROTOCOL), lease=worker.lease, lost_tokens=lost
        )

    async def pull(self, caller: Caller, asked: Pull) -> Pulled:
        """Renew a worker's lease, and wait for attempts to begin and for orders to stop.

        Raises:
            SessionUnknown: if the session has ended, or never began.
            PermissionDenied: if the caller may not run all handlers of the session any more.
            ResourceExhausted: if as many Pulls wait at this server as can.
            Unavailable: if the database does not answer.
        """
        arrived = self._clock.monotonic()
        session = await self._known(asked.session_id)
        session.require(caller)
        session.heard = arrived
        pull = session.pull(
            0 if asked.draining else asked.capacity, frozenset(key_of(each.token) for each in asked.held)
        )
        try:
            return await self._pulled(session, pull, asked, arrived)
        except BaseException:
            session.synced = None  # the worker does not get the answer
            raise
        finally:
            if session.waiting is pull:
                session.waiting = None

    async def report(self, caller: Caller, session_id: str, updates: Sequence[Update]) -> list[Judged]:
        """Apply what a worker reports of its attempts; return a verdict on each update.

        Raises:
            InvalidArgument: if there are none, or too many.
            SessionUnknown, PermissionDenied, Unavailable: as `pull`.
        """
        if not 1 <= len(updates) <= MOST_UPDATES:
            raise InvalidArgument.of("updates", f"has {len(updates)} updates, not 1 to {MOST_UPDATES}")
        session = await self._known(session_id)
        session.require(caller)
        session.heard = self._clock.monotonic()
        keys = {key_of(update.token) for update in updates}
        if any(not (key in session.attempts or session.was_reported(key)) for key in keys):
            await self._sync(session)
        return await self._reports.apply(session, updates)

    async def unregister(self, caller: Caller, session_id: str) -> None:
        """End a session; what it held is handed back. A session that has ended already is no error."""
        try:
            session = await self._known(session_id)
        except SessionUnknown:
            return
        session.require(caller)
        handed_back = await self._store.end_worker(session.id, now=self._clock.now())
        self._note_ended([session.id])
        log.info("worker.left", worker=session.worker.id, name=session.worker.name, handed_back=handed_back)

    # -- a Pull

    async def _pulled(self, session: Session, pull: WaitingPull, asked: Pull, arrived: float) -> Pulled:
        if asked.draining != session.draining:
            session.draining = asked.draining
            await asyncio.shield(self._renewals.ask(session))
        lost = await self._catch_up(session, pull.held, asked, arrived)
        self._note_progress(session, asked)
        self._hand_back_unheard(session, pull.held)
        await self._renew(session, pull, arrived)
        if not (lost or session.unnamed(pull.held)):
            await self._wait(session, pull, asked, arrived)
        if session.has_ended:
            raise SessionUnknown
        return self._answer(session, pull, lost, arrived)

    async def _renew(self, session: Session, pull: WaitingPull, arrived: float) -> None:
        """Renew the lease if a quarter of it is gone: soon, or at once where the worker must hear of it now."""
        lease, full = session.lease_at(arrived), session.worker.lease
        is_late = self._answer_by(session, pull, arrived) <= self._clock.monotonic()
        if lease is None or lease < full * 0.5 or is_late:
            await asyncio.shield(self._renewals.ask(session))  # other Pulls may wait for it
        elif lease < full * 0.75:
            self._renewals.ask_soon(session)

    def _answer_by(self, session: Session, pull: WaitingPull, arrived: float) -> float:
        """Return the monotonic seconds by which a Pull must be answered, so that the worker need not stop its handlers.

        A worker that holds attempts knows of the lease in its previous answer only, whatever was renewed since: where
        another server gave that answer, this one does not wait at all. One that holds none may be given some at the end
        of its wait, and must have the time for one more Pull then; its answer tells of every renewal until then.
        """
        lease = session.worker.lease
        if session.attempts:
            if session.known_until is None:
                return arrived
            longest = arrived + min(lease / 4, LONGEST_WAIT_HOLDING).total_seconds()
            return min(longest, session.next_order(pull.held), session.known_until - HEARS_BEFORE)
        ends = arrived + (session.lease_at(arrived) or timedelta(0)).total_seconds()
        return min(arrived + min(lease / 2, LONGEST_WAIT).total_seconds(), ends - HEARS_BEFORE - A_PULL)

    async def _wait(self, session: Session, pull: WaitingPull, asked: Pull, arrived: float) -> None:
        """Return once there is something to answer, or it is time for the worker to renew its lease."""
        wanted = self._clock.monotonic() + asked.wait.total_seconds()

        alarm: Alarm

        def left() -> float:
            return min(wanted, self._answer_by(session, pull, arrived)) - self._clock.monotonic()

        def ring() -> None:
            nonlocal alarm
            seconds = 0.0 if pull.held else left()  # without attempts: longer, if the lease was renewed meanwhile
            if seconds <= EARLY:
                pull.set()
            else:
                alarm = self._clock.call_later(seconds, ring)

        seconds = left()
        if seconds <= 0 or self._drained.is_set() or pull.is_set():
            return
        if self._waiting >= MOST_WAITING:
            raise ResourceExhausted(f"At this server {MOST_WAITING} workers wait already")
        self._waiting += 1
        alarm = self._clock.call_later(seconds, ring)
        if pull.capacity:
            self._giving.wake_for(session)
        try:
            await pull.wait()
        finally:
            self._waiting -= 1
            alarm.cancel()

    def _answer(self, session: Session, pull: WaitingPull, lost: Sequence[str], arrived: float) -> Pulled:
        now = self._clock.monotonic()
        lease = session.lease_at(arrived) or timedelta(0)
        session.known_until = arrived + lease.total_seconds()
        begin = [] if pull.is_former else session.fitting(session.unnamed(pull.held))
        for attempt in begin:
            attempt.deliveries += 1
        stops = [] if pull.is_former else session.stops(pull.held, now)
        for attempt, _ in stops:
            attempt.ordered = now
        return Pulled(
            begin=tuple(attempt.claim for attempt in begin),
            stops=tuple((token_of(attempt.claim), reason) for attempt, reason in stops),
            lost_tokens=tuple(lost),
            lease=lease,
            server_draining=self._drained.is_set(),
        )

    async def _catch_up(self, session: Session, held: frozenset[Key], asked: Pull, arrived: float) -> list[str]:
        """Read the session's attempts where this server may not know them; return the tokens that do not stand."""
        unknown = {key for key in held if key not in session.attempts and not session.was_reported(key)}
        missing = bool(session.unnamed(held))
        if unknown or missing or session.synced is None or arrived - session.synced >= SYNC_EVERY:
            await self._sync(session)
        lost = {key for key in held if key not in session.attempts and not session.was_reported(key)}
        return [each.token for each in asked.held if key_of(each.token) in lost] if lost else []

    async def _sync(self, session: Session) -> None:
        read_since = self._clock.monotonic()
        claims = await self._store.attempts_of(session.id)
        session.replace_by(claims, read_since=read_since, now=self._clock.monotonic())

    def _hand_back_unheard(self, session: Session, held: frozenset[Key]) -> None:
        """Hand back attempts that the worker never got: those to be cancelled, and those assigned too often."""
        for attempt in session.unnamed(held):
            drops = attempt.deliveries >= MOST_DELIVERIES
            if not (attempt.cancelled or drops):
                continue
            if drops:
                handler = attempt.claim.execution.handler
                session.shunned[handler] = self._clock.monotonic() + SHUNNED_FOR
                log.warning("worker.drops_assignments", worker=session.worker.id, handler=handler)
            self._reports.record(session, attempt, hand_back(attempt, self._clock, began=False))

    def _note_progress(self, session: Session, asked: Pull) -> None:
        for each in asked.held:
            attempt = session.attempts.get(key_of(each.token))
            if attempt is not None and each.progress is not None:
                execution = attempt.claim.execution
                self._logbook.note_progress(execution, execution.attempt, each.progress, each.text)

    # -- sessions

    async def _known(self, session_id: str) -> Session:
        session = self._sessions.get(session_id)
        if session is None:
            worker = await self._store.find_worker(session_id) if session_id.isalnum() else None
            if worker is None:
                raise SessionUnknown
            session = self._sessions.setdefault(session_id, Session(worker))
        if session.has_ended:
            self._note_ended([session_id])
            raise SessionUnknown
        return session

    def _note_ended(self, sessions: Iterable[str]) -> None:
        for session_id in sessions:
            session = self._sessions.pop(session_id, None)
            if session is not None:
                session.has_ended = True
                _wake(session)

    def _forget_absent(self) -> None:
        """Forget sessions that call another server."""
        now = self._clock.monotonic()
        for session in tuple(self._sessions.values()):
            if session.waiting is not None:
                continue
            if now - session.heard > (session.worker.lease + FORGOTTEN_AFTER).total_seconds():
                del self._sessions[session.id]

    def _notice(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, CancelRequested):
                self._notice_cancel(event.execution_id)

    def _notice_cancel(self, execution_id: str) -> None:
        """Order the stop of an execution's attempt; without an id, read which ones are to stop."""
        for session in self._sessions.values():
            if not execution_id:
                session.synced = None
                _wake(session)
                continue
            for key, attempt in session.attempts.items():
                if key[0] == execution_id:
                    attempt.cancelled = True
                    _wake(session)


def _wake(session: Session) -> None:
    if session.waiting is not None:
        session.waiting.set()
