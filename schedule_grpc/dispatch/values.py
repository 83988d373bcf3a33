"""What workers ask and are answered, without the words of an edge."""

from collections.abc import Mapping
from datetime import timedelta
from enum import Enum, auto
from typing import TypeAlias

from msgspec import Struct

from schedule_grpc.domain.condition import Condition
from schedule_grpc.domain.execution.log_lines import LogLine
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.domain.worker import OfferedHandler
from schedule_grpc.store import Claim, Key


class Registration(Struct, frozen=True, kw_only=True):
    """A worker introduces itself."""

    namespace: str
    name: str
    version: str
    protocol: int
    handlers: tuple[OfferedHandler, ...]
    slots: int
    lease: timedelta | None
    labels: Mapping[str, str]
    held_tokens: tuple[str, ...] = ()


class Registered(Struct, frozen=True, kw_only=True):
    """The session that begins."""

    session_id: str
    protocol: int
    lease: timedelta
    lost_tokens: tuple[str, ...]


class Held(Struct, frozen=True, kw_only=True):
    """An attempt that a worker has."""

    token: str
    progress: float | None = None
    text: str = ""


class Pull(Struct, frozen=True, kw_only=True):
    """A worker renews its lease, and waits for attempts and orders."""

    session_id: str
    held: tuple[Held, ...] = ()
    capacity: int = 0
    wait: timedelta = timedelta(0)
    draining: bool = False


class StopReason(Enum):
    """Why an attempt is to stop."""

    CANCELLED = auto()
    TIMEOUT = auto()


class Pulled(Struct, frozen=True, kw_only=True):
    """The answer to a Pull."""

    begin: tuple[Claim, ...] = ()
    stops: tuple[tuple[str, StopReason], ...] = ()
    lost_tokens: tuple[str, ...] = ()
    lease: timedelta = timedelta(0)
    server_draining: bool = False


class Logged(Struct, frozen=True):
    """Lines that a handler logged."""

    lines: tuple[LogLine, ...]


class Progressed(Struct, frozen=True):
    """How far an attempt is."""

    fraction: float
    text: str


class Finished(Struct, frozen=True, kw_only=True):
    """A handler ended; ``kind`` None means that it succeeded."""

    duration: timedelta
    kind: FailureKind | None = None
    error: str = ""
    result_json: str = ""
    abandoned: bool = False
    conditions: tuple[Condition, ...] = ()


class Released(Struct, frozen=True):
    """Another worker shall run the attempt."""

    began: bool


class Unreadable(Struct, frozen=True):
    """News that cannot be read, and why."""

    reason: str


News: TypeAlias = Logged | Progressed | Finished | Released | Unreadable


class Update(Struct, frozen=True):
    """News of one attempt."""

    token: str
    news: News


class Verdict(Enum):
    """What became of an update."""

    APPLIED = auto()
    REPEATED = auto()
    STALE = auto()
    INVALID = auto()


class Judged(Struct, frozen=True):
    """The verdict on an update; for INVALID, why."""

    verdict: Verdict
    reason: str = ""


def token_of(claim: Claim) -> str:
    """Return what a worker names an attempt by: the execution's id, and the token of its lease."""
    return f"{claim.execution.id}.{claim.lease_token}"


def key_of(token: str) -> Key:
    """Return the attempt that a worker names; of a text that names none, one that there is not."""
    execution_id, _, lease_token = token.rpartition(".") if token.isascii() and token.isprintable() else ("", "", "")
    return execution_id, lease_token
