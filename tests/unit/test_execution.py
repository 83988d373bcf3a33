"""An execution's life: every function that changes a state changes it as the table allows."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from rig import START

from schedule_grpc.execution import (
    MAX_HAND_BACKS,
    TRANSITIONS,
    Execution,
    Gate,
    Outcome,
    Reason,
    State,
    Trigger,
    admitted,
    after,
    handed_back,
    lost,
    missed,
    new_lease_token,
    planned,
    skipped,
)
from schedule_grpc.planning import registration
from schedule_grpc.retry import FailureKind, RetryPolicy
from schedule_grpc.task import Overlap, Policy, define

SECOND = timedelta(seconds=1)
LATER = START + 10 * SECOND


def pending(**changes: Any) -> Execution:
    """Return a new execution that the gate let in."""
    definition = define(name="t", schedule="@hourly", handler="h", policy=Policy(start_deadline=timedelta(minutes=5)))
    task = registration(None, definition, enabled=None, now=START).after
    new = planned(task, trigger=Trigger.SCHEDULE, now=START, scheduled_time=START)
    return replace(admitted(new, Overlap.SKIP, active=False, others_open=False), **changes)


def running(attempt: int = 1, **changes: Any) -> Execution:
    """Return one whose attempt is in progress."""
    begun = {
        "state": State.RUNNING,
        "attempt": attempt,
        "start_time": START,
        "attempt_start_time": START + SECOND,
        "lease_token": "token",
    }
    return pending(**(begun | changes))


def outcome(kind: FailureKind | None = None, **changes: Any) -> Outcome:
    """Return what an owner reports at LATER."""
    told: dict[str, Any] = {"error": None if kind is None else "why", "result": {"a": 1}}
    fixed = {"execution_id": "e", "lease_token": "token", "end_time": LATER, "duration": 9 * SECOND}
    return Outcome(kind=kind, **(fixed | told | changes))


POLICY = RetryPolicy()


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (pending(), skipped(pending(), Reason.TASK_DISABLED, LATER)),
        (pending(), skipped(pending(), Reason.NO_WORKER, LATER)),
        (pending(), missed(pending(), LATER)),
        (running(), after(running(), outcome(), POLICY)),
        (running(), after(running(), outcome(FailureKind.ERROR), POLICY)),
        (running(4), after(running(4), outcome(FailureKind.ERROR), POLICY)),
        (running(), after(running(), outcome(FailureKind.REJECTED), POLICY)),
        (running(), after(running(), outcome(FailureKind.TIMEOUT, retry=False), POLICY)),
        (running(), lost(running(), POLICY, LATER)),
        (running(4), lost(running(4), POLICY, LATER)),
        (running(), handed_back(running(), LATER)),
    ],
    ids=lambda execution: execution.state.value,
)
def test_every_change_is_one_that_the_table_allows(before: Execution, now: Execution):
    """And what has ended has an end, no gate, and no way out."""
    assert now.state in TRANSITIONS[before.state]
    assert (now.end_time is not None) == now.state.ended
    assert (now.gate is None) == now.state.ended
    assert now.state.ended == (TRANSITIONS[now.state] == frozenset())


@pytest.mark.parametrize("overlap", list(Overlap))
@pytest.mark.parametrize(("active", "others_open"), [(False, False), (False, True), (True, True)])
def test_what_is_new_begins_as_the_table_allows(overlap: Overlap, active: bool, others_open: bool):
    """PENDING with a gate, or SKIPPED without one at its own creation."""
    found = admitted(pending(gate=None), overlap, active=active, others_open=others_open)
    assert found.state in TRANSITIONS[None]
    assert (found.gate is None) == (found.state is State.SKIPPED)
    if found.state is State.SKIPPED:
        assert (found.end_time, found.duration) == (START, timedelta(0))


def test_the_table_knows_every_state_and_leads_nowhere_else():
    """Four ends; everything is reached from nothing."""
    assert set(TRANSITIONS) == {None, *State}
    assert {state for state in State if state.ended} == {State.SUCCEEDED, State.FAILED, State.SKIPPED, State.MISSED}
    reached: set[State] = set()
    ahead = set(TRANSITIONS[None])
    while ahead - reached:
        reached |= ahead
        ahead = {following for state in reached for following in TRANSITIONS[state]}
    assert reached == set(State)


def test_a_planned_execution_is_available_now_until_its_deadline():
    """It holds what the task was when it was planned."""
    new = pending()
    assert (new.available_time, new.deadline_time) == (START, START + timedelta(minutes=5))
    assert (new.attempt, new.attempts, new.revision, new.gate) == (0, (), 1, Gate.ACTIVE)
    assert (new.task_id, new.duration) == ("task_t", None)


def test_success_keeps_the_result_and_the_failed_attempts_before_it():
    """What the last attempt before it said is no longer the execution's error."""
    waiting = after(running(), outcome(FailureKind.ERROR, error="first"), POLICY)
    again = replace(waiting, state=State.RUNNING, attempt=2)
    done = after(again, outcome(result="fine"), POLICY)
    assert (done.state, done.result, done.error, done.kind) == (State.SUCCEEDED, "fine", None, None)
    assert [(failed.number, failed.error) for failed in done.attempts] == [(1, "first")]
    assert (done.end_time, done.duration) == (LATER, 10 * SECOND)


