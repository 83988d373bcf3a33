"""A policy as people write it, in every form that they may try; read here for all edges alike.

::

    {"timeout": "5m", "overlap": "buffer-one", "retry": {"max_retries": 5}}
    {"timeout": timedelta(minutes=5), "overlap": Overlap.BUFFER_ONE, "retry.max_retries": 5}
    {"timeoutMs": 300000, "overlap": "BUFFER_ONE", "retry": {"maxRetries": 5}}

Parts are nested or dotted, names have underscores, dashes or camel case, the words of enums any case. A duration is a
text with its unit, a timedelta, or a number of seconds; of milliseconds where its name ends in ``_ms``. None is the
default.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeVar

from schedule_grpc.domain import durations
from schedule_grpc.domain.canonical_json import whole
from schedule_grpc.domain.policy import DEFAULT, PATHS, Policy
from schedule_grpc.errors import InvalidArgument, Violation

E = TypeVar("E", bound=StrEnum)

_DEFAULTS = DEFAULT.fields()
_PARTS = frozenset(path.partition(".")[0] for path in _DEFAULTS if "." in path)
_MILLISECONDS = "_ms"
_FLAGS = {True: "true", False: "false"}
POLICIES_KEPT = 1024
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyReading:
    """What was read of a policy: values by their paths, their places as they were written, and what was refused."""

    values: Mapping[str, Any]
    places: Mapping[str, str]
    violations: tuple[Violation, ...]

    def bounds(self) -> Iterator[Violation]:
        """Yield a violation for each value out of bounds, by its place."""
        for each in DEFAULT.with_fields(self.values).violations():
            yield Violation(field=self.places.get(each.field.removeprefix("policy."), each.field), reason=each.reason)

    def checked(self) -> Mapping[str, Any]:
        """Return the values by their paths.

        Raises:
            InvalidArgument: for all that was refused, or is out of bounds.
        """
        if violations := (*self.violations, *self.bounds()):
            raise InvalidArgument(*violations)
        return self.values


def read_policy(given: object, *, place: str = "policy") -> PolicyReading:
    """Return the values of a policy as it was given.

    Args:
        given: A table, in the forms shown above, or a `policy.Policy`.
        place: Its name in errors.
    """
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    violations: list[Violation] = []
    for written, value, where in _entries(given, place, ""):
        path, in_milliseconds = _path(written)
        if path in places:
            violations.append(Violation(field=where, reason=f"is given twice: as {places[path]} too"))
            continue
        try:
            values[path] = _value(path, value, in_milliseconds=in_milliseconds)
            places[path] = where
        except KeyError:
            violations.append(Violation(field=where, reason=_unknown(written)))
        except ValueError as error:
            violations.append(Violation(field=where, reason=str(error)))
    return PolicyReading(values=values, places=places, violations=tuple(violations))


def understood(given: object) -> tuple[Policy, tuple[Violation, ...]]:
    """Return the given policy, and its violations; the policy is to be used only if there are none."""
    if isinstance(given, Policy):
        # Another kind of part has no such values, or some that cannot be compared; a time elsewhere than in UTC may
        # stand for two instants.
        with suppress(AttributeError, TypeError):
            if all(time is None or time.tzinfo is UTC for time in (given.window.start_time, given.window.end_time)):
                return _understood_values(*given.values())
    return _understood(given)


@lru_cache(maxsize=POLICIES_KEPT, typed=True)
def _understood_values(*values: object) -> tuple[Policy, tuple[Violation, ...]]:
    """Kept: tasks are many, their policies are few."""
    return _understood(dict(zip(PATHS, values, strict=True)))


def _understood(given: object) -> tuple[Policy, tuple[Violation, ...]]:
    reading = read_policy(given)
    return DEFAULT.with_fields(reading.values), (*reading.violations, *reading.bounds())


def policy_value(path: str, given: object) -> Any:
    """Return the value that a text or a number means for the policy at a path such as ``retry.max_retries``.

    Raises:
        ValueError: if it means none, in words for its author.
        KeyError: for an unknown path.
    """
    default = _DEFAULTS[path]
    if isinstance(default, timedelta):
        return _duration(given)
    if isinstance(default, StrEnum):
        return _word(type(default), given)
    if isinstance(default, bool):
        return _flag(given)
    if isinstance(default, int | float):
        return _number(given, integer=isinstance(default, int))
    return _instant(given)


def policy_text(value: object) -> str:
    """Return a policy's value as `policy_value` reads it back; ``none`` for an open end of the window."""
    if isinstance(value, timedelta):
        return durations.written(value)
    if isinstance(value, StrEnum):
        return value.value.lower().replace("_", "-")
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, float):
        return str(whole(value))
    if isinstance(value, bool):
        return _FLAGS[value]
    return "none" if value is None else str(value)


