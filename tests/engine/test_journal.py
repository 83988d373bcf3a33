"""What is logged of executions: a batch at once, and nothing is made that the level drops."""

import logging
from collections.abc import Sequence
from datetime import timedelta

import pytest
import structlog
from msgspec.structs import replace
from structlog.testing import capture_logs
from support.rigs.rig import START, Rig

from schedule_grpc.domain.execution import Execution, FailedAttempt, Reason, State, Trigger
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.engine import log_lines as journals
from schedule_grpc.engine.log_lines import Line, journal
from schedule_grpc.events import Event, Transition

RUNNING = Execution(
    id="e",
    task_uid="u",
    task_name="task",
    handler="fate",
    trigger=Trigger.SCHEDULE,
    state=State.RUNNING,
    create_time=START,
    available_time=START,
    revision=1,
    start_time=START,
    attempt_start_time=START,
    attempt=1,
)
END = START + timedelta(milliseconds=12)
FAILURE = FailedAttempt(
    number=1, start_time=START, duration=timedelta(milliseconds=12), failure_kind=FailureKind.ERROR, error="bad"
)
SUCCEEDED = Transition(
    previous_state=State.RUNNING, execution=replace(RUNNING, state=State.SUCCEEDED, end_time=END), time=END
)
FAILED = Transition(
    previous_state=State.RUNNING,
    execution=replace(
        RUNNING,
        state=State.FAILED,
        end_time=END,
        failed_attempts=(FAILURE,),
        failure_kind=FailureKind.ERROR,
        error="bad",
    ),
    time=END,
)
SKIPPED = Transition(
    previous_state=None,
    execution=replace(
        RUNNING,
        state=State.SKIPPED,
        reason=Reason.OVERLAP,
        start_time=None,
        attempt_start_time=None,
        attempt=0,
        end_time=END,
    ),
    time=END,
)
AGAIN = Transition(
    previous_state=State.RUNNING,
    execution=replace(
        RUNNING, state=State.PENDING, failed_attempts=(FAILURE,), error="bad", available_time=END + timedelta(seconds=1)
    ),
    time=END,
)
HANDED_BACK = Transition(
    previous_state=State.RUNNING, execution=replace(RUNNING, state=State.PENDING, attempt=0, hand_backs=2), time=END
)
STARTED = Transition(previous_state=State.PENDING, execution=RUNNING, time=START)
ALL: Sequence[Event] = (STARTED, SUCCEEDED, FAILED, SKIPPED, AGAIN, HANDED_BACK)
ABOUT = {"execution": "e", "task": "task"}


def written(monkeypatch: pytest.MonkeyPatch, least: int, events: Sequence[Event] = ALL) -> list[Sequence[Line]]:
    """Return the batches that are written of events where the level is ``least``."""
    level = structlog.make_filtering_bound_logger(least)
    monkeypatch.setattr(journals, "log", structlog.wrap_logger(None, wrapper_class=level))
    batches: list[Sequence[Line]] = []
    journal(events, write=batches.append)
    return batches


def test_the_lines_of_a_batch_are_written_at_once(monkeypatch: pytest.MonkeyPatch):
    """In the order of its events: ends, and what is tried or begun again."""
    end = {**ABOUT, "trigger": "SCHEDULE", "attempt": 1, "duration_ms": 12}
    (lines,) = written(monkeypatch, logging.INFO)
    assert lines == [
        ("info", "execution.recorded", end | {"state": "SUCCEEDED"}),
        ("warning", "execution.recorded", end | {"state": "FAILED", "failure_kind": "ERROR", "error": "bad"}),
        (
            "info",
            "execution.recorded",
            end | {"state": "SKIPPED", "attempt": 0, "duration_ms": 0, "reason": "OVERLAP"},
        ),
        ("warning", "attempt.failed", {**ABOUT, "attempt": 1, "error": "bad", "again_in_ms": 1000}),
        ("info", "execution.handed_back", {**ABOUT, "hand_backs": 2}),
    ]


@pytest.mark.parametrize(
    ("least", "events"),
    [(logging.WARNING, ["execution.recorded", "attempt.failed"]), (logging.ERROR, None)],
)
def test_what_the_level_drops_is_not_made(monkeypatch: pytest.MonkeyPatch, least: int, events: list[str] | None):
    """Above info only failures are; above warning nothing, and nothing is written where nothing was made."""
    assert [[line.event for line in lines] for lines in written(monkeypatch, least)] == ([events] if events else [])
    assert written(monkeypatch, least, [STARTED, SUCCEEDED]) == []


async def test_a_service_that_nobody_set_up_logging_for_logs_by_structlog(rig: Rig):
    """As in a program that has the service inside it, and its own structlog."""
    await rig.register("task", "@manual")
    with capture_logs() as lines:
        await rig.service.run_now("task", detach=True)
        with rig.hub.listening(journal):
            await rig.tick()
    (line,) = (line for line in lines if line["event"] == "execution.recorded")
    assert (line["task"], line["state"], line["log_level"]) == ("task", "SUCCEEDED", "info")


def test_a_line_names_the_namespace_unless_it_is_the_default_one():
    """Two tasks of one name are told apart; lines of those who have no namespaces are as they were."""
    lines: list[Line] = []
    elsewhere = replace(FAILED, execution=replace(FAILED.execution, namespace="reports"))
    journal([FAILED, elsewhere], write=lines.extend)
    assert [line.fields.get("namespace") for line in lines] == [None, "reports"]
