"""Issuers of JSON Web Tokens: how their tokens are signed, how long these live, and what their subjects may do."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

from schedule_grpc.domain.access.grant import Grant
from schedule_grpc.text.secrets import shown

ALGORITHMS: Mapping[str, tuple[str, str | None]] = MappingProxyType(
    {
        **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
        "ES256": ("EC", "P-256"),
        "ES384": ("EC", "P-384"),
        "ES512": ("EC", "P-521"),
        "EdDSA": ("OKP", "Ed25519"),
    }
)
"""The algorithms that an issuer may use, each with its keys' type and curve.

All of them have a public key: ``none`` has no key, and that of HS256 would be a secret shared with the issuer."""
LONGEST_SUBJECT = 255
"""Characters of a subject, by OpenID Connect."""

_SUBJECT = re.compile(rf"[!-~](?:[ -~]{{0,{LONGEST_SUBJECT - 2}}}[!-~])?")
_SUBJECT_RULE = re.compile(r"[!-)+-~]+(?:(?<=[:/|])\*)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class KeySource:
    """The place of an issuer's public keys: a JSON Web Key Set (RFC 7517) behind a URL, or in a file."""

    url: str = ""
    file: Path | None = None
    """Used where ``url`` is empty."""
    ca_file: Path | None = None
    """Authorities, in PEM, that are trusted for the URL beside those of the machine."""
    token_file: Path | None = None
    """The file of a bearer token that is sent to the URL; read anew for each request."""

    def __str__(self) -> str:
        return shown(self.url) if self.url else str(self.file)


@dataclass(frozen=True, kw_only=True, slots=True)
class SubjectRule:
    """The grants of a subject, or of all subjects that begin alike."""

    subject: str
    """A subject; ``*`` at the end, after ``:``, ``/`` or ``|``, stands for any rest."""
    grants: tuple[Grant, ...]

    def matches(self, subject: str) -> bool:
        """Return whether the rule is for a subject."""
        if self.subject.endswith("*"):
            beginning = self.subject[:-1]
            return subject.startswith(beginning) and len(subject) > len(beginning)
        return subject == self.subject


@dataclass(frozen=True, kw_only=True, slots=True)
class JwtIssuer:
    """An issuer whose tokens are accepted."""

    name: str
    """The claim ``iss`` of its tokens."""
    audience: str
    """This service, as the claim ``aud`` of a token names it."""
    keys: KeySource
    subjects: tuple[SubjectRule, ...]
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    leeway: timedelta = timedelta(minutes=1)
    """How much the issuer's clock may differ from ours."""
    max_lifetime: timedelta = timedelta(hours=1)
    """The longest time from a token's ``iat`` to its ``exp``."""

    def grants_of(self, subject: str) -> tuple[Grant, ...]:
        """Return the grants of a subject: those of all rules for it, each once."""
        return tuple(dict.fromkeys(grant for rule in self.subjects if rule.matches(subject) for grant in rule.grants))


def is_subject(text: object) -> bool:
    """Return whether a claim can be a subject: printable ASCII, without blanks around it, not too long."""
    return isinstance(text, str) and len(text) <= LONGEST_SUBJECT and _SUBJECT.fullmatch(text) is not None


def checked_subject_rule(text: str) -> str:
    """Return a subject, which may end in ``:*``, ``/*`` or ``|*``.

    Raises:
        ValueError: if it is none.
    """
    if len(text) > LONGEST_SUBJECT or _SUBJECT_RULE.fullmatch(text) is None:
        raise ValueError(
            f"{text!r:.200} is not a subject: printable ASCII without blanks; * only at the end, after ':', '/' or '|'"
        )
    return text
