"""Every operation, driven from every state, changes states only as domain/execution.py's table allows."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from support.rigs.rig import Rig, new_rig

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.execution import STATES, TRANSITIONS, Execution, HandBack, Outcome, State
from schedule_grpc.domain.planning import plan
from schedule_grpc.domain.retry import FailureKind, RetryPolicy
from schedule_grpc.domain.task import CatchUp, Overlap, Policy
from schedule_grpc.domain.worker import OfferedHandler, Worker
from schedule_grpc.events import Transition
from schedule_grpc.store import Claim, ClaimRequest, Taker

SECOND = timedelta(seconds=1)


@dataclass(kw_only=True)
class Scene:
    """A task with one execution in some state, and the token of its last claim."""

    rig: Rig
    execution: Execution
    token: str

    @property
    def outcome(self) -> Outcome:
        """A success, told under the last claim."""
        return Outcome(
            execution_id=self.execution.id,
            lease_token=self.token,
            end_time=self.rig.clock.now(),
            duration=SECOND,
        )


def request(rig: Rig, owner: str = "me") -> ClaimRequest:
    """Return a claim of everything."""
    now = rig.clock.now()
    return ClaimRequest(owner=owner, handlers=frozenset({"fate"}), limit=100, running={}, now=now)


async def claim(rig: Rig) -> Claim:
    """Claim the one execution there is."""
    (found,) = (await rig.store.claim(request(rig))).claims
    return found


async def scene(rig: Rig, state: State) -> Scene:
    """Bring an execution into a state by the operations that lead there."""
    await rig.register("task", "@hourly", policy=Policy(retry=RetryPolicy(max_retries=1)))
    if state is State.MISSED:
        await rig.clock.advance(3600)
        await rig.store.fire([plan(await rig.service.get_task("task"), rig.clock.now())], now=rig.clock.now())
        await rig.clock.advance(3600)
        await rig.store.expire(now=rig.clock.now())
        (execution,) = await rig.history()
        return Scene(rig=rig, execution=execution, token="none")
    execution = await rig.service.run_now("task", detach=True)
    if state is State.PENDING:
        return Scene(rig=rig, execution=execution, token="none")
    if state is State.SKIPPED:
        await rig.store.give_up(DEFAULT_NAMESPACE, execution.id, now=rig.clock.now())
        return Scene(rig=rig, execution=execution, token="none")
    found = Scene(rig=rig, execution=execution, token=(await claim(rig)).lease_token)
    if state is State.SUCCEEDED:
        await rig.store.record([found.outcome])
    if state is State.CANCELLED:
        await rig.store.cancel(DEFAULT_NAMESPACE, execution.id, note="", now=rig.clock.now())
        await hand_back(found)
    if state is State.FAILED:
        await record_failure(found)
        await rig.clock.advance(10)
        found.token = (await claim(rig)).lease_token
        await record_failure(found)
    return found


async def record_failure(found: Scene, *, retry: bool = True) -> None:
    """Record a failed attempt, by default one that may be retried."""
    outcome = found.outcome
    await found.rig.store.record(
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
    report = HandBack(execution_id=found.execution.id, lease_token=found.token, time=found.rig.clock.now())
    await found.rig.store.record([report])


async def fire(found: Scene) -> None:
    """Fire the task, an hour later."""
    await found.rig.clock.advance(3600)
    task = await found.rig.service.get_task("task")
    now = found.rig.clock.now()
    await found.rig.store.fire([plan(task, now)], now=now)


async def rescue(found: Scene) -> None:
    """Rescue everything."""
    await found.rig.store.rescue(now=found.rig.clock.now())


async def take_over(found: Scene) -> None:
    """Take what no lease covers: nobody holds one here."""
    await found.rig.store.take_over({"me": 0}, now=found.rig.clock.now())


async def recover_own(found: Scene, *, begun: bool) -> None:
    """Settle what one does not run."""
    await found.rig.clock.advance(11)
    tokens = frozenset({found.token} if begun else ())
    await found.rig.store.recover_own("me", held=frozenset(), begun=tokens, now=found.rig.clock.now())


async def begin_session(found: Scene) -> None:
    """Let a worker register that takes the attempt with it, if there is one."""
    now = found.rig.clock.now()
    worker = Worker(
        session="worker",
        namespace=DEFAULT_NAMESPACE,
        name="worker",
        version="",
        labels={},
        offers=(OfferedHandler(name="fate"),),
        slots=4,
        lease=timedelta(seconds=30),
        start_time=now,
        seen_time=now,
    )
    await found.rig.store.register_worker(worker, held=[(found.execution.id, found.token)])


async def give(found: Scene) -> None:
    """Give to a worker what waits."""
    await begin_session(found)
    taker = Taker(owner="worker", title="worker", slots=4, free=4)
    asked = replace(request(found.rig), takers=(taker,))
    await found.rig.store.give([asked], now=asked.now)


async def end_worker(found: Scene) -> None:
    """Let the worker that has the attempt leave."""
    await begin_session(found)
    await found.rig.store.end_worker("worker", now=found.rig.clock.now())


async def lapse_workers(found: Scene) -> None:
    """End the lease of the worker that has the attempt."""
    await begin_session(found)
    await found.rig.store.lapse_workers({"worker": 1}, now=found.rig.clock.now())


async def end_overtime(found: Scene) -> None:
    """End the attempt that its worker does not stop."""
    await begin_session(found)
    await found.rig.store.end_overtime([(found.execution.id, found.token)], now=found.rig.clock.now())


async def expire(found: Scene) -> None:
    """End what is past its start deadline, two hours later."""
    await found.rig.clock.advance(7200)
    await found.rig.store.expire(now=found.rig.clock.now())


async def cancel_and_hand_back(found: Scene) -> None:
    """Ask for the end, and stop."""
    await found.rig.store.cancel(DEFAULT_NAMESPACE, found.execution.id, note="", now=found.rig.clock.now())
    await hand_back(found)


async def cancel_others(found: Scene) -> None:
    """Run once more, so that the other makes way."""
    await found.rig.register("task", "@hourly", policy=Policy(overlap=Overlap.CANCEL_OTHER))
    await found.rig.service.run_now("task", detach=True)


async def catch_nothing_up(found: Scene) -> None:
    """Fire hours later what is not caught up."""
    await found.rig.register("task", "@hourly", policy=Policy(catch_up=CatchUp.NONE))
    await found.rig.clock.advance(600)
    await fire(found)


async def backfill(found: Scene) -> None:
    """Record three hours that are past."""
    now = found.rig.clock.now()
    await found.rig.service.backfill("task", now - timedelta(hours=4), now)


async def delete_after_failure(found: Scene) -> None:
    """Delete the task while its execution waits for the next attempt."""
    await record_failure(found)
    await found.rig.service.delete("task")


OPERATIONS: dict[str, Callable[[Scene], Awaitable[object]]] = {
    "submit": lambda found: found.rig.service.run_now("task", detach=True),
    "fire": fire,
    "claim": lambda found: found.rig.store.claim(request(found.rig)),
    "record success": lambda found: found.rig.store.record([found.outcome]),
    "record failure": record_failure,
    "record last failure": lambda found: record_failure(found, retry=False),
    "hand back": hand_back,
    "rescue": rescue,
    "take over": take_over,
    "recover what began": partial(recover_own, begun=True),
    "recover what never began": partial(recover_own, begun=False),
    "register worker": begin_session,
    "give": give,
    "end worker": end_worker,
    "lapse workers": lapse_workers,
    "end overtime": end_overtime,
    "expire": expire,
    "give up": lambda found: found.rig.store.give_up(DEFAULT_NAMESPACE, found.execution.id, now=found.rig.clock.now()),
    "cancel": lambda found: found.rig.store.cancel(
        DEFAULT_NAMESPACE, found.execution.id, note="", now=found.rig.clock.now()
    ),
    "cancel and hand back": cancel_and_hand_back,
    "cancel others": cancel_others,
    "catch nothing up": catch_nothing_up,
    "backfill": backfill,
    "trigger": lambda found: found.rig.service.trigger_cron("@hourly"),
    "delete": lambda found: found.rig.service.delete("task"),
    "delete after a failure": delete_after_failure,
    "prune": lambda found: found.rig.engine.prune(),
    "disable": lambda found: found.rig.service.disable("task"),
    "register anew": lambda found: found.rig.register("task", "@daily"),
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
    async with new_rig(path) as rig:
        found = await scene(rig, state)
        seen: list[Transition] = []
        with rig.hub.listening(lambda events: seen.extend(e for e in events if isinstance(e, Transition))):
            await OPERATIONS[operation](found)
        after = {execution.id: execution.state for execution in await rig.history()}
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
