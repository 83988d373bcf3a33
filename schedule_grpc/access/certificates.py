"""Client certificates: their identity, and the grants that rules give it.

TLS has checked before that an authority of the listener (``client_ca``) signed the certificate, and that it is valid
now. Here only its names are read. An identity is the certificate's one SPIFFE id, or its common name where a rule says
so.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from schedule_grpc.domain.access.caller import Caller
from schedule_grpc.domain.access.grant import Grant
from schedule_grpc.text.secrets import shown

ANY_SEGMENT = "*"
"""Stands for any one segment at the end of a rule's path."""
LONGEST_ID = 2048
"""Bytes of a SPIFFE id, by its standard."""
LONGEST_COMMON_NAME = 64
"""Characters of a common name, by X.520."""

# https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md
_SEGMENT = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+"
_SPIFFE = re.compile(rf"spiffe://(?P<domain>[a-z0-9._-]{{1,255}})(?P<path>(?:/{_SEGMENT})+)")
_SPIFFE_RULE = re.compile(rf"spiffe://[a-z0-9._-]{{1,255}}(?:/{_SEGMENT})*/(?:{_SEGMENT}|\*)")
_ESCAPED = re.compile(r"\\.", re.DOTALL)
_COMMON_NAME_PART = re.compile(r"(?:^|[,+])CN=")


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """The names in the certificate of a connection."""

    uris: tuple[str, ...] = ()
    """The subject alternative names of the kind URI, in order."""
    common_name: str = ""
    """The common name of the subject; empty if it has none, or several."""

    @classmethod
    def of_grpc(cls, context: Mapping[str, Iterable[bytes]]) -> "PeerCertificate | None":
        """Return the certificate of a call, from what gRPC's ``auth_context()`` returns; None if there is none.

        The URIs are those of ``peer_uri``. ``x509_subject_alternative_name`` has names of every kind in one list, where
        a DNS name that is spelt ``spiffe://...`` looks like a URI; ``peer_spiffe_id`` is missing if there are two.
        """
        if "x509_subject" not in context:
            return None
        subject = _ESCAPED.sub("", _text(*context["x509_subject"]))
        names = [*context.get("x509_common_name", ())]
        has_one = len(names) == 1 and len(_COMMON_NAME_PART.findall(subject)) == 1  # gRPC gives the first of several
        return cls(
            uris=tuple(_text(uri) for uri in context.get("peer_uri", ())),
            common_name=_text(names[0]) if has_one else "",
        )

    @classmethod
    def of_python(cls, certificate: Mapping[str, Any] | None) -> "PeerCertificate | None":
        """Return the certificate of a connection, from what ``SSLSocket.getpeercert()`` returns; None if there is none.

        ``getpeercert()`` is None where the peer sent no certificate, and empty where it was not checked.
        """
        if not certificate:
            return None
        subject = [pair for part in certificate.get("subject", ()) for pair in part]
        names = [value for kind, value in subject if kind == "commonName"]
        return cls(
            uris=tuple(value for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"),
            common_name=names[0] if len(names) == 1 else "",
        )

    @property
    def spiffe_id(self) -> str | None:
        """The SPIFFE id; None if there is no URI, another kind of URI, or more than one URI, whatever they are."""
        return self.uris[0] if len(self.uris) == 1 and is_spiffe_id(self.uris[0]) else None


def _text(*parts: bytes) -> str:
    return b",".join(parts).decode("utf-8", "backslashreplace")


@dataclass(frozen=True, kw_only=True, slots=True)
class CertificateRule:
    """The grants of certificates with a SPIFFE id, or with a common name."""

    grants: tuple[Grant, ...]
    spiffe: str = ""
    """A SPIFFE id; its last segment may be ``*``."""
    common_name: str = ""
    """A common name; used only where ``spiffe`` is empty."""


class CertificateIdentities:
    """The callers that certificates prove, by rules."""

    def __init__(self, rules: Iterable[CertificateRule] = (), denied: Iterable[str] = ()) -> None:
        """Take the rules, and the SPIFFE ids (the last segment may be ``*``) that are refused whatever the rules say.

        Raises:
            ValueError: if a rule names neither a SPIFFE id nor a common name, or both, or one that cannot be; or if
                ``denied`` has something else than SPIFFE ids.
        """
        self._by_spiffe: dict[str, tuple[Grant, ...]] = {}
        self._by_common_name: dict[str, tuple[Grant, ...]] = {}
        for rule in rules:
            if bool(rule.spiffe) == bool(rule.common_name):
                raise ValueError("a rule for certificates names either spiffe or common_name")
            if rule.spiffe:
                _add(self._by_spiffe, checked_spiffe_rule(rule.spiffe), rule.grants)
            else:
                _add(self._by_common_name, checked_common_name(rule.common_name), rule.grants)
        self._denied = frozenset(map(checked_spiffe_rule, denied))

    def caller(self, certificate: PeerCertificate) -> Caller | None:
        """Return the caller that a certificate proves; None if no rule is for it, or it is denied.

        Grants of all rules for it add up. A certificate with URIs is known by these alone: its common name counts for
        nothing, so that a workload cannot escape from a denied id, or from its trust domain, by a name of its choice.
        """
        if certificate.uris:
            return self._by_id(certificate.spiffe_id)
        grants = self._by_common_name.get(certificate.common_name)
        return Caller(name=f"cn:{certificate.common_name}", grants=grants) if grants else None

    def _by_id(self, spiffe_id: str | None) -> Caller | None:
        if spiffe_id is None:
            return None
        rules = _rules_for(spiffe_id)
        if not self._denied.isdisjoint(rules):
            return None
        grants = tuple(dict.fromkeys(grant for rule in rules for grant in self._by_spiffe.get(rule, ())))
        return Caller(name=spiffe_id, grants=grants) if grants else None


def _add(rules: dict[str, tuple[Grant, ...]], name: str, grants: tuple[Grant, ...]) -> None:
    rules[name] = tuple(dict.fromkeys((*rules.get(name, ()), *grants)))


def _rules_for(spiffe_id: str) -> tuple[str, str]:
    """Return the two spellings of a rule for an id: itself, and with any last segment."""
    return spiffe_id, f"{spiffe_id.rpartition('/')[0]}/{ANY_SEGMENT}"


def is_spiffe_id(text: str) -> bool:
    """Return whether a text is the SPIFFE id of a workload: a trust domain and a path."""
    return len(text) <= LONGEST_ID and _SPIFFE.fullmatch(text) is not None


def checked_spiffe_rule(text: str) -> str:
    """Return a SPIFFE id, whose last segment may be ``*``.

    Raises:
        ValueError: if it is none.
    """
    if len(text) > LONGEST_ID or _SPIFFE_RULE.fullmatch(text) is None:
        raise ValueError(
            f"{shown(text[:200])!r} is not a SPIFFE id such as spiffe://prod.example/ns/reports/sa/worker or .../sa/*"
        )
    return text


def checked_common_name(text: str) -> str:
    """Return a common name that a rule may have.

    Raises:
        ValueError: if it is none.
    """
    if not 0 < len(text) <= LONGEST_COMMON_NAME or not text.isprintable() or text != text.strip():
        raise ValueError(f"{text!r:.200} is not a common name of up to {LONGEST_COMMON_NAME} printable characters")
    return text
