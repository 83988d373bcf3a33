"""A caller's arguments as messages of a request. A value that a message would silently change is refused."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from schedule_grpc.domain.access.namespace import namespace_violations
from schedule_grpc.domain.canonical_json import NotJson
from schedule_grpc.domain.execution import State
from schedule_grpc.domain.json_input import portable
from schedule_grpc.domain.policy import DEFAULT, Policy
from schedule_grpc.domain.policy_reading import read_policy
from schedule_grpc.domain.registration import Registration
from schedule_grpc.domain.task import Definition
from schedule_grpc.errors import InvalidArgument
from schedule_grpc.formats import protobuf
from schedule_grpc.pb import schedule_pb2 as pb

T = TypeVar("T")


def given(kind: type[T], field: str, value: T | None) -> T | None:
    """Return a value of a type, or None.

    Raises:
        InvalidArgument: if it is of another type.
    """
    if value is not None and not isinstance(value, kind):
        raise InvalidArgument.of(field, f"{type(value).__name__} is not a {kind.__name__}")
    return value


def namespace_given(namespace: str) -> str:
    """Return a namespace's name; the empty text leaves the choice to the server.

    Raises:
        ValueError: if the text is no namespace's name.
    """
    if violations := list(namespace_violations("namespace", namespace) if namespace else ()):
        raise ValueError(str(violations[0]))
    return namespace


def registrations_given(values: Any) -> list[Registration]:
    """Return a list of registrations.

    Raises:
        InvalidArgument: if an item is not a Registration of a Definition; names the first such item.
    """
    if not isinstance(values, Iterable):
        raise InvalidArgument.of("requests", f"{type(values).__name__} is not a list of Registration")
    found = list(values)
    for number, each in enumerate(found):
        if not isinstance(each, Registration):
            raise InvalidArgument.of(f"requests[{number}]", f"{type(each).__name__} is not a Registration")
        definition: object = each.definition
        if not isinstance(definition, Definition):
            kind = type(definition).__name__
            raise InvalidArgument.of(f"requests[{number}]", f"{kind} is not a Definition, such as define(...) returns")
    return found


def struct(field: str, value: Mapping[str, Any]) -> Struct:
    """Return the message of a JSON object.

    Raises:
        InvalidArgument: if the value is not a JSON object, or has an integer that a message would round.
    """
    try:
        found = portable(value)
    except NotJson as error:
        raise InvalidArgument.of(field, str(error)) from None
    if not isinstance(found, dict):
        raise InvalidArgument.of(field, "is not a JSON object")
    return protobuf.struct_to(found)


def instant(field: str, value: datetime | None) -> Timestamp | None:
    """Return the message of an instant.

    Raises:
        InvalidArgument: if the value is not a datetime, or has no time zone.
    """
    if value is not None and not isinstance(value, datetime):
        raise InvalidArgument.of(field, f"{type(value).__name__} is not an instant: give a datetime with its time zone")
    if value is not None and value.tzinfo is None:
        raise InvalidArgument.of(field, f"{value.isoformat()} has no time zone, such as datetime.UTC")
    return None if value is None else protobuf.instant_to(value)


def state_numbers(states: Iterable[State]) -> "list[pb.Execution.State.ValueType]":
    """Return the numbers of states.

    Raises:
        InvalidArgument: if an item is not a state.
    """
    known = [state for state in State if state is not State.UNKNOWN]
    if isinstance(states, str) or not isinstance(states, Iterable):
        raise InvalidArgument.of("states", "is not a list of states")
    chosen = list(states)
    if strange := [each for each in chosen if each not in known]:
        raise InvalidArgument.of("states", f"{strange[0]!r} is none of {', '.join(known)}")
    return protobuf.states_to(sorted(chosen))


def policy_message(policy: Policy | Mapping[str, Any]) -> pb.TaskPolicy:
    """Return the message of a policy in any form.

    Raises:
        InvalidArgument: for a field that does not exist, and for a value that is invalid or out of bounds.
    """
    return protobuf.policy_to(DEFAULT.with_fields(read_policy(policy).checked()))
