"""Tasks as files declare them, in TOML or in JSON: decoded tables in, registrations out. Pure.

::

    set = "reports"                # the owner of these tasks, for `tasks apply --prune`
    namespace = "reports"          # of the tasks that name none themselves

    [[tasks]]
    name = "daily-report"
    namespace = "billing"      # without it: the file's, or else default
    schedule = "0 9 * * 1-5"
    time_zone = "Europe/Berlin"
    handler = "send-report"
    payload = { format = "pdf" }
    policy = { timeout = "5m", overlap = "buffer-one", retry = { max_retries = 5 } }

All errors are reported at once, each with its place:
``tasks[2] (daily-report).polcy: unknown key; did you mean policy?``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from msgspec import structs

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE, NAMESPACE, namespace_violations
from schedule_grpc.domain.policy import DEFAULT, Policy
from schedule_grpc.domain.policy_reading import read_policy
from schedule_grpc.domain.registration import Registration
from schedule_grpc.domain.task import NAME, OBJECT_FIELDS, SCHEDULE_FIELDS, TEXT_FIELDS, define
from schedule_grpc.errors import InvalidArgument, Violation

MANAGED_BY = "managed_by"
"""The key of a task's metadata under which `apply` writes the set it belongs to."""
DEFAULT_SET = "apply"

_TEXT, _FLAG, _TABLE = "a text", "true or false", "a table"
_KINDS: Mapping[str, type] = {_TEXT: str, _FLAG: bool, _TABLE: Mapping}
_KEYS = {
    **dict.fromkeys(("name", "namespace", *SCHEDULE_FIELDS, *TEXT_FIELDS), _TEXT),
    **dict.fromkeys((*OBJECT_FIELDS, "policy"), _TABLE),
    "enabled": _FLAG,
    "allow_unknown_handler": _FLAG,
}
_REQUIRED = ("name", "schedule", "handler")
_ACCEPTED: Mapping[str, Any] = {"name": "x", "schedule": "@manual", "handler": "x"}
"""Values in place of refused ones, so that the rest of the table is checked too."""
_POLICY = DEFAULT.fields()


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskFile:
    """A whole file: the name of the set that its tasks belong to, and the tasks, each marked as the set's."""

    owner: str
    registrations: tuple[Registration, ...]
    namespace: str = ""
    """As it is written at the top of the file; empty: the server chooses."""
    namespaces: tuple[str, ...] = ()
    """Of each registration, as it is written: at the task, or else at the top of the file."""

    def parts(self) -> "tuple[TaskFile, ...]":
        """Return the part of the file for each of its namespaces, that of the top of the file too if it has no task."""
        named = list(dict.fromkeys(self.namespaces)) or [self.namespace]
        if self.namespace and self.namespace not in named:
            named.append(self.namespace)
        return tuple(map(self._part, named))

    def _part(self, namespace: str) -> "TaskFile":
        pairs = zip(self.registrations, self.namespaces, strict=True)
        found = tuple(registration for registration, written in pairs if written == namespace)
        return replace(self, registrations=found, namespace=namespace, namespaces=(namespace,) * len(found))


def registrations(tables: object, *, place: str = "tasks") -> tuple[Registration, ...]:
    """Return the registrations of a list of task tables, in its order; a task that names no namespace is in `default`.

    Args:
        tables: The list as it was decoded, of mappings with the keys shown above.
        place: The name of the list in errors.

    Raises:
        InvalidArgument: with a violation for every error, by its place.
    """
    reading = _Reading()
    found = reading.tasks(tables, place, DEFAULT_NAMESPACE)
    reading.check()
    return found


def task_file(document: object, *, namespace: str = "") -> TaskFile:
    """Return a whole file's set and tasks.

    Args:
        document: The decoded file: ``tasks``, and perhaps ``set`` and ``namespace``.
        namespace: Of a file that names none.

    Raises:
        InvalidArgument: as `registrations`.
    """
    reading = _Reading()
    table = reading.table(document, "", ("set", "namespace", "tasks"))
    owner = table.get("set", DEFAULT_SET)
    if not isinstance(owner, str) or not owner:
        reading.refuse("set", "is not the name of a set")
    namespace = reading.namespace(table, namespace)
    tables = table.get("tasks", [])
    found = reading.tasks(tables, "tasks", namespace)
    for number, registration in enumerate(found):
        if registration.definition.metadata.get(MANAGED_BY, owner) != owner:
            place = f"tasks[{number}] ({registration.definition.name}).metadata.{MANAGED_BY}"
            reading.refuse(place, "is written by apply: name the set at the top of the file, as `set`")
    reading.check()
    return TaskFile(
        owner=owner,
        registrations=tuple(_marked(registration, owner) for registration in found),
        namespace=namespace,
        namespaces=tuple(each.get("namespace", namespace) for each in tables),
    )


