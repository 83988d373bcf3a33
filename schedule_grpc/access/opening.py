"""Opens the gate of a server: its keys are read, and kept fresh while the server runs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, NoReturn

import structlog

from schedule_grpc.access.authenticator import Authenticator, CallerPolicy, Mode, Prover
from schedule_grpc.access.credentials import Credentials
from schedule_grpc.access.gate import Gate
from schedule_grpc.access.key_ring import KeyRing, KeySource
from schedule_grpc.access.refusals import Refusals
from schedule_grpc.access.rules import rules_with
from schedule_grpc.access.tally import AuditLog, Tally
from schedule_grpc.domain.access.audit import Outcome
from schedule_grpc.domain.access.caller import Caller
from schedule_grpc.errors import ConfigurationError, ScheduleError, Unavailable
from schedule_grpc.events import Event, Hub, KeysChanged
from schedule_grpc.runtime.clock import Clock

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entrance:
    """The gate of a server, and its keys."""

    gate: Gate
    keys: KeyRing


@asynccontextmanager
async def opened_entrance(
    source: KeySource,
    hub: Hub,
    policy: CallerPolicy,
    clock: Clock,
    *,
    public: Iterable[str] = (),
    provers: Sequence[Prover] = (),
    would_refuse: Callable[[str], None] = lambda _: None,
    audit: AuditLog | None = None,
    audits_reads: bool = False,
) -> AsyncIterator[Entrance]:
    """Within this context the gate admits calls, and learns of changed keys.

    Args:
        source: Where keys are kept.
        hub: Tells of changed keys.
        policy: Whether callers must prove who they are.
        clock: The server's clock.
        public: The parts of the service that strangers may see.
        provers: Proofs beside keys.
        would_refuse: Called with the rpc of each call that is admitted only because the mode is ``permissive``.
        audit: Where refused calls are written, counted; None: nowhere.
        audits_reads: Whether reads are written there, too.

    Raises:
        ConfigurationError: if the mode is ``off``, and there are keys: their makers take the service for closed.
        DatabaseUnavailable: if the keys cannot be read.
    """
    keys = KeyRing(source, clock)
    await keys.refresh()
    if policy.mode is Mode.OFF and not keys.is_empty:
        raise ConfigurationError(
            "auth.mode is off, and there are keys: everybody could do everything. Remove the setting, or say permissive"
        )
    refusals = Refusals(clock)

    def passed(credentials: Credentials, rpc: str) -> None:
        would_refuse(rpc)
        refusals.note("auth.would_refuse", "UNAUTHENTICATED", rpc, credentials)

    tally = None if audit is None else Tally(audit, clock)

    def denied(credentials: Credentials, rpc: str, error: ScheduleError, caller: Caller) -> None:
        refusals.note("auth.denied", error.code, rpc, credentials)
        if tally is not None:
            namespace = error.details.get("namespace", "")
            tally.note(caller, rpc, namespace, outcome=Outcome.DENIED, reason=error.code)

    def reads(caller: Caller, rpc: str, namespace: str) -> None:
        if tally is not None:
            tally.note(caller, rpc, namespace, outcome=Outcome.DONE)

    authenticator = Authenticator(policy, keys, clock, provers=provers, would_refuse=passed)
    gate = Gate(authenticator, rules_with(public), clock, denied=denied, reads=reads if audits_reads else None)
    changed = asyncio.Event()

    def notice(events: Sequence[Event]) -> None:
        if any(isinstance(event, KeysChanged) for event in events):
            changed.set()

    with hub.listening(notice, with_peers=True):
        try:
            async with _beside(_keep(keys, gate, refusals, tally, clock, changed), _keep_ending(gate, clock)):
                yield Entrance(gate=gate, keys=keys)
        finally:
            refusals.flush()
            if tally is not None:
                with suppress(Unavailable):
                    await tally.flush(at_once=True)


@asynccontextmanager
async def _beside(*upkeep: Coroutine[Any, Any, NoReturn]) -> AsyncIterator[None]:
    """Within this context the upkeep goes on."""
    tasks = [asyncio.create_task(each, name="upkeep of the gate") for each in upkeep]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _keep(
    keys: KeyRing, gate: Gate, refusals: Refusals, tally: Tally | None, clock: Clock, changed: asyncio.Event
) -> NoReturn:
    """Do each second, or once keys have changed, what a gate needs: notifications can be lost."""
    was_told = False
    while True:
        await clock.wait_until(None, changed)
        was_told |= changed.is_set()
        changed.clear()
        with _surviving():
            await keys.keep_fresh(ask=was_told)
            was_told = False  # not before: a file's server is told of each change once
        gate.end_lapsed()
        refusals.flush()
        if tally is not None:
            with _surviving():
                await tally.flush()


async def _keep_ending(gate: Gate, clock: Clock) -> NoReturn:
    """End each second the calls whose proofs are over, also while the database lets the other upkeep wait."""
    never = asyncio.Event()
    while True:
        await clock.wait_until(None, never)
        gate.end_lapsed()


@contextmanager
def _surviving() -> Iterator[None]:
    """Let the upkeep go on whatever is raised: without it no revocation is known, and no stream ends with its key."""
    try:
        yield
    except Unavailable:
        pass
    except Exception as error:
        log.exception("gate.failed", exc_info=error)
