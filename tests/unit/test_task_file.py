"""Files of tasks: what they may say, and how they are told what is wrong with them."""

import json
import tomllib
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.rigs.rig import at

from schedule_grpc.domain import durations
from schedule_grpc.domain.policy import CatchUp, Overlap, Policy
from schedule_grpc.domain.policy_reading import policy_text, policy_value
from schedule_grpc.domain.retry import RetryPolicy
from schedule_grpc.errors import InvalidArgument
from schedule_grpc.formats.task_file import registrations, task_file

WHOLE = """
set = "reports"

[[tasks]]
name = "daily-report"
schedule = "0 9 * * 1-5"
time_zone = "Europe/Berlin"
handler = "send-report"
enabled = false
payload = { format = "pdf", pages = 3 }
metadata = { category = "reports" }
description = "For the morning"
allow_unknown_handler = true

[tasks.policy]
timeout = "5m"
overlap = "buffer_one"
catch_up = "all"
catch_up_window = "7d"
jitter = 1.5
start_deadline = 90
retry = { max_retries = 5, initial_backoff = "500ms", multiplier = 3, max_backoff = "1m" }
window = { start_time = 2026-01-01T00:00:00+01:00, end_time = "2026-12-31T00:00:00Z" }
retention = { max_age = "2h", max_count = 12 }

[[tasks]]
name = "plain"
schedule = "@daily"
handler = "h"
"""


def refused(tables: object) -> list[str]:
    """Return every complaint about a list of tables."""
    with pytest.raises(InvalidArgument) as caught:
        registrations(tables)
    return [str(violation) for violation in caught.value.violations]


def refused_file(document: object) -> list[str]:
    """Return every complaint about a whole file."""
    with pytest.raises(InvalidArgument) as caught:
        task_file(document)
    return [str(violation) for violation in caught.value.violations]


def table(**changes: Any) -> dict[str, Any]:
    """Return a table that is accepted, but for the changes."""
    return {"name": "a", "schedule": "@daily", "handler": "h"} | changes


def test_a_file_says_everything_a_registration_can():
    """Every key, durations as texts or as seconds, policies in words."""
    found = task_file(tomllib.loads(WHOLE))
    assert found.owner == "reports"
    first, second = found.registrations
    assert (first.enabled, first.allow_unknown_handler, first.etag, first.validate_only) == (False, True, "", False)
    definition = first.definition
    assert (definition.name, definition.handler, definition.description) == (
        "daily-report",
        "send-report",
        "For the morning",
    )
    assert (definition.schedule.text, definition.schedule.time_zone) == ("0 9 * * 1-5", "Europe/Berlin")
    assert definition.payload == {"format": "pdf", "pages": 3}
    assert definition.metadata == {"category": "reports", "managed_by": "reports"}
    assert definition.policy == Policy().with_fields(
        {
            "timeout": timedelta(minutes=5),
            "overlap": Overlap.BUFFER_ONE,
            "catch_up": CatchUp.ALL,
            "catch_up_window": timedelta(days=7),
            "jitter": timedelta(seconds=1.5),
            "start_deadline": timedelta(seconds=90),
            "retry.max_retries": 5,
            "retry.initial_backoff": timedelta(milliseconds=500),
            "retry.multiplier": 3,
            "retry.max_backoff": timedelta(minutes=1),
            "window.start_time": at("2025-12-31T23:00:00"),
            "window.end_time": at("2026-12-31T00:00:00"),
            "retention.max_age": timedelta(hours=2),
            "retention.max_count": 12,
        }
    )
    assert (second.enabled, second.definition.policy) == (None, Policy())
    assert second.definition.metadata == {"managed_by": "reports"}


def test_a_task_names_its_namespace():
    """By default it is `default`; the same name in two of them is two tasks, twice in one is refused."""
    plain = {"name": "a", "schedule": "@daily", "handler": "h"}
    found = registrations([plain, plain | {"namespace": "reports"}])
    assert [each.definition.key for each in found] == [("default", "a"), ("reports", "a")]
    assert refused([plain, plain | {"namespace": "default"}]) == ["tasks[1].name: a is the name of tasks[0] too"]
    assert refused([plain | {"namespace": "Reports"}]) == [
        "tasks[0] (a).namespace: 'Reports' is not a small letter followed by up to 62 small letters, digits or '-'"
    ]
    assert refused([plain | {"namespace": 1}]) == ["tasks[0] (a).namespace: is not a text"]


def test_json_says_the_same():
    """The same document in JSON gives the same tasks; a file without a set belongs to the set apply."""
    document = {"tasks": [table(policy={"retry": {"max_retries": 1}, "overlap": "CANCEL_OTHER"})]}
    found = task_file(json.loads(json.dumps(document)))
    assert found.owner == "apply"
    assert found.registrations[0].definition.metadata == {"managed_by": "apply"}
    policy = found.registrations[0].definition.policy
    assert policy == Policy(retry=RetryPolicy(max_retries=1), overlap=Overlap.CANCEL_OTHER)


