"""What handlers really did, as they noted it themselves: evidence that does not come from the database."""

import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.witnesses.checker.reading import rows

from schedule_grpc.handlers import TaskContext

FILE = Path("effects")
"""In the server's working directory. What is in the kernel's cache survives kill -9."""
KILLED = "killed"


@dataclass(frozen=True)
class Effect:
    """One line: the beginning or the end of an attempt, in the process of that id."""

    what: str
    execution: str
    attempt: int
    occurrence: str
    process: int
    time: float
    """By the monotonic clock of the machine, which all processes share."""
    by: str
    """The worker, where a process has several; else empty."""

    @property
    def worker(self) -> str:
        """The process, or the worker in it."""
        return self.by or str(self.process)


@contextmanager
def noted(ctx: TaskContext, *, by: str = "") -> Iterator[None]:
    """Within this context a handler is at work; an exception is its end as well."""
    _note("begin", ctx, by)
    try:
        yield
    finally:
        _note("end", ctx, by)


def contradictions(place: Path | str, replicas: Path | None = None) -> list[str]:
    """Return where the handlers' notes and a database do not agree.

    The notes lie beside its file; ``replicas`` is the folder of several servers, whose database is elsewhere.
    """
    if replicas is None:
        assert isinstance(place, Path)
    folder = replicas or Path(place).parent
    effects = read(folder)
    states = {row["id"]: row["state"] for row in rows(place, "SELECT id, state FROM task_executions")}
    by_execution: dict[str, list[Effect]] = defaultdict(list)
    for effect in effects:
        if effect.what == KILLED:
            for of_one in by_execution.values():
                of_one.append(effect)
        else:
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
    faults_of = _side_by_side if replicas is None else _anywhere_side_by_side
    found += [told for each in by_execution.values() for told in faults_of(each)]
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


def _anywhere_side_by_side(effects: list[Effect]) -> Iterator[str]:
    """Whatever the process, an attempt begins when the one before has ended, or its process was killed."""
    running: Effect | None = None
    for effect in effects:
        if effect.what == "begin":
            if running is not None:
                yield f"{effect.execution}: attempt {effect.attempt} in {effect.process} began beside {running}"
            running = effect
        elif running is not None and running.process == effect.process:
            running = None


def _occurrences_that_ran_twice(effects: list[Effect]) -> Iterator[str]:
    executions: dict[str, str] = {}
    for effect in effects:
        if effect.occurrence and executions.setdefault(effect.occurrence, effect.execution) != effect.execution:
            yield f"{effect.occurrence} ran as {executions[effect.occurrence]} and as {effect.execution}"


def most_at_once(effects: Iterable[Effect]) -> Mapping[str, int]:
    """Return how many attempts each worker ran at once, at most."""
    running: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for effect in sorted(effects, key=lambda each: each.time):
        running[effect.worker] += 1 if effect.what == "begin" else -1
        most[effect.worker] = max(most[effect.worker], running[effect.worker])
    return most


def read(folder: Path) -> list[Effect]:
    """Return what handlers have noted so far, in order."""
    file = folder / FILE
    return [_effect(line) for line in file.read_text().splitlines()] if file.exists() else []


def begun(folder: Path) -> list[Effect]:
    """Return the beginnings that handlers have noted so far."""
    return [effect for effect in read(folder) if effect.what == "begin"]


def note_killed(folder: Path, process: int) -> None:
    """Note that a process has been killed, among what handlers note."""
    _append(folder / FILE, f"{KILLED} - 0 {process} {time.monotonic()}  \n")


def _note(what: str, ctx: TaskContext, by: str) -> None:
    occurrence = f"{ctx.task.name}@{ctx.scheduled_time.isoformat()}" if ctx.scheduled_time else ""
    marks = f"{ctx.execution_id} {ctx.attempt} {os.getpid()} {time.monotonic()} {by} {occurrence}"
    _append(FILE, f"{what} {marks}\n")


def _append(file: Path, line: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def _effect(line: str) -> Effect:
    what, execution, attempt, process, when, by, occurrence = line.split(" ")
    return Effect(what, execution, int(attempt), occurrence, int(process), float(when), by)
