"""Operations on keys. What who may do changes in one order: each change waits at the row of access_version."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from schedule_grpc.database import Operation, Row, Rows
from schedule_grpc.domain.access.audit import Author, Entry
from schedule_grpc.domain.access.grant import Grant
from schedule_grpc.domain.access.keys import KEPT_AFTER_END, NOTED_EVERY, Key, KeyFilter, KeyPlace, Replaced
from schedule_grpc.domain.canonical_json import decode, encode
from schedule_grpc.errors import FailedPrecondition, InvalidArgument, KeyExists
from schedule_grpc.events import KeysChanged
from schedule_grpc.runtime.clock import from_micros, to_micros
from schedule_grpc.store.columns import holds_instant
from schedule_grpc.store.operations.replicas import OFFERS_FOR
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.with_events import WithEvents

KEYS_SINCE = 11
"""The schema version of the first programs that know keys: older ones answer everybody."""
_INSTANTS = ("old_until", "expire_time", "revoke_time", "last_used_time")


def create_key(key: Key, author: Author | None, now: datetime) -> Operation[WithEvents[Key]]:
    """Write a new key, and remove those that ended long ago.

    Raises:
        KeyExists: if a key of its namespace that is not revoked has the name.
        FailedPrecondition: while a server of an older program uses the database.
    """
    version = yield from _next_version()
    old = yield QUERIES.older_programs, {"since": to_micros(now - OFFERS_FOR), "version": KEYS_SINCE}
    if old:
        raise FailedPrecondition(
            "A server of an older version uses this database and asks nobody for a key: stop it first "
            f"({', '.join(row['id'] for row in old)})"
        )
    yield QUERIES.remove_ended_keys, {"before": to_micros(now - KEPT_AFTER_END)}
    if not (yield QUERIES.insert_key, _row_of(key) | {"version": version}):
        raise KeyExists(key.name, key.namespace)
    found = yield from find_key(key.id)
    if found is None:
        raise AssertionError("the key was just written")
    return found, [KeysChanged(), *_entries(None, found, author)]


def change_key(before: Key, after: Key, author: Author | None) -> Operation[WithEvents[bool]]:
    """Write a key that is rotated or revoked; return False, and write nothing, if it is not as it was read."""
    version = yield from _next_version()
    changed = yield QUERIES.update_key, _row_of(after) | {"version": version, "read_version": before.version}
    written = replace(after, version=version)
    return bool(changed), [KeysChanged(), *_entries(before, written, author)] if changed else []


def note_keys_used(key_ids: Sequence[str], now: datetime) -> Operation[WithEvents[None]]:
    """Write the use of keys, where none was written within `NOTED_EVERY`."""
    before = to_micros(now - NOTED_EVERY)
    ids = sorted(set(key_ids))  # servers that write the same rows lock them in one order
    if ids:
        yield QUERIES.note_key_used, [{"id": each, "now": to_micros(now), "before": before} for each in ids]
    return None, ()


def access_version() -> Operation[int]:
    """Read the version of the newest change of who may do what."""
    (row,) = yield QUERIES.access_version, {}
    version: int = row["version"]
    return version


def keys_in_use() -> Operation[tuple[int, tuple[Key, ...]]]:
    """Read the keys that are not revoked, and before them the version: a change in between is noticed at the next."""
    version = yield from access_version()
    return version, _keys((yield QUERIES.keys_in_use, {}))


def find_key(key_id: str) -> Operation[Key | None]:
    """Read the key of an id, revoked or not."""
    rows = yield QUERIES.find_key, {"id": key_id}
    return key_of(rows[0]) if rows else None


def keys_named(name: str) -> Operation[tuple[Key, ...]]:
    """Read the keys of a name that are not revoked."""
    return _keys((yield QUERIES.keys_named, {"name": name}))


def list_keys(chosen: KeyFilter, after: KeyPlace, limit: int) -> Operation[tuple[tuple[Key, ...], KeyPlace | None]]:
    """Read at most ``limit`` keys that follow a place; return them with the place of the last row, None at the end."""
    name, key_id = after
    asked = {"namespace": chosen.namespace, "revoked": int(chosen.show_revoked), "limit": limit}
    rows = yield QUERIES.keys_after, {"name": name, "id": key_id} | asked
    return _keys(rows), (rows[-1]["name"], rows[-1]["id"]) if len(rows) == limit else None


def key_of(row: Row) -> Key | None:
    """Return the key in a row; None if this program cannot read all of it: then nobody is let in by it."""
    try:
        grants = _grants(row["grants"])
        instants = {name: _instant(row[name]) for name in _INSTANTS}
        replaced = None
        if row["old_digest"] is not None and instants["old_until"] is not None:
            replaced = Replaced(until=instants["old_until"], digest=bytes.fromhex(row["old_digest"]))
        return Key(
            id=row["id"],
            name=row["name"],
            grants=grants,
            create_time=_required(row["create_time"]),
            rotate_time=_required(row["rotate_time"]),
            created_by=row["created_by"],
            digest=bytes.fromhex(row["digest"]),
            replaced=replaced,
            expire_time=instants["expire_time"],
            revoke_time=instants["revoke_time"],
            last_used_time=instants["last_used_time"],
            version=row["version"],
        )
    except (ValueError, TypeError, RecursionError, InvalidArgument):
        return None


def _entries(before: Key | None, after: Key, author: Author | None) -> Iterator[Entry]:
    if author is not None and author.caller.is_audited:
        yield Entry(
            author=author,
            namespace=after.namespace,
            resource=after.name,
            changed=() if before is None else tuple(_changed(before, after)),
            before_etag="" if before is None else str(before.version),
            after_etag=str(after.version) if after.revoke_time is None else "",
        )


def _changed(before: Key, after: Key) -> Iterator[str]:
    """Yield the names of what a change of a key gives other values, as callers know them."""
    if before.digest != after.digest:
        yield "text"
    if before.replaced != after.replaced:
        yield "old_text_expire_time"
    yield from (name for name in ("expire_time", "revoke_time") if getattr(before, name) != getattr(after, name))


def _next_version() -> Operation[int]:
    (row,) = yield QUERIES.next_access_version, {}
    version: int = row["version"]
    return version


def _keys(rows: Rows) -> tuple[Key, ...]:
    return tuple(key for row in rows if (key := key_of(row)) is not None)


def _row_of(key: Key) -> dict[str, Any]:
    replaced = key.replaced
    return {
        "id": key.id,
        "name": key.name,
        "namespace": key.namespace,
        "grants": encode([str(grant) for grant in key.grants]),
        "digest": key.digest.hex(),
        "old_digest": None if replaced is None else replaced.digest.hex(),
        "old_until": None if replaced is None else to_micros(replaced.until),
        "create_time": to_micros(key.create_time),
        "rotate_time": to_micros(key.rotate_time),
        "created_by": key.created_by,
        "expire_time": _micros(key.expire_time),
        "revoke_time": _micros(key.revoke_time),
        "last_used_time": _micros(key.last_used_time),
    }


def _grants(text: str) -> tuple[Grant, ...]:
    texts = decode(text)
    if not isinstance(texts, list):
        raise TypeError(f"{type(texts).__name__} is not a list")
    return tuple(map(Grant.read, texts))


def _micros(instant: datetime | None) -> int | None:
    return None if instant is None else to_micros(instant)


def _instant(stored: Any) -> datetime | None:
    return None if stored is None else _required(stored)


def _required(stored: Any) -> datetime:
    if not holds_instant(stored):
        raise ValueError(f"{stored!r} is not an instant")
    return from_micros(stored)
