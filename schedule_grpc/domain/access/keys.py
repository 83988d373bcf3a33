"""Keys: what a server keeps of them, when one is valid, and who may make, rotate and revoke which."""

import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from schedule_grpc.domain.access.caller import Caller
from schedule_grpc.domain.access.grant import ALL, Grant, beyond, read_grants
from schedule_grpc.domain.access.key_text import KeyText
from schedule_grpc.domain.access.namespace import checked_namespace
from schedule_grpc.domain.access.scope import Scope
from schedule_grpc.errors import InvalidArgument, PermissionDenied, Violation

DEFAULT_OVERLAP = timedelta(hours=24)
MAX_OVERLAP = timedelta(days=30)
"""How long the replaced text of a key stays valid."""
MAX_LIFETIME = timedelta(days=3650)
KEPT_AFTER_END = timedelta(days=400)
"""How long a key is listed after it was revoked, or has expired."""
NOTED_EVERY = timedelta(minutes=1)
"""How often the last use of a key is written, at most."""

FIRST_KEY = (
    "a caller without a key is given none; the first one is made by `schedule-grpc keys create --database URL` "
    "while the server is stopped, by `serve --bootstrap-key-file`, or over a unix socket"
)
KeyPlace: TypeAlias = tuple[str, str]
"""The name and the id of a key: its place in the order of keys."""

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Replaced:
    """The text of a key before its rotation, which is accepted for a while."""

    digest: bytes = field(repr=False)
    until: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """A key as a server keeps it: all but its text."""

    id: str
    """Part of the text, and the same after a rotation."""
    name: str
    """Unique among the keys of a namespace that are not revoked."""
    grants: tuple[Grant, ...]
    digest: bytes = field(repr=False)
    """The SHA-256 of the text."""
    create_time: datetime
    rotate_time: datetime
    """When its present text was made."""
    created_by: str
    """The name of the caller that made it."""
    replaced: Replaced | None = None
    expire_time: datetime | None = None
    revoke_time: datetime | None = None
    last_used_time: datetime | None = None
    """Written once in `NOTED_EVERY`, at most."""
    version: int = 0
    """The version of all keys with the newest change of this one."""

    @property
    def namespace(self) -> str:
        """The namespace that owns the key: the only one that its grants name, else ``*``."""
        named = {grant.namespace for grant in self.grants}
        return named.pop() if len(named) == 1 else ALL

    def is_valid(self, now: datetime) -> bool:
        """Return whether the key is neither revoked nor expired."""
        return self.revoke_time is None and (self.expire_time is None or now < self.expire_time)

    def matches(self, digest: bytes, now: datetime) -> bool:
        """Return whether the key is valid, and this is the digest of a text of it that is accepted now."""
        return self.is_valid(now) and self._has(digest, now)

    def had(self, digest: bytes) -> bool:
        """Return whether this is the digest of the key's text or of the one before it, valid or not."""
        return self._has(digest, None)

    def _has(self, digest: bytes, now: datetime | None) -> bool:
        found = hmac.compare_digest(self.digest, digest)
        if self.replaced is not None and (now is None or now < self.replaced.until):
            found |= hmac.compare_digest(self.replaced.digest, digest)
        return found

    @property
    def info(self) -> "KeyInfo":
        """What callers see of the key."""
        return KeyInfo(
            name=self.name,
            id=self.id,
            namespace=self.namespace,
            grants=tuple(map(str, self.grants)),
            create_time=self.create_time,
            created_by=self.created_by,
            rotate_time=self.rotate_time,
            expire_time=self.expire_time,
            revoke_time=self.revoke_time,
            last_used_time=self.last_used_time,
            old_text_expire_time=None if self.replaced is None else self.replaced.until,
        )

    def is_due_to_be_noted(self, now: datetime) -> bool:
        """Return whether a use of the key now is to be written."""
        return self.last_used_time is None or now - self.last_used_time >= NOTED_EVERY


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyInfo:
    """A key as callers see it."""

    name: str
    id: str
    """The part of its text that is no secret; the same after a rotation."""
    namespace: str
    """The only namespace that the grants name, else ``*``."""
    grants: tuple[str, ...]
    """``SCOPE@NAMESPACE`` or ``SCOPE@NAMESPACE/PREFIX``."""
    create_time: datetime
    created_by: str
    """The name of the caller that made it."""
    rotate_time: datetime
    """When its present text was made."""
    expire_time: datetime | None = None
    """None: it does not expire."""
    revoke_time: datetime | None = None
    last_used_time: datetime | None = None
    """Within a minute; None: it was never used."""
    old_text_expire_time: datetime | None = None
    """Until when the text before the last rotation is accepted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewKey:
    """A key, and its text, which is shown this once."""

    key: KeyInfo
    text: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyFilter:
    """The keys to list."""

    namespace: str = ""
    """Of this namespace only; empty: of all that the caller administers."""
    show_revoked: bool = False
    """Also those that are revoked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyPage:
    """A page of keys, in the order of their names."""

    keys: tuple[KeyInfo, ...]
    next_page_token: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """The caller as a server knows it."""

    name: str
    """``key:NAME``, the name of a certificate, ``socket`` or ``anonymous``."""
    grants: tuple[str, ...]
    namespace: str
    """The namespace of its calls that name none."""
    key: KeyInfo | None = None
    """The key that it uses, if it uses one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRequest:
    """A key that a caller wants."""

    name: str
    grants: Sequence[str]
    lifetime: timedelta | None = None
    """None: it does not expire."""

    def checked_grants(self) -> tuple[Grant, ...]:
        """Return the grants, if the request is well formed.

        Raises:
            InvalidArgument: naming each field that is not.
        """
        violations: list[Violation] = []
        grants: tuple[Grant, ...] = ()
        if not _NAME.fullmatch(self.name):
            violations.append(Violation(field="name", reason="must be a-z, then a-z, 0-9 and -, at most 63 characters"))
        if not self.grants:
            violations.append(Violation(field="grants", reason="at least one is required, such as run@reports"))
        if self.lifetime is not None:
            violations += _violations("lifetime", self.lifetime, MAX_LIFETIME, least=timedelta(seconds=1))
        try:
            grants = read_grants(self.grants)
        except InvalidArgument as error:
            violations += error.violations
        if violations:
            raise InvalidArgument(*violations)
        return grants


def require_identified(caller: Caller) -> None:
    """Check that a caller that would receive a key's text has proven who it is.

    Otherwise the first caller of a new server would make itself its administrator.

    Raises:
        PermissionDenied: if it has not; naming the ways to a first key.
    """
    if not caller.is_identified:
        raise PermissionDenied(Scope.ADMIN, ALL, why=FIRST_KEY)


def made(request: KeyRequest, text: KeyText, maker: Caller, now: datetime) -> Key:
    """Return the key that a caller's request makes; what its grants allow, the caller may do itself.

    Raises:
        InvalidArgument: if the request is not well formed.
        PermissionDenied: if the caller may not give one of the grants, or has not proven who it is.
    """
    grants = request.checked_grants()
    require_identified(maker)
    require_admin(maker, grants)
    return Key(
        id=text.id,
        name=request.name,
        grants=grants,
        digest=text.digest,
        create_time=now,
        rotate_time=now,
        created_by=maker.name,
        expire_time=None if request.lifetime is None else now + request.lifetime,
    )


def rotated(key: Key, text: KeyText, overlap: timedelta, now: datetime) -> Key:
    """Return the key with a new text; the present one is accepted for the overlap, and not after its own end.

    A key that expires does so as long after its rotation as it would have done after its present text was made.

    Raises:
        InvalidArgument: if the overlap is negative, or longer than `MAX_OVERLAP`.
    """
    if violations := _violations("overlap", overlap, MAX_OVERLAP):
        raise InvalidArgument(*violations)
    until = now + overlap if key.expire_time is None else min(now + overlap, key.expire_time)
    return replace(
        key,
        digest=text.digest,
        replaced=Replaced(digest=key.digest, until=until) if until > now else None,
        rotate_time=now,
        expire_time=None if key.expire_time is None else now + (key.expire_time - key.rotate_time),
    )


def revoked(key: Key, now: datetime) -> Key:
    """Return the key as it is once it is revoked; the same, if it was."""
    return key if key.revoke_time is not None else replace(key, revoke_time=now)


def manages(caller: Caller, key: Key) -> bool:
    """Return whether a caller may see, rotate and revoke a key: it could have made it."""
    return _refused(caller, key.grants) is None


def require_admin(caller: Caller, grants: Iterable[Grant]) -> None:
    """Check that a caller may give grants: it administers each namespace that they name, and holds what they allow.

    Raises:
        PermissionDenied: if it may not.
    """
    refused = _refused(caller, grants)
    if refused is not None:
        why = f"to give {refused}"
        raise PermissionDenied(Scope.ADMIN, refused.namespace, why=why)


def checked_home(field: str, text: str) -> str:
    """Return a namespace that owns keys: a namespace's name, or ``*``.

    Raises:
        InvalidArgument: if it is neither.
    """
    return text if text == ALL else checked_namespace(field, text)


def _refused(caller: Caller, grants: Iterable[Grant]) -> Grant | None:
    """Return the first grant that a caller may not give."""
    given = tuple(grants)
    refused = (*(each for each in given if not caller.may(Scope.ADMIN, each.namespace)), *beyond(given, caller.grants))
    return next(iter(refused), None)


def _violations(field: str, value: timedelta, most: timedelta, *, least: timedelta = timedelta(0)) -> list[Violation]:
    if least <= value <= most:
        return []
    reason = f"must be at least {least.total_seconds():.0f} s and at most {most.days} days"
    return [Violation(field=field, reason=reason)]
