"""An execution's life: every function that changes a state changes it as the table allows."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from support.rigs.rig import START

from schedule_grpc.domain.execution import (
    MAX_HAND_BACKS,
    STATES,
    TRANSITIONS,
    Execution,
    Gate,
    Occupancy,
    Outcome,
    Reason,
    State,
    Trigger,
    admitted,
    after,
    cancel_requested,
    deleted,
    handed_back,
    lost,
    missed,
    new_lease_token,
    planned,
    skipped,
)
from schedule_grpc.domain.registration import registered, removed
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.domain.task import Overlap, Policy, define

SECOND = timedelta(seconds=1)
LATER = START + 10 * SECOND
EMPTY = Occupancy(active=False, any_open=False)


DEFINITION = define(name="t", schedule="@hourly", handler="h", policy=Policy(start_deadline=timedelta(minutes=5)))
TASK = registered(None, DEFINITION, enabled=None, now=START).after
GONE = removed(TASK, START + SECOND).after


def pending(**changes: Any) -> Execution:
    """Return a new execution that the gate let in."""
    new = planned(TASK, trigger=Trigger.SCHEDULE, now=START, scheduled_time=START)
    return replace(admitted(new, Policy(start_deadline=timedelta(minutes=5)), EMPTY), **changes)


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


def waiting_again() -> Execution:
    """Return one that waits for its second attempt."""
    return after(running(), outcome(FailureKind.ERROR), TASK)


def marked() -> Execution:
    """Return a running one whose end was asked for."""
    return cancel_requested(running(), "enough", START + 2 * SECOND)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (pending(), skipped(pending(), Reason.TASK_DISABLED, LATER)),
        (pending(), skipped(pending(), Reason.NO_WORKER, LATER)),
        (pending(), missed(pending(), Reason.START_DEADLINE, LATER)),
        (running(), after(running(), outcome(), TASK)),
        (running(), after(running(), outcome(FailureKind.ERROR), TASK)),
        (running(4), after(running(4), outcome(FailureKind.ERROR), TASK)),
        (running(), after(running(), outcome(FailureKind.REJECTED), TASK)),
        (running(), after(running(), outcome(FailureKind.TIMEOUT, retry=False), TASK)),
        (running(), lost(running(), TASK, LATER)),
        (running(4), lost(running(4), TASK, LATER)),
        (running(), handed_back(running(), TASK, LATER)),
        (running(), handed_back(running(), GONE, LATER)),
        (running(), after(running(), outcome(FailureKind.ERROR), GONE)),
        (pending(), deleted(pending(), LATER)),
        (waiting_again(), deleted(waiting_again(), LATER)),
        (pending(), cancel_requested(pending(), "enough", LATER)),
        (waiting_again(), cancel_requested(waiting_again(), "enough", LATER)),
        (running(), handed_back(marked(), TASK, LATER)),
        (running(), after(marked(), outcome(FailureKind.ERROR), TASK)),
        (running(), lost(marked(), TASK, LATER)),
        (running(), after(marked(), outcome(), TASK)),
    ],
    ids=lambda execution: execution.state.value,
)
def test_every_change_is_one_that_the_table_allows(before: Execution, now: Execution):
    """And what has ended has an end, no gate, and no way out."""
    assert now.state in TRANSITIONS[before.state]
    assert (now.end_time is not None) == now.state.is_terminal
    assert (now.gate is None) == now.state.is_terminal
    assert now.state.is_terminal == (TRANSITIONS[now.state] == frozenset())


@pytest.mark.parametrize("overlap", list(Overlap))
@pytest.mark.parametrize("trigger", list(Trigger))
@pytest.mark.parametrize(("active", "any_open"), [(False, False), (False, True), (True, True)])
def test_what_is_new_begins_as_the_table_allows(overlap: Overlap, trigger: Trigger, active: bool, any_open: bool):
    """PENDING with a gate, or SKIPPED without one at its own creation."""
    new = pending(gate=None, deadline_time=None, trigger=trigger)
    found = admitted(new, Policy(overlap=overlap), Occupancy(active=active, any_open=any_open))
    assert (found.deadline_time is None) == (found.gate in (None, Gate.WAITING))
    assert found.state in TRANSITIONS[None]
    assert (found.gate is None) == (found.state is State.SKIPPED)
    if found.state is State.SKIPPED:
        assert (found.end_time, found.duration) == (START, timedelta(0))


def test_the_table_knows_every_state_and_leads_nowhere_else():
    """Five ends, and one that is not known; everything that is known is reached from nothing."""
    assert set(TRANSITIONS) == {None, *State}
    assert {state for state in State if state.is_terminal} == set(State) - {State.PENDING, State.RUNNING}
    reached: set[State] = set()
    ahead = set(TRANSITIONS[None])
    while ahead - reached:
        reached |= ahead
        ahead = {following for state in reached for following in TRANSITIONS[state]}
    assert reached == set(STATES)


def test_a_planned_execution_is_available_now_until_its_deadline():
    """It holds what the task was when it was planned."""
    new = pending()
    assert (new.available_time, new.deadline_time) == (START, START + timedelta(minutes=5))
    assert (new.attempt, new.failed_attempts, new.revision, new.gate) == (0, (), 1, Gate.ACTIVE)
    assert (new.task_id, new.duration) == ("task_t", None)


def test_success_keeps_the_result_and_the_failed_attempts_before_it():
    """What the last attempt before it said is no longer the execution's error."""
    waiting = after(running(), outcome(FailureKind.ERROR, error="first"), TASK)
    again = replace(waiting, state=State.RUNNING, attempt=2)
    done = after(again, outcome(result="fine"), TASK)
    assert (done.state, done.result, done.error, done.failure_kind) == (State.SUCCEEDED, "fine", None, None)
    assert [(failed.number, failed.error) for failed in done.failed_attempts] == [(1, "first")]
    assert (done.end_time, done.duration) == (LATER, 10 * SECOND)


