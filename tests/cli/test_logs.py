"""`executions logs` and `tasks run --follow`: lines that are kept, and lines as they come."""

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.callers.commands import started, until_it_says
from support.patience import AT_MOST
from support.servers.process import Server, run, serving

ID = r"exec_[\w-]+_\d+_\w+"
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z"
ONCE = ("--schedule", "@manual", "--handler", "report", "--overlap", "allow-all", "--max-retries", "0")

Reporting = Callable[..., str]


@pytest.fixture
def reporting(ask) -> Reporting:
    """Register a task whose handler logs as its payload says; return its name."""

    def register(name: str, *options: str, **payload: Any) -> str:
        assert ask("tasks", "register", name, *ONCE, *options, "--payload", json.dumps(payload)).code == 0
        return name

    return register


def begun(ask: Any, name: str) -> str:
    """Start a run; return the execution's id."""
    return str(ask("tasks", "run", name, "--detach", "--json").json["execution"]["id"])


def ended(ask: Any, name: str) -> str:
    """Run a task to its end; return the execution's id."""
    return str(ask("tasks", "run", name, "--json").json["execution"]["id"])


# -- what is kept


def test_the_traceback_of_a_failure_is_where_the_run_is(ask, reporting: Reporting):
    """Not KeyError alone: with file and line, after the lines that the handler logged. The run itself says how."""
    done = ask("tasks", "run", reporting("sorting", lines=2, by="by"))
    assert done.code == 1
    (hint,) = re.findall(rf"^log +(schedule-grpc executions logs {ID})$", done.out, re.MULTILINE)
    execution_id = hint.split()[-1]
    assert hint in ask("executions", "get", execution_id).out
    log = ask("executions", "logs", execution_id)
    assert (log.code, log.err) == (0, "")
    first, second, head, *frames, error = log.out.splitlines()
    for number, line in enumerate((first, second)):
        assert re.fullmatch(rf"{TIME}  info     report\.row number={number}", line)
    assert re.fullmatch(rf"{TIME}  error    Traceback \(most recent call last\):", head)
    assert error == " " * 35 + "KeyError: 'by'"
    assert any(re.search(r'support/handlers/ordinary\.py", line \d+, in', frame) for frame in frames)


def test_a_log_in_json_is_an_object_a_line(ask, reporting: Reporting):
    """With the keys of the route of HTTP, and whole texts."""
    execution_id = ended(ask, reporting("sorting-json", lines=1, by="by"))
    first, last = map(json.loads, ask("executions", "logs", execution_id, "--json").out.splitlines())
    assert list(first) == ["attempt", "sequence", "time", "level", "text"]
    assert (first["attempt"], first["sequence"], first["level"], first["text"]) == (1, 1, "info", "report.row number=0")
    assert last["text"].endswith("\nKeyError: 'by'")


def test_the_newest_lines_are_shown(ask, reporting: Reporting):
    """And how many others there are."""
    execution_id = ended(ask, reporting("sorting-many", lines=30))
    log = ask("executions", "logs", execution_id, "--lines", "3")
    assert [line.split("  ", 2)[2].strip() for line in log.out.splitlines()] == [
        "report.row number=28",
        "report.row number=29",
        "report.sorted",
    ]
    assert log.err == "(28 other lines are not shown: they were dropped, or are older)\n"
    assert ask("executions", "logs", execution_id, "--lines", "0").out == ""
    assert ask("executions", "logs", execution_id, "--lines", "1001").code == 2


def test_each_attempt_has_its_lines(ask, reporting: Reporting):
    """In their order; where another one begins, its number is said beside them; one attempt alone by its number."""
    options = ("--max-retries", "2", "--initial-backoff", "0s")
    execution_id = ended(ask, reporting("sorting-again", *options, lines=1, by="by"))
    log = ask("executions", "logs", execution_id)
    assert log.err == "attempt 2:\nattempt 3:\n"
    assert log.out.count("report.row number=0") == log.out.count("KeyError: 'by'") == 3
    assert ask("executions", "logs", execution_id, "--attempt", "3").err == ""
    second = ask("executions", "logs", execution_id, "--attempt", "2", "--json").out.splitlines()
    assert {json.loads(line)["attempt"] for line in second} == {2}
    assert ask("executions", "logs", execution_id, "--attempt", "4").out == ""


