"""JSON values that several readers share: they look like plain dicts and lists, and cannot be changed.

Definitions and executions are values: caches, events and callers within the process hold the same ones. A reader that
wants to change what it was given takes a copy of its own: `own_copy`, or `copy.deepcopy`.
"""

from typing import Any, NoReturn


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise TypeError("this value is read-only, because others read it too: change a copy (copy.deepcopy)")


class ReadOnlyDict(dict[str, Any]):
    """A JSON object that refuses to be changed; copied or pickled it is a plain dict."""

    __slots__ = ()

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return dict, (dict(self),)


class ReadOnlyList(list[Any]):
    """A JSON list that refuses to be changed; copied or pickled it is a plain list."""

    __slots__ = ()

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return list, (list(self),)


def read_only(value: Any) -> Any:
    """Return a JSON value whose objects and lists, at every depth, cannot be changed."""
    if isinstance(value, ReadOnlyDict | ReadOnlyList):
        return value
    if isinstance(value, dict):
        return ReadOnlyDict({key: read_only(item) for key, item in value.items()})
    return ReadOnlyList([read_only(item) for item in value]) if isinstance(value, list) else value


def own_copy(value: Any) -> Any:
    """Return a copy of a JSON value, of plain dicts and lists."""
    if isinstance(value, dict):
        return {key: own_copy(item) for key, item in value.items()}
    return [own_copy(item) for item in value] if isinstance(value, list) else value
