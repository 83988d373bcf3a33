"""The sources of settings (flags, the environment, a file), their merge, and complaints that name the source.

A complaint names a setting as its writer wrote it: ``--drain-timeout``, ``SCHEDULE_HTTP__ALLOWED_HOSTS``,
``schedule.toml: http.allowed_hosts``.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeAlias, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource

from schedule_grpc.domain.canonical_json import NotJson
from schedule_grpc.domain.json_input import parsed, table
from schedule_grpc.errors import ConfigurationError

PREFIX = "SCHEDULE_"
NESTED = "__"
TEXT_AS_KEY = {"http": "address"}
"""Tables that may be given as one text or list, which is the value of this key."""
_BINDINGS = "bindings"
_OF_A_KEY = "[key]"
"""The part that pydantic adds to the place of an invalid key."""

LONGEST_LINE = 500
"""Characters of a complaint: it repeats what was written, which may be the content of a whole file."""

Place: TypeAlias = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Settings as one source gives them, tables as mappings; ``spelled`` is how a place in them reads there."""

    values: Mapping[str, Any]
    spelled: Callable[[Place], str]

    def has(self, place: Place) -> bool:
        """Return whether this source gives the value at a place, as far as tables reach."""
        value: Any = self.values
        for part in place:
            if not isinstance(value, Mapping):
                return True
            if isinstance(part, int):  # one table in the place of a list of them
                continue
            if part not in value:
                return False
            value = value[part]
        return True


def from_file(path: Path) -> Source:
    """Return the settings of a TOML file.

    Raises:
        ConfigurationError: if the file cannot be read.
    """
    try:
        values = table(path.read_bytes())
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or not TOML
        raise ConfigurationError(f"{path}: {error}") from error
    except RecursionError:
        raise ConfigurationError(f"{path}: is nested too deeply") from None
    return Source(_tables(values), lambda place: f"{path}: {_dotted(place)}")


def from_environment(settings: type[BaseSettings]) -> Source:
    """Return the settings of the environment: variables that begin with ``SCHEDULE_`` and name a setting."""
    return Source(_tables(_Environment(settings)()), _variable)


def from_flags(flags: Mapping[str, Any]) -> Source:
    """Return the settings of the command line; None is a flag that was not given."""
    return Source(
        _tables({key: value for key, value in flags.items() if value is not None}),
        lambda place: f"--{str(place[0]).replace('_', '-')}" + (f": {_dotted(place[1:])}" if place[1:] else ""),
    )


def merged(sources: Sequence[Source]) -> dict[str, Any]:
    """Return the settings of all sources, a later one over an earlier one; tables are merged key by key."""
    together: dict[str, Any] = {}
    for source in sources:
        for key, value in source.values.items():
            present = together.get(key)
            if isinstance(present, Mapping) and isinstance(value, Mapping):
                together[key] = {**present, **value}
            else:
                together[key] = value
    return together


def complaints(error: ValidationError, model: type[BaseModel], sources: Sequence[Source]) -> Iterator[str]:
    """Yield a line for each error; it names the last source that gives the value."""
    for each in error.errors(include_url=False, include_input=False):
        place = tuple(part for part in each["loc"] if part != _OF_A_KEY)
        if each["type"] == "extra_forbidden":
            reason = f"unknown key; {_hint(place, model)}"
        else:
            reason = each["msg"].removeprefix("Value error, ")
        if not place:
            yield reason
            continue
        line = f"{_writer(place[:-1] if each['type'] == 'missing' else place, sources)(place)}: {reason}"
        yield line if len(line) <= LONGEST_LINE else line[:LONGEST_LINE] + "…"


def _writer(place: Place, sources: Sequence[Source]) -> Callable[[Place], str]:
    """Return how the last source that gives a place spells it, or that gives the table around it."""
    for end in range(len(place), 0, -1):
        for source in reversed(sources):
            if source.has(place[:end]):
                return source.spelled
    return _dotted


def json_or_text(value: object, opening: str) -> object:
    """Return the value of a text that begins with ``opening``, read as JSON; return anything else as it is.

    Raises:
        ValueError: if such a text is not JSON, or an object in it has a key twice.
    """
    if not isinstance(value, str) or not value.lstrip().startswith(opening):
        return value
    try:
        return parsed(value)
    except NotJson as error:
        raise ValueError(str(error)) from None
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from None


def as_table(key: str, value: object) -> object:
    """Return the table that a setting's value stands for; return anything else as it is.

    Raises:
        ValueError: for a text that begins like JSON and is not JSON.
    """
    if key in TEXT_AS_KEY and (isinstance(value, list) or (isinstance(value, str) and value.lstrip()[:1] != "{")):
        return {TEXT_AS_KEY[key]: value}
    table = json_or_text(value, "{")
    if key == _BINDINGS and isinstance(table, Mapping):
        # The environment's names arrive in lower case; handlers write ctx.env.DB.
        return {name.upper() if name.isidentifier() else name: url for name, url in table.items()}
    return table


class _Environment(EnvSettingsSource):
    """Reads the texts of tables, and leaves lists and invalid texts to the settings' validators."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ARG002 (pydantic's)
        return _read(field_name, value)


def _tables(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with their tables as mappings, so that several sources can be merged."""
    return {key: _read(key, value) for key, value in values.items()}


def _read(key: str, value: object) -> object:
    try:
        return as_table(key, value)
    except ValueError:  # the setting's own validator reads the same text again, and reports it
        return value


def _variable(place: Place) -> str:
    """Return the variable that holds a place, and the place within it; or the variable that would hold it."""
    given = {name.upper() for name in os.environ}
    for end in range(len(place), 0, -1):
        name = _name_of_variable(place[:end])
        if name in given and isinstance(place[end - 1], str):
            return name + (f": {_dotted(place[end:])}" if place[end:] else "")
    name = _name_of_variable(place)
    within = sorted(each for each in given if each.startswith(name + NESTED))
    return within[0] if len(within) == 1 else name


def _name_of_variable(place: Place) -> str:
    """Return the name of the variable of a place; one table in the place of a list of them has no number in it."""
    return PREFIX + NESTED.join(part for part in place if isinstance(part, str)).upper()


def _dotted(place: Place) -> str:
    """Return a place as ``tasks[0].name``; on one line, also for a key with line breaks."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if part.isprintable() else repr(part))
    return text


def _hint(place: Place, model: type[BaseModel]) -> str:
    """Return the known key that is most like an unknown one, or all known keys."""
    for each in place[:-1]:
        if isinstance(each, str):
            model = _model(model, each) or model
    wrong = str(place[-1])
    known = list(model.model_fields)
    inside = {key: f"{each}.{key}" for each in known for key in _keys(_model(model, each))}
    if wrong.replace("-", "_") in inside:
        return f"did you mean {inside[wrong.replace('-', '_')]}?"
    near = get_close_matches(wrong, known, n=1)
    return f"did you mean {near[0]}?" if near else f"the keys are {', '.join(sorted(known))}"


def _model(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    field = model.model_fields.get(key)
    annotation = None if field is None else field.annotation  # None: the name of one of several tables
    if get_origin(annotation) is tuple:  # a list of tables
        annotation = get_args(annotation)[0]
    elif get_origin(annotation) is dict:  # tables by name
        annotation = get_args(annotation)[1]
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _keys(model: type[BaseModel] | None) -> Sequence[str]:
    return () if model is None else tuple(model.model_fields)
