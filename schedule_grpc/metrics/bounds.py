"""How many series there may be: callers name tasks, handlers and namespaces, and each name would cost a scrape."""

from collections.abc import Collection, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

L = TypeVar("L", bound=Hashable)

OTHER = "(other)"
"""The label of all others. No task, handler or namespace has brackets in its name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """How many labels of a kind have series of their own on one server; all others share one label."""

    tasks: int = 1000
    handlers: int = 100
    namespaces: int = 100
    """Namespaces of what is counted by namespace alone, such as the tasks that have no series of their own."""


class Capped(Generic[L]):
    """Labels that callers can make: a number of them, the first ones that came, until they are forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[L, None] = {}

    def __contains__(self, label: L) -> bool:
        return label in self._known

    @property
    def known(self) -> Collection[L]:
        """The labels that have series of their own."""
        return self._known.keys()

    def has_room(self, label: L) -> bool:
        """Return whether a label has series of its own; if there is room, it has from now on."""
        if label in self._known:
            return True
        if len(self._known) >= self._most:
            return False
        self._known[label] = None
        return True

    def forget(self, label: L) -> None:
        """Make room for another one."""
        self._known.pop(label, None)
