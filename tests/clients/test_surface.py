"""What a user of the clients sees: the same methods on both, whole signatures, docstrings, types, a quick import."""

import inspect
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.patience import AT_MOST

from schedule_grpc.client import AsyncClient, AsyncWatch, Client, RunResult, Watch
from schedule_grpc.client.rpcs import OF_WORKERS, SERVICES
from schedule_grpc.domain.execution import Execution
from schedule_grpc.domain.task import Task

ROOT = Path(__file__).parents[2]
OWN = {"close", "in_namespace", "over"}
METHODS = sorted(name for name in vars(Client) if not name.startswith("_") and name not in OWN)

TYPED = """
from collections.abc import AsyncIterator, Callable, Iterator
from typing import assert_type
from schedule_grpc.client import AsyncClient, AsyncWatch, Client, RunResult, Watch, WorkerInfo
from schedule_grpc.events import Logged, Lost, Progress, Transition
from schedule_grpc.domain.execution import Backfill, Execution, ExecutionPage
from schedule_grpc.domain.execution.log_lines import KeptLog
from schedule_grpc.domain.explanation import Explanation
from schedule_grpc.domain.schedule import Preview
from schedule_grpc.domain.summary import Summary
from schedule_grpc.domain.task import Handler, Task

def blocking(client: Client) -> None:
    assert_type(client.get_task("report"), Task)
    assert_type(client.register_task(name="a", schedule="@daily", handler="b"), Task)
    assert_type(client.delete_task("report", etag="1"), None)
    assert_type(client.run_task_now("report", payload={"a": 1}), RunResult)
    assert_type(client.tasks(), Iterator[Task])
    assert_type(client.get_task_history("report", page_size=3), ExecutionPage)
    assert_type(client.preview_schedule("@daily"), Preview)
    assert_type(client.list_handlers(), tuple[Handler, ...])
    assert_type(client.get_summary(), Summary)
    assert_type(client.explain_task("report", at=client.get_upcoming_runs().start_time), Explanation)
    assert_type(client.get_execution("exec_1", log_lines=9).log, KeptLog | None)
    assert_type(client.list_workers("send"), tuple[WorkerInfo, ...])
    assert_type(client.watch_executions("report"), Watch)
    with client.watch() as watch:
        for event in watch:
            assert_type(event, Transition | Progress | Logged | Lost)
    with Client("localhost:1", token="t", deadline=1) as other:
        assert_type(other, Client)
        assert_type(other.in_namespace("reports"), Client)

async def asynchronous(client: AsyncClient) -> None:
    assert_type(await client.get_task("report"), Task)
    assert_type(await client.trigger_cron("* * * * *"), tuple[Execution, ...])
    assert_type(client.task_history("report"), AsyncIterator[Execution])
    assert_type(client.watch("report"), AsyncWatch)
    async with client.watch() as watch:
        async for event in watch:
            assert_type(event, Transition | Progress | Logged | Lost)
    await client.get_task()  # call-arg
    await client.get_task(7)  # arg-type
    await client.get_task("report", etag="1")  # call-arg
    await client.register_task("report", "@daily", "send")  # call-arg
    await client.update_task("report", polciy={})  # call-arg
    client.tasks("report")  # arg-type
    client.get_task("report")  # unused-coroutine
"""


def test_both_clients_have_the_same_methods():
    """One for each rpc, under the rpc's name in snake case, and the iterators beside them."""
    ours = [name for name in vars(AsyncClient) if not name.startswith("_") and name not in OWN]
    assert sorted(ours) == METHODS
    found = [rpc.name.lower() for service in SERVICES for rpc in service.methods if rpc.name not in OF_WORKERS]
    rpcs = set(found)
    assert len(rpcs) == len(found)
    named = {name.replace("_", "") for name in METHODS}
    assert rpcs <= named
    assert named - rpcs == {"tasks", "taskhistory", "executions", "watch", "keys", "namespaces", "auditevents"}


@pytest.mark.parametrize("name", METHODS)
def test_both_show_the_same_signature_and_docstring(name: str):
    """With self, with the names of all arguments, and with what the method answers, not the call that it makes."""
    blocking, other = getattr(Client, name), getattr(AsyncClient, name)
    assert blocking.__doc__ == other.__doc__
    told, other_told = inspect.signature(blocking), inspect.signature(other)
    assert told.parameters == other_told.parameters
    assert next(iter(told.parameters)) == "self"
    assert "Call" not in str(told.return_annotation)
    assert "Pages" not in str(told.return_annotation)
    many = ("tasks", "task_history", "executions", "watch", "watch_executions", "keys", "namespaces", "audit_events")
    assert inspect.iscoroutinefunction(other) is not (name in many)


def test_the_answer_is_part_of_the_signature():
    """A value, an iterator of values, or a watch."""
    answers = {name: inspect.signature(getattr(Client, name)).return_annotation for name in METHODS}
    assert (answers["get_task"], answers["delete_task"], answers["run_task_now"]) == (Task, type(None), RunResult)
    assert (answers["executions"], answers["watch"]) == (Iterator[Execution], Watch)
    assert inspect.signature(AsyncClient.tasks).return_annotation == AsyncIterator[Task]
    assert inspect.signature(AsyncClient.watch).return_annotation is AsyncWatch


def test_a_bound_method_shows_all_its_arguments():
    """As an editor's or a shell's help does."""
    with Client("127.0.0.1:1") as client:
        assert list(inspect.signature(client.run_task_now).parameters) == ["name", "payload", "detach", "request_id"]


@pytest.mark.slow
def test_a_type_checker_knows_every_argument_and_answer(tmp_path: Path):
    """Mypy agrees with each assert_type, and refuses each line that names an error for that error."""
    (tmp_path / "typed.py").write_text(TYPED)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--hide-error-context"),
            *("--cache-dir", str(tmp_path), str(tmp_path / "typed.py")),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=AT_MOST,
        check=False,
    )
    found = [line for line in done.stdout.splitlines() if ": error: " in line]
    refused = [(int(line.split(":")[1]), line[line.rindex("[") + 1 : -1]) for line in found]
    lines = enumerate(TYPED.splitlines(), start=1)
    marked = [(number, line.partition("  # ")[2]) for number, line in lines if "  # " in line]
    assert sorted(set(refused)) == marked, done.stdout + done.stderr


def test_the_clients_load_no_server():
    """And neither a database driver nor croniter."""
    # What measures the coverage of the process has modules of its own.
    code = (
        "import sys; before = set(sys.modules); import schedule_grpc.client; "
        "print([n for n in sys.argv[1:] if n in sys.modules and n not in before])"
    )
    server = ("app", "api", "cli", "config", "service", "engine", "store", "database", "bindings", "builtin", "testing")
    names = [*(f"schedule_grpc.{name}" for name in server), "sqlite3", "aiosqlite", "croniter", "pydantic", "typer"]
    command = [sys.executable, "-c", code, *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=AT_MOST, check=True)
    assert done.stdout.strip() == "[]"