@pytest.mark.parametrize(("attempt", "wait"), [(1, 1), (2, 2), (3, 4)])
def test_a_retry_is_the_row_becoming_available_later(attempt: int, wait: int):
    """By the end of the attempt, and with what it said."""
    waiting = after(running(attempt), outcome(FailureKind.TIMEOUT), POLICY)
    assert (waiting.state, waiting.available_time) == (State.PENDING, LATER + wait * SECOND)
    assert (waiting.attempt, waiting.error, waiting.result, waiting.gate) == (attempt, "why", {"a": 1}, Gate.ACTIVE)
    (failed,) = waiting.attempts
    assert (failed.number, failed.kind, failed.duration) == (attempt, FailureKind.TIMEOUT, 9 * SECOND)
    assert failed.start_time == START + SECOND


def test_the_last_failure_is_the_executions():
    """Kind, error and result; every attempt is in the list."""
    failed = after(running(4), outcome(FailureKind.TIMEOUT), POLICY)
    assert (failed.state, failed.kind, failed.error) == (State.FAILED, FailureKind.TIMEOUT, "why")
    assert failed.result == {"a": 1}
    assert [each.number for each in failed.attempts] == [4]


def test_a_lost_lease_uses_an_attempt_up():
    """LEASE_LOST, from the attempt's start till the rescue, and the policy decides about another."""
    rescued = lost(running(), POLICY, LATER)
    assert (rescued.state, rescued.available_time) == (State.PENDING, LATER + SECOND)
    (failed,) = rescued.attempts
    assert (failed.kind, failed.duration) == (FailureKind.LEASE_LOST, 9 * SECOND)
    ended = lost(running(4), POLICY, LATER)
    assert (ended.state, ended.kind) == (State.FAILED, FailureKind.LEASE_LOST)
    assert ended.error == "The server that ran this attempt stopped or lost its lease"


def test_a_lost_attempt_never_took_less_than_no_time():
    """The clock was set back since it started."""
    (failed,) = lost(running(), POLICY, START - timedelta(hours=1)).attempts
    assert failed.duration == timedelta(0)


def test_a_hand_back_counts_for_nothing_until_there_are_too_many():
    """Twenty times the attempt is uncounted; the twenty-first is refused."""
    execution = running(2)
    for number in range(1, MAX_HAND_BACKS + 1):
        back = handed_back(execution, LATER)
        assert back is not None
        assert (back.state, back.attempt, back.hand_backs) == (State.PENDING, 1, number)
        assert (back.available_time, back.attempts) == (LATER, ())
        execution = replace(back, state=State.RUNNING, attempt=2)
    assert handed_back(execution, LATER) is None


@pytest.mark.parametrize("kind", [None, FailureKind.REJECTED])
def test_an_end_before_the_start_is_the_start(kind: FailureKind | None):
    """The wall clock was set back during the run, whatever came of it."""
    ended = after(running(), outcome(kind, end_time=START - timedelta(days=1)), POLICY)
    assert (ended.end_time, ended.duration) == (START, timedelta(0))


def test_what_never_ran_took_no_time():
    """Skipped or missed: an end, and a duration of zero."""
    for ended in (skipped(pending(), Reason.TASK_DISABLED, LATER), missed(pending(), LATER)):
        assert (ended.end_time, ended.duration, ended.start_time) == (LATER, timedelta(0), None)
    assert missed(pending(), LATER).reason is Reason.START_DEADLINE


def test_lease_tokens_are_never_the_same():
    """A thousand of them."""
    assert len({new_lease_token() for _ in range(1000)}) == 1000
