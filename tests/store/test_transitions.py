"""Every operation, driven from every state, changes states only as domain/execution.py's table allows."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from support.rigs.rig import Rig, rig

from schedule_grpc.domain.execution import STATES, TRANSITIONS, Execution, HandBack, Outcome, State
from schedule_grpc.domain.planning import plan
from schedule_grpc.domain.retry import FailureKind, RetryPolicy
from schedule_grpc.domain.task import CatchUp, Overlap, Policy
from schedule_grpc.events import Transition
from schedule_grpc.store import Claim, ClaimRequest

SECOND = timedelta(seconds=1)


@dataclass(kw_only=True)
class Scene:
    """A task with one execution in some state, and the token of its last claim."""

    service: Rig
    execution: Execution
    token: str

    @property
    def outcome(self) -> Outcome:
        """A success, told under the last claim."""
        return Outcome(
            execution_id=self.execution.id,
            lease_token=self.token,
            end_time=self.service.clock.now(),
            duration=SECOND,
        )


def request(service: Rig, owner: str = "me") -> ClaimRequest:
    """Return a claim of everything."""
    now = service.clock.now()
    return ClaimRequest(owner=owner, handlers=frozenset({"fate"}), limit=100, running={}, now=now)


async def claim(service: Rig) -> Claim:
    """Claim the one execution there is."""
    (found,) = (await service.store.claim(request(service))).claims
    return found


async def scene(service: Rig, state: State) -> Scene:
    """Bring an execution into a state by the operations that lead there."""
    await service.register("task", "@hourly", policy=Policy(retry=RetryPolicy(max_retries=1)))
    if state is State.MISSED:
        await service.clock.advance(3600)
        await service.store.fire(
            [plan(await service.service.get_task("task"), service.clock.now())], now=service.clock.now()
        )
        await service.clock.advance(3600)
        await service.store.expire(now=service.clock.now())
        (execution,) = await service.history()
        return Scene(service=service, execution=execution, token="none")
    execution = await service.service.run_now("task", detach=True)
    if state is State.PENDING:
        return Scene(service=service, execution=execution, token="none")
    if state is State.SKIPPED:
        await service.store.give_up(execution.id, now=service.clock.now())
        return Scene(service=service, execution=execution, token="none")
    found = Scene(service=service, execution=execution, token=(await claim(service)).lease_token)
    if state is State.SUCCEEDED:
        await service.store.record([found.outcome])
    if state is State.CANCELLED:
        await service.store.cancel(execution.id, note="", now=service.clock.now())
        await hand_back(found)
    if state is State.FAILED:
        await record_failure(found)
        await service.clock.advance(10)
        found.token = (await claim(service)).lease_token
        await record_failure(found)
    return found


async def record_failure(found: Scene, *, retry: bool = True) -> None:
    """Record a failed attempt, by default one that may be retried."""
    outcome = found.outcome
    await found.service.store.record(
        [
            Outcome(
                execution_id=outcome.execution_id,
                lease_token=outcome.lease_token,
                end_time=outcome.end_time,
                duration=SECOND,
                kind=FailureKind.ERROR,
                error="no",
                retry=retry,
            )
        ]
    )


async def hand_back(found: Scene) -> None:
    """Hand the attempt back."""
    report = HandBack(execution_id=found.execution.id, lease_token=found.token, time=found.service.clock.now())
    await found.service.store.record([report])


async def fire(found: Scene) -> None:
    """Fire the task, an hour later."""
    await found.service.clock.advance(3600)
    task = await found.service.service.get_task("task")
    now = found.service.clock.now()
    await found.service.store.fire([plan(task, now)], now=now)


async def rescue(found: Scene) -> None:
    """Rescue everything."""
    await found.service.store.rescue(now=found.service.clock.now())


async def take_over(found: Scene) -> None:
    """Take what no lease covers: nobody holds one here."""
    await found.service.store.take_over({"me": 0}, now=found.service.clock.now())


async def recover_own(found: Scene, *, begun: bool) -> None:
    """Settle what one does not run."""
    await found.service.clock.advance(11)
    tokens = frozenset({found.token} if begun else ())
    await found.service.store.recover_own("me", held=frozenset(), begun=tokens, now=found.service.clock.now())


async def expire(found: Scene) -> None:
    """End what is past its start deadline, two hours later."""
    await found.service.clock.advance(7200)
    await found.service.store.expire(now=found.service.clock.now())


async def cancel_and_hand_back(found: Scene) -> None:
    """Ask for the end, and stop."""
    await found.service.store.cancel(found.execution.id, note="", now=found.service.clock.now())
    await hand_back(found)


async def cancel_others(found: Scene) -> None:
    """Run once more, so that the other makes way."""
    await found.service.register("task", "@hourly", policy=Policy(overlap=Overlap.CANCEL_OTHER))
    await found.service.service.run_now("task", detach=True)


async def catch_nothing_up(found: Scene) -> None:
    """Fire hours later what is not caught up."""
    await found.service.register("task", "@hourly", policy=Policy(catch_up=CatchUp.NONE))
    await found.service.clock.advance(600)
    await fire(found)


async def backfill(found: Scene) -> None:
    """Record three hours that are past."""
    now = found.service.clock.now()
    await found.service.service.backfill("task", now - timedelta(hours=4), now)


async def delete_after_failure(found: Scene) -> None:
    """Delete the task while its execution waits for the next attempt."""
    await record_failure(found)
    await found.service.service.delete("task")


OPERATIONS: dict[str, Callable[[Scene], Awaitable[object]]] = {
    "submit": lambda found: found.service.service.run_now("task", detach=True),
    "fire": fire,
    "claim": lambda found: found.service.store.claim(request(found.service)),
    "record success": lambda found: found.service.store.record([found.outcome]),
    "record failure": record_failure,
    "record last failure": lambda found: record_failure(found, retry=False),
    "hand back": hand_back,
    "rescue": rescue,
    "take over": take_over,
    "recover what began": partial(recover_own, begun=True),
    "recover what never began": partial(recover_own, begun=False),
    "expire": expire,
    "give up": lambda found: found.service.store.give_up(found.execution.id, now=found.service.clock.now()),
    "cancel": lambda found: found.service.store.cancel(found.execution.id, note="", now=found.service.clock.now()),
    "cancel and hand back": cancel_and_hand_back,
    "cancel others": cancel_others,
    "catch nothing up": catch_nothing_up,
    "backfill": backfill,
    "trigger": lambda found: found.service.service.trigger_cron("@hourly"),
    "delete": lambda found: found.service.service.delete("task"),
    "delete after a failure": delete_after_failure,
    "prune": lambda found: found.service.engine.prune(),
    "disable": lambda found: found.service.service.disable("task"),
    "register anew": lambda found: found.service.register("task", "@daily"),
}


OBSERVED: dict[tuple[State, str], set[tuple[State | None, State]]] = {}
"""What the tests have seen so far: each operation is tried from each state once, for both of them."""


async def observed(folder: Path, state: State, operation: str) -> set[tuple[State | None, State]]:
    """Return the transitions that an operation makes from a state, as the hub tells of them."""
    if (state, operation) not in OBSERVED:
        OBSERVED[state, operation] = await tried(folder / f"{len(OBSERVED)}.db", state, operation)
    return OBSERVED[state, operation]


async def tried(path: Path, state: State, operation: str) -> set[tuple[State | None, State]]:
    """Do it, on a service of its own; what is told is what the rows say, and what had ended is as it was."""
    async with rig(path) as service:
        found = await scene(service, state)
        seen: list[Transition] = []
        with service.hub.listening(lambda events: seen.extend(e for e in events if isinstance(e, Transition))):
            await OPERATIONS[operation](found)
        after = {execution.id: execution.state for execution in await service.history()}
        told = {transition.execution.id: transition.execution.state for transition in seen}
        assert told.items() <= after.items()
        if found.execution.id not in told:
            assert after[found.execution.id] is state
        return {(transition.previous_state, transition.execution.state) for transition in seen}


@pytest.mark.parametrize("state", STATES)
async def test_every_operation_keeps_to_the_table(tmp_path: Path, state: State):
    """What the hub told is what the rows say, and the table allows each step; ended rows never change."""
    for operation in OPERATIONS:
        for before, after in await observed(tmp_path, state, operation):
            assert after in TRANSITIONS[before], f"{operation} from {state}: {before} to {after}"


@pytest.mark.slow
async def test_every_allowed_transition_happens(tmp_path: Path):
    """The table allows nothing that no operation does."""
    seen: set[tuple[State | None, State]] = set()
    for state in STATES:
        for operation in OPERATIONS:
            seen |= await observed(tmp_path, state, operation)
    assert seen == {(before, after) for before, allowed in TRANSITIONS.items() for after in allowed}
