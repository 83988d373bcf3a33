"""Every rpc: which request a method sends, and what its answer becomes."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import grpc
import grpc_testing
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from grpc_status import rpc_status
from support.callers.audit_rows import AUDIT_ROWS
from support.callers.insight_rows import INSIGHT_ROWS
from support.callers.key_rows import KEY_ROWS
from support.callers.namespace_rows import NAMESPACE_ROWS
from support.callers.rpc_rows import EXECUTION, ROWS, SINCE, STATES, TASK, TASK_TOLD, TOLD, WHEN, Row
from support.rigs.rig import START
from support.servers.live import struct

from schedule_grpc import errors
from schedule_grpc.client import AsyncClient, Client
from schedule_grpc.client.rpcs import OF_WORKERS, SERVICES
from schedule_grpc.domain.policy import CatchUp
from schedule_grpc.domain.task import TaskFilter
from schedule_grpc.formats import protobuf
from schedule_grpc.pb import schedule_pb2 as pb

RPCS = {rpc.name: rpc for service in SERVICES for rpc in service.methods}


ALL = [*ROWS, *KEY_ROWS, *NAMESPACE_ROWS, *AUDIT_ROWS, *INSIGHT_ROWS]
EACH = [pytest.param(row, id=f"{row.rpc}-{number}") for number, row in enumerate(ALL)]


class Dialogue:
    """A blocking client on a channel that a test answers by hand."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self._channel = grpc_testing.channel(SERVICES, grpc_testing.strict_fake_time(0))
        self.client = Client.over(self._channel)

    def ask(self, row: Row) -> tuple[Future[Any], Message, Any]:
        """Begin a call; return its future value, the request, and the open rpc."""
        future = self._threads.submit(row.call, self.client)
        _, request, rpc = self._channel.take_unary_unary(RPCS[row.rpc])
        return future, request, rpc


@pytest.fixture
def dialogue() -> Iterator[Dialogue]:
    """A client, and a thread in which it waits for its answers."""
    with ThreadPoolExecutor(1) as threads:
        yield Dialogue(threads)


def test_every_rpc_has_a_row():
    """Of this file, but for the stream, which test_watch.py watches, and for rpcs that only workers call."""
    assert {row.rpc for row in ALL} | {"WatchExecutions"} | OF_WORKERS == set(RPCS)


@pytest.mark.parametrize("row", EACH)
def test_the_blocking_client_sends_the_request_and_returns_the_value(row: Row, dialogue: Dialogue):
    """Our values in, our values out."""
    future, request, rpc = dialogue.ask(row)
    rpc.terminate(row.answer, (), grpc.StatusCode.OK, "")
    assert request == row.request
    assert future.result(10) == row.value


@pytest.mark.parametrize("row", EACH)
async def test_the_async_client_sends_the_request_and_returns_the_value(row: Row, scripted):
    """The same, over a real connection."""
    scripted.answer(row.rpc, row.answer)
    async with AsyncClient(scripted.address) as client:
        assert await row.call(client) == row.value
    assert [(seen.rpc, seen.request) for seen in scripted.seen] == [(row.rpc, row.request)]


@pytest.mark.parametrize("row", EACH)
def test_a_refusal_is_raised_as_the_error_of_its_reason(row: Row, dialogue: Dialogue):
    """The reason in the status's details decides, and the details come along."""
    future, _, rpc = dialogue.ask(row)
    refusal = rpc_status.to_status(protobuf.status_of(errors.TaskNotFound("report")))
    rpc.terminate(None, refusal.trailing_metadata, refusal.code, refusal.details)
    with pytest.raises(errors.TaskNotFound, match="Task not found: report") as caught:
        future.result(10)
    assert caught.value.details == {"task": "report"}
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.UNAVAILABLE, errors.Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.Unavailable),
        (grpc.StatusCode.UNIMPLEMENTED, protobuf.RemoteError),
    ],
)
def test_a_bare_status_is_raised_as_one_of_our_errors(
    code: grpc.StatusCode, error: type[errors.ScheduleError], dialogue: Dialogue
):
    """A proxy, or gRPC itself, gives no reason: the code decides."""
    future, _, rpc = dialogue.ask(next(row for row in ROWS if row.rpc == "GetTask"))
    rpc.terminate(None, (), code, "somebody said so")
    with pytest.raises(errors.ScheduleError, match="somebody said so") as caught:
        future.result(10)
    assert type(caught.value) is error


def test_every_wrong_field_is_told(dialogue: Dialogue):
    """InvalidArgument carries the violations that the server named."""
    wrong = errors.InvalidArgument(
        errors.Violation(field="name", reason="is required"), errors.Violation(field="handler", reason="is required")
    )
    future, _, rpc = dialogue.ask(ROWS[1])
    refusal = rpc_status.to_status(protobuf.status_of(wrong))
    rpc.terminate(None, refusal.trailing_metadata, refusal.code, refusal.details)
    with pytest.raises(errors.InvalidArgument) as caught:
        future.result(10)
    assert caught.value.violations == wrong.violations