def test_hostile_lines_are_shown_as_text(ask, reporting: Reporting):
    """Nothing moves the cursor, hides or reorders; what follows a line break looks like no line of its own."""
    hostile = "a\x1b[2Jb\x9b2Jc\u202ed\u200be\u2028f\x07g\x00h\n2026-01-31 10:00:00.000Z  error    forged"
    execution_id = ended(ask, reporting("hostile", texts=[hostile]))
    log = ask("executions", "logs", execution_id)
    assert log.out.replace("\n", "").isprintable()
    first, second, _ = log.out.splitlines()
    assert first.endswith(r"  warning  a\x1b[2Jb\x9b2Jc\u202ed\u200be\u2028f\x07g�h")
    assert second == " " * 35 + "2026-01-31 10:00:00.000Z  error    forged"
    shown = ask("executions", "logs", execution_id, "--json").out
    assert shown.replace("\n", "").isprintable()
    assert json.loads(shown.splitlines()[0])["text"] == hostile.replace("\x00", "\ufffd")


def test_an_execution_that_is_not_there_has_no_log(ask, reporting: Reporting):
    """Neither has one of another namespace, nor one that has logged nothing."""
    for follow in ((), ("--follow",)):
        done = ask("executions", "logs", "exec_x_1_a", *follow)
        assert (done.code, done.out, done.err) == (1, "", "Execution not found: exec_x_1_a\n")
    ask("tasks", "register", "silent", "--schedule", "@manual", "--handler", "steps")
    execution_id = ended(ask, "silent")
    log = ask("executions", "logs", execution_id)
    assert (log.code, log.out, log.err) == (0, "", "No log lines.\n")
    ask("namespaces", "create", "elsewhere")
    assert ask("executions", "logs", execution_id, "--namespace", "elsewhere").code == 1


def test_progress_is_shown_with_the_execution(ask, reporting: Reporting):
    """The newest, with its time."""
    execution_id = ended(ask, reporting("progressing", progress="half\x1b[2J"))
    shown = ask("executions", "get", execution_id).out
    assert re.search(r"^progress +50 %  half\\x1b\[2J  \(attempt 1, \d{4}-.*Z\)$", shown, re.MULTILINE)
    progress = ask("executions", "get", execution_id, "--json").json["progress"]
    assert (progress["fraction"], progress["text"], progress["attempt"]) == (0.5, "half\x1b[2J", 1)


# -- as it comes


@pytest.mark.parametrize(("payload", "code", "state"), [({}, 0, "SUCCEEDED"), ({"by": "by"}, 1, "FAILED")])
def test_a_running_execution_is_followed_to_its_end(
    ask, server: Server, reporting: Reporting, tmp_path: Path, payload: dict[str, str], code: int, state: str
):
    """What is kept, then what comes, each line once; it ends with the execution, and its exit code says how."""
    until = tmp_path / "until"
    name = reporting(f"following-{state.lower()}", lines=3, until=str(until), **payload)
    execution_id = begun(ask, name)
    with started(server, "executions", "logs", execution_id, "--follow", "--json") as process:
        lines = until_it_says(process.stdout, "number=2")
        until.touch()
        out, err = process.communicate(timeout=AT_MOST)
    texts = [json.loads(line)["text"] for line in [*lines, *out.splitlines()]]
    assert texts[:3] == [f"report.row number={number}" for number in range(3)]
    assert len(texts) == 4
    assert texts[3].endswith("report.sorted" if code == 0 else "KeyError: 'by'")
    assert process.returncode == code
    assert [line.split()[1] for line in err.splitlines()] == ["RUNNING", state]


def test_an_execution_that_has_ended_is_followed_no_further(ask, reporting: Reporting):
    """Its lines, its state and its exit code, at once."""
    execution_id = ended(ask, reporting("followed-late", lines=1, by="by"))
    done = ask("executions", "logs", execution_id, "--follow")
    assert (done.code, "report.row number=0" in done.out, "KeyError: 'by'" in done.out) == (1, True, True)
    assert re.fullmatch(rf"{execution_id}  FAILED after .*: KeyError: 'by'\n", done.err)


