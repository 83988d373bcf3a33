"""Callers without a key in settings: certificates ([[auth.certificates]]) and tokens of issuers ([[auth.jwt]])."""

import re
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from schedule_grpc.access.certificates import CertificateRule, checked_common_name, checked_spiffe_rule
from schedule_grpc.access.jwt_rules import ALGORITHMS, JwtIssuer, KeySource, SubjectRule, checked_subject_rule
from schedule_grpc.domain.access.grant import Grant, read_grants
from schedule_grpc.domain.durations import DAY, HOUR, MINUTE, SECOND, written
from schedule_grpc.errors import InvalidArgument
from schedule_grpc.settings.values import NAMES, TABLES, duration, is_loopback
from schedule_grpc.text.secrets import are_hosts, shown

LONGEST_LEEWAY = 5 * MINUTE
LONGEST_LIFETIME = 7 * DAY
LONGEST_NAME = 500
"""Characters of an issuer or an audience."""
_NOT_IN_HOST = re.compile(r"[?#,\\]")


def _checked_grants(texts: list[str]) -> list[str]:
    if not texts:
        raise ValueError("names no grant such as run@reports")
    _grants(texts)
    return texts


def _grants(texts: list[str]) -> tuple[Grant, ...]:
    try:
        return read_grants(texts)
    except InvalidArgument as error:
        raise ValueError("; ".join(violation.reason for violation in error.violations)) from None


def _checked_algorithm(name: str) -> str:
    if name not in ALGORITHMS:
        raise ValueError(f"{name!r} is none of {', '.join(ALGORITHMS)}")
    return name


def _checked_name(text: str) -> str:
    if not 0 < len(text) <= LONGEST_NAME or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"is not 1 to {LONGEST_NAME} printable characters of ASCII without blanks")
    return text


def _checked_url(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    host = rest.partition("/")[0]
    is_readable = separator and host and url.isascii() and url.isprintable() and not _NOT_IN_HOST.search(host)
    if not is_readable or " " in url or not are_hosts(host):
        raise ValueError(f"{shown(url)!r} is not a URL such as https://issuer.example/keys, without user and password")
    if scheme != "https" and not (scheme == "http" and is_loopback(urlsplit(url).hostname or "")):
        raise ValueError(f"{shown(url)!r} is not https:// (http:// only on this machine)")
    return url


def _within(least: timedelta, most: timedelta) -> AfterValidator:
    def checked(value: timedelta) -> timedelta:
        if not least <= value <= most:
            raise ValueError(f"{written(value)} is not from {written(least)} to {written(most)}")
        return value

    return AfterValidator(checked)


GrantTexts: TypeAlias = Annotated[list[str], NAMES, AfterValidator(_checked_grants)]
SpiffeTexts: TypeAlias = Annotated[list[Annotated[str, AfterValidator(checked_spiffe_rule)]], NAMES]
"""``[auth] denied``: SPIFFE ids that are refused whatever the rules say."""
_Name: TypeAlias = Annotated[str, AfterValidator(_checked_name)]


class CertificateOptions(BaseModel):
    """One table of ``[[auth.certificates]]``: a SPIFFE id or a common name, and its grants."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    spiffe: Annotated[str, AfterValidator(checked_spiffe_rule)] | None = None
    common_name: Annotated[str, AfterValidator(checked_common_name)] | None = None
    grants: GrantTexts

    @model_validator(mode="after")
    def _names_one(self) -> "CertificateOptions":
        if (self.spiffe is None) == (self.common_name is None):
            raise ValueError("names either spiffe or common_name")
        return self

    def rule(self) -> CertificateRule:
        """Return the rule."""
        return CertificateRule(
            spiffe=self.spiffe or "", common_name=self.common_name or "", grants=_grants(self.grants)
        )


class JwtSubjectOptions(BaseModel):
    """One table of ``[[auth.jwt.subjects]]``: a subject, and its grants."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sub: Annotated[str, AfterValidator(checked_subject_rule)]
    grants: GrantTexts

    def rule(self) -> SubjectRule:
        """Return the rule."""
        return SubjectRule(subject=self.sub, grants=_grants(self.grants))


class JwtOptions(BaseModel):
    """One table of ``[[auth.jwt]]``: an issuer of tokens, its keys and its subjects."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: _Name
    audience: _Name
    jwks_url: Annotated[str, AfterValidator(_checked_url)] | None = None
    jwks_file: Path | None = None
    jwks_token_file: Path | None = None
    ca_file: Path | None = None
    algorithms: Annotated[list[Annotated[str, AfterValidator(_checked_algorithm)]], NAMES, Field(min_length=1)] = [
        "RS256",
        "ES256",
    ]
    leeway: Annotated[timedelta, BeforeValidator(duration), _within(timedelta(0), LONGEST_LEEWAY)] = MINUTE
    max_lifetime: Annotated[timedelta, BeforeValidator(duration), _within(SECOND, LONGEST_LIFETIME)] = HOUR
    subjects: Annotated[tuple[JwtSubjectOptions, ...], TABLES, Field(min_length=1)]

    @model_validator(mode="after")
    def _has_one_source(self) -> "JwtOptions":
        if (self.jwks_url is None) == (self.jwks_file is None):
            raise ValueError("names either jwks_url or jwks_file")
        if self.jwks_url is None and (self.ca_file or self.jwks_token_file):
            raise ValueError("ca_file and jwks_token_file are for jwks_url")
        return self

    def absolute(self) -> "JwtOptions":
        """Return this issuer with absolute paths."""
        paths = {name: getattr(self, name) for name in ("jwks_file", "jwks_token_file", "ca_file")}
        return self.model_copy(update={name: Path.cwd() / path for name, path in paths.items() if path is not None})

    def opened(self) -> JwtIssuer:
        """Return the issuer."""
        source = KeySource(
            url=self.jwks_url or "", file=self.jwks_file, ca_file=self.ca_file, token_file=self.jwks_token_file
        )
        return JwtIssuer(
            name=self.issuer,
            audience=self.audience,
            keys=source,
            subjects=tuple(each.rule() for each in self.subjects),
            algorithms=tuple(self.algorithms),
            leeway=self.leeway,
            max_lifetime=self.max_lifetime,
        )


def checked_issuers(issuers: Iterable[JwtOptions]) -> tuple[JwtOptions, ...]:
    """Return issuers, each there once.

    Raises:
        ValueError: naming one that is there twice.
    """
    found = tuple(issuers)
    names = [each.issuer for each in found]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the issuer {name} is there twice: give it one table with all its subjects")
    return found


CertificateTables: TypeAlias = Annotated[tuple[CertificateOptions, ...], TABLES]
"""``[[auth.certificates]]``."""
JwtTables: TypeAlias = Annotated[tuple[JwtOptions, ...], TABLES, AfterValidator(checked_issuers)]
"""``[[auth.jwt]]``."""
