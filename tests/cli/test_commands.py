"""The command line as people and scripts use it: real processes, exit codes, tables and JSON."""

import json
import os
import resource
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from process import Server, run, serving

from schedule_grpc.cli.output import human

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    """One server for the module, with the built-in tasks."""
    with serving(tmp_path_factory.mktemp("server"), "--init") as started:
        yield started


def ask(server: Server, *arguments: str) -> tuple[int, str, str]:
    """Run a client command; return its exit code and what it printed."""
    done = run(*arguments, "--server", server.address)
    return done.returncode, done.stdout, done.stderr


def test_serving_says_where_and_what_to_try(server: Server):
    """Address, the tasks with their next runs, a line to paste."""
    assert server.greeting.startswith(f"gRPC on {server.address}\n")
    for text in ("cleanup-expired-sessions", "@hourly", "NEXT RUN", f"grpcurl -plaintext {server.address} list"):
        assert text in server.greeting


def test_a_working_day(server: Server):
    """Register, list, get, run, history, disable, enable: each exits 0 and shows what it did."""
    options = ("--schedule", "0 9 * * 1-5", "--zone", "Europe/Berlin", "--handler", "cleanup-expired-sessions")
    code, out, _ = ask(server, "tasks", "register", "report", *options, "--payload", '{"batch_size": 5}')
    assert code == 0
    assert "Europe/Berlin" in out
    code, out, _ = ask(server, "tasks", "list", "--prefix", "rep")
    assert (code, "report" in out, "cleanup" in out.splitlines()[1].split()[0]) == (0, True, False)
    code, out, _ = ask(server, "tasks", "run", "report")
    assert (code, "SUCCEEDED" in out) == (0, True)
    code, out, _ = ask(server, "tasks", "history", "report", "--json")
    (execution,) = json.loads(out)
    assert (execution["state"], execution["taskId"], execution["attempt"]) == ("SUCCEEDED", "task_report", 1)
    code, out, _ = ask(server, "executions", "get", execution["id"])
    assert (code, "Deleted 0 expired sessions" in out) == (0, True)
    code, out, _ = ask(server, "tasks", "disable", "report", "--note", "holiday")
    assert (code, "no: holiday" in out) == (0, True)
    code, out, _ = ask(server, "tasks", "enable", "report", "--json")
    task = json.loads(out)
    assert (task["enabled"], task["timeZone"], task["payload"]) == (True, "Europe/Berlin", {"batch_size": 5})
    assert task["createdAt"].endswith("Z")
    code, out, _ = ask(server, "executions", "list")
    assert execution["id"] in out


def test_a_task_that_fails_is_exit_code_1(server: Server):
    """The execution is shown all the same."""
    options = ("--schedule", "@manual", "--handler", "fail", "--max-retries", "0", "--overlap", "allow-all")
    ask(server, "tasks", "register", "failing", *options)
    code, out, _ = ask(server, "tasks", "run", "failing")
    assert code == 1
    assert "ERROR" in out
    assert "ValueError: as asked" in out


def test_what_the_server_refuses_is_exit_code_1_and_one_line(server: Server):
    """No traceback."""
    code, out, error = ask(server, "tasks", "get", "nobody")
    assert (code, out, error) == (1, "", "Task not found: nobody\n")


def test_a_server_that_cannot_be_reached_is_exit_code_3():
    """And the address is named."""
    done = run("tasks", "list", "--server", "127.0.0.1:1")
    assert done.returncode == 3
    assert done.stderr.startswith("127.0.0.1:1: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("tasks", "register", "x"),
        ("tasks", "register", "x", "--schedule", "@daily", "--handler", "h", "--payload", "[1]"),
        ("tasks", "register", "x", "--schedule", "@daily", "--handler", "h", "--payload", "{"),
        ("tasks", "register", "x", "--schedule", "@daily", "--handler", "h", "--overlap", "sometimes"),
        ("nonsense",),
        ("preview", "99 * * * *"),
        ("preview", "@daily", "--zone", "Mars"),
        ("serve", "--grpc", "nowhere"),
        ("serve", "--grpc", "0.0.0.0:0"),
        ("serve", "--database", "sqlite:///:memory:"),
        ("serve", "--database", "mysql://x"),
        ("serve", "--concurrency", "0"),
        ("serve", "--drain-timeout", "soon"),
        ("serve", "--config", "missing.toml"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...], tmp_path: Path):
    """With words on standard error, and no traceback."""
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_must_not_be_used_is_exit_code_1(tmp_path: Path):
    """One line says why, and the file stays as it was."""
    (tmp_path / "schedule.db").write_text("my diary")
    done = run("serve", "--grpc", "127.0.0.1:0", folder=tmp_path)
    assert done.returncode == 1
    assert "is not a SQLite database" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "schedule.db").read_text() == "my diary"


def test_a_handler_module_that_is_missing_is_exit_code_1(tmp_path: Path):
    """It is named."""
    done = run("serve", "--grpc", "127.0.0.1:0", "--handlers", "no.such.module", folder=tmp_path)
    assert done.returncode == 1
    assert "no.such.module" in done.stderr


def test_preview_needs_no_server():
    """English and the next occurrences, in UTC."""
    done = run("preview", "@yearly", "--count", "2", "--json")
    told = json.loads(done.stdout)
    assert [time[4:] for time in told["nextRuns"]] == ["-01-01T00:00:00.000Z"] * 2
    assert "every 90 minutes" in run("preview", "every 90 minutes").stdout.lower()


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [(0, "0ms"), (500, "500ms"), (2500, "2.50s"), (120_000, "2.00m"), (7_200_000, "2.00h"), (999.4, "999ms")],
)
def test_durations_for_people(milliseconds: float, shown: str):
    """As the older service showed them."""
    assert human(timedelta(milliseconds=milliseconds)) == shown


def test_help_is_quick():
    """`--help` loads neither gRPC nor the server: well below what they alone would cost."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0
    assert "serve" in done.stdout
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # 0.2 s here; the bound only catches an import that came in by mistake, on a machine that is twice as slow.
    assert spent < 0.6 or "COV_CORE_SOURCE" in os.environ
