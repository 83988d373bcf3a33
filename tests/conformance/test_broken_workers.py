"""Every check fails where a worker breaks its rule, and passes where none is broken: else it would prove nothing."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from schedule_grpc.conformance import checks
from schedule_grpc.conformance.check import CHECKS, Check
from schedule_grpc.conformance.runner import broken_by
from schedule_grpc.conformance.server import Server
from schedule_grpc.conformance.stage import Place, opened

TESTS = Path(__file__).parents[1]
BY_ID = {each.id: each for each in CHECKS}
AT_ONCE = 16
"""Workers: most of them wait."""
assert checks.__all__

FAULTS = {
    "pull-answer-lost": "gives-up",
    "register": "leases-longer",
    "slots": "runs-one-at-a-time",
    "one-pull": "pulls-twice",
    "held": "names-nothing",
    "capacity": "asks-for-more",
    "redelivered": "runs-again",
    "heartbeat": "blocks",
    "silent-network": "trusts-its-lease",
    "no-network": "trusts-its-lease",
    "timeout": "trusts-the-server",
    "cancel": "ignores-stops",
    "deaf": "hides-abandoned",
    "lost-at-register": "keeps-lost-tokens",
    "sigkill": "runs-first-attempts-only",
    "exit": "survives",
    "paused": "keeps-lost-tokens",
    "lost-tokens": "keeps-lost-tokens",
    "stale": "insists",
    "server-killed": "gives-up",
    "report-answer-lost": "reports-once",
    "report-lost": "reports-once",
    "cut": "gives-up",
    "refused": "gives-up",
    "session-unknown": "forgets-at-register",
    "many-cuts": "gives-up",
    "draining-server": "hurries-a-draining-server",
    "pull-statuses": "gives-up",
    "report-statuses": "reports-once",
    "back-off": "storms",
    "fatal-unauthenticated": "exits-with-0",
    "fatal-permission-denied": "exits-without-a-word",
    "fatal-invalid-argument": "tries-for-ever",
    "fatal-failed-precondition": "exits-with-0",
    "fatal-unimplemented": "exits-without-a-word",
    "fatal-pull": "exits-with-0",
    "deadlines": "waits-for-ever",
    "sigterm-idle": "leaves-without-a-word",
    "sigterm-busy": "drops-at-sigterm",
    "sigterm-long": "denies-the-begin",
    "soft-fail": "believes-results",
    "fail-text": "keeps-no-text",
    "reject": "retries-rejects",
    "log-lines": "logs-after-the-outcome",
    "log-flood": "floods",
    "progress": "hides-progress",
    "echo-nested": "flattens",
    "echo-empty": "has-no-empty-object",
    "echo-64k": "cuts-payloads",
    "echo-unicode": "is-ascii",
    "echo-nul": "ends-at-nul",
    "echo-integers": "has-doubles",
    "unicode-result": "is-ascii",
    "big-result": "bounds-nothing",
    "invalid": "is-silent-about-invalid",
    "report-bounds": "bounds-nothing",
    "unknown-fields": "is-strict",
    "unknown-reason": "wants-known-reasons",
}
"""For each check a fault of `support/workers/tiny.py` that it finds."""
SHOWN_BY = {
    "one-pull": "heartbeat",
    "held": "heartbeat",
    "capacity": "heartbeat",
    "deadlines": "echo-empty",
    "report-bounds": "big-result",
}
"""For each check of all calls another one, in which the worker makes such calls.

For Pulls it is the one whose attempts run longer than a Pull waits: what is wrong with a Pull that is answered at once
may be excused.
"""


def test_for_each_check_there_is_a_fault():
    """A new check gets a row above."""
    assert set(FAULTS) == set(BY_ID)
    assert set(SHOWN_BY) == {each.id for each in CHECKS if each.after_all}


@pytest.mark.slow
async def test_a_worker_that_breaks_a_rule_fails_the_check_of_it(tmp_path: Path):
    """Of the checks that wait for no lease to lapse."""
    assert await _passing(tmp_path, [each for each in CHECKS if each.quick]) == []


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("FAULTS") != "long", reason="waits for leases to lapse; FAULTS=long runs it")
async def test_a_worker_that_breaks_a_rule_of_leases_fails_the_check_of_it(tmp_path: Path):
    """Of the other checks."""
    assert await _passing(tmp_path, [each for each in CHECKS if not each.quick]) == []


async def _passing(folder: Path, some: list[Check]) -> list[str]:
    """Return the ids of the checks that a worker passes although it breaks their rules."""
    server = Server(folder / "server")
    limit = asyncio.Semaphore(AT_ONCE)
    try:
        await server.start()
        async with asyncio.TaskGroup() as group:
            found = [group.create_task(_passes(each, folder / each.id, server, limit)) for each in some]
    finally:
        await server.kill()
    return [each.id for each, passes in zip(some, found, strict=True) if passes.result()]


async def _passes(check: Check, folder: Path, server: Server, limit: asyncio.Semaphore) -> bool:
    """Return whether a worker with the check's fault passes it."""
    worker = (sys.executable, "-m", "support.workers.tiny")
    command = ("env", f"PYTHONPATH={TESTS}", f"BREAKS={FAULTS[check.id]}", *worker)
    place = Place(command=command, folder=folder, server=server)
    shown_by = BY_ID[SHOWN_BY.get(check.id, check.id)]
    async with limit:
        async with opened(place, "stage", lease=shown_by.lease, own_server=shown_by.own_server) as stage:
            broken = await broken_by(shown_by, stage)
        if check.after_all:
            async with opened(place, "last") as stage:
                broken = await broken_by(check, stage)
    return not broken
