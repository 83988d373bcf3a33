"""The gate that each call passes at the edge, before its request is read: who calls, and has it the scope at all."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import TypeAlias

from msgspec import structs

from schedule_grpc.access.attempts import FailedAttempts
from schedule_grpc.access.authenticator import Authenticator, Mode
from schedule_grpc.access.credentials import Credentials
from schedule_grpc.access.current import Call, begin
from schedule_grpc.access.proven import Basis, Proven
from schedule_grpc.access.rules import Rule
from schedule_grpc.domain.access.caller import ANONYMOUS, Caller
from schedule_grpc.domain.access.keys import require_identified
from schedule_grpc.errors import FailedPrecondition, PermissionDenied, ScheduleError, Unauthenticated
from schedule_grpc.runtime.clock import Clock, pass_by

Denied: TypeAlias = Callable[[Credentials, str, ScheduleError, Caller], None]
Reads: TypeAlias = Callable[[Caller, str, str], None]

OPEN = "auth.mode is off: with a key the server would not start again; remove the setting first"
OF_A_SESSION = "A browser's session stands for a key, and is handed none: show the key itself"
NOBODY = Caller(name=ANONYMOUS, grants=())
"""A stranger at a server that knows its callers."""
SLOWED_BY = 1.0
"""Seconds that an answer to a peer takes that has failed too often."""
MOST_SLOWED = 100
"""Calls that are slowed at once; others are refused without delay. gRPC holds each with its request, up to 1 MiB: a
stranger could fill the memory with calls that wait for their refusal."""


class Gate:
    """Admits calls, and ends those that last when their callers' credentials are over."""

    def __init__(
        self,
        authenticator: Authenticator,
        rules: Mapping[str, Rule],
        clock: Clock,
        *,
        denied: Denied = lambda *_: None,
        reads: Reads | None = None,
    ) -> None:
        """Take the parts.

        Args:
            authenticator: Finds out who calls.
            rules: What each rpc needs.
            clock: Slows down answers to peers that fail too often.
            denied: Called with each refused call's credentials, rpc, error and caller.
            reads: Called with the caller, the rpc and the namespace of each call that reads; None: reads are not noted.
        """
        self._authenticator = authenticator
        self._rules = rules
        self._clock = clock
        self._denied = denied
        self._reads = reads
        self._failed = FailedAttempts(clock)
        self._slowed = 0
        self._lasting: dict[Basis, set[asyncio.Task[object]]] = {}
        """The calls that last, by what their callers' proofs rest on: that of a thousand calls is looked at once."""
        self._ended: set[asyncio.Task[object]] = set()

    @property
    def mode(self) -> Mode:
        """Whether callers must prove who they are, as it is now."""
        return self._authenticator.mode

    def admitting(self, rpc: str, credentials: Credentials) -> "Admission":
        """Return the context in which a call is answered; it is entered with the call, or not at all."""
        return Admission(self, rpc, credentials)

    async def admit(self, rpc: str, credentials: Credentials) -> tuple[Call, Proven]:
        """Return the call and its caller's proof, if the caller may make one like it at all.

        Raises:
            Unauthenticated: if the server does not know who calls, and must.
            PermissionDenied: if the caller has the scope nowhere.
            FailedPrecondition: for a new key, while the settings leave the server open; or to a browser's session.
            Unavailable: if the database has been away for too long to trust a key.
        """
        rule = self._rules[rpc]
        if rule.proven and self._authenticator.stays_open:
            raise FailedPrecondition(OPEN)
        if rule.proven and credentials.key_digest:  # else who found a cookie would make a key of it, for good
            raise FailedPrecondition(OF_A_SESSION)
        try:
            proven = await self._authenticator.prove(credentials, rpc)
        except Unauthenticated as error:
            if rule.open:
                return Call(NOBODY, rule), Proven(NOBODY)
            stranger = structs.replace(NOBODY, peer=credentials.peer, agent=credentials.agent)
            self._denied(credentials, rpc, error, stranger)
            if self._failed.is_too_many(credentials.peer) and self._slowed < MOST_SLOWED:
                await self._slow_down()
            raise
        try:
            _check(rule, proven.caller)
        except PermissionDenied as error:
            self._denied(credentials, rpc, error, proven.caller)
            raise
        return self._call(rpc, rule, credentials, proven.caller), proven

    def _call(self, rpc: str, rule: Rule, credentials: Credentials, caller: Caller) -> Call:
        denied = partial(self._noted_denial, credentials, rpc, caller)
        if self._reads is None:
            return Call(caller, rule, denied)
        return Call(caller, rule, denied, partial(self._reads, caller, rpc))

    def _noted_denial(self, credentials: Credentials, rpc: str, caller: Caller, error: PermissionDenied) -> None:
        self._denied(credentials, rpc, error, caller)

    async def _slow_down(self) -> None:
        self._slowed += 1
        try:
            await pass_by(self._clock, SLOWED_BY)
        finally:
            self._slowed -= 1

    def begin_lasting(self, task: "asyncio.Task[object]", basis: Basis) -> None:
        """Note a call that lasts, by the task that answers it, and what its caller's proof rests on."""
        self._lasting.setdefault(basis, set()).add(task)

    def end_lasting(self, task: "asyncio.Task[object]", basis: Basis) -> bool:
        """Forget a call that lasts; return whether it was cancelled because its caller's proof is over."""
        tasks = self._lasting.get(basis, set())
        tasks.discard(task)
        if not tasks:
            self._lasting.pop(basis, None)
        was_ended = task in self._ended
        self._ended.discard(task)
        return was_ended

    def end_lapsed(self) -> None:
        """End the calls that last whose callers' proofs are over."""
        over = [tasks for basis, tasks in self._lasting.items() if not self._authenticator.still_holds(basis)]
        for task in [task for tasks in over for task in tasks if task not in self._ended]:
            self._ended.add(task)
            task.cancel()


class Admission:
    """The context of one call: its caller is known within it.

    A call that lasts is cancelled when its caller's proof is over, and then raises Unauthenticated.
    """

    __slots__ = ("_credentials", "_gate", "_lasting", "_rpc", "_was_ended")

    def __init__(self, gate: Gate, rpc: str, credentials: Credentials) -> None:
        self._gate = gate
        self._rpc = rpc
        self._credentials = credentials
        self._lasting: tuple[asyncio.Task[object], Basis] | None = None
        self._was_ended = False

    async def __aenter__(self) -> Call:
        """Admit the call.

        Raises:
            Unauthenticated, PermissionDenied, FailedPrecondition, Unavailable: as `Gate.admit`.
        """
        call, proven = await self._gate.admit(self._rpc, self._credentials)
        begin(call)
        if call.rule.lasts and (task := asyncio.current_task()) is not None:
            self._lasting = task, proven.basis
            self._gate.begin_lasting(*self._lasting)
        return call

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Forget the call; it may be left in several places, of which the last one is told of its cancellation.

        Raises:
            Unauthenticated: if the call was ended because its caller's proof is over.
        """
        if self._lasting is None:
            return
        self._was_ended = self._gate.end_lasting(*self._lasting) or self._was_ended
        if self._was_ended and isinstance(error, asyncio.CancelledError):
            task, _ = self._lasting
            task.uncancel()
            raise Unauthenticated from None


def _check(rule: Rule, caller: Caller) -> None:
    if rule.proven:
        require_identified(caller)
    if rule.scope is None:
        return
    has = caller.may(rule.scope, rule.namespace) if rule.namespace else caller.has_any(rule.scope)
    if not has:
        raise PermissionDenied(rule.scope, rule.namespace or caller.home)
