"""Policies as they are stored: JSON by the last part of each path, which no other path has."""

from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any

from schedule_grpc.domain.canonical_json import encode
from schedule_grpc.domain.policy import Policy
from schedule_grpc.runtime.clock import MICROSECOND, from_micros, to_micros
from schedule_grpc.store.columns import Columns

POLICY = Policy()
POLICY_FIELDS = POLICY.fields()
_DURATIONS = frozenset(path for path, value in POLICY_FIELDS.items() if isinstance(value, timedelta))
_INSTANTS = frozenset({"window.start_time", "window.end_time"})
_FLOATS = frozenset(path for path, value in POLICY_FIELDS.items() if isinstance(value, float))
POLICIES_KEPT = 1000
"""Policies and their texts: most tasks have one of a few."""


@lru_cache(maxsize=POLICIES_KEPT, typed=True)
def stored_policy(text: str) -> tuple[Policy, Columns]:
    """Return a stored policy, and what cannot be read of it: tasks are many, their policies are few."""
    reading = Columns()
    values: dict[str, Any] = {}
    for name, value in reading.json_object("policy", text).items():
        path = _PATHS.get(name)
        if path is None:
            reading.cannot_read("policy", text, f"this program knows no {name!r}")
            continue
        try:
            values[path] = _loaded(path, value)
        except (ValueError, TypeError, OverflowError):
            reading.cannot_read("policy", text, f"this program does not know the value {value!r}", path)
    found = POLICY.with_fields(values)
    for violation in found.violations():
        reading.cannot_read("policy", text, violation.reason, violation.field.removeprefix("policy."))
    return found, reading


@lru_cache(maxsize=POLICIES_KEPT)
def policy_text(policy: Policy) -> str:
    """Return a policy as its column holds it."""
    # A multiplier of 2 is one of 2.0: equal policies have one text.
    values = {path: float(value) if path in _FLOATS else value for path, value in policy.fields().items()}
    return encode({_stored_name(path): _stored(value) for path, value in values.items()})


def _stored_name(path: str) -> str:
    """Return the last part of a path, which no other path has, with its unit."""
    name = path.rpartition(".")[2]
    return f"{name}_us" if path in _DURATIONS or path in _INSTANTS else name


def _stored(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value // MICROSECOND
    return to_micros(value) if isinstance(value, datetime) else value


def _loaded(path: str, value: Any) -> Any:
    if value is None:
        return None
    if path in _DURATIONS:
        return timedelta(microseconds=value)
    if path in _INSTANTS:
        return from_micros(value)
    kind = type(POLICY_FIELDS[path])
    if issubclass(kind, StrEnum):
        return kind(value)
    if isinstance(value, bool) is not (kind is bool) or not isinstance(value, int | float if kind is float else kind):
        raise TypeError(path)
    return value


_PATHS = {_stored_name(path): path for path in POLICY_FIELDS}
