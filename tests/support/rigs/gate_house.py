"""A gate with everything behind it, on a clock that stands still; its keys are in memory."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from support.rigs.rig import START

from schedule_grpc.access.authenticator import Authenticator, CallerPolicy, Mode
from schedule_grpc.access.credentials import Credentials
from schedule_grpc.access.current import current_call
from schedule_grpc.access.gate import Gate
from schedule_grpc.access.key_ring import KeyRing
from schedule_grpc.access.rules import RULES
from schedule_grpc.domain.access.caller import Caller
from schedule_grpc.domain.access.grant import read_grants
from schedule_grpc.domain.access.key_text import KeyText, new_key
from schedule_grpc.domain.access.keys import Key, KeyRequest, made
from schedule_grpc.errors import Unavailable
from schedule_grpc.testing import FakeClock

MAKER = Caller(name="key:maker", grants=read_grants(["admin@*"]))


class Keys:
    """Keys in memory, with the operations of the store that a ring uses."""

    def __init__(self, *, shared: bool = False) -> None:
        self.is_shared = shared
        self.kept: dict[str, Key] = {}
        self.version = 0
        self.used: list[tuple[str, datetime]] = []
        self.away = False
        self.hangs = False

    def put(self, key: Key) -> None:
        """Write a key, as another server would: nobody is told."""
        self.kept[key.id] = key
        self.version += 1

    def make(self, *grants: str, name: str = "k", lifetime: timedelta | None = None) -> KeyText:
        """Write a new key, and return its text."""
        text = new_key()
        self.put(made(KeyRequest(name=name, grants=grants, lifetime=lifetime), text, MAKER, START))
        return text

    async def access_version(self) -> int:
        """Return how often a key was written."""
        if self.away:
            raise Unavailable("away")
        if self.hangs:
            await asyncio.Event().wait()
        return self.version

    async def keys_in_use(self) -> tuple[int, Sequence[Key]]:
        """Return the keys that are not revoked."""
        return self.version, [key for key in self.kept.values() if key.revoke_time is None]

    async def note_keys_used(self, key_ids: Sequence[str], *, now: datetime) -> None:
        """Note uses."""
        self.used += [(key_id, now) for key_id in key_ids]


class House:
    """A gate with everything behind it, on a clock that stands still."""

    def __init__(self, mode: Mode | None = None, *, shared: bool = False, anonymous: Sequence[str] = ()) -> None:
        self.clock = FakeClock(START)
        self.keys = Keys(shared=shared)
        self.ring = KeyRing(self.keys, self.clock)
        self.passed: list[str] = []
        policy = CallerPolicy(mode=mode, anonymous_grants=read_grants(anonymous))
        self.authenticator = Authenticator(
            policy, self.ring, self.clock, would_refuse=lambda _, rpc: self.passed.append(rpc)
        )
        self.denied: list[tuple[str, str]] = []
        self.gate = Gate(
            self.authenticator,
            RULES,
            self.clock,
            denied=lambda _, rpc, error, __: self.denied.append((rpc, error.code)),
        )

    async def caller(self, rpc: str, credentials: Credentials) -> Caller:
        """Return the caller as whom a call is let in."""
        async with self.gate.admitting(rpc, credentials) as call:
            assert current_call() is call
            return call.caller


def bearer(*tokens: str | KeyText, scheme: str = "Bearer", peer: str = "10.0.0.7:1234") -> Credentials:
    """Return credentials with these tokens."""
    texts = [token.text if isinstance(token, KeyText) else token for token in tokens]
    return Credentials(authorization=[f"{scheme} {text}" for text in texts], peer=peer, agent="test/1")
