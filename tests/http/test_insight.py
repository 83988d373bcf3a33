"""GET /tasks with a text, states and an order; /summary, /upcoming and /tasks/{name}/why, as callers see them."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from schedule_grpc.api.http import shown, shown_insight


@pytest.fixture
def asked(web) -> Callable[..., Any]:
    """Ask, and hold the answer to its model."""

    def ask(path: str, model: type[BaseModel]) -> Any:
        answer = web.get(path)
        assert answer.status_code == 200, answer.text
        model.model_validate(answer.json())
        return answer.json()

    return ask


@pytest.fixture
def ran(web, name: str) -> str:
    """The name of a registered task."""
    body = {"name": name, "schedule": "@hourly", "handler": "steps", "description": "Finds the Needle"}
    assert web.post("/tasks", json=body).status_code == 200
    return name


def test_tasks_are_found(asked, web, ran: str):
    """By a part of the name, whatever its case, and by state; refused fields are named as they were asked."""
    web.post(f"/tasks/{ran}/run")
    found = asked(f"/tasks?q=NEEDLE&namePrefix={ran}&view=full&sort=last", shown.TasksAnswer)
    (task,) = found["tasks"]
    assert task["activity"]["last"]["state"] == "SUCCEEDED"
    assert (task["activity"]["running"], task["activity"]["waiting"]) == (0, 0)
    assert asked(f"/tasks?q=needle&state=disabled&namePrefix={ran}", shown.TasksAnswer)["count"] == 0
    web.post(f"/tasks/{ran}/disable")
    assert asked(f"/tasks?state=disabled,failing&namePrefix={ran}&sort=failures", shown.TasksAnswer)["count"] == 1
    assert "activity" not in asked(f"/tasks?namePrefix={ran}", shown.TasksAnswer)["tasks"][0]
    assert "partial" not in found


@pytest.mark.parametrize(
    ("query", "field", "reason"),
    [
        ("state=broken", "state", "broken is none of failing, running, waiting, disabled, overdue"),
        ("sort=size", "sort", "should be 'name', 'next', 'last' or 'failures'"),
        ("view=some", "view", "should be 'basic' or 'full'"),
        ("q=" + "x" * 129, "q", "longer than 128 characters"),
        ("order=name", "order", "is unknown here"),
    ],
)
def test_bad_questions_about_tasks(web, query: str, field: str, reason: str):
    """Each is refused with its field and the reason."""
    answer = web.get(f"/tasks?{query}")
    assert answer.status_code == 400
    (detail,) = answer.json()["details"]
    assert detail["field"] == field
    assert reason in detail["reason"]


def test_the_summary(asked, web, ran: str):
    """Counts, lists, the pulse of a day and the failures."""
    summary = asked("/summary", shown_insight.SummaryAnswer)
    assert summary["moreFailures"] == 0
    assert summary["counts"]["tasks"] >= 1
    assert len(summary["pulse"]["buckets"]) in (96, 97)
    assert summary["troubles"] == []
    assert any(run["count"] for run in summary["nextRuns"])


def test_what_comes(asked, web, ran: str):
    """By five minutes, the next ones with their names."""
    upcoming = asked("/upcoming?hours=2&handler=steps", shown_insight.UpcomingAnswer)
    assert len(upcoming["counts"]) == 24
    assert upcoming["total"] == sum(upcoming["counts"]) >= 2
    assert any(ran in each["taskNames"] for each in upcoming["next"])
    answer = web.get("/upcoming?hours=169")
    assert (answer.status_code, answer.json()["details"][0]["field"]) == (400, "hours")


def test_why(asked, web, ran: str):
    """The occurrences of a range, or beside an instant; refused fields are named as they were asked."""
    now = datetime.fromisoformat(web.get("/health").json()["timestamp"])  # the server's clock is its own
    hour = now.replace(minute=0, second=0, microsecond=0)
    before = f"{hour - timedelta(hours=3):%FT%TZ}"
    why = asked(f"/tasks/{ran}/why?from={before}", shown_insight.WhyAnswer)
    assert {each["cause"] for each in why["occurrences"]} == {"NOT_DEFINED"}
    assert [each["check"] for each in why["findings"]] == ["task", "schedule", "handler", "failures", "history"]
    at = asked(f"/tasks/{ran}/why?at={hour + timedelta(hours=1):%FT%TZ}", shown_insight.WhyAnswer)
    assert [each["cause"] for each in at["occurrences"]] == ["NOT_DUE"]
    answer = web.get(f"/tasks/{ran}/why?at={before}&from={before}")
    assert answer.json()["details"] == [{"field": "at", "reason": "cannot be given with start_time or end_time"}]
    answer = web.get(f"/tasks/{ran}/why?from={before}&to=2020-01-01T00:00:00Z")
    assert answer.json()["details"][0]["field"] == "to"
    assert web.get("/tasks/not-there/why").status_code == 404
