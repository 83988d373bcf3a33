"""CronJobs as task files: their fields, their schedules as robfig/cron reads them, and YAML that is meant to harm."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedule_grpc.domain.schedule import parse
from schedule_grpc.formats.imported.k8s_cronjob import read_k8s_cronjobs
from schedule_grpc.formats.imported.k8s_expression import schedule_of
from schedule_grpc.formats.imported.values import Imported, ImportedTask, NotReadable, NotTheSame
from schedule_grpc.formats.imported.yaml_documents import yaml_documents

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
LOWS, HIGHS = (0, 0, 1, 1, 0), (59, 23, 31, 12, 6)
SIMPLE = """
apiVersion: batch/v1
kind: CronJob
metadata: {name: hello}
spec:
  schedule: "*/5 * * * *"
"""
WHOLE = """
# billing
---
apiVersion: v1
kind: Service
metadata: {name: web}
---
apiVersion: batch/v1
kind: CronJob
metadata:
  name: invoices
  namespace: billing
spec:
  schedule: 30 2 * * 1-5
  timeZone: Europe/Berlin
  concurrencyPolicy: Replace
  startingDeadlineSeconds: 200
  suspend: true
  successfulJobsHistoryLimit: 5
  failedJobsHistoryLimit: 2
  jobTemplate:
    spec:
      backoffLimit: 4
      activeDeadlineSeconds: 600
      ttlSecondsAfterFinished: 100
      template:
        spec:
          restartPolicy: Never
          serviceAccountName: robot
          containers:
          - name: main
            image: registry.example/invoices:1
            command: [python, -m, invoices]
            args: ["--all"]
            resources: {limits: {cpu: 1}}
            env:
            - {name: MODE, value: "full"}
            - {name: API_TOKEN, value: "abc"}
            - name: DATABASE
              valueFrom: {secretKeyRef: {name: db, key: url}}
"""


def read(text: str, *, time_zone: str = "UTC") -> Imported:
    """Return what manifests in YAML import."""
    return read_k8s_cronjobs(list(yaml_documents(text)), time_zone=time_zone, now=NOW)


def one(spec: dict[str, Any]) -> ImportedTask:
    """Return the task of a CronJob with this spec."""
    manifest = {"kind": "CronJob", "metadata": {"name": "a"}, "spec": {"schedule": "0 4 * * *"} | spec}
    (task,) = read_k8s_cronjobs([("", manifest)], time_zone="UTC", now=NOW).tasks
    return task


def test_a_cronjob_becomes_a_task():
    """With all that has a counterpart; the rest is named beside it, and secrets are not copied."""
    found = read(WHOLE)
    (task,) = found.tasks
    assert (task.place, task.name, task.schedule, task.time_zone, task.enabled) == (
        "line 8",
        "invoices",
        "30 2 * * 1-5",
        "Europe/Berlin",
        False,
    )
    assert task.payload == {
        "image": "registry.example/invoices:1",
        "command": ["python", "-m", "invoices"],
        "args": ["--all"],
        "env": {"MODE": "full"},
    }
    assert task.policy == {
        "timeout": "10m",
        "overlap": "cancel-other",
        "catch_up": "latest",
        "catch_up_window": "200s",
        "start_deadline": "200s",
        "retention": {"max_count": 7},
        "retry": {"max_retries": 4, "initial_backoff": "10s", "multiplier": 2, "max_backoff": "6m"},
    }
    notes = "\n".join(task.notes)
    for text in (
        *("namespace billing", "both history limits", "activeDeadlineSeconds ends a Job with all its retries"),
        *("not kept: ttlSecondsAfterFinished, serviceAccountName, resources", "DATABASE: values from elsewhere"),
        "API_TOKEN: not copied",
    ):
        assert text in notes
    assert "abc" not in repr(task)
    assert [(left.place, left.source, left.reason) for left in found.left] == [
        ("line 4", "Service", "is not a CronJob")
    ]


@pytest.mark.parametrize(("policy", "overlap"), [("Allow", "allow-all"), ("Forbid", "skip"), ("", "allow-all")])
def test_concurrency_is_overlap(policy: str, overlap: str):
    """Allow is Kubernetes' default."""
    assert one({"concurrencyPolicy": policy}).policy["overlap"] == overlap


