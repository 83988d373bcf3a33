"""The result of a writing operation."""

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

from schedule_grpc.domain.access.audit import Entry
from schedule_grpc.events import Event

T = TypeVar("T")
WithEvents: TypeAlias = tuple[T, Sequence[Event | Entry]]
"""An operation's answer, the events to publish once it is committed, and what the audit log is to tell of it."""
