"""The public keys of an issuer: fetched when they are first needed, and again when a token names one that is not there.

Anybody can send a token that names an unknown key. So the set is fetched at most once a minute, by one request at a
time, and tokens of known keys never wait for it. While the issuer is away, the keys that it had are good.
"""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import structlog

from schedule_grpc.access.jwt_rules import ALGORITHMS, JwtIssuer, KeySource
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.runtime.threads import in_thread

if TYPE_CHECKING:
    from jwt.algorithms import AllowedPublicKeys

log = structlog.get_logger(__name__)

FETCHED_AGAIN_AFTER = 60.0
"""Seconds between two requests for an issuer's keys."""
TRIED_AGAIN_AFTER = 5.0
"""The same while there is no key at all: the issuer, or the network, starts after this server."""
OLD_AFTER = 600.0
"""Seconds after which keys in use are fetched again: the issuer may have withdrawn one."""
MOST_KEYS = 100
"""Keys of a set that are read."""
RSA_BITS = range(2048, 8192 + 1)
"""Sizes of RSA keys. A smaller one can be broken; a larger one takes long to check."""
LONGEST_EXPONENT = 64
"""Bits of an RSA key's public exponent; it is 65537 in almost every key."""

_PUBLIC_PARTS = frozenset({"kty", "n", "e", "crv", "x", "y"})

Fetch: TypeAlias = Callable[[KeySource], Awaitable[bytes]]
"""Returns a key set as JSON, or raises `NotFetched`."""
Keys: TypeAlias = "Mapping[tuple[str, str], AllowedPublicKeys]"
"""Keys by their id and an algorithm that they are for."""


class NotFetched(Exception):
    """The keys of an issuer cannot be had now; the text is the reason."""


class IssuerKeys:
    """The keys of one issuer, as it last published them."""

    def __init__(self, issuer: JwtIssuer, clock: Clock, fetch: Fetch) -> None:
        self._issuer = issuer
        self._clock = clock
        self._fetch = fetch
        self._keys: Keys = {}
        self._asked_at = -math.inf
        """When the set was last asked for, by the monotonic clock."""
        self._read_at = -math.inf
        """When the set was last read."""
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, key_id: str, algorithm: str) -> "AllowedPublicKeys | None":
        """Return a key; None if the issuer has none of this id for this algorithm, as far as is known."""
        known = self._keys.get((key_id, algorithm))
        if known is None:
            if (fetching := self._begin_fetch()) is not None:
                await asyncio.shield(fetching)  # others wait for the same one
            return self._keys.get((key_id, algorithm))
        if self._clock.monotonic() - self._read_at >= OLD_AFTER:
            self._begin_fetch()
        return known

    async def aclose(self) -> None:
        """End the request that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    def _begin_fetch(self) -> "asyncio.Task[None] | None":
        """Return the request that is under way, or is begun now; None if the last one was not long ago."""
        if self._fetching is not None and not self._fetching.done():
            return self._fetching
        now = self._clock.monotonic()
        if now - self._asked_at < (FETCHED_AGAIN_AFTER if self._keys else TRIED_AGAIN_AFTER):
            return None
        self._asked_at = now
        self._fetching = asyncio.create_task(self._fetch_keys(), name="jwt keys")
        return self._fetching

    async def _fetch_keys(self) -> None:
        """Replace the keys by those that the issuer has now; keep them if it does not say."""
        told = {"issuer": self._issuer.name, "source": str(self._issuer.keys)}
        try:
            text = await self._fetch(self._issuer.keys)
            self._keys = await in_thread(lambda _: read_keys(text, self._issuer.algorithms), name="read jwt keys")
        except NotFetched as error:
            log.warning("jwt.keys_not_fetched", **told, error=str(error), kept=len(self._keys))
            return
        self._read_at = self._clock.monotonic()
        if not self._keys:
            log.warning("jwt.no_usable_key", **told, algorithms=self._issuer.algorithms)


def read_keys(text: bytes, algorithms: tuple[str, ...]) -> Keys:
    """Return the keys of a JSON Web Key Set that are for one of these algorithms; others are left out.

    Raises:
        NotFetched: if it is no key set.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise NotFetched("the answer is not JSON") from None
    listed = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(listed, list):
        raise NotFetched("the answer is not a JSON Web Key Set")
    keys: dict[tuple[str, str], AllowedPublicKeys] = {}
    for entry in listed[:MOST_KEYS]:
        for algorithm in algorithms:
            if isinstance(entry, dict) and _is_for(entry, algorithm) and (key := _key(entry, algorithm)) is not None:
                keys.setdefault((entry["kid"], algorithm), key)
    return keys


def _is_for(entry: Mapping[str, Any], algorithm: str) -> bool:
    """Return whether an entry of a key set has an id, and says nothing against checking signatures by an algorithm."""
    kind, curve = ALGORITHMS[algorithm]
    uses = entry.get("key_ops", ["verify"])
    return (
        isinstance(entry.get("kid"), str)
        and entry.get("kty") == kind
        and (curve is None or entry.get("crv") == curve)
        and entry.get("alg", algorithm) == algorithm
        and entry.get("use", "sig") == "sig"
        and isinstance(uses, list)
        and "verify" in uses
    )


def _key(entry: Mapping[str, Any], algorithm: str) -> "AllowedPublicKeys | None":
    """Return the public key of an entry; None if it is none, or a weak one."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415 (an extra, 80 ms)
    from jwt import PyJWK, PyJWTError  # noqa: PLC0415

    try:
        key: AllowedPublicKeys = PyJWK({part: entry[part] for part in _PUBLIC_PARTS & entry.keys()}, algorithm).key
    except (PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key, RSAPublicKey) and (
        key.key_size not in RSA_BITS or key.public_numbers().e.bit_length() > LONGEST_EXPONENT
    ):
        return None
    return key
