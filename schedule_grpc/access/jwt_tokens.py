"""JSON Web Tokens: a caller is known by a token that an issuer signed, of Kubernetes, a CI system or a login service.

Anybody may send anything as a token. So its size is bounded, and it is checked in an order in which nothing is believed
before its signature: header and issuer choose a key, the key's signature is checked, then the claims are judged.
PyJWT checks signatures only (its layer JWS); of claims and time it is not asked.
"""

import json
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import structlog

from schedule_grpc.access.jwks import fetch_by
from schedule_grpc.access.jwt_claims import TokenRefused, checked_claims
from schedule_grpc.access.jwt_keys import Fetch, IssuerKeys
from schedule_grpc.access.jwt_rules import JwtIssuer
from schedule_grpc.access.proven import Proven
from schedule_grpc.domain.access.caller import Caller
from schedule_grpc.errors import ConfigurationError
from schedule_grpc.runtime.clock import Clock

if TYPE_CHECKING:
    from jwt import PyJWS

log = structlog.get_logger(__name__)

LONGEST_TOKEN = 16 * 1024
"""Characters. To check one of this size takes about a millisecond."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class JwtIssuers:
    """The issuers whose tokens are accepted."""

    def __init__(self, issuers: Iterable[JwtIssuer], clock: Clock, fetch: Fetch | None = None) -> None:
        """Take the issuers.

        Args:
            issuers: Each with a name of its own.
            clock: Tells when a token is over.
            fetch: Fetches an issuer's keys; None: from their URL or file.

        Raises:
            ConfigurationError: if the extra ``jwt`` is not installed.
        """
        self._clock = clock
        self._issuers = {issuer.name: issuer for issuer in issuers}
        self._signatures = {name: _signatures(issuer.algorithms) for name, issuer in self._issuers.items()}
        fetch = fetch or fetch_by(clock)
        self._keys = {name: IssuerKeys(issuer, clock, fetch) for name, issuer in self._issuers.items()}

    async def caller(self, token: str) -> Proven | None:
        """Return the caller that a token proves, and until when; None if it proves nothing.

        Why a token proves nothing stands in the log, at the level debug; the answer to its sender does not say.
        """
        try:
            return await self._proven(token)
        except TokenRefused as refused:
            log.debug("jwt.refused", reason=str(refused))
            return None

    async def aclose(self) -> None:
        """End the requests for keys that are under way."""
        for keys in self._keys.values():
            await keys.aclose()

    async def _proven(self, token: str) -> Proven:
        header, unverified = _read(token)
        name = unverified.get("iss")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise TokenRefused("its issuer (iss) is not configured")
        claims = await self._signed_claims(token, header, issuer)
        checked = checked_claims(claims, issuer, self._clock.now())
        grants = issuer.grants_of(checked.subject)
        if not grants:
            raise TokenRefused("no rule is for its subject (sub)")
        return Proven(Caller(name=f"jwt:{checked.subject}", grants=grants), checked.until)

    async def _signed_claims(self, token: str, header: dict[str, Any], issuer: JwtIssuer) -> dict[str, Any]:
        from jwt import PyJWTError  # noqa: PLC0415 (an extra, 80 ms)

        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in issuer.algorithms:
            raise TokenRefused("its algorithm (alg) is not configured")
        if "crit" in header or "b64" in header:
            raise TokenRefused("it asks for an extension (crit)")
        if not isinstance(key_id, str):
            raise TokenRefused("it names no key (kid)")
        key = await self._keys[issuer.name].find(key_id, algorithm)
        if key is None:
            raise TokenRefused("the issuer has no such key (kid)")
        try:
            payload = self._signatures[issuer.name].decode_complete(token, key, algorithms=[algorithm])["payload"]
        except PyJWTError:
            raise TokenRefused("its signature is wrong") from None
        return _object(lambda: json.loads(payload))


def _read(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the claims of a token, neither of them verified."""
    from jwt import PyJWS, PyJWTError  # noqa: PLC0415 (an extra, 80 ms)

    if len(token) > LONGEST_TOKEN or _TOKEN.fullmatch(token) is None:
        raise TokenRefused("it is no token, or longer than 16 KiB")
    try:
        parts = PyJWS().decode_complete(token, options={"verify_signature": False})
    except PyJWTError:
        raise TokenRefused("it cannot be read") from None
    return parts["header"], _object(lambda: json.loads(parts["payload"]))


def _object(read: Callable[[], Any]) -> dict[str, Any]:
    try:
        found = read()
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise TokenRefused("it has no claims")
    return found


def _signatures(algorithms: tuple[str, ...]) -> "PyJWS":
    try:
        from jwt import PyJWS  # noqa: PLC0415 (an extra, 80 ms)
        from jwt.algorithms import has_crypto  # noqa: PLC0415
    except ImportError:
        has_crypto = False
    if not has_crypto:
        raise ConfigurationError("auth.jwt needs an extra: pip install 'schedule-grpc[jwt]'")
    return PyJWS(algorithms=list(algorithms), options={"enforce_minimum_key_length": True})
