"""Who may stay when there are more connections than there is room for."""

from typing import Protocol

MOST_CONNECTIONS = 1000
"""At once; of one more, only probes are answered."""
MOST_OUTSIDE = 1000
"""Connections beyond them: probes among them are answered, the others are told that there is no place."""
SPARED_SECONDS = 1.0
"""How long a connection may be idle without losing its place."""


class Connection(Protocol):
    """What can be ended."""

    def end(self) -> None:
        """End the connection at once."""


class Crowd:
    """The connections of one server: those that have a place, and a few beside them.

    A connection that is idle gives its place to one that comes, the idlest first: whoever opens connections and leaves
    them does not keep others out. Where nobody is idle, who comes stays outside until there is a place; its requests
    are refused, those of a supervisor apart.
    """

    def __init__(self) -> None:
        self._inside: set[Connection] = set()
        self._outside: dict[Connection, None] = {}
        self._idle: dict[Connection, float] = {}
        """Since when, the idlest first."""

    def enter(self, connection: Connection, now: float) -> None:
        """Take a new connection, which has no request yet."""
        if not self._give_place(connection, now):
            self._outside[connection] = None
            if len(self._outside) > MOST_OUTSIDE:
                self._end(next(iter(self._outside)))
        self._idle[connection] = now

    def begin(self, connection: Connection, now: float) -> bool:
        """Tell whether a connection on which a request begins has a place."""
        self._idle.pop(connection, None)
        return connection in self._inside or self._give_place(connection, now)

    def pause(self, connection: Connection, now: float) -> None:
        """Take note that a connection is idle from now on."""
        if connection in self._inside or connection in self._outside:
            self._idle.pop(connection, None)
            self._idle[connection] = now

    def leave(self, connection: Connection) -> None:
        """Forget a connection."""
        self._inside.discard(connection)
        self._outside.pop(connection, None)
        self._idle.pop(connection, None)

    def _give_place(self, connection: Connection, now: float) -> bool:
        if len(self._inside) >= MOST_CONNECTIONS:
            idlest = next((each for each in self._idle if each in self._inside), None)
            if idlest is None or now - self._idle[idlest] < SPARED_SECONDS:
                return False
            self._end(idlest)
        self._outside.pop(connection, None)
        self._inside.add(connection)
        return True

    def _end(self, connection: Connection) -> None:
        self.leave(connection)
        connection.end()