def test_values_beyond_our_bounds_are_noted():
    """And moved to the bound."""
    job = {"backoffLimit": 500, "activeDeadlineSeconds": 10**9}
    task = one({"startingDeadlineSeconds": 10, "jobTemplate": {"spec": job}, "concurrencyPolicy": "Odd"})
    assert (task.policy["start_deadline"], task.policy["timeout"], task.policy["retry"]["max_retries"]) == (
        "1m",
        "1d",
        100,
    )
    for text in ("startingDeadlineSeconds is 10 s", "backoffLimit is 500", "activeDeadlineSeconds is 1e+09", "Odd"):
        assert any(text in note for note in task.notes)
    assert one({"jobTemplate": {"spec": {"backoffLimit": 0}}}).policy["retry"] == {"max_retries": 0}
    assert one({"successfulJobsHistoryLimit": 0, "failedJobsHistoryLimit": 0}).policy["retention"] == {"max_count": 1}


def test_lists_are_read_as_kubectl_prints_them():
    """As JSON or YAML, of any kind of list."""
    items = [{"kind": "CronJob", "metadata": {"name": name}, "spec": {"schedule": "@daily"}} for name in "aab"]
    found = read_k8s_cronjobs([("", {"kind": "CronJobList", "items": items})], now=NOW)
    assert [(task.place, task.name) for task in found.tasks] == [
        ("items[0]", "a"),
        ("items[1]", "a-2"),
        ("items[2]", "b"),
    ]


def test_the_zone_of_the_cluster_is_that_of_cronjobs_without_one():
    """One within the schedule comes first; a night when clocks change is noted."""
    assert read(SIMPLE, time_zone="Asia/Tokyo").tasks[0].time_zone == "Asia/Tokyo"
    task = one({"schedule": "CRON_TZ=Europe/Berlin 30 2 * * *"})
    assert (task.schedule, task.time_zone) == ("30 2 * * *", "Europe/Berlin")
    assert "Kubernetes may leave out a time" in task.notes[-1]


@pytest.mark.parametrize(
    ("written", "ours"),
    [
        ("*/5 * * * *", "*/5 * * * *"),
        ("0 0 ? * MON-FRI", "0 0 * * 1-5"),
        ("5/15 * * * *", "5-50/15 * * * *"),
        ("0 0 */2 * 1", "0 0 1-31/2 * 1"),
        ("0 0 1,* * 1", "0 0 * * 1"),
        ("@weekly", "@weekly"),
        ("@every 1h30m", "every 90 minutes"),
        ("@every 100ms", "every 1 second"),
    ],
)
def test_schedules_are_written_as_ours(written: str, ours: str):
    """As they stand where they mean the same."""
    assert schedule_of(written)[0] == ours


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("0 0 * * 7", "day of week: 7 is not between 0 and 6"),
        ("0 0 * *", "has 4 fields"),
        ("@reboot", "is not a schedule of Kubernetes"),
        ("0 22-2 * * *", "22-2 is refused by Kubernetes"),
        ("0 L * * *", "hour: L is not"),
        ("*/0 * * * *", "refused by Kubernetes"),
        ("@every x", "is no duration"),
        ("@every 99999h", "above the longest"),
        ("0 0 31 2 *", "can never fire"),
    ],
)
def test_what_is_no_schedule_is_left_out(written: str, why: str):
    """With the reason."""
    with pytest.raises(NotTheSame, match=why):
        schedule_of(written)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SIMPLE.replace('"*/5 * * * *"', "*/5 * * * *"), "line 6: is no YAML"),
        (SIMPLE.replace('"*/5 * * * *"', "5"), "line 2, spec.schedule: is not a text"),
        (SIMPLE.replace("  schedule", "  other"), "line 2, spec.schedule: is missing"),
        (SIMPLE + "  suspend: 1\n", "spec.suspend: is neither true nor false"),
        (SIMPLE + "  jobTemplate: []\n", "spec.jobTemplate: is not an object"),
        (SIMPLE + "  startingDeadlineSeconds: -1\n", "startingDeadlineSeconds: is not a whole number"),
        (SIMPLE + "  suspend: true\n  suspend: true\n", "line 8: the key suspend is given twice"),
        ("- 1", "line 1: is not an object"),
        ("a: &a {b: 1}\nc: {<<: *a}", r"line 2: a merge key \(<<\) is not read"),
        ("!!python/object/apply:os.system [echo]", "line 1: is no YAML: could not determine a constructor"),
        ("a: *b", "line 1: is no YAML: found undefined alias"),
        ("a: \x01", "is no YAML"),
        ('\n\na: !!int ""', "line 3: is no YAML"),
        ("a: !!bool x", "line 1: is no YAML"),
        pytest.param("{" * 500_000, "line 1: is nested more than 64 deep", id="deep in braces"),
        pytest.param("- " * 500_000, "line 1: is nested more than 64 deep", id="deep in dashes"),
        ("a: &a [*a]", "is nested more than 64 deep"),
        (
            "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1]\n"
            + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]\n" for n in range(1, 30)),
            "has more than 200000 values",
        ),
        pytest.param(f"a: {'9' * 100_000}", "is no YAML", id="a long number"),
    ],
)
def test_what_is_no_manifest_is_an_error(text: str, message: str):
    """With its line; what would take all memory or the stack is refused."""
    with pytest.raises(NotReadable, match=message):
        read(text)


