"""Which connections stay open when there are more than the server has places for."""

from typing import Protocol

MOST_CONNECTIONS = 1000
"""Places. On connections beyond them, only probes are answered."""
MOST_OUTSIDE = 1000
"""Connections without a place: their probes are answered, their other requests are refused."""
SPARED_SECONDS = 1.0
"""How long a connection may be idle without losing its place."""


class Connection(Protocol):
    """A connection that can be closed."""

    def end(self) -> None:
        """Close the connection at once."""


class Crowd:
    """The connections of one server: those that have a place, and some that have none.

    A new connection takes the place of an idle one, which is closed, the idlest first: a caller that opens connections
    and leaves them keeps no others out. If none is idle, the new connection has no place until one is free; its
    requests are refused, except probes.
    """

    def __init__(self) -> None:
        self._inside: set[Connection] = set()
        self._outside: dict[Connection, None] = {}
        self._idle: dict[Connection, float] = {}
        """The time since when each is idle; the idlest is first."""

    def enter(self, connection: Connection, now: float) -> None:
        """Add a new connection, which has no request yet."""
        if not self._give_place(connection, now):
            self._outside[connection] = None
            if len(self._outside) > MOST_OUTSIDE:
                self._end(next(iter(self._outside)))
        self._idle[connection] = now

    def begin(self, connection: Connection, now: float) -> bool:
        """Return whether a connection has a place, now that a request begins on it."""
        self._idle.pop(connection, None)
        return connection in self._inside or self._give_place(connection, now)

    def pause(self, connection: Connection, now: float) -> None:
        """Record that a connection is idle from now on."""
        if connection in self._inside or connection in self._outside:
            self._idle.pop(connection, None)
            self._idle[connection] = now

    def leave(self, connection: Connection) -> None:
        """Remove a connection."""
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
