"""`doctor`: green where all is well, red with advice where it is not; it changes nothing."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.servers.process import Server, run, serving

from schedule_grpc.store import NEWEST

CONFIGURATION = """
handlers = ["support.handlers.ordinary"]

[bindings]
DB = "sqlite:///platform.db"

[alerts]
urls = ["https://name:word@ops.example/hook"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server's folder, with its configuration."""
    made = tmp_path_factory.mktemp("doctor")
    (made / "schedule.toml").write_text(CONFIGURATION)
    return made


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    """A server that has opened its binding and knows tasks in every condition."""
    with serving(folder, "--init", "--log-level", "error") as started:
        at = ("--server", started.address)
        run("tasks", "register", "well", "--schedule", "0 0 28 2 *", "--handler", "cleanup-expired-sessions", *at)
        run("tasks", "run", "well", *at)
        manual = ("--schedule", "@manual", "--max-retries", "0", *at)
        run("tasks", "register", "failing", "--handler", "fail", *manual)
        run("tasks", "run", "failing", *at)
        run("tasks", "register", "orphan", "--handler", "nobody", "--allow-unknown-handler", "--disabled", *manual)
        yield started


def examine(folder: Path, *arguments: str) -> tuple[int, dict[str, list[dict[str, str]]]]:
    """Return a doctor's exit code, and its checks by subject."""
    done = run("doctor", *arguments, "--json", folder=folder)
    told = json.loads(done.stdout)
    assert told["healthy"] == (done.returncode == 0) == all(each["verdict"] != "fail" for each in told["checks"])
    found: dict[str, list[dict[str, str]]] = {}
    for each in told["checks"]:
        found.setdefault(each["check"], []).append(each)
    return done.returncode, found


def test_all_is_well(folder: Path, server: Server):
    """One line per check, beside the running server, whose files stay as they are."""
    before = {path.name for path in folder.iterdir()}
    done = run("doctor", "well", "--server", server.address, folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split(None, 2) for line in done.stdout.splitlines()]
    assert {verdict for verdict, *_ in lines} == {"ok"}
    subjects = [line.removeprefix("ok").strip() for line in done.stdout.splitlines()]
    for expected in (
        "configuration  schedule.toml can be read",
        f"database       schedule.db is whole, schema version {NEWEST}",
        "alerts         told to https://ops.example",
        f"server         {server.address}: SERVING",
        "task           well is enabled",
        "handler        cleanup-expired-sessions is offered",
        "failures       none lately",
        "history        newest 1: 1 SUCCEEDED",
    ):
        assert expected in subjects
    assert any(subject.startswith("handlers       support.handlers.ordinary offers ") for subject in subjects)
    assert any(subject.startswith("binding DB     answered in ") for subject in subjects)
    schedule = "schedule       0 0 28 2 * (At 00:00, on day 28 of the month, only in February, UTC), next 2"
    assert any(subject.startswith(schedule) for subject in subjects)
    assert {path.name for path in folder.iterdir()} == before


def test_a_task_that_fails_is_red(folder: Path, server: Server):
    """With what it died of, and where to look."""
    code, found = examine(folder, "failing", "--server", server.address)
    assert code == 1
    assert found["schedule"][0]["verdict"] == "warn"
    failures = found["failures"][0]
    assert failures["verdict"] == "fail"
    assert failures["told"].startswith("1 in a row, the last at 2")
    assert failures["told"].endswith("ERROR: ValueError: as asked")
    assert failures["advice"].startswith("`schedule-grpc executions get exec_failing_")
    assert (found["history"][0]["verdict"], found["history"][0]["told"]) == ("warn", "newest 1: 1 FAILED")


def test_a_task_whose_handler_nobody_offers_is_red(folder: Path, server: Server):
    """And disabled, which may be meant."""
    code, found = examine(folder, "orphan", "--server", server.address)
    assert code == 1
    assert (found["task"][0]["verdict"], found["task"][0]["told"]) == ("warn", "orphan is disabled")
    assert found["handler"][0]["verdict"] == "fail"
    told = "nobody was never offered; its executions wait 1.00h and are MISSED then"
    assert found["handler"][0]["told"] == told
    assert found["history"][0]["told"] == "it never ran"


def test_a_task_that_is_not_there_is_red(folder: Path, server: Server):
    """With the name that was probably meant."""
    code, found = examine(folder, "fialing", "--server", server.address)
    assert (code, found["task"][0]["told"]) == (1, "Task not found: fialing")
    assert found["task"][0]["advice"] == "did you mean failing?"
    _, found = examine(folder, "zzz", "--server", server.address)
    assert found["task"][0]["advice"] == "`schedule-grpc tasks list` shows what is registered"


def test_nothing_is_there_yet(tmp_path: Path):
    """Files that are missing are no illness, a server that does not answer is; none is created."""
    code, found = examine(tmp_path, "daily-report", "--server", "127.0.0.1:1")
    assert code == 1
    assert [found[name][0]["verdict"] for name in ("configuration", "database", "binding DB")] == ["ok", "warn", "warn"]
    assert found["server"][0]["verdict"] == "fail"
    assert found["server"][0]["told"].startswith("127.0.0.1:1: ")
    assert (found["task"][0]["verdict"], found["task"][0]["told"]) == ("fail", "daily-report cannot be looked at")
    assert list(tmp_path.iterdir()) == []


def test_a_platform_without_tables_is_told_and_left_as_it_is(tmp_path: Path):
    """Its queue too; the first use makes them, or the tasks wait: nothing is broken."""
    (tmp_path / "platform.db").touch()
    _, found = examine(tmp_path, "--server", "127.0.0.1:1")
    platform, queue = found["binding DB"][0], found["binding QUEUE"][0]
    assert (platform["verdict"], queue["verdict"]) == ("warn", "warn")
    assert platform["told"].startswith("has no table sessions, api_keys, generations, ")
    assert queue["told"] == "QUEUE: DB: no such table: queue_jobs"
    assert "create_tables" in platform["advice"]
    assert (tmp_path / "platform.db").read_bytes().count(b"CREATE TABLE") == 0


def test_a_broken_configuration_is_red(tmp_path: Path):
    """Whatever part of it: keys, modules, database, bindings."""
    (tmp_path / "schedule.toml").write_text("handelrs = []")
    code, found = examine(tmp_path, "--server", "127.0.0.1:1")
    assert (code, found["configuration"][0]["verdict"], "handlers" in found) == (1, "fail", False)
    assert "handelrs: unknown key; did you mean handlers?" in found["configuration"][0]["told"]
    (tmp_path / "noisy.py").write_text("print('imported')\nimport no_such_module")
    (tmp_path / "schedule.toml").write_text(
        'handlers = ["noisy", "support.handlers.ordinary"]\ndatabase = "sqlite:///diary.db"\ngrpc = "127.0.0.1:1"\n'
        '[bindings]\nDB = "ftp://x"\nFILE = "sqlite:///diary.db"\n'
        '[alerts]\nsecret_file = "missing"'
    )
    (tmp_path / "diary.db").write_text("my diary" * 200)
    code, found = examine(tmp_path)
    assert code == 1
    assert [each["verdict"] for each in found["handlers"]] == ["fail", "ok", "ok"]
    assert "the handler module noisy cannot be imported" in found["handlers"][0]["told"]
    refusal = f"{tmp_path}/diary.db: is not a SQLite database, or its first page is damaged"
    assert found["database"][0]["told"] == refusal
    assert "ftp://x" in found["binding DB"][0]["told"]
    assert (found["binding FILE"][0]["verdict"], (tmp_path / "diary.db").read_text()) == ("fail", "my diary" * 200)
    assert (found["alerts"][0]["verdict"], "alerts.secret_file" in found["alerts"][0]["told"]) == ("fail", True)
    assert found["server"][0]["told"].startswith("127.0.0.1:1: ")


def test_an_old_schema_is_told(tmp_path: Path):
    """It is no illness: the next start brings it up to date."""
    run("migrate", folder=tmp_path)
    with closing(sqlite3.connect(tmp_path / "schedule.db")) as connection:
        connection.execute("PRAGMA user_version = 1")
    _, found = examine(tmp_path, "--server", "127.0.0.1:1")
    assert found["database"][0]["verdict"] == "warn"
    assert found["database"][0]["told"] == f"schedule.db has schema version 1, the newest is {NEWEST}"


def test_a_key_that_cannot_be_sent_is_told(tmp_path: Path):
    """In words."""
    code, found = examine(tmp_path, "--server", "127.0.0.1:1", "--token", "a b")
    assert (code, "a token consists of printable ASCII" in found["server"][0]["told"]) == (1, True)