# -- requests that deserve a word of their own


async def test_an_update_names_what_it_changes_and_nothing_else(asker, scripted):
    """None leaves a field alone, an empty value is a value; policies go by their paths, None is the default."""
    scripted.answer("UpdateTask", TASK_TOLD)
    await asker.ask(
        asker(scripted.address),
        "update_task",
        "report",
        schedule="@hourly",
        time_zone="",
        payload={},
        metadata={"a": 1},
        enabled=True,
        policy={
            "timeout": timedelta(seconds=5),
            "retry.max_retries": 0,
            "catch_up": CatchUp.NONE,
            "overlap": "ALLOW_ALL",
            "window.end_time": START,
            "jitter": None,
        },
        etag="4",
        validate_only=True,
        allow_unknown_handler=True,
    )
    (seen,) = scripted.seen
    request = seen.request
    assert set(request.update_mask.paths) == {
        "schedule",
        "time_zone",
        "payload",
        "metadata",
        "enabled",
        "policy.timeout",
        "policy.retry.max_retries",
        "policy.catch_up",
        "policy.overlap",
        "policy.window.end_time",
        "policy.jitter",
    }
    task = request.task
    assert (task.name, task.schedule, task.time_zone, task.enabled, task.etag) == ("report", "@hourly", "", True, "4")
    assert (task.payload, task.metadata) == (struct({}), struct({"a": 1}))
    assert task.policy.timeout == Duration(seconds=5)
    assert task.policy.retry.max_retries == 0
    assert (task.policy.catch_up, task.policy.overlap) == (pb.TaskPolicy.NONE, pb.TaskPolicy.ALLOW_ALL)
    assert task.policy.window.end_time == WHEN
    assert (request.validate_only, request.allow_unknown_handler) == (True, True)


async def test_a_policy_that_does_not_exist_is_refused_by_its_name(asker, scripted):
    """Before anything is sent, with all that is wrong."""
    wrong = {"tiemout": timedelta(seconds=5), "overlap": "SKIPP", "retry": 3}
    with pytest.raises(errors.InvalidArgument) as caught:
        await asker.ask(asker(scripted.address), "update_task", "report", policy=wrong)
    assert [str(violation) for violation in caught.value.violations] == [
        "policy.tiemout: unknown key; did you mean timeout?",
        "policy.overlap: 'SKIPP' is none of skip, buffer-one, cancel-other, allow-all",
        "policy.retry: is not a table",
    ]
    assert scripted.seen == []


async def test_lists_are_asked_for_page_by_page(asker, scripted):
    """With the caller's page size, its choice and the last page's token; the page without a token is the last."""
    client = asker(scripted.address)
    told = pb.ListTasksResponse(tasks=[TASK_TOLD])
    scripted.answer("ListTasks", pb.ListTasksResponse(tasks=[TASK_TOLD] * 2, next_page_token="a"), told)
    assert await asker.ask(client, "tasks", TaskFilter(handler="send"), page_size=2) == [TASK] * 3
    for method, rpc, page in (
        ("executions", "ListExecutions", pb.ListExecutionsResponse),
        ("task_history", "GetTaskHistory", pb.GetTaskHistoryResponse),
    ):
        scripted.answer(rpc, page(next_page_token="a"), page(executions=[TOLD], next_page_token="b"), page())
        name = ("report",) if method == "task_history" else ()
        assert await asker.ask(client, method, *name, SINCE, page_size=3) == [EXECUTION]
    assert [(seen.rpc, seen.request.page_size, seen.request.page_token) for seen in scripted.seen] == [
        ("ListTasks", 2, ""),
        ("ListTasks", 2, "a"),
        *((rpc, 3, token) for rpc in ("ListExecutions", "GetTaskHistory") for token in ("", "a", "b")),
    ]
    assert {seen.request.handler for seen in scripted.seen[:2]} == {"send"}
    assert all(list(seen.request.states) == STATES for seen in scripted.seen[2:])


async def test_a_page_is_asked_for_when_it_is_needed(scripted):
    """Whoever stops after the first page costs the server no second."""
    scripted.answer("ListTasks", pb.ListTasksResponse(tasks=[TASK_TOLD] * 2, next_page_token="a"))
    with Client(scripted.address) as client:
        tasks = client.tasks()
        assert scripted.seen == []
        assert [next(tasks), next(tasks)] == [TASK, TASK]
        assert len(scripted.seen) == 1


async def test_a_run_has_a_request_id_of_its_own(asker, scripted):
    """So that gRPC may try it again: a random one where the caller gave none, and a new one for each call."""
    scripted.answer("RunTaskNow", pb.RunTaskNowResponse(execution=TOLD))
    client = asker(scripted.address)
    for _ in range(2):
        await asker.ask(client, "run_task_now", "report")
    first, second = (seen.request.request_id for seen in scripted.seen)
    assert len(first) == len(second) == 32
    assert first != second
    assert not scripted.seen[0].request.HasField("payload")
