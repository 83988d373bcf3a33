"""Policies between our values and the contract's messages: every field by its path, as Policy.fields names them."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from schedule_grpc.domain.policy import DEFAULT, PATHS, CatchUp, Overlap, Policy
from schedule_grpc.formats.protobuf.values import Reader, duration_from, duration_to, instant_from, instant_to
from schedule_grpc.pb import schedule_pb2 as pb

POLICIES_KEPT = 1024
"""Tasks are many, their policies are few."""
MOST_BYTES = 1024
"""Largest message that is cached; one with every field has some 150. A caller may add unknown fields to it."""

# The names are the same on both sides; a name that is missing on one of them fails here, at import.
_ENUMS: Mapping[str, tuple[type[StrEnum], Callable[[str], int]]] = {
    "overlap": (Overlap, pb.TaskPolicy.Overlap.Value),
    "catch_up": (CatchUp, pb.TaskPolicy.CatchUp.Value),
}
_NUMBERS = {path: {number(each.value): each for each in kind} for path, (kind, number) in _ENUMS.items()}


def policy_to(policy: Policy) -> pb.TaskPolicy:
    """Return a policy's message, every field set that has a value."""
    message = pb.TaskPolicy()
    message.CopyFrom(_policy_to(policy))
    return message


@lru_cache(maxsize=POLICIES_KEPT)
def _policy_to(policy: Policy) -> pb.TaskPolicy:
    message = pb.TaskPolicy()
    message.window.SetInParent()
    for path, value in policy.fields().items():
        part, name = _place(message, path)
        if isinstance(value, timedelta):
            getattr(part, name).CopyFrom(duration_to(value))
        elif path in _ENUMS:
            setattr(part, name, _ENUMS[path][1](value.value))
        elif path.startswith("window."):
            if value is not None:
                getattr(part, name).CopyFrom(instant_to(value))
        else:
            setattr(part, name, value)
    return message


def policy_from(message: pb.TaskPolicy) -> Policy:
    """Return the policy of a server's message; a field that an older or newer server does not set has its default."""
    return DEFAULT.with_fields({path: _value_from(message, path) for path in PATHS})


def policy_asked(message: pb.TaskPolicy) -> Policy:
    """Return the policy of a caller's request; a field that is not set means its default.

    Raises:
        InvalidArgument: for an invalid duration or time, and an unknown value of an enum.
    """
    if message.ByteSize() > MOST_BYTES:
        return _asked_for(message)
    return _policy_asked(message.SerializeToString(deterministic=True))


@lru_cache(maxsize=POLICIES_KEPT)
def _policy_asked(written: bytes) -> Policy:
    return _asked_for(pb.TaskPolicy.FromString(written))


def _asked_for(message: pb.TaskPolicy) -> Policy:
    return DEFAULT.with_fields(policy_fields_asked(message, PATHS))


def policy_fields_asked(message: pb.TaskPolicy, paths: tuple[str, ...]) -> dict[str, Any]:
    """Return the values of a caller's request at these paths, None for a field that is not set.

    Raises:
        InvalidArgument: for an invalid duration or time, and an unknown value of an enum.
    """
    reader = Reader()
    asked = {path: _asked(reader, message, path) for path in paths}
    reader.check()
    return asked


def policy_paths_set(message: pb.TaskPolicy) -> tuple[str, ...]:
    """Return the paths of the fields that a caller has set."""
    return tuple(path for path in PATHS if _is_set(message, path))


def _asked(reader: Reader, message: pb.TaskPolicy, path: str) -> Any:
    if not _is_set(message, path):
        return None
    part, name = _place(message, path)
    value, field = getattr(part, name), f"policy.{path}"
    if isinstance(value, Duration):
        return reader.duration(value, field)
    if isinstance(value, Timestamp):
        return reader.instant(value, field)
    if path in _ENUMS and value not in _NUMBERS[path]:
        reader.refuse(field, f"{value} is not a value that this server knows")
        return None
    return _NUMBERS[path][value] if path in _ENUMS else value


def _value_from(message: pb.TaskPolicy, path: str) -> Any:
    if not _is_set(message, path):
        return None
    part, name = _place(message, path)
    value = getattr(part, name)
    if isinstance(value, Duration):
        return duration_from(value)
    if isinstance(value, Timestamp):
        return instant_from(value)
    return _NUMBERS[path].get(value) if path in _ENUMS else value


def _is_set(message: pb.TaskPolicy, path: str) -> bool:
    part, name = _place(message, path)
    return getattr(part, name) != 0 if path in _ENUMS else part.HasField(name)


def _place(message: pb.TaskPolicy, path: str) -> tuple[Message, str]:
    """Return the message in which a path ends, and the field's name there."""
    group, _, name = path.rpartition(".")
    return (getattr(message, group) if group else message), name
