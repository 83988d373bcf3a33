"""The result of a writing operation."""

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

from schedule_grpc.events import Event

T = TypeVar("T")
WithEvents: TypeAlias = tuple[T, Sequence[Event]]
"""An operation's answer, and the events to publish once it is committed."""
