"""Tasks as they are sent: what is kept is what would be written."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from schedule_grpc.api import written_tasks
from schedule_grpc.api.written_tasks import WrittenTasks
from schedule_grpc.domain.registration import registered, switched
from schedule_grpc.domain.task import Task, TaskStats, define
from schedule_grpc.errors import Violation
from schedule_grpc.formats import protobuf
from schedule_grpc.pb import schedule_pb2 as pb
from schedule_grpc.runtime.threads import Aside

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)


def task(number: int = 1, **fields: object) -> Task:
    """Return a new task."""
    told: dict[str, object] = {"name": f"task-{number}", "schedule": "@daily", "handler": "steps"}
    return registered(None, define(**(told | fields)), enabled=None, now=NOW).after  # type: ignore[arg-type]


@pytest.fixture
def written() -> list[Task]:
    """What was written, in turn."""
    return []


@pytest.fixture
def tasks(written: list[Task]) -> WrittenTasks:
    """What is tested, as the gRPC edge has it."""

    def write(one: Task) -> bytes:
        written.append(one)
        return protobuf.written_task(one)

    return WrittenTasks(write, Aside())


NEW = task()
KINDS = {
    "new": NEW,
    "with all that is told": task(
        payload={"a": [1, 2.5, None, True, {"b": "c"}]}, metadata={"category": "x"}, description="What it is for"
    ),
    "with a policy": task(policy={"jitter": "5s", "window": {"start_time": "2026-01-01T00:00:00Z"}, "alert_after": 3}),
    "paused": switched(NEW, enabled=False, note="Why", now=NOW + timedelta(seconds=1)).after,
    "by hand only": task(schedule="@manual"),
    "that ran": replace(
        NEW,
        last_run_time=NOW - timedelta(microseconds=1),
        stats=TaskStats(success_count=3, failure_count=1, last_success_time=NOW, last_failure_time=NOW),
    ),
    "from before 1970": replace(NEW, create_time=datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    "in trouble": replace(
        NEW, definition=replace(NEW.definition, troubles=(Violation(field="policy.overlap", reason="unknown"),))
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_written_task_is_its_message(kind: str):
    """What is put together of parts is what protobuf would write of the whole."""
    written, message = protobuf.written_task(KINDS[kind]), protobuf.task_to(KINDS[kind])
    assert pb.Task.FromString(written) == message
    assert len(written) == message.ByteSize()
    assert message.HasField("policy")
    assert message.HasField("last_run_time") == (kind == "that ran")
    assert message.HasField("next_run_time") == (kind not in ("paused", "by hand only"))


async def test_a_batch_of_written_tasks_is_the_message(tasks: WrittenTasks, written: list[Task]):
    """In its order, of known ones and new ones; new ones are not kept."""
    known, new = task(1), task(2)
    await tasks.one(known)
    for _ in range(2):
        batch = protobuf.batch_of_written(await tasks.batch([new, known]))
        message = pb.BatchRegisterTasksResponse(tasks=map(protobuf.task_to, (new, known)))
        assert pb.BatchRegisterTasksResponse.FromString(batch) == message
        assert len(batch) == message.ByteSize()
    assert written == [known, new, new]
    assert pb.BatchRegisterTasksResponse.TASKS_FIELD_NUMBER == pb.ListTasksResponse.TASKS_FIELD_NUMBER


async def test_a_task_that_stays_as_it_is_is_written_once(tasks: WrittenTasks, written: list[Task]):
    """By itself and in pages, the same value or an equal one."""
    one, other = task(), task(2)
    first = await tasks.one(one)
    assert await tasks.one(replace(one)) == first
    assert (await tasks.page([one, other]))[0] == first
    assert written == [one, other]


async def test_whatever_changes_is_written_anew(tasks: WrittenTasks):
    """What an update changes, what a firing does, what an end counts."""
    one = task()
    await tasks.one(one)
    for changed in (
        registered(one, replace(one.definition, description="Other"), enabled=None, now=NOW).after,
        switched(one, enabled=False, note="Why", now=NOW).after,
        replace(one, last_run_time=NOW),
        replace(one, stats=TaskStats(success_count=1)),
        replace(one, next_run_time=None),
    ):
        for asked in (changed, one):
            assert pb.Task.FromString(await tasks.one(asked)) == protobuf.task_to(asked)


async def test_few_and_small_ones_are_kept(tasks: WrittenTasks, written: list[Task], monkeypatch: pytest.MonkeyPatch):
    """The memory is bounded: of the ones beyond, those that were written first are written again."""
    monkeypatch.setattr(written_tasks, "MOST_KEPT", 2)
    large = task(9, payload={"a": "x" * 5000})
    asked = [task(1), large, task(2), task(3)]
    await tasks.page(asked)
    del written[:]
    await tasks.page(asked)
    assert written == asked[:2]


async def test_a_page_of_written_tasks_is_the_message(tasks: WrittenTasks):
    """As protobuf would write it: of no task, and of tasks whose lengths take one byte, two and three."""
    for sizes in ((), (0,), (0, 300, 20_000)):
        asked = [task(number, payload={"a": "x" * size}) for number, size in enumerate(sizes)]
        message = pb.ListTasksResponse(tasks=map(protobuf.task_to, asked), next_page_token="next" if asked else "")
        page = protobuf.page_of_written(await tasks.page(asked), message.next_page_token)
        assert pb.ListTasksResponse.FromString(page) == message
        assert len(page) == message.ByteSize()
