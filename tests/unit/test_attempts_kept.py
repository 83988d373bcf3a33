"""The errors of failed attempts are bounded together: an execution's message fits into what clients accept."""

from datetime import timedelta

import pytest
from msgspec.structs import replace
from support.rigs.rig import START

from schedule_grpc.domain.execution import (
    MAX_ERRORS_BYTES,
    MAX_TEXT_BYTES,
    Execution,
    FailedAttempt,
    Outcome,
    State,
    Trigger,
    after,
    bounded,
    planned,
)
from schedule_grpc.domain.registration import registered
from schedule_grpc.domain.retry import FailureKind, RetryPolicy
from schedule_grpc.domain.task import Policy, define
from schedule_grpc.formats import protobuf
from schedule_grpc.store.rows import execution_of
from schedule_grpc.store.tables import ended_pending, new_executions

CLIENTS_ACCEPT = 4 * 1024 * 1024
POLICY = Policy(retry=RetryPolicy(max_retries=100))
TASK = registered(None, define(name="t", schedule="@hourly", handler="h", policy=POLICY), enabled=None, now=START).after


def failed(number: int, error: str) -> FailedAttempt:
    """Return a failed attempt with its error."""
    duration = timedelta(seconds=1)
    return FailedAttempt(
        number=number, start_time=START, duration=duration, failure_kind=FailureKind.ERROR, error=error
    )


def total(attempts: tuple[FailedAttempt, ...]) -> int:
    """Return the bytes of all errors."""
    return sum(len(attempt.error.encode()) for attempt in attempts)


def full(count: int) -> Execution:
    """Return an execution as an older program wrote it: every attempt with the longest error that there is."""
    attempts = tuple(failed(number, "x" * MAX_TEXT_BYTES) for number in range(1, count + 1))
    return replace(planned(TASK, trigger=Trigger.SCHEDULE, now=START), failed_attempts=attempts, attempt=count)


def test_errors_that_fit_together_are_kept_as_they_are():
    """To the byte."""
    attempts = tuple(failed(number, "é" * (MAX_ERRORS_BYTES // 8)) for number in range(4))
    assert total(attempts) == MAX_ERRORS_BYTES
    assert bounded(attempts) == attempts
    assert bounded(()) == ()


@pytest.mark.parametrize("error", ["x" * MAX_TEXT_BYTES, "€" * (MAX_TEXT_BYTES // 3), "🦆" * (MAX_TEXT_BYTES // 4)])
@pytest.mark.parametrize("count", [5, 81, 101])
def test_the_longest_errors_are_cut_to_one_length_and_say_so(error: str, count: int):
    """Short ones beside them stay whole, and what they leave is the longer ones'."""
    short = [failed(number, f"short {number}") for number in range(3)]
    found = bounded([*short, *(failed(number, error) for number in range(count))])
    assert list(found[:3]) == short
    assert all("cut" in attempt.error and attempt.error[0] == error[0] for attempt in found[3:])
    assert MAX_ERRORS_BYTES - 5 * count < total(found) <= MAX_ERRORS_BYTES
    assert bounded(found) == found


def test_each_attempt_of_a_hundred_adds_its_error_within_the_bound():
    """The row does not grow with every attempt, and the last error of all stands whole beside them."""
    execution = planned(TASK, trigger=Trigger.SCHEDULE, now=START)
    error = "x" * MAX_TEXT_BYTES
    for number in range(1, 102):
        begun = replace(execution, state=State.RUNNING, attempt=number, attempt_start_time=START)
        outcome = Outcome(
            execution_id=execution.id,
            lease_token="",
            end_time=START,
            duration=timedelta(0),
            kind=FailureKind.ERROR,
            error=error,
        )
        execution = after(begun, outcome, TASK)
        assert total(execution.failed_attempts) <= MAX_ERRORS_BYTES
    assert (execution.state, len(execution.failed_attempts), execution.error) == (State.FAILED, 101, error)
    assert protobuf.execution_to(execution).ByteSize() < CLIENTS_ACCEPT


def test_a_row_of_an_older_program_is_read_within_the_bound():
    """Eighty-one attempts of 64 KiB were 5 MiB, which RunTaskNow and GetExecution could not answer."""
    old = full(81)
    found = execution_of({**new_executions([old])[0], **ended_pending(old), "hand_backs": 0, "worker": None})
    assert len(found.failed_attempts) == 81
    assert total(found.failed_attempts) <= MAX_ERRORS_BYTES
    assert protobuf.execution_to(found).ByteSize() < CLIENTS_ACCEPT