class _Reading:
    """Reads tables and collects their violations."""

    def __init__(self) -> None:
        self._violations: list[Violation] = []
        self._policies: dict[str, Policy] = {}

    def refuse(self, place: str, reason: str) -> None:
        self._violations.append(Violation(field=place, reason=reason))

    def check(self) -> None:
        if self._violations:
            raise InvalidArgument(*self._violations)

    def namespace(self, table: Mapping[str, Any], namespace: str) -> str:
        """Return the namespace at the top of a file, or else the given one."""
        if "namespace" not in table:
            return namespace
        written = table["namespace"]
        if not isinstance(written, str):
            self.refuse("namespace", f"is not {_TEXT}")
            return namespace
        self._violations += namespace_violations("namespace", written)
        return written if NAMESPACE.fullmatch(written) else namespace

    def tasks(self, tables: object, place: str, namespace: str = "") -> tuple[Registration, ...]:
        if not isinstance(tables, list | tuple):
            self.refuse(place, f"is not a list of tables: write [[{place}]] above each")
            return ()
        shared = {"namespace": namespace} if namespace else {}
        found = tuple(
            self._registration(table, _place(table, place, number), shared) for number, table in enumerate(tables)
        )
        first: dict[tuple[object, str], int] = {}
        for number, table in enumerate(tables):
            name = table.get("name") if isinstance(table, Mapping) else None
            if not isinstance(name, str):
                continue
            within = table.get("namespace", namespace)
            same = first.setdefault((within if isinstance(within, str) else None, name), number)
            if same != number:
                self.refuse(f"{place}[{number}].name", f"{name} is the name of {place}[{same}] too")
        return found

    def table(self, decoded: object, place: str, known: Iterable[str]) -> Mapping[str, Any]:
        """Return the known keys of a table."""
        if not isinstance(decoded, Mapping):
            self.refuse(place or "file", f"is not {_TABLE}")
            return {}
        for key in decoded:
            if key not in known:
                self.refuse(f"{place}.{key}" if place else str(key), f"unknown key; {_hint(str(key), tuple(known))}")
        return {key: value for key, value in decoded.items() if key in known}

    def _registration(self, decoded: object, place: str, shared: Mapping[str, Any]) -> Registration:
        table = self.table(decoded, place, _KEYS)
        given = {key: value for key, value in table.items() if self._is_of_its_kind(key, value, place)}
        if isinstance(decoded, Mapping):
            for key in _REQUIRED:
                if key not in table:
                    self.refuse(f"{place}.{key}", "is required")
        policy, places = self._policy(given.pop("policy", {}), f"{place}.policy")
        enabled = given.pop("enabled", None)
        allow_unknown_handler = given.pop("allow_unknown_handler", False)
        try:
            accepted = define(**{**_ACCEPTED, **shared, **given}, policy=policy if places else None)
            definition = structs.replace(accepted, policy=policy)
        except InvalidArgument as error:
            for violation in error.violations:
                path = violation.field.removeprefix("policy.")
                self.refuse(places.get(path, f"{place}.{violation.field}"), violation.reason)
            definition = define(**_ACCEPTED)
        return Registration(definition=definition, enabled=enabled, allow_unknown_handler=allow_unknown_handler)

    def _policy(self, decoded: object, place: str) -> tuple[Policy, Mapping[str, str]]:
        """Return a policy, and the places of its values if any is out of bounds.

        A file has few different policies: each valid one is read once.
        """
        written = repr(decoded)
        if written in self._policies:
            return self._policies[written], {}
        reading = read_policy(decoded, place=place)
        self._violations += reading.violations
        policy = DEFAULT.with_fields(reading.values)
        if any(policy.violations()):
            return policy, reading.places
        if not reading.violations:
            self._policies[written] = policy
        return policy, {}

    def _is_of_its_kind(self, key: str, value: object, place: str) -> bool:
        kind = _KEYS[key]
        fits = isinstance(value, _KINDS[kind])
        if fits and isinstance(value, str) and not _is_unicode(value):
            fits, kind = False, "Unicode: it has a lone surrogate"
        if not fits:
            self.refuse(f"{place}.{key}", f"is not {kind}")
        return fits


def _place(table: object, place: str, number: int) -> str:
    """Return the place of a task's table for errors: its number, and its name if it has a valid one."""
    name = table.get("name") if isinstance(table, Mapping) else None
    known = isinstance(name, str) and NAME.fullmatch(name) is not None
    return f"{place}[{number}] ({name})" if known else f"{place}[{number}]"


def _marked(registration: Registration, owner: str) -> Registration:
    definition = registration.definition
    marked = {**definition.metadata, MANAGED_BY: owner}
    return replace(registration, definition=structs.replace(definition, metadata=marked))


def _hint(key: str, known: tuple[str, ...]) -> str:
    for path in _POLICY:
        if "policy" in known and key.replace("-", "_") == path.rpartition(".")[2]:
            return f"did you mean policy.{path}?"
    near = get_close_matches(key, known, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"the keys here are {', '.join(known)}"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
