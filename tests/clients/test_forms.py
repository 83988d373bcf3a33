"""What a caller may say to a client: policies in every form, and what is refused before it is sent."""

import contextlib
import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from schedule_grpc import errors
from schedule_grpc.client import requests
from schedule_grpc.domain.execution import ExecutionFilter
from schedule_grpc.domain.policy import Overlap, Policy
from schedule_grpc.domain.registration import Registration
from schedule_grpc.domain.retry import RetryPolicy
from schedule_grpc.domain.task import TaskFilter, define
from schedule_grpc.pb import schedule_pb2 as pb

NAIVE = datetime.fromisoformat("2026-01-31T10:00:00")
RETRY = RetryPolicy(max_retries=7, initial_backoff=timedelta(seconds=1.5))
FORMS = [
    {"timeout": "5m", "overlap": "buffer-one", "retry": {"max_retries": 7, "initial_backoff": 1.5}},
    {"timeout": 300, "overlap": "Buffer_One", "retry.max_retries": 7, "retry.initial_backoff": "1500ms"},
    {
        "timeout": timedelta(minutes=5),
        "overlap": Overlap.BUFFER_ONE,
        "retry": {"maxRetries": 7, "initialBackoffMs": 1500},
    },
    {"timeout-ms": 300_000, "overlap": "BUFFER_ONE", "retry": RETRY},
]


@pytest.mark.parametrize("policy", FORMS)
async def test_a_policy_is_taken_in_every_form_that_one_would_try(asker, scripted, policy: dict[str, Any]):
    """By register_task and update_task alike, of both clients."""
    wanted = pb.TaskPolicy(
        timeout=Duration(seconds=300),
        overlap=pb.TaskPolicy.BUFFER_ONE,
        retry=pb.RetryPolicy(max_retries=7, initial_backoff=Duration(seconds=1, nanos=500_000_000)),
    )
    client = asker(scripted.address)
    scripted.answer("RegisterTask", errors.TaskNotFound("x"))
    scripted.answer("UpdateTask", errors.TaskNotFound("x"))
    with pytest.raises(errors.TaskNotFound):
        await asker.ask(client, "register_task", name="t", schedule="@daily", handler="h", policy=policy)
    with pytest.raises(errors.TaskNotFound):
        await asker.ask(client, "update_task", "t", policy=policy)
    registered, updated = scripted.seen
    for told in (registered.request.policy, updated.request.task.policy):
        assert (told.timeout, told.overlap) == (wanted.timeout, wanted.overlap)
        assert told.retry.max_retries == 7
        assert told.retry.initial_backoff == wanted.retry.initial_backoff
    paths = [path for path in updated.request.update_mask.paths if not path.endswith(("multiplier", "max_backoff"))]
    assert {path.removeprefix("policy.") for path in paths} == {
        "overlap",
        "retry.initial_backoff",
        "retry.max_retries",
        "timeout",
    }


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"policy": {"timeout": "soon"}}, "policy.timeout: 'soon' is not a duration"),
        ({"policy": {"retry.maxRetries": 2**40}}, "policy.retry.maxRetries: must be between 0 and 100"),
        ({"policy": Policy(timeout="never")}, "policy.timeout: 'never' is not a duration"),
        ({"policy": {"timeout": timedelta(days=2)}}, "policy.timeout: must be between 1 s and 24 h"),
        ({"policy": {"timeout": 5, "timeoutMs": 5000}}, "policy.timeoutMs: is given twice: as policy.timeout too"),
        ({"policy": {"window": {"end_time": NAIVE}}}, "policy.window.end_time: 2026-01-31T10:00:00 is"),
        ({"policy": "fast"}, "policy: is not a table"),
        ({"policy": []}, "policy: is not a table"),
        ({"payload": {"id": [{"n": 2**53 + 1}]}}, "payload: .id[0].n: 9007199254740993 is beyond ±2^53"),
        ({"metadata": {"id": -(2**63)}}, "metadata: .id: -9223372036854775808 is beyond ±2^53"),
        ({"payload": {"id": 10**5000}}, "payload: .id: the number is larger than a double can hold"),
        ({"payload": {"id": 10**300}}, "payload: .id: an integer of 997 bits is beyond ±2^53"),
        ({"payload": {"when": NAIVE}}, "payload: .when: datetime is not JSON"),
        ({"payload": [1]}, "payload: is not a JSON object"),
    ],
)
async def test_what_a_request_could_not_carry_is_refused(asker, scripted, asked: dict[str, Any], complaint: str):
    """As InvalidArgument, and nothing is sent."""
    client = asker(scripted.address)
    fixed = {"name": "t", "schedule": "@daily", "handler": "h"}
    for rpc, arguments in (("register_task", fixed), ("update_task", {"name": "t"})):
        with pytest.raises(errors.InvalidArgument) as caught:
            await asker.ask(client, rpc, **(arguments | asked))
        (violation,) = caught.value.violations
        assert str(violation).startswith(complaint)
    assert scripted.seen == []


async def test_an_instant_without_a_time_zone_is_refused(asker, scripted):
    """Nobody knows which instant it is."""
    client = asker(scripted.address)
    for rpc, asked in (
        ("preview_schedule", {"schedule": "@daily", "start_time": NAIVE}),
        ("backfill_task", {"name": "t", "start_time": NAIVE, "end_time": NAIVE}),
        ("list_executions", {"chosen": ExecutionFilter(start_time=NAIVE)}),
    ):
        with pytest.raises(errors.InvalidArgument, match="start_time: 2026-01-31T10:00:00 has no time zone"):
            await asker.ask(client, rpc, **asked)
    assert scripted.seen == []


