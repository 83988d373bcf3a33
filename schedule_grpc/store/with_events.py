"""What a writing operation returns."""

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

from schedule_grpc.events import Event

T = TypeVar("T")
WithEvents: TypeAlias = tuple[T, Sequence[Event]]
"""What an operation answers, and what it has to tell once it is committed."""
