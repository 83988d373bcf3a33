"""Tasks as they are sent: what is kept is what would be written."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from schedule_grpc import wire
from schedule_grpc.api import written_tasks
from schedule_grpc.api.written_tasks import WrittenTasks
from schedule_grpc.pb import schedule_pb2 as pb
from schedule_grpc.registration import registered, switched
from schedule_grpc.task import Task, TaskStats, define
from schedule_grpc.threads import Aside

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
        return wire.task_to(one).SerializeToString()

    return WrittenTasks(write, Aside())


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
            assert pb.Task.FromString(await tasks.one(asked)) == wire.task_to(asked)


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
        message = pb.ListTasksResponse(tasks=map(wire.task_to, asked), next_page_token="next" if asked else "")
        page = wire.page_of_written(await tasks.page(asked), message.next_page_token)
        assert pb.ListTasksResponse.FromString(page) == message
        assert len(page) == message.ByteSize()
