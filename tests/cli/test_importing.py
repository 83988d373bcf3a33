"""`import`: a task file from what others have, which `tasks apply` takes; its errors, and what it never overwrites."""

import builtins
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from schedule_grpc.cli.snippets import apscheduler_jobs, celery_beat

CRONTAB = "PATH=/bin\n*/5 * * * 1-5 /bin/poll --fast\n@reboot /bin/start\n0 3 * * 7 backup % in\n"
CRON_FIELDS = {"hour": "3", "minute": "0", "second": "0", "day_of_week": "mon"}
CRON = {"type": "cron", "timezone": "Europe/Berlin", "fields": CRON_FIELDS}
JOBS = {
    "apscheduler": 3,
    "jobs": [
        {"id": "nightly", "func": "a:b", "trigger": CRON, "args": [1], "misfire_grace_time": 1},
        {"id": "last", "func": "a:b", "trigger": CRON | {"fields": {"day": "last"}}},
        {"id": "paused", "func": "a:b", "trigger": {"type": "interval", "seconds": 2700}, "paused": True},
        {"id": "null", "func": "a:b", "trigger": CRON, "kwargs": {"a": None}},
    ],
}
ENTRIES = {
    "celery_beat": 1,
    "timezone": "Europe/Berlin",
    "entries": [
        {"name": "often", "task": "a.b", "schedule": {"type": "interval", "seconds": 30.0}, "options": {"queue": "q"}},
        {"name": "sunset", "task": "a.b", "schedule": {"type": "solar"}},
    ],
}
CRONJOB = """
kind: CronJob
metadata: {name: invoices}
spec:
  schedule: 0 0 */2 * 1
  timeZone: Europe/Berlin
  suspend: true
  jobTemplate: {spec: {template: {spec: {containers: [{name: a, image: b, command: [c]}]}}}}
"""
INPUTS: dict[str, tuple[str, list[str]]] = {
    "crontab": (CRONTAB, ["poll-fast", "backup"]),
    "apscheduler": (json.dumps(JOBS), ["nightly", "paused"]),
    "celery-beat": (json.dumps(ENTRIES), ["often"]),
    "k8s-cronjob": (CRONJOB, ["invoices"]),
}
"""A text that each command reads, and the tasks that it makes of it."""


@pytest.mark.parametrize("program", INPUTS)
def test_what_is_imported_is_what_apply_takes(ask, tell, program: str, tmp_path: Path):
    """The server checks every task, and would create all of them."""
    text, names = INPUTS[program]
    file = tmp_path / "tasks.toml"
    done = tell("import", program, "-", "--allow-unknown-handler", "-o", str(file), stdin=text)
    assert (done.code, done.out) == (0, "")
    applied = ask("tasks", "apply", "-f", str(file), "--dry-run", "--json")
    assert (applied.code, applied.json["set"], applied.json["created"]) == (0, program, names)


@pytest.mark.parametrize("program", INPUTS)
def test_json_has_the_same_tasks(ask, tell, program: str):
    """It says nulls, too; the notes, for which it has no place, go to standard error."""
    text, names = INPUTS[program]
    done = tell("import", program, "-", "--json", "--set", "mine", "--handler", "by-steps", stdin=text)
    assert [task["name"] for task in done.json["tasks"]] == [*names, *(["null"] if program == "apscheduler" else [])]
    assert f"standard input: {'' if program != 'crontab' else 'cron runs commands'}" in done.err
    applied = ask("tasks", "apply", "-f", "-", "--dry-run", "--json", stdin=done.out)
    assert (applied.code, applied.json["set"]) == (0, "mine")


def test_an_imported_task_runs(ask, tell):
    """Applied for good, by a handler that the server offers."""
    done = tell("import", "crontab", "-", "--handler", "by-steps", stdin="@daily /bin/imported")
    assert ask("tasks", "apply", "-f", "-", stdin=done.out).code == 0
    shown = ask("tasks", "get", "imported", "--json").json
    assert (shown["schedule"], shown["payload"], shown["policy"]["overlap"]) == (
        "@daily",
        {"command": "/bin/imported"},
        "ALLOW_ALL",
    )
    assert ask("tasks", "run", "imported").code == 0


def test_a_handler_that_nothing_offers_is_refused_by_apply(ask, tell):
    """Unless the import was asked to allow it: a task that waits for its handler is nothing to find out later."""
    done = tell("import", "crontab", "-", stdin="@daily x")
    refused = ask("tasks", "apply", "-f", "-", "--dry-run", stdin=done.out)
    assert refused.code == 1
    assert "run-command" in refused.err


def test_what_was_not_imported_is_told(tell, tmp_path: Path):
    """On standard error with its place, and as a comment in the file."""
    (tmp_path / "tab").write_text(CRONTAB)
    done = tell("import", "crontab", str(tmp_path / "tab"))
    lines = done.err.splitlines()
    assert lines[0].startswith(f"{tmp_path}/tab: line 3: not imported: schedule: @reboot is not a time")
    assert lines[1:] == ["2 tasks, 1 with notes; 1 not imported"]
    for text in (
        "\n# from line 2: */5 * * * 1-5 /bin/poll --fast\n[[tasks]]\n",
        "\n# not imported: line 3: @reboot /bin/start\n",
        "\n# note: % is read as cron reads it",
        "# note: line 1: PATH stands in the payload",
    ):
        assert text in done.out
    assert len(tomllib.loads(done.out)["tasks"]) == 2
    nothing = tell("import", "crontab", "-", stdin="@reboot x")
    assert (nothing.code, nothing.err.splitlines()[-1]) == (1, "0 tasks, 0 with notes; 1 not imported")
    empty = tell("import", "crontab", "-")
    assert (empty.code, tomllib.loads(empty.out)) == (0, {"set": "crontab"})