@pytest.mark.parametrize(("attempt", "wait"), [(1, 1), (2, 2), (3, 4)])
def test_a_retry_is_the_row_becoming_available_later(attempt: int, wait: int):
    """By the end of the attempt, and with what it said."""
    waiting = after(running(attempt), outcome(FailureKind.TIMEOUT), TASK)
    assert (waiting.state, waiting.available_time) == (State.PENDING, LATER + wait * SECOND)
    assert (waiting.attempt, waiting.error, waiting.result, waiting.gate) == (attempt, "why", {"a": 1}, Gate.ACTIVE)
    (failed,) = waiting.failed_attempts
    assert (failed.number, failed.failure_kind, failed.duration) == (attempt, FailureKind.TIMEOUT, 9 * SECOND)
    assert failed.start_time == START + SECOND


def test_the_last_failure_is_the_executions():
    """Kind, error and result; every attempt is in the list."""
    failed = after(running(4), outcome(FailureKind.TIMEOUT), TASK)
    assert (failed.state, failed.failure_kind, failed.error) == (State.FAILED, FailureKind.TIMEOUT, "why")
    assert failed.result == {"a": 1}
    assert [each.number for each in failed.failed_attempts] == [4]


def test_a_lost_lease_uses_an_attempt_up():
    """LEASE_LOST, from the attempt's start till the rescue, and the policy decides about another."""
    rescued = lost(running(), TASK, LATER)
    assert (rescued.state, rescued.available_time) == (State.PENDING, LATER + SECOND)
    (failed,) = rescued.failed_attempts
    assert (failed.failure_kind, failed.duration) == (FailureKind.LEASE_LOST, 9 * SECOND)
    ended = lost(running(4), TASK, LATER)
    assert (ended.state, ended.failure_kind) == (State.FAILED, FailureKind.LEASE_LOST)
    assert ended.error == "The server that ran this attempt stopped or lost its lease"
    at_worker = lost(replace(running(4), worker="reports-1"), TASK, LATER)
    assert at_worker.error == "The worker that ran this attempt stopped or lost its lease"


def test_a_lost_attempt_never_took_less_than_no_time():
    """The clock was set back since it started."""
    (failed,) = lost(running(), TASK, START - timedelta(hours=1)).failed_attempts
    assert failed.duration == timedelta(0)


def test_a_hand_back_counts_for_nothing_until_there_are_too_many():
    """Twenty times the attempt is uncounted; the twenty-first is refused."""
    execution = running(2)
    for number in range(1, MAX_HAND_BACKS + 1):
        back = handed_back(execution, TASK, LATER)
        assert (back.state, back.attempt, back.hand_backs) == (State.PENDING, 1, number)
        assert (back.available_time, back.failed_attempts) == (LATER, ())
        execution = replace(back, state=State.RUNNING, attempt=2)
    too_often = handed_back(execution, TASK, LATER)
    assert (too_often.state, too_often.attempt, too_often.hand_backs) == (State.PENDING, 2, MAX_HAND_BACKS)
    assert [attempt.failure_kind for attempt in too_often.failed_attempts] == [FailureKind.LEASE_LOST]


