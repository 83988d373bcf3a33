"""What a failed transaction on PostgreSQL means for its caller."""

from enum import Enum, auto

import asyncpg

from schedule_grpc.errors import DatabaseUnavailable


class Meaning(Enum):
    """What to do about an error."""

    AGAIN = auto()
    """Others were in the way: nothing happened, and the next try may succeed."""
    LOST = auto()
    """The connection is gone, and the transaction with it: again, on another one."""
    UNPREPARED = auto()
    """A pooler gave us another connection than the one that knows our statements: again, without keeping them."""
    AWAY = auto()
    """The database does not answer, or refuses every write: DatabaseUnavailable."""
    OURS = auto()
    """A fault of ours, or of the operation's own: it reaches the caller as it is."""


FROM_OUTSIDE = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""Whatever the driver raises that is not a fault of ours alone."""

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_AGAIN = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    # Two transactions inserted the same at once (a name, a request id); the next try reads what the other wrote.
    asyncpg.UniqueViolationError,
    # A column was added by a newer replica's migration; asyncpg has forgotten the old plan by now.
    asyncpg.InvalidCachedStatementError,
)
_UNPREPARED = (
    asyncpg.InvalidSQLStatementNameError,
    asyncpg.DuplicatePreparedStatementError,
)
_GONE = (
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server closed an idle connection
    ConnectionError,
)
_AWAY = (
    asyncpg.LockNotAvailableError,  # another session holds a table or a row for longer than we wait
    asyncpg.CannotConnectNowError,
    asyncpg.InsufficientResourcesError,  # disk full, out of memory, too many connections
    asyncpg.OperatorInterventionError,  # a statement's timeout among them
    asyncpg.PostgresSystemError,  # I/O errors
    asyncpg.ReadOnlySQLTransactionError,  # a standby
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    OSError,  # a TimeoutError is one
)


_MEANINGS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Meaning], ...] = (
    (ConnectionRefusedError, Meaning.AWAY),
    ((ValueError, TypeError), Meaning.OURS),  # a value that cannot be sent; asyncpg's are InterfaceErrors too
    (_UNPREPARED, Meaning.UNPREPARED),
    (_AGAIN, Meaning.AGAIN),
    (_GONE, Meaning.LOST),
    (_AWAY, Meaning.AWAY),
)
"""The first that fits: some kinds are kinds of others."""


def meaning(error: BaseException) -> Meaning:
    """Return what an error before COMMIT means for the caller."""
    return next((meant for kinds, meant in _MEANINGS if isinstance(error, kinds)), Meaning.OURS)


def unavailable(error: BaseException) -> DatabaseUnavailable:
    """Return the error for a database that is away; without PostgreSQL's details, which quote rows."""
    reason = error.args[0] if isinstance(error, asyncpg.PostgresError) and error.args else str(error)
    away = DatabaseUnavailable(f"The database cannot be used: {reason or type(error).__name__}")
    away.__cause__ = error
    return away