def _entries(given: object, place: str, prefix: str) -> Iterator[tuple[str, object, str]]:
    """Yield path, value and place of each given value; a part that is None yields one None for all of it."""
    if dataclasses.is_dataclass(given):
        given = {each.name: getattr(given, each.name) for each in dataclasses.fields(given)}
    if not isinstance(given, Mapping):
        yield prefix, given, place
        return
    for key, value in given.items():
        path, where = prefix + _snake(str(key)), f"{place}.{key}" if place else str(key)
        if path not in _PARTS:
            yield path, value, where
        elif value is None:
            yield from ((each, None, where) for each in _DEFAULTS if each.startswith(f"{path}."))
        else:
            yield from _entries(value, where, f"{path}.")


def _path(written: str) -> tuple[str, bool]:
    """Return the path that is meant, and whether its value is in milliseconds."""
    path = written.removesuffix(_MILLISECONDS)
    in_milliseconds = path != written and isinstance(_DEFAULTS.get(path), timedelta)
    return (path, True) if in_milliseconds else (written, False)


def _value(path: str, given: object, *, in_milliseconds: bool) -> Any:
    if given is None and path in _DEFAULTS:
        return None  # the default
    return _milliseconds(given) if in_milliseconds else policy_value(path, given)


def _unknown(path: str) -> str:
    part, _, name = path.rpartition(".")
    if not path or path.endswith("."):
        return "is not a table"
    for known in _DEFAULTS:
        if name == known.rpartition(".")[2]:
            return f"unknown key; did you mean policy.{known}?"
    beside = [each.removeprefix(f"{part}.") for each in _DEFAULTS if each.startswith(f"{part}." if part else "")]
    keys = sorted({each.partition(".")[0] for each in beside}) or sorted(_DEFAULTS)
    near = get_close_matches(name, keys, n=1)
    return f"unknown key; did you mean {near[0]}?" if near else f"unknown key; the keys here are {', '.join(keys)}"


def _snake(key: str) -> str:
    return _HUMP.sub("_", key).replace("-", "_").lower()


def _duration(given: object) -> timedelta:
    if isinstance(given, timedelta):
        return given
    if isinstance(given, str):
        return durations.read(given)
    if isinstance(given, int | float) and not isinstance(given, bool) and given >= 0:
        return durations.read(format(given, ".6f") if isinstance(given, float) else str(given))
    raise ValueError(f"{given!r} is not a duration such as 500ms, 30s, 5m, 2h or 7d")


def _milliseconds(given: object) -> timedelta:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise ValueError(f"{given!r} is not a number of milliseconds")  # noqa: TRY004 (a text's fault)
    return _duration(given) / 1000


def _word(words: type[E], given: object) -> E:
    known = {policy_text(word): word for word in words}
    found = known.get(given.strip().lower().replace("_", "-").replace(" ", "-")) if isinstance(given, str) else None
    if found is None:
        raise ValueError(f"{given!r} is none of {', '.join(known)}")
    return found


def _flag(given: object) -> bool:
    if isinstance(given, bool):
        return given
    for flag, word in _FLAGS.items():
        if isinstance(given, str) and given.strip().lower() == word:
            return flag
    raise ValueError(f"{given!r} is neither true nor false")


def _number(given: object, *, integer: bool) -> int | float:
    if isinstance(given, bool) or not isinstance(given, int if integer else int | float):
        raise ValueError(f"{given!r} is not a {'whole ' if integer else ''}number")  # noqa: TRY004 (a text's fault)
    return given


def _instant(given: object) -> datetime:
    """Read an instant: TOML has them, JSON writes them as texts."""
    try:
        instant = datetime.fromisoformat(given) if isinstance(given, str) else given
        if isinstance(instant, datetime) and instant.tzinfo is not None:
            return instant.astimezone(UTC)
    except (ValueError, OverflowError):  # not a date, or one that UTC cannot say
        pass
    shown = given if isinstance(given, str) else getattr(given, "isoformat", given.__repr__)()
    raise ValueError(f"{shown} is not an instant with its offset from UTC, such as 2026-01-31T10:00:00Z")
