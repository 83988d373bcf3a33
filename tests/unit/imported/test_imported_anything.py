"""Whatever is given to an import: it is an error with its place, or a task file that the reader of task files takes."""

import copy
import os
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedule_grpc.formats.imported.apscheduler import read_apscheduler
from schedule_grpc.formats.imported.celery_beat import read_celery_beat
from schedule_grpc.formats.imported.crontab import read_crontab
from schedule_grpc.formats.imported.k8s_cronjob import read_k8s_cronjobs
from schedule_grpc.formats.imported.values import Imported, NotReadable
from schedule_grpc.formats.imported.written import toml_text, without_nulls
from schedule_grpc.formats.imported.yaml_documents import yaml_documents
from schedule_grpc.formats.task_file import task_file

EXAMPLES = 500 if os.environ.get("FAULTS") == "long" else 250
NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
TRIGGERS = [
    {"type": "cron", "timezone": "UTC", "fields": {"hour": "1", "minute": "*/5", "second": "0", "year": "2027"}},
    {"type": "interval", "seconds": 90, "start_date": "2026-01-01T00:00:00Z", "jitter": 3},
    {"type": "or", "triggers": [{"type": "date", "run_date": "2027-01-01T00:00:00Z"}]},
]
JOB = {"func": "a:b", "args": [1], "kwargs": {"a": "b"}, "coalesce": False, "max_instances": 2, "misfire_grace_time": 9}
JOBS = {"apscheduler": 3, "jobs": [{"id": "job", "trigger": trigger, **JOB} for trigger in TRIGGERS]}
CRON_SETS = {
    "minute": [0],
    "hour": [1, 2],
    "day_of_month": list(range(1, 32)),
    "month_of_year": [1],
    "day_of_week": [0],
}
ENTRY = {"task": "a.b", "args": [1], "kwargs": {}, "time_limit": 5, "options": {"expires": 5, "queue": "q"}}
ENTRIES = {
    "celery_beat": 1,
    "timezone": "Europe/Berlin",
    "cron_starting_deadline": 5,
    "entries": [
        {"name": "often", "schedule": {"type": "interval", "seconds": 30.0}, **ENTRY},
        {"name": "daily", "schedule": {"type": "crontab", **CRON_SETS}, **ENTRY},
    ],
}
ENV = [{"name": "A", "value": "b"}, {"name": "KEY", "value": "c"}, {"name": "D", "valueFrom": {}}]
POD = {"activeDeadlineSeconds": 5, "containers": [{"name": "a", "image": "b", "command": ["c"], "env": ENV}]}
SPEC = {
    "schedule": "*/5 2 * * 1",
    "timeZone": "Europe/Berlin",
    "suspend": True,
    "startingDeadlineSeconds": 5,
    "successfulJobsHistoryLimit": 3,
    "concurrencyPolicy": "Forbid",
    "jobTemplate": {"spec": {"backoffLimit": 3, "activeDeadlineSeconds": 9, "template": {"spec": POD}}},
}
MANIFESTS = {
    "kind": "List",
    "items": [{"kind": "CronJob", "metadata": {"name": "a", "namespace": "b"}, "spec": SPEC}, {"kind": "Pod"}],
}
READERS: list[tuple[Any, Callable[[Any], Imported]]] = [
    (JOBS, lambda document: read_apscheduler(document, now=NOW)),
    (ENTRIES, lambda document: read_celery_beat(document, now=NOW)),
    (MANIFESTS, lambda document: read_k8s_cronjobs([("line 1", document)], now=NOW)),
]

odd = st.sampled_from(
    [
        *(None, True, False, 0, -1, 7, 10**18, 1e300, float("nan"), float("inf"), "", "x", "*", "*/0", "-", "1-", "é"),
        *([], {}, [None], {"a": None}, [[]], {"type": "or"}, "0 0 31 2 *", "Mars/Base", "9999-12-31T23:59:59+00:00"),
        *("0001-01-01T00:00:00Z", "a" * 300, "@every 1h", "\ud800", "a\nb", "1,2,3", "mon-fri", "last", "2nd fri"),
    ]
)


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything in a document."""
    if path:
        yield path
    keys = document if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    for key in keys:
        yield from places(document[key], (*path, key))


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return a copy of a document with another value at a path."""
    found = copy.deepcopy(document)
    inner = found
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return found


def check(read: Callable[[], Imported]) -> None:
    """Assert that what is read is an error or a good file."""
    try:
        imported = without_nulls(read())
    except NotReadable:
        return
    written = toml_text(imported, title="title", owner="set")
    assert len(task_file(tomllib.loads(written)).registrations) == len(imported.tasks)


@pytest.mark.parametrize(("document", "read"), READERS, ids=["apscheduler", "celery-beat", "k8s-cronjob"])
def test_any_value_anywhere_in_a_document(document: Any, read: Callable[[Any], Imported]):
    """Every place of a good document holds, in turn, whatever it should not."""
    check(lambda: read(document))
    assert read(document).tasks

    @settings(derandomize=True, deadline=None, database=None, max_examples=EXAMPLES)
    @given(st.sampled_from(list(places(document))), odd)
    def one_place(path: tuple[Any, ...], value: Any) -> None:
        check(lambda: read(changed(document, path, value)))

    one_place()


words = st.sampled_from(
    [
        *("*", "*/5", "1-5", "61", "@daily", "@reboot", "A=b", "MAILTO=", "CRON_TZ=UTC", "RANDOM_DELAY=9", "%", "\\%"),
        *("root", "/bin/x", "#", "\n", "\n", "\t", " ", " ", '"', "'", "-", "=", "\r", "\x1b[2J", "é", "\u202e", "~"),
    ]
)


@settings(derandomize=True, deadline=None, database=None, max_examples=EXAMPLES)
@given(st.lists(words, max_size=30), st.booleans())
def test_any_crontab(drawn: list[str], system: bool):
    """Lines of the words that crontabs are made of."""
    check(lambda: read_crontab("".join(drawn), system=system))


@settings(derandomize=True, deadline=None, database=None, max_examples=EXAMPLES)
@given(st.lists(st.sampled_from([*"{}[]:,-&*!|>'\"#%@`?\n\n  ab", "<<", "---", "!!int", "0 0 * * *", "kind: CronJob"])))
def test_any_yaml(drawn: list[str]):
    """Signs that YAML is made of: documents, or an error with its line."""
    check(lambda: read_k8s_cronjobs(list(yaml_documents("".join(drawn))), now=NOW))
