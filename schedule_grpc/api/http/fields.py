"""Unknown fields of a body: named as the caller wrote them, with the field that was probably meant.

They are found here, before pydantic reads the body: it would report each of a hundred thousand.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Any, get_args

from pydantic import BaseModel

from schedule_grpc.api.http.envelope import AsWritten
from schedule_grpc.violation import MOST_VIOLATIONS, Violation

SHOWN = 64
"""Characters of a name that an error repeats; no field has a longer one."""
MILLISECONDS = "ms"


def refuse_unknown_fields(model: type[BaseModel], body: object) -> None:
    """Refuse the fields of a body that its model neither has nor overlooks.

    Raises:
        AsWritten: naming the first fields, and counting the others.
    """
    if not isinstance(body, Mapping):
        return
    unknown = _unknown(model, body, "")
    shown = [Violation(field=path[:SHOWN], reason=_reason(model, path)) for path in islice(unknown, MOST_VIOLATIONS)]
    if shown:
        raise AsWritten(*shown, more=sum(1 for _ in unknown))


def _reason(model: type[BaseModel], path: str) -> str:
    found = _meant(model, path) if len(path) <= SHOWN else ""
    return f"is unknown; did you mean {found}?" if found else "is unknown"


def _meant(model: type[BaseModel], path: str) -> str:
    """Return the field that was probably meant: the same in another spelling or place, or nearly the same beside it."""
    parent, _, name = path.rpartition(".")
    known = _known(model)
    if found := known.get(_folded(path)) or known.get(_folded(name)):
        return found
    beside = {_folded(each): each for each in _paths(model) if each.rpartition(".")[0] == parent}
    near = difflib.get_close_matches(_folded(path), beside, n=1)
    return beside[near[0]] if near else ""


def _folded(name: str) -> str:
    """Return a name without case and punctuation."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _unknown(model: type[BaseModel], body: Mapping[str, Any], prefix: str) -> Iterator[str]:
    fields = _fields(model)
    for name, value in body.items():
        if name not in fields and name not in getattr(model, "overlooked", ()):
            yield prefix + name
        elif (inner := fields.get(name)) is not None and isinstance(value, Mapping):
            yield from _unknown(inner, value, f"{prefix}{name}.")


@cache
def _fields(model: type[BaseModel]) -> dict[str, type[BaseModel] | None]:
    """Return a model's fields as callers write them, each with its own model if it has fields."""
    return {field.alias or name: model_in(field.annotation) for name, field in model.model_fields.items()}


@cache
def _paths(model: type[BaseModel]) -> tuple[str, ...]:
    found: list[str] = []
    for name, inner in _fields(model).items():
        found += [name] if inner is None else [name, *(f"{name}.{each}" for each in _paths(inner))]
    return tuple(found)


@cache
def _known(model: type[BaseModel]) -> Mapping[str, str]:
    """Return the paths of a model's fields, by the folded path and by the folded name."""
    known: dict[str, str] = {}
    for path in sorted(_paths(model), key=lambda path: path.count(".")):
        for name in (path, path.rpartition(".")[2]):
            known.setdefault(_folded(name), path)
            known.setdefault(_folded(name).removesuffix(MILLISECONDS), path)
    return known


def model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model that an annotation names, alone or beside None."""
    for each in (annotation, *get_args(annotation)):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None
