"""A server of a shared database."""

from dataclasses import dataclass
from datetime import datetime

from schedule_grpc.store.schema import NEWEST


@dataclass(frozen=True, kw_only=True, slots=True)
class Replica:
    """One of the servers that share a database: the owner of the attempts that it runs, and what its engine offers."""

    id: str
    start_time: datetime
    handlers: frozenset[str]
    beat: int = 0
    """How often it renewed its lease since it took it."""
    program: int = NEWEST
    """The schema version that it knows."""
