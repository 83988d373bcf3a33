"""Operations on namespaces: their settings, and whether there is anything in them."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from functools import lru_cache
from typing import Any

from schedule_grpc.database import Operation, Row
from schedule_grpc.domain.access.audit import Author, Entry
from schedule_grpc.domain.access.namespace import DEFAULT_LIMITS, Limits, Namespace
from schedule_grpc.domain.canonical_json import encode
from schedule_grpc.runtime.clock import to_micros
from schedule_grpc.store.columns import Columns
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.with_events import WithEvents

NAMES = tuple(each.name for each in fields(Limits))


class NamespaceInUse(Exception):
    """A namespace has tasks, or the history of deleted ones: undoes the whole of its deletion."""

    def __init__(self, *, living: bool) -> None:
        super().__init__(living)
        self.living = living
        """Whether it has living tasks; else only history is left."""


def find_namespace(name: str) -> Operation[Namespace | None]:
    """Read the settings of a namespace."""
    rows = yield QUERIES.find_namespace, {"name": name}
    return _namespace_of(rows[0]) if rows else None


def list_namespaces(after: str, limit: int) -> Operation[tuple[Namespace, ...]]:
    """Read namespaces in the order of their names."""
    rows = yield QUERIES.list_namespaces, {"after": after, "limit": limit}
    return tuple(_namespace_of(row) for row in rows)


def running_shares() -> Operation[dict[str, float]]:
    """Read the shares of namespaces that have one."""
    rows = yield QUERIES.namespaces_with_share, {}
    shares = {row["name"]: limits_of(row["limits"]).running_share for row in rows}
    return {name: share for name, share in shares.items() if share is not None}


def create_namespace(new: Namespace, author: Author | None) -> Operation[WithEvents[bool]]:
    """Create a namespace, unless there is one of that name; return whether it was created."""
    rows = yield QUERIES.insert_namespace, _columns(new) | {"create_time": to_micros(new.create_time)}
    return bool(rows), _entries(None, new, author) if rows else ()


def update_namespace(before: Namespace, after: Namespace, author: Author | None) -> Operation[WithEvents[bool]]:
    """Compare-and-set the settings of a namespace; return whether they were still as they were read."""
    rows = yield QUERIES.update_namespace, _columns(after) | {"read_version": before.version}
    return bool(rows), _entries(before, after, author) if rows else ()


def delete_namespace(before: Namespace, author: Author | None) -> Operation[WithEvents[bool]]:
    """Delete a namespace, if its settings are as they were read; return whether it was deleted.

    Raises:
        NamespaceInUse: if it has tasks, or history.
    """
    held = yield QUERIES.hold_namespace, {"name": before.name}
    if not held or held[0]["version"] != before.version:
        return False, ()
    # In a statement of its own: it sees the tasks of transactions that ended while this one waited for the namespace.
    (found,) = yield QUERIES.tasks_in_namespace, {"name": before.name}
    if found["living"] or found["deleted"]:
        raise NamespaceInUse(living=bool(found["living"]))
    yield QUERIES.delete_namespace, {"name": before.name}
    return True, _entries(before, None, author)


def _entries(before: Namespace | None, after: Namespace | None, author: Author | None) -> Sequence[Entry]:
    there = after or before
    if there is None or author is None or not author.caller.is_audited:
        return ()
    changed = []
    if before is not None and after is not None:
        limits = (f"limits.{name}" for name in NAMES if getattr(before.limits, name) != getattr(after.limits, name))
        changed = [*(["handlers"] if before.handlers != after.handlers else []), *limits]
    entry = Entry(
        author=author,
        namespace=there.name,
        resource=there.name,
        changed=tuple(changed),
        before_etag="" if before is None else before.etag,
        after_etag="" if after is None else after.etag,
    )
    return (entry,)


def _columns(namespace: Namespace) -> dict[str, Any]:
    return {
        "name": namespace.name,
        "limits": encode(asdict(namespace.limits)),
        "handlers": encode(list(namespace.handlers)),
        "version": namespace.version,
    }


def _namespace_of(row: Row) -> Namespace:
    """Return the namespace in a row; a pattern of handlers that cannot be read allows none."""
    return Namespace(
        name=row["name"],
        handlers=_handlers(row["handlers"]),
        limits=limits_of(row["limits"]),
        create_time=Columns().required_instant("create_time", row["create_time"]),
        version=Columns().count("version", row["version"]),
    )


def _handlers(text: str) -> tuple[str, ...]:
    patterns = Columns().json("handlers", text)
    return tuple(each for each in patterns if isinstance(each, str)) if isinstance(patterns, list) else ()


@lru_cache(maxsize=256)
def limits_of(text: str) -> Limits:
    """Return stored limits. One that is not there, or that no caller could have set, has its default."""
    stored = Columns().json_object("limits", text)
    kept = {}
    for name in NAMES:
        value = stored.get(name, getattr(DEFAULT_LIMITS, name))
        is_number = type(value) is int or (name == "running_share" and type(value) is float)
        if value is None or (is_number and not any(Limits(**{name: value}).violations())):
            kept[name] = value
    return Limits(**kept)
