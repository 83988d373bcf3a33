"""Pages (AIP-158): sizes within bounds, and tokens that are opaque, ours, and held to the question they came from."""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from schedule_grpc.domain.access.audit import BEFORE_NEWEST, AuditFilter, AuditPlace
from schedule_grpc.domain.access.keys import KeyFilter, KeyInfo, KeyPlace
from schedule_grpc.domain.execution import ExecutionFilter, ExecutionPage
from schedule_grpc.domain.listing import FIRST_PLACE, TaskPlace
from schedule_grpc.domain.task import TaskFilter, TaskPage
from schedule_grpc.errors import InvalidArgument
from schedule_grpc.runtime.clock import from_micros, to_micros

T = TypeVar("T")

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000
MAX_PAGE_BYTES = 3 * 1024 * 1024
"""Bytes of the items of one page as they are sent: a gRPC client accepts 4 MiB by default."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """The page that a caller asks for. Size 0 means the default."""

    size: int = 0
    token: str = ""

    @property
    def limit(self) -> int:
        """How many to show: at most `MAX_PAGE_SIZE`.

        Raises:
            InvalidArgument: if the size is negative.
        """
        if self.size < 0:
            raise InvalidArgument.of("page_size", "must not be negative")
        return min(self.size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskCursor:
    """The place after which the next page of tasks begins."""

    place: TaskPlace = FIRST_PLACE

    @classmethod
    def read(cls, page: Page, chosen: TaskFilter) -> "TaskCursor":
        """Return the cursor in a page's token.

        Raises:
            InvalidArgument: if the token is not ours or belongs to another question.
        """
        if not page.token:
            return cls()
        number, name = _opened(page.token, _question("tasks", chosen), int, str)
        if not -(2**63) <= number < 2**63:
            raise _foreign()
        return cls(place=TaskPlace(number=number, name=name))

    def write(self, chosen: TaskFilter) -> str:
        """Return the token for this place."""
        return _sealed(_question("tasks", chosen), self.place.number, self.place.name)


@dataclass(frozen=True, kw_only=True, slots=True)
class NamespaceCursor:
    """The place after which the next page of namespaces begins."""

    name: str = ""

    @classmethod
    def read(cls, page: Page) -> "NamespaceCursor":
        """Return the cursor in a page's token.

        Raises:
            InvalidArgument: if the token is not ours or belongs to another question.
        """
        if not page.token:
            return cls()
        (name,) = _opened(page.token, _question("namespaces"), str)
        return cls(name=name)

    def write(self) -> str:
        """Return the token for this place."""
        return _sealed(_question("namespaces"), self.name)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutionCursor:
    """The place (creation time, id) after which the next page of executions begins; None is the beginning."""

    position: tuple[datetime, str] | None = None

    @classmethod
    def read(cls, page: Page, task_name: str | None, chosen: ExecutionFilter) -> "ExecutionCursor":
        """Return the cursor in a page's token.

        Raises:
            InvalidArgument: if the token is not ours or belongs to another question.
        """
        if not page.token:
            return cls()
        micros, execution_id = _opened(page.token, _question("executions", task_name, chosen), int, str)
        try:
            return cls(position=(from_micros(micros), execution_id))
        except OverflowError:
            raise _foreign() from None

    def write(self, task_name: str | None, chosen: ExecutionFilter) -> str:
        """Return the token for this place."""
        if self.position is None:
            return ""
        instant, execution_id = self.position
        return _sealed(_question("executions", task_name, chosen), to_micros(instant), execution_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyCursor:
    """The place after which the next page of keys begins."""

    place: KeyPlace = ("", "")

    @classmethod
    def read(cls, page: Page, chosen: KeyFilter) -> "KeyCursor":
        """Return the cursor in a page's token.

        Raises:
            InvalidArgument: if the token is not ours or belongs to another question.
        """
        if not page.token:
            return cls()
        name, key_id = _opened(page.token, _question("keys", chosen), str, str)
        return cls(place=(name, key_id))

    @classmethod
    def after(cls, key: KeyInfo) -> "KeyCursor":
        """Return the place behind a key."""
        return cls(place=(key.name, key.id))

    def write(self, chosen: KeyFilter) -> str:
        """Return the token for this place."""
        return _sealed(_question("keys", chosen), *self.place)


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditCursor:
    """The place after which the next page of the audit log begins."""

    place: AuditPlace = BEFORE_NEWEST

    @classmethod
    def read(cls, page: Page, chosen: AuditFilter) -> "AuditCursor":
        """Return the cursor in a page's token.

        Raises:
            InvalidArgument: if the token is not ours or belongs to another question.
        """
        if not page.token:
            return cls()
        time, replica, seq = _opened(page.token, _question("audit", chosen), int, str, int)
        if not all(-(2**63) <= number < 2**63 for number in (time, seq)):
            raise _foreign()
        return cls(place=(time, replica, seq))

    def write(self, chosen: AuditFilter) -> str:
        """Return the token for this place."""
        return _sealed(_question("audit", chosen), *self.place)


def fitting(items: Iterable[T], size_of: Callable[[T], int]) -> list[T]:
    """Return the first items, as many as have `MAX_PAGE_BYTES` together, and at least one if there is one."""
    found: list[T] = []
    total = 0
    for item in items:
        total += size_of(item)
        if found and total > MAX_PAGE_BYTES:
            break
        found.append(item)
    return found


def token_after_tasks(page: TaskPage, shown: int, chosen: TaskFilter) -> str:
    """Return the token of the page that follows the first ``shown`` tasks of this one."""
    if shown == len(page.tasks):
        return page.next_page_token
    return TaskCursor(place=page.places[shown - 1]).write(chosen)


def token_after_executions(page: ExecutionPage, shown: int, task_name: str | None, chosen: ExecutionFilter) -> str:
    """Return the token of the page that follows the first ``shown`` executions of this one."""
    if shown == len(page.executions):
        return page.next_page_token
    last = page.executions[shown - 1]
    return ExecutionCursor(position=(last.create_time, last.id)).write(task_name, chosen)


def _question(kind: str, *parts: object) -> str:
    """Return a fingerprint of a question: a token of one question must not answer another."""
    question = repr((kind, *(_stable(part) for part in parts)))
    return hashlib.sha256(question.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _stable(part: object) -> object:
    if isinstance(part, ExecutionFilter):  # a set's own order differs between processes
        return (sorted(part.states), part.start_time, part.end_time)
    if isinstance(part, TaskFilter):
        return astuple(replace(part, states=frozenset())), sorted(part.states)
    return part


def _sealed(question: str, *place: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps([question, *place]).encode()).decode()


def _opened(token: str, question: str, *kinds: type) -> list[Any]:
    try:
        asked, *place = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
        json.dumps(place, ensure_ascii=False).encode()  # a lone surrogate would be refused only by the database
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise _foreign() from None
    if asked != question or [type(part) for part in place] != list(kinds):
        raise _foreign()
    found: list[Any] = place
    return found


def _foreign() -> InvalidArgument:
    return InvalidArgument.of("page_token", "is not a token of this list with these filters")
