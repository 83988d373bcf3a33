"""The spans of executions and attempts, of what was committed."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import structs
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from schedule_grpc.domain.execution import Execution, Outcome, State, Trigger, after, begun, handed_back, lost, planned
from schedule_grpc.domain.execution import missed as missed_by
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.domain.schedule import parse
from schedule_grpc.domain.states import Reason
from schedule_grpc.domain.task import Definition, Task
from schedule_grpc.events import Transition
from schedule_grpc.telemetry.executions import ExecutionSpans
from schedule_grpc.telemetry.ids import own_ids, trace_of
from schedule_grpc.telemetry.sampling import Sampling

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TASK = Task(
    definition=Definition(name="report", schedule=parse("@hourly"), handler="make-report", policy=Policy()),
    uid="uid",
    revision=1,
    enabled=True,
    create_time=NOW,
    update_time=NOW,
    settled_time=NOW,
)


def _spans_of(*steps: tuple[State | None, Execution], ratio: float = 1.0, follows: bool = True) -> list[ReadableSpan]:
    made: list[ReadableSpan] = []
    spans = ExecutionSpans(
        Sampling(ratio, follows_callers=follows),
        resource=Resource({}),
        scope=InstrumentationScope("tests"),
        export=made.append,
    )
    spans.notice([Transition(previous_state=before, execution=after, time=NOW) for before, after in steps])
    return made


def _begun(trigger: Trigger = Trigger.SCHEDULE, at: datetime = NOW, **more: Any) -> Execution:
    execution = planned(TASK, trigger=trigger, now=NOW, scheduled_time=NOW, **more)
    return begun(execution, lease_token="t", revision=1, now=at)


def _ended(execution: Execution, kind: FailureKind | None = None) -> Execution:
    outcome = Outcome(
        execution_id=execution.id,
        lease_token="t",
        end_time=NOW + timedelta(seconds=2),
        duration=timedelta(seconds=1),
        kind=kind,
        error=None if kind is None else "a secret",
    )
    return after(execution, outcome, TASK)


def _ids(spans: Sequence[ReadableSpan]) -> list[tuple[int, int, int | None]]:
    return [
        (each.context.trace_id, each.context.span_id, each.parent.span_id if each.parent else None) for each in spans
    ]


def test_an_attempt_and_its_execution_have_the_ids_that_the_execution_gives_them():
    """Whoever commits their ends: the ids are made of what is committed."""
    execution = _begun(at=NOW + timedelta(milliseconds=250))
    spans = _spans_of((State.RUNNING, _ended(execution)))
    trace_id, span_id = own_ids(execution.id)
    [(trace, _, parent), root] = _ids(spans)
    assert (trace, parent) == (trace_id, span_id)
    assert root == (trace_id, span_id, None)
    assert [span.name for span in spans] == ["attempt report", "execution report"]
    assert spans[1].attributes["schedule.lateness_ms"] == 250
    assert spans[1].end_time - spans[1].start_time == 2_000_000_000


def test_an_attempt_whose_server_died_has_a_span():
    """The server that settles it makes its span; the execution goes on, and has none yet."""
    [attempt] = _spans_of((State.RUNNING, lost(_begun(), TASK, NOW)))
    assert attempt.attributes["error.type"] == "LEASE_LOST"
    assert not attempt.status.is_ok


def test_an_attempt_that_was_handed_back_has_a_span_and_did_not_fail():
    """Its number is that of the attempt that is made instead."""
    first = _begun()
    [attempt] = _spans_of((State.RUNNING, handed_back(first, TASK, NOW)))
    assert attempt.attributes["schedule.handed_back"] is True
    assert attempt.attributes["schedule.attempt"] == 1
    assert attempt.status.is_unset
    again = structs.replace(first, attempt_start_time=NOW + timedelta(seconds=1))
    assert _ids(_spans_of((State.RUNNING, _ended(again))))[0] != _ids([attempt])[0]


def test_what_never_ran_has_a_span_without_attempts():
    """Every occurrence is accounted for, in traces too."""
    [span] = _spans_of((None, missed_by(planned(TASK, trigger=Trigger.CATCH_UP, now=NOW), Reason.CATCH_UP_NONE, NOW)))
    assert (span.attributes["schedule.state"], span.attributes["schedule.reason"]) == ("MISSED", "CATCH_UP_NONE")
    assert span.status.is_unset


def test_a_failure_is_told_by_its_kind_only():
    """The text of an error may be anybody's data."""
    execution = structs.replace(_begun(), attempt=99)
    spans = _spans_of((State.RUNNING, _ended(execution, FailureKind.TIMEOUT)))
    assert [span.attributes["error.type"] for span in spans] == ["TIMEOUT", "TIMEOUT"]
    assert not any(span.status.is_ok or span.status.description for span in spans)
    assert "secret" not in repr([(span.attributes, span.events) for span in spans])


def test_a_run_by_a_traced_call_belongs_to_its_trace_and_others_link_to_it():
    """One call of RunTaskNow makes one execution; one of TriggerCron or BackfillTask makes many."""
    [_, run] = _spans_of((State.RUNNING, _ended(_begun(Trigger.MANUAL, traceparent=CALLER))))
    assert f"{run.context.trace_id:032x}" in CALLER
    assert f"{run.parent.span_id:016x}" in CALLER
    for trigger in (Trigger.CRON, Trigger.BACKFILL):
        [_, made] = _spans_of((State.RUNNING, _ended(_begun(trigger, traceparent=CALLER))))
        assert made.parent is None
        assert [f"{link.context.trace_id:032x}" in CALLER for link in made.links] == [True]


def test_a_caller_decides_unless_the_sampler_ignores_callers():
    """A share of none leaves out all but what callers have decided."""
    unsampled = CALLER[:-1] + "0"
    of_caller, of_other = (_ended(_begun(Trigger.MANUAL, traceparent=each)) for each in (CALLER, unsampled))
    assert len(_spans_of((State.RUNNING, of_caller), ratio=0)) == 2
    assert _spans_of((State.RUNNING, of_other), ratio=1) == []
    assert len(_spans_of((State.RUNNING, of_other), ratio=1, follows=False)) == 2


def test_a_traceparent_that_is_none_is_ignored():
    """A row may hold anything: the execution is the root of a trace of its own."""
    for text in ("", "00-0-0-01", "ff" + CALLER[2:], CALLER.upper(), "00-" + "0" * 32 + CALLER[35:], None):
        found = trace_of(_begun(Trigger.MANUAL, traceparent=text))
        assert (found.parent, found.link) == (None, None)


def test_a_later_version_of_traceparent_is_read_as_far_as_it_is_known():
    """https://www.w3.org/TR/trace-context/#versioning-of-traceparent."""
    found = trace_of(_begun(Trigger.MANUAL, traceparent="01" + CALLER[2:] + "-more"))
    assert found.parent is not None
    assert found.parent.sampled