def test_settings_read_the_same_tables_without_a_set():
    """`registrations` marks nobody's tasks, and calls the list as its caller does."""
    (found,) = registrations([table(metadata={"team": "x"})])
    assert found.definition.metadata == {"team": "x"}
    with pytest.raises(InvalidArgument, match=r"^jobs\[0\].name: is required$"):
        registrations([{"schedule": "@daily", "handler": "h"}], place="jobs")
    assert registrations([]) == ()


def test_everything_wrong_is_told_at_once():
    """By place and key, in every table."""
    tables = [
        table(schedule="99 * * * *", handler="no blanks", policy={"timeout": "0s"}),
        table(),
        table(name="b", polcy={"timeout": "5m"}, payload=[1], enabled="yes"),
        "c",
        {},
    ]
    first, *others = refused(tables)
    assert first.startswith("tasks[0] (a).handler: 'no blanks' is not a letter or digit")
    assert others == [
        "tasks[0] (a).policy.timeout: must be between 1 s and 24 h",
        "tasks[0] (a).schedule: minute: 99 is above 59",
        "tasks[2] (b).polcy: unknown key; did you mean policy?",
        "tasks[2] (b).payload: is not a table",
        "tasks[2] (b).enabled: is not true or false",
        "tasks[3]: is not a table",
        "tasks[4].name: is required",
        "tasks[4].schedule: is required",
        "tasks[4].handler: is required",
        "tasks[1].name: a is the name of tasks[0] too",
    ]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"time_zone": "Mars"}, "time_zone: 'Mars' is not a time zone"),
        ({"timezone": "UTC"}, "timezone: unknown key; did you mean time_zone?"),
        ({"timeout": "5m"}, "timeout: unknown key; did you mean policy.timeout?"),
        ({"max-retries": 3}, "max-retries: unknown key; did you mean policy.retry.max_retries?"),
        ({"colour": "red"}, "colour: unknown key; the keys here are name, namespace, schedule, time_zone,"),
        ({"name": 3}, "name: is not a text"),
        ({"payload": {"when": at("2026-01-01")}}, "payload: .when: datetime is not JSON"),
        ({"description": "\ud800"}, "description: is not Unicode: it has a lone surrogate"),
        ({"policy": "strict"}, "policy: is not a table"),
        ({"policy": {"retry": 5}}, "policy.retry: is not a table"),
        ({"policy": {"retry": {"max_retires": 5}}}, "policy.retry.max_retires: unknown key; did you mean max_retries?"),
        ({"policy": {"retry": {"max_retries": "5"}}}, "policy.retry.max_retries: '5' is not a whole number"),
        ({"policy": {"retry": {"max_retries": True}}}, "policy.retry.max_retries: True is not a whole number"),
        ({"policy": {"retry": {"max_retries": 101}}}, "policy.retry.max_retries: must be between 0 and 100"),
        ({"policy": {"retry": {"multiplier": "two"}}}, "policy.retry.multiplier: 'two' is not a number"),
        ({"policy": {"timeout": "soon"}}, "policy.timeout: 'soon' is not a duration such as 500ms, 30s, 5m, 2h or 7d"),
        ({"policy": {"timeout": -1}}, "policy.timeout: -1 is not a duration"),
        ({"policy": {"timeout": float("inf")}}, "policy.timeout: 'inf' is not a duration"),
        ({"policy": {"timeout": 10**13}}, "policy.timeout: must be between 1 s and 24 h"),
        ({"policy": {"timeout": "999999999999999d"}}, "policy.timeout: '999999999999999d' is longer than"),
        ({"policy": {"overlap": "sometimes"}}, "policy.overlap: 'sometimes' is none of skip, buffer-one, cancel-other"),
        ({"policy": {"catch_up": 1}}, "policy.catch_up: 1 is none of latest, all, none"),
        (
            {"policy": {"window": {"start_time": "2026-01-01"}}},
            "policy.window.start_time: 2026-01-01 is not an instant",
        ),
        ({"policy": {"window": {"end_time": "0001-01-01T00:00:00+14:00"}}}, "policy.window.end_time: 0001-01-01T"),
        ({"policy": {"window": {"end_time": 5}}}, "policy.window.end_time: 5 is not an instant with its offset"),
    ],
)
def test_a_wrong_key_or_value_is_named(changes: dict[str, Any], complaint: str):
    """With the reason, or with what was probably meant."""
    (told,) = refused([table(**changes)])
    assert told.removeprefix("tasks[0] (a).").removeprefix("tasks[0].").startswith(complaint)


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"task": []}, "task: unknown key; did you mean tasks?"),
        ({"tasks": {"name": "a"}}, "tasks: is not a list of tables: write [[tasks]] above each"),
        ({"set": ""}, "set: is not the name of a set"),
        ({"set": 5}, "set: is not the name of a set"),
        ([], "file: is not a table"),
        ({"namespace": 5}, "namespace: is not a text"),
        ({"namespace": "Reports"}, "namespace: 'Reports' is not a small letter"),
        ({"tasks": [table(namespace="")]}, "tasks[0] (a).namespace: is required"),
        ({"tasks": [table(namespace="a_b")]}, "tasks[0] (a).namespace: 'a_b' is not a small letter"),
        ({"tasks": [table(namespace=["a"])]}, "tasks[0] (a).namespace: is not a text"),
        (
            {"namespace": "x", "tasks": [table(), table(namespace="x")]},
            "tasks[1].name: a is the name of tasks[0] too",
        ),
        ({"tasks": [table(metadata={"managed_by": "x"})]}, "tasks[0] (a).metadata.managed_by: is written by apply"),
    ],
)
def test_a_wrong_file_is_refused(document: object, complaint: str):
    """Its own keys too."""
    (told,) = refused_file(document)
    assert told.startswith(complaint)