def test_a_file_that_is_there_stays(tell, tmp_path: Path):
    """Unless the caller says otherwise."""
    file = tmp_path / "tasks.toml"
    file.write_text("mine")
    done = tell("import", "crontab", "-", "-o", str(file), stdin=CRONTAB)
    assert (done.code, done.err, file.read_text()) == (2, f"{file} is there; --overwrite replaces it\n", "mine")
    assert tell("import", "crontab", "-", "-o", str(file), "--overwrite", stdin=CRONTAB).code == 0
    assert len(tomllib.loads(file.read_text())["tasks"]) == 2
    done = tell("import", "crontab", "-", "-o", str(tmp_path / "no" / "folder"), stdin=CRONTAB)
    assert (done.code, done.err) == (1, f"{tmp_path / 'no' / 'folder'}: No such file or directory\n")


@pytest.mark.parametrize(
    ("program", "content", "message"),
    [
        (
            "crontab",
            b"@daily a\nfoo bar",
            "line 2: is no job, which has a schedule and a command, and no variable: foo bar",
        ),
        ("crontab", b"@daily a\n@daily \xff", "line 2: is not UTF-8"),
        ("crontab", "@daily x".encode("utf-16"), "is UTF-16: save it as UTF-8"),
        pytest.param("crontab", b"#" * (1024 * 1024 + 1), "is larger than 1024 KiB, the most that is read", id="large"),
        ("apscheduler", b"{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("apscheduler", b"[]", "is not an object"),
        ("apscheduler", b"\x80\x04\x95", "line 1: is not UTF-8"),
        ("celery-beat", b"{}", "is not what the snippet prints: see schedule-grpc import celery-beat --snippet"),
        pytest.param("celery-beat", b"[" * 100_000, "nested too deep", id="deep"),
        ("k8s-cronjob", b"a: ]", "line 1: is no YAML: did not find expected node content"),
        ("k8s-cronjob", b'{"kind": "CronJob"}', "metadata.name: is missing"),
        ("k8s-cronjob", b'{"kind": "List", "kind": "List"}', "the key 'kind' is given twice in one object"),
    ],
)
def test_bad_input_is_an_error_with_its_place(tell, tmp_path: Path, program: str, content: bytes, message: str):
    """And nothing is written: neither a file nor a part of one."""
    (tmp_path / "input").write_bytes(content)
    done = tell("import", program, str(tmp_path / "input"), "-o", str(tmp_path / "out"))
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"{tmp_path}/input: {message}")
    assert not (tmp_path / "out").exists()


def test_a_file_that_cannot_be_read_is_an_error(tell, tmp_path: Path):
    """A folder, and what is not there."""
    assert tell("import", "crontab", str(tmp_path)).err == f"{tmp_path}: Is a directory\n"
    done = tell("import", "crontab", "no-such-file")
    assert (done.code, done.err) == (2, "no-such-file: No such file or directory\n")


def test_a_command_without_a_file_says_how_to_make_one(tell):
    """It does not wait for a terminal."""
    done = tell("import", "celery-beat")
    assert (done.code, "--snippet prints what makes it" in " ".join(done.err.split())) == (2, True)


def test_users_stand_in_the_crontab_of_the_system(tell):
    """As --system says."""
    done = tell("import", "crontab", "-", "--system", "--json", "--zone", "Asia/Tokyo", stdin="@daily root /bin/x a")
    (task,) = done.json["tasks"]
    assert (task["payload"], task["time_zone"]) == ({"command": "/bin/x a", "user": "root"}, "Asia/Tokyo")
    done = tell("import", "crontab", "-", "--zone", "Mars/Base", stdin="")
    assert (done.code, "is not a time zone" in done.err) == (2, True)


@pytest.mark.parametrize(("program", "snippet"), [("apscheduler", apscheduler_jobs), ("celery-beat", celery_beat)])
def test_the_snippet_is_the_file_that_tests_run(tell, program: str, snippet: Any):
    """As it stands in the package; it needs no other file."""
    done = tell("import", program, "--snippet")
    assert (done.code, done.out) == (0, Path(snippet.__file__).read_text())
    assert "schedule_grpc" not in done.out


def test_without_pyyaml_json_is_read(tell, monkeypatch: pytest.MonkeyPatch):
    """YAML says what to install; what kubectl prints as JSON needs nothing."""
    real = builtins.__import__

    def without(name: str, *arguments: Any, **more: Any) -> Any:
        if name == "schedule_grpc.formats.imported.yaml_documents":
            raise ModuleNotFoundError("No module named 'yaml'")
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    done = tell("import", "k8s-cronjob", "-", stdin=CRONJOB)
    assert done.code == 2
    assert done.err.startswith("YAML needs PyYAML: pip install 'schedule-grpc[yaml]'")
    manifest = {"kind": "CronJob", "metadata": {"name": "a"}, "spec": {"schedule": "@daily"}}
    assert tell("import", "k8s-cronjob", "-", stdin=json.dumps(manifest)).code == 0
