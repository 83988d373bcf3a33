"""`schedule-grpc worker-check`: the Python worker conforms; what the command prints and how it ends."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.patience import AT_MOST
from support.servers.launched import COMMAND, environment

LONG = os.environ.get("FAULTS") == "long"
PYTHON_WORKER = (COMMAND, "worker", "schedule_grpc.conformance.handlers")
TINY_WORKER = (sys.executable, "-m", "support.workers.tiny")
LINE = re.compile(r"(not )?ok (\d+) - ([\w-]+): .+ \(W\d+\)( # TODO SHOULD)?")


def check(*options: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the kit in a folder."""
    command = (COMMAND, "worker-check", *options)
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=AT_MOST, check=False
    )


def troubles(report: Path) -> list[tuple[str, str]]:
    """Return the checks that a worker has not passed, and what was seen."""
    return [(each["id"], each["message"]) for each in json.loads(report.read_text())["checks"] if not each["passed"]]


@pytest.mark.slow
def test_the_python_worker_conforms(tmp_path: Path):
    """It passes every check, also those that it need not pass; TAP has a line for each."""
    done = check(*(() if LONG else ("--quick",)), "--json", "report.json", "--", *PYTHON_WORKER, folder=tmp_path)
    assert troubles(tmp_path / "report.json") == []
    assert (done.returncode, done.stderr) == (0, "")
    version, plan, *lines = done.stdout.splitlines()
    assert version == "TAP version 14"
    found = [LINE.fullmatch(line) for line in lines]
    assert all(found)
    assert [int(each[2]) for each in found if each] == list(range(1, int(plan.removeprefix("1..")) + 1))
    assert len(lines) == len(json.loads((tmp_path / "report.json").read_text())["checks"])


@pytest.mark.slow
@pytest.mark.skipif(not LONG, reason="a control of test_broken_workers.py; FAULTS=long runs it")
def test_the_small_worker_conforms_where_it_breaks_nothing(tmp_path: Path):
    """So the checks that fail in test_broken_workers.py fail because of its faults."""
    done = check("--json", "report.json", "--", *TINY_WORKER, folder=tmp_path)
    assert troubles(tmp_path / "report.json") == []
    assert done.returncode == 0


def test_a_failed_check_is_said_with_its_message_and_the_workers_output(tmp_path: Path):
    """In TAP as YAML; the exit code is 1."""
    command = ("--", sys.executable, "-c", "print('I am no worker'); raise SystemExit(9)")
    done = check("--only", "echo-empty", *command, folder=tmp_path)
    assert done.returncode == 1
    assert done.stdout.splitlines()[2:5] == [
        "not ok 1 - echo-empty: an empty payload comes back as an empty object (W9)",
        "  ---",
        "  message: 'the worker ended with code 9 before it pulled'",
    ]
    assert "    I am no worker\n  ...\n" in done.stdout


def test_what_a_worker_should_do_changes_no_exit_code(tmp_path: Path):
    """It is marked as TAP marks what may fail, and as not passed in JSON."""
    command = ("--", "env", "BREAKS=has-doubles", *TINY_WORKER)
    done = check("--only", "echo-integers", "--json", "report.json", *command, folder=tmp_path)
    assert done.returncode == 0
    assert "not ok 1 - echo-integers: 2^53 + 1 comes back (W9) # TODO SHOULD\n" in done.stdout
    (report,) = json.loads((tmp_path / "report.json").read_text())["checks"]
    assert (report["id"], report["must"], report["passed"]) == ("echo-integers", False, False)


def test_json_goes_to_standard_output_instead_of_tap(tmp_path: Path):
    """With what was kept beside it, where a folder is named: the server's log, the worker's output, the journal."""
    done = check("--only", "echo-nul", "--json", "-", "--keep", "kept", "--", *TINY_WORKER, folder=tmp_path)
    report = json.loads(done.stdout)
    assert report["conforms"] is True
    assert report["command"] == list(TINY_WORKER)
    kept = {path.name for path in (tmp_path / "kept").rglob("*")}
    assert {"server.log", "worker-1.log", "journal"} <= kept


def test_checks_are_listed_with_their_rules(tmp_path: Path):
    """And nothing is started."""
    done = check("--list", "--only", "fatal-*", folder=tmp_path)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    assert lines[0].split(maxsplit=2)[:2] == ["W5", "fatal-unauthenticated"]
    listed = json.loads(check("--list", "--json", "-", folder=tmp_path).stdout)
    assert {each["rule"] for each in listed} == {f"W{number}" for number in range(1, 11)}


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ((), 2, "name the command that starts the worker: worker-check -- COMMAND ...\n"),
        (("--only", "ecko-*", "--", "true"), 2, "no check matches ecko-*; --list shows them all\n"),
        (("--keep", ".", "--", "true"), 2, ". exists already: --keep names a new folder\n"),
        (("--only", "echo-*", "--", "/no/such/worker"), 1, "/no/such/worker: No such file or directory\n"),
    ],
)
def test_a_command_line_that_names_no_work_is_refused(tmp_path: Path, options: tuple[str, ...], code: int, said: str):
    """With 2; with 1 if the worker's program cannot be started."""
    done = check(*options, folder=tmp_path)
    assert (done.returncode, done.stderr) == (code, said)