@st.composite
def fields(draw: st.DrawFn, place: int) -> tuple[str, frozenset[int], bool]:
    """Return a field of robfig/cron, the values that it was built to mean, and whether its star bit is set."""
    low, high = LOWS[place], HIGHS[place]
    texts, values, star = [], set(), False
    for _ in range(draw(st.integers(1, 2))):
        kind = draw(st.sampled_from(["free", "free/", "one", "from/", "range", "range/"]))
        first, last = sorted((draw(st.integers(low, high)), draw(st.integers(low, high))))
        step = draw(st.integers(1, high))
        if kind in ("free", "free/"):
            sign = draw(st.sampled_from("*?"))
            texts.append(sign if kind == "free" else f"{sign}/{step}")
            values |= set(range(low, high + 1, 1 if kind == "free" else step))
            star = star or kind == "free" or step == 1
        elif kind == "from/":
            texts.append(f"{first}/{step}")
            values |= set(range(first, high + 1, step))
        elif kind == "one":
            texts.append(str(first))
            values.add(first)
        else:
            texts.append(f"{first}-{last}" + (f"/{step}" if kind == "range/" else ""))
            values |= set(range(first, last + 1, step if kind == "range/" else 1))
    return ",".join(texts), frozenset(values), star


def robfig_runs(drawn: tuple[tuple[str, frozenset[int], bool], ...], count: int) -> list[datetime]:
    """Return when robfig/cron is due next: its dayMatches asks for both days if either star bit is set."""
    (_, minutes, _), (_, hours, _), (_, days, any_day), (_, months, _), (_, weekdays, any_weekday) = drawn
    found: list[datetime] = []
    day = NOW.date()
    for _ in range(366 * 9):
        in_month, in_week = day.day in days, day.isoweekday() % 7 in weekdays
        both = any_day or any_weekday
        if day.month in months and (in_month and in_week if both else in_month or in_week):
            times = (
                datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
                for hour in sorted(hours)
                for minute in sorted(minutes)
            )
            found += [time for time in times if time > NOW][: count - len(found)]
        if len(found) == count:
            break
        day += timedelta(days=1)
    return found


@settings(derandomize=True, deadline=None, database=None, max_examples=300)
@given(st.tuples(*(fields(place) for place in range(5))))
def test_tasks_are_due_when_kubernetes_is(drawn):
    """The next five runs, for whatever robfig/cron accepts."""
    expected = robfig_runs(drawn, 5)
    written = " ".join(text for text, _, _ in drawn)
    if expected:
        assert list(parse(schedule_of(written)[0]).upcoming(NOW, 5))[: len(expected)] == expected
    else:
        with pytest.raises(NotTheSame, match="can never fire"):
            schedule_of(written)
