"""What holds of every call that the worker made in all other checks."""

from collections.abc import Awaitable, Callable

from schedule_grpc.conformance import invariants
from schedule_grpc.conformance.check import check, expect
from schedule_grpc.conformance.stage import Stage

SHOWN = 3
"""Violations that are named; the others are counted."""


def _holds(check_id: str) -> Callable[[Stage], Awaitable[None]]:
    """Return a check's body: no stage has seen a violation of this kind."""

    async def body(stage: Stage) -> None:
        found = [text for broken, text in stage.violations_before if broken == check_id]
        more = f" (and {len(found) - SHOWN} more)" if len(found) > SHOWN else ""
        expect(not found, "; ".join(found[:SHOWN]) + more)

    return body


for _id, _rule, _title in (
    (invariants.ONE_PULL, "W1", "a session never has two Pulls in progress"),
    (invariants.HELD, "W1", "every Pull names all that the worker has, and nothing that it was never given"),
    (invariants.CAPACITY, "W1", "no Pull asks for more than the free slots"),
    (invariants.DEADLINES, "W6", "every call has a deadline: wait + 10 s for Pull, 10 s for others"),
    (invariants.REPORTS, "W9", "every Report has 1 to 500 updates and at most 1 MiB"),
):
    check(_id, _rule, _title, after_all=True)(_holds(_id))