LONE = "\ud800"
NO_TEXT = [(LONE, "is not Unicode: it has a lone surrogate"), (5, "is not a text")]
NO_FLAG = "is not True or False"
NO_INTEGER = "is not a whole number of 32 bits"
TASK = {"name": "t", "schedule": "@daily", "handler": "h"}
BATCHED = Registration(definition=define(name="t", schedule="@daily", handler="h"), etag=LONE)


@pytest.mark.parametrize(
    ("method", "asked", "field", "reason"),
    [
        *(
            ("register_task", TASK | {field: value}, field, reason)
            for field in ("name", "schedule", "handler", "time_zone", "description", "etag")
            for value, reason in NO_TEXT
        ),
        *(
            ("update_task", {"name": "t", field: value}, field, reason)
            for field in ("name", "schedule", "handler", "time_zone", "description", "etag")
            for value, reason in NO_TEXT
        ),
        *(("update_task", {"name": "t", field: "yes"}, field, NO_FLAG) for field in ("enabled", "validate_only")),
        ("register_task", TASK | {"enabled": "yes"}, "enabled", NO_FLAG),
        ("batch_register_tasks", {"registrations": [BATCHED]}, "etag", NO_TEXT[0][1]),
        ("get_task", {"name": LONE}, "name", NO_TEXT[0][1]),
        ("disable_task", {"name": "t", "note": LONE}, "note", NO_TEXT[0][1]),
        ("run_task_now", {"name": "t", "request_id": LONE}, "request_id", NO_TEXT[0][1]),
        ("cancel_execution", {"execution_id": "x", "note": LONE}, "note", NO_TEXT[0][1]),
        ("list_tasks", {"chosen": TaskFilter(category=LONE)}, "category", NO_TEXT[0][1]),
        ("list_tasks", {"page_size": 2**40}, "page_size", NO_INTEGER),
        ("preview_schedule", {"schedule": "@daily", "count": 1.5}, "count", NO_INTEGER),
        (
            "preview_schedule",
            {"schedule": "@daily", "start_time": "2026-01-31"},
            "start_time",
            "str is not an instant: give a datetime with its time zone",
        ),
        ("list_executions", {"chosen": ExecutionFilter(states="RUNNING")}, "states", "is not a list of states"),
        (
            "list_executions",
            {"chosen": ExecutionFilter(states=["running"])},
            "states",
            "'running' is none of PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLED, SKIPPED, MISSED",
        ),
    ],
)
async def test_what_a_request_cannot_hold_is_refused_by_its_field(
    asker, scripted, method: str, asked: dict[str, Any], field: str, reason: str
):
    """Protobuf's own errors name no field, and UnicodeEncodeError none that a caller would catch."""
    with pytest.raises(errors.InvalidArgument) as caught:
        await asker.ask(asker(scripted.address), method, **asked)
    assert [(each.field, each.reason) for each in caught.value.violations] == [(field, reason)]
    assert scripted.seen == []


@pytest.mark.parametrize("enabled", [1, True])
async def test_a_task_is_enabled_by_what_is_true_for_protobuf(asker, scripted, enabled: bool):
    """An update with 1 disabled the task."""
    scripted.answer("UpdateTask", errors.TaskNotFound("x"))
    with pytest.raises(errors.TaskNotFound):
        await asker.ask(asker(scripted.address), "update_task", "t", enabled=enabled)
    (updated,) = scripted.seen
    assert updated.request.task.enabled


JUNK = (5, -1, None, True, 1.5, b"x", LONE, [], [5], {}, {"a": 1}, object(), ("a",))
NEEDED = {
    "name": "t",
    "schedule": "@daily",
    "handler": "h",
    "cron": "0 0 * * *",
    "execution_id": "e",
    "registrations": [],
    "start_time": datetime(2026, 1, 31, tzinfo=UTC),
    "end_time": datetime(2026, 2, 1, tzinfo=UTC),
}
ARGUMENTS = [
    (function, argument)
    for name, function in vars(requests).items()
    if inspect.isfunction(function) and function.__module__ == requests.__name__ and not name.startswith("_")
    for argument in inspect.signature(function).parameters
]


@pytest.mark.parametrize(("function", "argument"), ARGUMENTS, ids=lambda each: getattr(each, "__name__", each))
def test_whatever_a_caller_gives_is_asked_or_refused(function: Callable[..., object], argument: str):
    """Any value at all, as any argument: what is no such thing is InvalidArgument, and no other error."""
    needed = [each.name for each in inspect.signature(function).parameters.values() if each.default is each.empty]
    for junk in JUNK:
        with contextlib.suppress(errors.InvalidArgument):
            function(**({name: NEEDED[name] for name in needed} | {argument: junk}))


@pytest.mark.parametrize(
    ("registrations", "complaint"),
    [
        (5, "requests: int is not a list of Registration"),
        ([BATCHED, 5], r"requests\[1\]: int is not a Registration"),
        ([Registration(definition="daily")], r"requests\[0\]: str is not a Definition, such as define\(...\) returns"),  # type: ignore[arg-type]
    ],
)
def test_a_batch_is_of_registrations(registrations: Any, complaint: str):
    """Its complaint names the place."""
    with pytest.raises(errors.InvalidArgument, match=complaint):
        requests.batch_register_tasks(registrations)


def test_a_filter_is_of_its_kind():
    """One of executions chooses no tasks."""
    with pytest.raises(errors.InvalidArgument, match="chosen: ExecutionFilter is not a TaskFilter"):
        requests.list_tasks(ExecutionFilter())  # type: ignore[arg-type]