def test_a_task_is_in_its_own_namespace_or_in_the_files():
    """Tasks of two namespaces may have one name; a task that names none at all is left to the server."""
    tables = [table(), table(namespace="billing"), table(name="b")]
    found = task_file({"namespace": "reports", "tasks": tables})
    assert [each.definition.namespace for each in found.registrations] == ["reports", "billing", "reports"]
    parts = {part.namespace: [each.definition.name for each in part.registrations] for part in found.parts()}
    assert parts == {"reports": ["a", "b"], "billing": ["a"]}
    bare = task_file({"tasks": tables})
    assert [each.definition.namespace for each in bare.registrations] == ["default", "billing", "default"]
    assert [part.namespace for part in bare.parts()] == ["", "billing"]
    given = task_file({"tasks": tables}, namespace="reports")
    assert given == found


def test_a_namespace_that_lost_its_last_task_is_a_part_all_the_same():
    """What the set had there may be pruned; settings read the same tables."""
    parts = task_file({"namespace": "reports", "tasks": [table(namespace="billing")]}).parts()
    assert [(part.namespace, len(part.registrations)) for part in parts] == [("billing", 1), ("reports", 0)]
    assert [part.namespace for part in task_file({}).parts()] == [""]
    assert [each.definition.namespace for each in registrations([table(namespace="x")])] == ["x"]


def test_an_empty_file_declares_nothing():
    """It is a file all the same: what its set had may be pruned."""
    assert task_file({"set": "x"}).registrations == ()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *Policy().fields().items(),
        ("timeout", timedelta(milliseconds=1500)),
        ("retry.multiplier", 1.23456789),
        ("overlap", Overlap.CANCEL_OTHER),
        ("window.end_time", at("2026-01-31T10:00:00")),
    ],
)
def test_what_is_shown_of_a_policy_can_be_written(path: str, value: object):
    """`policy_value` reads what `policy_text` writes; an open end of the window has no text of its own."""
    text = policy_text(value)
    if value is None:
        assert text == "none"
    elif isinstance(value, int | float):
        assert policy_value(path, json.loads(text)) == value
    else:
        assert policy_value(path, text) == value


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("500ms", 500_000),
        ("30s", 30_000_000),
        ("5m", 300_000_000),
        ("2h", 7_200_000_000),
        ("7d", 604_800_000_000),
        ("90", 90_000_000),
        (" 1.5 s ", 1_500_000),
        ("0.1234567s", 123_457),
        ("0", 0),
    ],
)
def test_durations_are_numbers_and_units(text: str, microseconds: int):
    """Seconds where no unit is given."""
    assert durations.read(text) == timedelta(microseconds=microseconds)


@pytest.mark.parametrize("text", ["", "s", "-5s", "5 minutes", "1h30m", "²s", "٣s", "1e3", "1_000", "nan", "1" * 40])
def test_what_is_no_duration_is_refused(text: str):
    """In words, and never with more of the text than can be read."""
    with pytest.raises(ValueError, match=r"^'.{0,40}' is not a duration such as 500ms, 30s, 5m, 2h or 7d$"):
        durations.read(text)


@example(timedelta(days=99_421, microseconds=1))  # more digits than a float has
@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=99_999)))
def test_a_duration_that_was_written_is_read_back(duration: timedelta):
    """To the microsecond."""
    assert durations.read(durations.written(duration)) == duration


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (0, "0ms"),
        (500, "500ms"),
        (999.4, "999ms"),
        (999.6, "1.00s"),
        (2500, "2.50s"),
        (59_994, "59.99s"),
        (59_996, "1.00m"),
        (120_000, "2.00m"),
        (3_599_800, "1.00h"),
        (7_200_000, "2.00h"),
    ],
)
def test_durations_for_people(milliseconds: float, shown: str):
    """As the older service showed them; never 60.00s."""
    assert durations.human(timedelta(milliseconds=milliseconds)) == shown