def test_following_ends_with_ctrl_c(ask, server: Server, reporting: Reporting, tmp_path: Path):
    """The execution goes on."""
    until = tmp_path / "until"
    execution_id = begun(ask, reporting("interrupted", lines=1, until=str(until)))
    with started(server, "executions", "logs", execution_id, "--follow") as process:
        until_it_says(process.stdout, "number=0")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=AT_MOST)
    assert process.returncode == 130
    assert ask("executions", "get", execution_id, "--json").json["state"] == "RUNNING"
    until.touch()


def test_following_goes_on_beyond_a_restart(tmp_path: Path):
    """The server was killed and came back; the lines of both attempts, each once, and the end."""
    until = tmp_path / "until"
    options = ("--schedule", "@manual", "--handler", "report", "--initial-backoff", "0s")
    payload = json.dumps({"lines": 2, "until": str(until)})
    with serving(tmp_path) as server:
        run("tasks", "register", "task", *options, "--payload", payload, "--server", server.address)
        begin = run("tasks", "run", "task", "--detach", "--json", "--server", server.address)
        execution_id = json.loads(begin.stdout)["execution"]["id"]
        with started(server, "executions", "logs", execution_id, "--follow", "--json") as process:
            lines = until_it_says(process.stdout, "number=1")
            server.kill()
            until.touch()
            with serving(tmp_path, "--grpc", server.address):
                out, _ = process.communicate(timeout=AT_MOST)
    found = [json.loads(line) for line in [*lines, *out.splitlines()]]
    places = [(line["attempt"], line["sequence"]) for line in found]
    assert (process.returncode, places) == (0, sorted(set(places)))
    second = [line["text"] for line in found if line["attempt"] == 2]
    assert second == ["report.row number=0", "report.row number=1", "report.sorted"]


@pytest.mark.parametrize("end", ["kill", "terminate"])
def test_following_ends_with_its_server_where_it_has_no_patience(end: str, tmp_path: Path):
    """Exit code 3, and the execution's id: the next server goes on with it."""
    payload = json.dumps({"lines": 1, "until": str(tmp_path / "never")})
    with serving(tmp_path, "--drain-timeout", "0") as server:
        run("tasks", "register", "task", *ONCE, "--payload", payload, "--server", server.address)
        begin = run("tasks", "run", "task", "--detach", "--json", "--server", server.address)
        execution_id = json.loads(begin.stdout)["execution"]["id"]
        with started(server, "executions", "logs", execution_id, "--follow", "--patience", "0") as process:
            until_it_says(process.stdout, "number=0")
            getattr(server, end)()
            _, err = process.communicate(timeout=AT_MOST)
    assert process.returncode == 3
    assert re.search(rf"{server.address}: .*; execution {execution_id} goes on without this call\n$", err)


def test_a_run_is_followed_with_its_lines(ask, reporting: Reporting):
    """State, progress and lines on standard error; the execution on standard output, and the exit code of its end."""
    done = ask("tasks", "run", reporting("run-followed", lines=2, by="by"), "--follow", "--json")
    assert (done.code, done.json["success"], done.json["execution"]["state"]) == (1, False, "FAILED")
    lines = done.err.splitlines()
    assert [re.sub(rf"^({ID}|{TIME}) +", "", line).split(" after")[0] for line in lines if line[0] != " "] == [
        "RUNNING  attempt 1",
        "info     report.row number=0",
        "info     report.row number=1",
        "50 %  sorting",
        "error    Traceback (most recent call last):",
        "FAILED",
    ]
    assert lines[-2].strip() == "KeyError: 'by'"
    assert ask("tasks", "run", reporting("run-followed-well"), "--follow").code == 0


def test_a_run_that_is_followed_can_be_interrupted(ask, server: Server, reporting: Reporting, tmp_path: Path):
    """As one that is not: it goes on, or is cancelled."""
    name = reporting("run-interrupted", lines=1, until=str(tmp_path / "never"))
    with started(server, "tasks", "run", name, "--follow", "--cancel-on-interrupt") as process:
        until_it_says(process.stderr, "number=0")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=AT_MOST)
    assert process.returncode == 130
    assert re.search(rf"^interrupted; {ID} has (been asked to stop|ended CANCELLED)$", err, re.MULTILINE)


def test_a_detached_run_is_not_followed(ask):
    """The two options exclude each other."""
    done = ask("tasks", "run", "any", "--follow", "--detach")
    assert (done.code, "excludes --detach" in done.err) == (2, True)
