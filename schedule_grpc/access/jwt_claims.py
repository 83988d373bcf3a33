"""The claims of a token whose signature was checked: judged by the service's own clock, never by a library's."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from schedule_grpc.access.jwt_rules import JwtIssuer, is_subject
from schedule_grpc.runtime.clock import EPOCH

_LATEST = 253_402_300_799
"""Seconds from 1970 to the end of the year 9999: a larger number is no date."""


class TokenRefused(Exception):
    """A token that proves nothing; the text is the reason, and has nothing of the token."""


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a token that is accepted."""

    subject: str
    until: datetime
    """When it is no longer accepted: its end, and the leeway."""


def checked_claims(claims: Mapping[str, Any], issuer: JwtIssuer, now: datetime) -> Claims:
    """Return the claims that matter.

    Raises:
        TokenRefused: if one is missing or is no such claim; if the token is for another audience, is over, or is from
            the future; or if its lifetime is too long.
    """
    if claims.get("iss") != issuer.name:
        raise TokenRefused("it is another issuer's")
    audience = claims.get("aud")
    if issuer.audience not in (audience if isinstance(audience, list) else [audience]):
        raise TokenRefused("it is for another audience (aud)")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not is_subject(subject):
        raise TokenRefused("it has no subject (sub), or one that cannot be")
    begin, end = _instant(claims, "iat"), _instant(claims, "exp")
    valid_from = _instant(claims, "nbf") if "nbf" in claims else begin
    seconds, leeway = (now - EPOCH).total_seconds(), issuer.leeway.total_seconds()
    if seconds >= end + leeway:
        raise TokenRefused("it has expired (exp)")
    if max(begin, valid_from) > seconds + leeway:
        raise TokenRefused("it is not valid yet (iat, nbf)")
    if end - begin > issuer.max_lifetime.total_seconds():
        raise TokenRefused("its lifetime, from iat to exp, is longer than max_lifetime")
    return Claims(subject, EPOCH + timedelta(seconds=end) + issuer.leeway)


def _instant(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        raise TokenRefused(f"it has no time {name}, or one that cannot be")
    return value
