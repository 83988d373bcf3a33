"""What tests of beginning in one step or in two have in common: what is open before, and what is left behind."""

import re
from collections.abc import Sequence
from typing import Any

from support.rigs.rig import Rig
from support.witnesses.checker.reading import rows

from schedule_grpc.events import Event, Transition
from schedule_grpc.store import ClaimRequest

ME = "me"


def request(rig: Rig, *, limit: int = 100, limits: dict[str, int] | None = None) -> ClaimRequest:
    """Return what asks for attempts of ``fate``."""
    return ClaimRequest(
        owner=ME,
        handlers=frozenset({"fate"}),
        limit=limit,
        running={},
        now=rig.clock.now(),
        limits=limits or {},
    )


def told_by(rig: Rig) -> list[Event]:
    """Return a list to which is added whatever is told from now on."""
    told: list[Event] = []
    rig.hub._listeners.append(told.extend)  # a context that nobody holds would end at once
    return told


def shown(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows without what no two of them share."""
    return [
        {
            column: re.sub(r"(one|two)-step|exec_\S+", "…", value) if isinstance(value, str) else value
            for column, value in row.items()
            if column not in {"id", "uid", "task_uid", "lease_token"}
        }
        for row in found
    ]


def left_behind(rig: Rig, name: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows of a task and of its executions."""
    executions = "SELECT * FROM task_executions WHERE task_name = '{}' ORDER BY create_time, scheduled_time, id"
    tasks = "SELECT * FROM scheduled_tasks WHERE name = '{}'"
    return (
        shown([dict(row) for row in rows(rig.place, tasks.format(name))]),
        shown([dict(row) for row in rows(rig.place, executions.format(name))]),
    )


async def nobody(_service: Rig, _name: str) -> None:
    """Nothing is open."""


async def one_runs(rig: Rig, name: str) -> None:
    """An attempt is in progress."""
    await rig.service.run_now(name, detach=True)
    assert len((await rig.store.claim(request(rig))).claims) == 1


async def one_runs_and_one_waits(rig: Rig, name: str) -> None:
    """An attempt is in progress, and a run waits behind it, or runs beside it where the policy lets it."""
    await one_runs(rig, name)
    await rig.service.run_now(name, detach=True)
    await rig.store.claim(request(rig))


BEFORE = (nobody, one_runs, one_runs_and_one_waits)


def moves(told: Sequence[Event]) -> list[tuple[str, str]]:
    """Return the changes of state that were told."""
    return [(str(event.previous_state), str(event.execution.state)) for event in told if isinstance(event, Transition)]


async def states(rig: Rig, *names: str) -> list[str]:
    """Return the states of all executions of some tasks."""
    return [state for name in names for state in await rig.states(name)]
