"""Checks: what one proves, what it needs, and how it fails."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from schedule_grpc.runtime.clock import SystemClock

if TYPE_CHECKING:
    from schedule_grpc.conformance.stage import Stage

LEASE, SHORT_LEASE = 30, 10
"""Seconds of the leases that workers under test are told to ask for: the usual one, and the shortest."""
CLOCK = SystemClock()
"""The clock by which the kit measures: it judges processes, which live by the real one."""
RULES = {
    "W1": "one Pull at a time; held is complete; capacity is slots minus held",
    "W2": "a token that is held is nothing new",
    "W3": "handlers do not hold up Pulls",
    "W4": "timeout and lease by a monotonic clock; stops and lost tokens are obeyed",
    "W5": "every call is retried with back-off, except on five codes",
    "W6": "every call has a deadline",
    "W7": "SIGTERM: draining, finish, release, unregister",
    "W8": "success: false is a failure",
    "W9": "payload, result and error are handed on; bounds are kept in words",
    "W10": "unknown fields and values are passed over",
}
"""The rules of docs/worker-conformance.md, in short."""


class Broken(Exception):
    """A worker does not keep a rule: the text says what was seen."""


Body: TypeAlias = "Callable[[Stage], Awaitable[None]]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One fact about a worker, and the function that proves it."""

    id: str
    rule: str
    title: str
    body: Body
    must: bool
    """Whether a worker that fails it does not conform; else it only should pass it."""
    quick: bool
    """Whether it waits for no lease to lapse."""
    apart: bool
    """Whether it needs a worker process of its own, because it harms or stops it."""
    own_server: bool
    """Whether it needs a server of its own, because it kills it."""
    starts: bool
    """Whether the worker is running when the check begins."""
    lease: int
    """Seconds of the lease that its worker is to ask for."""
    after_all: bool
    """Whether it judges what all other checks have recorded."""


CHECKS: list[Check] = []
"""All of them, in the order in which they are reported."""


def check(
    id: str,  # noqa: A002 (the word of the guide, given by position)
    rule: str,
    title: str,
    *,
    must: bool = True,
    quick: bool = True,
    apart: bool = False,
    own_server: bool = False,
    starts: bool = True,
    lease: int = LEASE,
    after_all: bool = False,
) -> Callable[[Body], Body]:
    """Make a function a check; the arguments are those of `Check`."""

    def taken(body: Body) -> Body:
        CHECKS.append(
            Check(
                id=id,
                rule=rule,
                title=title,
                body=body,
                must=must,
                quick=quick,
                apart=apart or own_server or not starts or lease != LEASE,
                lease=lease,
                own_server=own_server,
                starts=starts,
                after_all=after_all,
            )
        )
        return body

    return taken


def expect(holds: object, otherwise: str) -> None:
    """Raise Broken with this text, unless the condition holds."""
    if not holds:
        raise Broken(otherwise)


async def wait(seconds: float) -> None:
    """Return after this number of seconds."""
    over = asyncio.Event()
    alarm = CLOCK.call_later(seconds, over.set)
    try:
        await over.wait()
    finally:
        alarm.cancel()


async def until(
    look: Callable[[], object], *, within: float, otherwise: str | Callable[[], str], every: float = 0.03
) -> None:
    """Return once a condition holds; raise Broken if it does not within this number of seconds."""
    end = CLOCK.monotonic() + within
    while not look():
        if CLOCK.monotonic() > end:
            raise Broken(otherwise if isinstance(otherwise, str) else otherwise())
        await wait(every)