@pytest.mark.parametrize("kind", [None, FailureKind.REJECTED])
def test_an_end_before_the_start_is_the_start(kind: FailureKind | None):
    """The wall clock was set back during the run, whatever came of it."""
    ended = after(running(), outcome(kind, end_time=START - timedelta(days=1)), TASK)
    assert (ended.end_time, ended.duration) == (START, timedelta(0))


def test_what_never_ran_took_no_time():
    """Skipped or missed: an end, and a duration of zero."""
    for ended in (skipped(pending(), Reason.TASK_DISABLED, LATER), missed(pending(), Reason.START_DEADLINE, LATER)):
        assert (ended.end_time, ended.duration, ended.start_time) == (LATER, timedelta(0), None)
    assert missed(pending(), Reason.START_DEADLINE, LATER).reason is Reason.START_DEADLINE


def test_lease_tokens_are_never_the_same():
    """A thousand of them."""
    assert len({new_lease_token() for _ in range(1000)}) == 1000


# -- cancelling and deleting


def test_what_waits_is_cancelled_at_once_and_what_runs_is_marked():
    """With the reason as its error; a running one goes on until its owner has stopped it."""
    ended = cancel_requested(pending(), "enough", LATER)
    assert (ended.state, ended.error, ended.end_time) == (State.CANCELLED, "enough", LATER)
    assert cancel_requested(pending(), "", LATER).error == "Cancelled"
    going = marked()
    assert (going.state, going.cancel_requested_time, going.error) == (State.RUNNING, START + 2 * SECOND, None)


def test_a_second_wish_and_one_that_comes_too_late_change_nothing():
    """The first reason stands; what has ended stays as it ended."""
    going = marked()
    assert cancel_requested(going, "again", LATER) == going
    done = after(running(), outcome(), TASK)
    assert cancel_requested(done, "too late", LATER) == done


def test_a_success_that_was_faster_stands():
    """Every other end of a marked one is CANCELLED, whatever it was; a failure stays among its attempts."""
    assert after(marked(), outcome(), TASK).state is State.SUCCEEDED
    failed = after(marked(), outcome(FailureKind.ERROR), TASK)
    assert (failed.state, failed.error, [each.error for each in failed.failed_attempts]) == (
        State.CANCELLED,
        "enough",
        ["why"],
    )
    assert handed_back(marked(), TASK, LATER).state is State.CANCELLED
    assert lost(marked(), TASK, LATER).state is State.CANCELLED


def test_a_deleted_tasks_failure_is_the_last():
    """It would have been tried again; the reason says why it was not. A last failure is one without that reason."""
    failed = after(running(), outcome(FailureKind.ERROR), GONE)
    assert (failed.state, failed.reason, failed.failure_kind) == (State.FAILED, Reason.TASK_DELETED, FailureKind.ERROR)
    assert after(running(4), outcome(FailureKind.ERROR), GONE).reason is None
    assert after(running(), outcome(), GONE).state is State.SUCCEEDED


def test_deletion_ends_what_waits():
    """SKIPPED where it never started; else FAILED as its last attempt did."""
    never = deleted(pending(), LATER)
    assert (never.state, never.reason, never.start_time) == (State.SKIPPED, Reason.TASK_DELETED, None)
    tried = deleted(waiting_again(), LATER)
    assert (tried.state, tried.reason, tried.failure_kind, tried.error) == (
        State.FAILED,
        Reason.TASK_DELETED,
        FailureKind.ERROR,
        "why",
    )


def test_an_attempt_that_was_handed_back_counts_once_its_task_is_deleted():
    """It did start: it cannot be SKIPPED, and it fails by the loss of its server."""
    back = handed_back(running(), TASK, LATER)
    ended = deleted(back, LATER)
    assert (ended.state, ended.attempt, ended.failure_kind) == (State.FAILED, 1, FailureKind.LEASE_LOST)
    assert [attempt.number for attempt in ended.failed_attempts] == [1]


def test_a_backfill_is_never_late():
    """It was asked for late: the dashboard leaves it out of lateness, as metrics and traces do."""
    late = running(scheduled_time=START - 3600 * SECOND)
    assert late.lateness == 3600 * SECOND
    assert replace(late, trigger=Trigger.BACKFILL).lateness is None
