"""What handlers really did, as they noted it themselves: evidence that does not come from the database."""

import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from schedule_grpc.handlers import TaskContext

FILE = Path("effects")
"""In the server's working directory. What is in the kernel's cache survives kill -9."""


@dataclass(frozen=True)
class Effect:
    """One line: the beginning or the end of an attempt, in the process of that id."""

    what: str
    execution: str
    attempt: int
    occurrence: str
    process: int


@contextmanager
def noted(ctx: TaskContext) -> Iterator[None]:
    """Within this context a handler is at work; an exception is its end as well."""
    _note("begin", ctx)
    try:
        yield
    finally:
        _note("end", ctx)


def contradictions(folder: Path) -> list[str]:
    """Return where the handlers' notes and the database beside them do not agree."""
    effects = [_effect(line) for line in (folder / FILE).read_text().splitlines()]
    with closing(sqlite3.connect(f"file:{folder / 'schedule.db'}?mode=ro", uri=True)) as connection:
        states = dict(connection.execute("SELECT id, state FROM task_executions").fetchall())
    by_execution: dict[str, list[Effect]] = defaultdict(list)
    for effect in effects:
        by_execution[effect.execution].append(effect)
    found = [f"{each} ran, and nobody knows of it" for each in by_execution if each not in states]
    found += [
        f"{each} is {states[each]} and ran"
        for each in by_execution
        if states.get(each) in ("SKIPPED", "MISSED", "PENDING")
    ]
    found += [
        f"{each} is SUCCEEDED, and no handler came to its end"
        for each, state in states.items()
        if state == "SUCCEEDED" and not any(effect.what == "end" for effect in by_execution[each])
    ]
    found += [told for each in by_execution.values() for told in _side_by_side(each)]
    return found + list(_occurrences_that_ran_twice(effects))


def _side_by_side(effects: list[Effect]) -> Iterator[str]:
    """Within one process an attempt begins when the one before has ended, and none begins twice."""
    running: Effect | None = None
    begun: set[int] = set()
    for effect in effects:
        if effect.what == "end":
            running = None
            continue
        if running is not None and running.process == effect.process:
            yield f"{effect.execution}: attempt {effect.attempt} began beside attempt {running.attempt}"
        if effect.attempt in begun:
            yield f"{effect.execution}: attempt {effect.attempt} began twice"
        begun.add(effect.attempt)
        running = effect


def _occurrences_that_ran_twice(effects: list[Effect]) -> Iterator[str]:
    executions: dict[str, str] = {}
    for effect in effects:
        if effect.occurrence and executions.setdefault(effect.occurrence, effect.execution) != effect.execution:
            yield f"{effect.occurrence} ran as {executions[effect.occurrence]} and as {effect.execution}"


def _note(what: str, ctx: TaskContext) -> None:
    occurrence = f"{ctx.task.name}@{ctx.scheduled_time.isoformat()}" if ctx.scheduled_time else ""
    line = f"{what} {ctx.execution_id} {ctx.attempt} {os.getpid()} {occurrence}\n"
    descriptor = os.open(FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def _effect(line: str) -> Effect:
    what, execution, attempt, process, occurrence = line.split(" ")
    return Effect(what, execution, int(attempt), occurrence, int(process))
