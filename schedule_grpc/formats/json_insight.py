"""JSON of summaries, of what comes, and of explanations, for HTTP and the commands."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from schedule_grpc.domain.durations import MILLISECOND
from schedule_grpc.domain.execution import Execution
from schedule_grpc.domain.explanation import Explained, Explanation
from schedule_grpc.domain.summary import Attention, FailureGroup, FailureGroups, Pulse, Summary
from schedule_grpc.domain.upcoming import Upcoming
from schedule_grpc.formats.json_answers import execution_json, task_json, time_json

QUARTER = timedelta(minutes=15)
"""The length of a bucket of the pulse."""
Shown = Callable[[Execution], Mapping[str, Any]]
"""Returns the JSON of an execution."""


def summary_json(summary: Summary, *, shown: Shown = execution_json) -> dict[str, Any]:
    """Return a summary's JSON, without keys whose value is missing."""
    counts = summary.counts
    return _present(
        {
            "readAt": time_json(summary.time),
            "counts": {
                "tasks": counts.tasks,
                "disabled": counts.disabled,
                "failing": counts.failing,
                "overdue": counts.overdue,
                "running": counts.running,
                "waiting": counts.waiting,
            },
            "lagMs": None if summary.lag is None else round(summary.lag / MILLISECOND, 3),
            "troubles": list(summary.troubles),
            "waiting": [
                {
                    "handler": each.handler,
                    "count": each.count,
                    "oldest": time_json(each.oldest_time),
                    "offered": each.offered,
                }
                for each in summary.waiting
            ],
            "running": [shown(each) for each in summary.running],
            "newestEnds": [shown(each) for each in summary.newest_ends],
            "nextRuns": [
                {
                    "taskName": each.name,
                    "handler": each.handler,
                    "scheduledAt": time_json(each.time),
                    "count": each.count,
                }
                for each in summary.next_runs
            ],
            "attention": [_attention_json(each) for each in summary.attention],
            "lastFailure": _time_or_none(summary.last_failure_time),
        }
    )


def pulse_json(pulse: Pulse) -> dict[str, Any]:
    """Return a pulse's JSON, by a quarter of an hour."""
    return {
        "completeFrom": time_json(pulse.complete_from),
        "buckets": [
            {
                "start": time_json(each.start_time),
                "counts": {state.value: count for state, count in sorted(each.counts.items())},
            }
            for each in pulse.by(QUARTER)
        ],
    }


def failures_json(failures: FailureGroups) -> list[dict[str, Any]]:
    """Return the JSON of failures that look alike."""
    return [_group_json(group) for group in failures.groups]


def upcoming_json(upcoming: Upcoming) -> dict[str, Any]:
    """Return the JSON of what comes, without keys whose value is missing."""
    return _present(
        {
            "start": time_json(upcoming.start_time),
            "end": time_json(upcoming.end_time),
            "stepMs": round(upcoming.step / MILLISECOND),
            "counts": list(upcoming.counts),
            "total": upcoming.total,
            "taskCount": upcoming.task_count,
            "busiestMinute": _time_or_none(upcoming.busiest_time),
            "busiestCount": upcoming.busiest_count,
            "next": [
                {"scheduledAt": time_json(each.time), "count": each.count, "taskNames": list(each.names)}
                for each in upcoming.next
            ],
            "clockNotes": [
                {
                    "changesAt": time_json(each.time),
                    "timeZone": each.time_zone,
                    "text": each.text,
                    "count": each.count,
                    "taskNames": list(each.names),
                }
                for each in upcoming.notes
            ],
        }
    )


def explanation_json(explanation: Explanation, *, shown: Shown = execution_json) -> dict[str, Any]:
    """Return an explanation's JSON, without keys whose value is missing."""
    return _present(
        {
            "task": task_json(explanation.task),
            "start": time_json(explanation.start_time),
            "end": time_json(explanation.end_time),
            "occurrences": [_explained_json(each, shown) for each in explanation.occurrences],
            "cut": explanation.is_cut or None,
            "note": explanation.note or None,
            "changes": [
                {
                    "changedAt": time_json(each.time),
                    "method": each.method,
                    "changedBy": each.by,
                    "changed": list(each.changed),
                }
                for each in explanation.changes
            ],
            "findings": [each.as_json() for each in explanation.findings],
        }
    )


def _explained_json(explained: Explained, shown: Shown) -> dict[str, Any]:
    return _present(
        {
            "scheduledAt": time_json(explained.scheduled_time),
            "cause": explained.cause.value,
            "text": explained.text,
            "lateMs": None if explained.late is None else round(explained.late / MILLISECOND),
            "execution": None if explained.execution is None else shown(explained.execution),
        }
    )


def _attention_json(attention: Attention) -> dict[str, Any]:
    return _present(
        {
            "kind": attention.kind.value,
            "subject": attention.subject or None,
            "text": attention.text,
            "since": _time_or_none(attention.since),
            "count": attention.count or None,
            "key": attention.key or None,
            "executionId": attention.execution_id or None,
        }
    )


def _group_json(group: FailureGroup) -> dict[str, Any]:
    return _present(
        {
            "taskName": group.task_name,
            "failureKind": group.failure_kind,
            "error": group.error,
            "count": group.count,
            "first": time_json(group.first_time),
            "last": time_json(group.last_time),
            "lastId": group.last_id,
            "hours": list(group.hours),
        }
    )


def _present(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}


def _time_or_none(instant: datetime | None) -> str | None:
    return None if instant is None else time_json(instant)
