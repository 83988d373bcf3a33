"""Executions: run by hand and watched, listed, cancelled, backfilled, triggered."""

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.callers.commands import started, until_it_says
from support.patience import AT_MOST
from support.servers.process import Server, run, serving

HANDLERS = "support.handlers.on_call"
ID = r"exec_[\w-]+_\d+_\w+"
JANUARY = "0 0 * 1 *"
"""Every day of a January: there are enough of them to backfill, and none while a test runs, but by chance."""


@pytest.fixture
def steps(ask) -> str:
    """The name of a task whose first attempt fails and whose second succeeds, at once."""
    options = ("--schedule", "@manual", "--handler", "by-steps", "--initial-backoff", "0s", "--overlap", "allow-all")
    assert ask("tasks", "register", "printing", *options, "--payload", '{"failures": 1, "pages": 3}').code == 0
    return "printing"


@pytest.fixture
def held(ask, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The name of a task that runs until a file is there, and the file."""
    until = tmp_path / "until"
    options = ("--schedule", JANUARY, "--handler", "hold", "--payload", json.dumps({"until": str(until)}))
    assert ask("tasks", "register", "holding", *options).code == 0
    yield "holding", until
    until.touch()


@pytest.mark.slow
def test_a_run_is_shown_while_it_goes_on(ask, steps: str):
    """State, attempts, progress and failures on standard error; the execution on standard output."""
    done = ask("tasks", "run", steps)
    assert done.code == 0
    ids, lines = zip(*(line.split("  ", 1) for line in done.err.splitlines()), strict=True)
    assert len(set(ids)) == 1
    failed = "attempt 1 failed (ERROR) after Xms: ConnectionError: the printer is [red]away[/red]\\x1b[31m …; next at T"
    assert [re.sub(r"\d+ms", "Xms", re.sub(r"at .*Z$", "at T", line)) for line in lines] == [
        "RUNNING  attempt 1",
        "50 %  half of 3",
        f"PENDING  {failed}",
        "RUNNING  attempt 2",
        "50 %  half of 3",
        "SUCCEEDED after Xms",
    ]
    facts = dict(line.split("  ", 1) for line in done.out.splitlines() if line[0] != " ")
    facts = {label: fact.strip() for label, fact in facts.items()}
    assert (facts["id"], facts["state"], facts["trigger"]) == (ids[0], "SUCCEEDED", "manual")
    assert facts["result"] == '{"message": "printed", "success": true}'
    assert facts["attempt 1"].endswith("ConnectionError: the printer is [red]away[/red]\\x1b[31m")
    assert done.out.endswith("           second line\n")


def test_a_run_in_json_is_json_and_nothing_else(ask, steps: str):
    """On standard output; the way there stays on standard error."""
    done = ask("tasks", "run", steps, "--json", "--payload", '{"failures": 0}')
    assert (done.code, done.json["success"]) == (0, True)
    execution = done.json["execution"]
    assert (execution["state"], execution["attempt"], execution["failedAttempts"]) == ("SUCCEEDED", 1, [])
    assert (execution["payload"], execution["trigger"]) == ({"failures": 0}, "MANUAL")
    assert done.err.count(execution["id"]) == len(done.err.splitlines()) == 3


def test_a_run_that_fails_is_exit_code_1(ask):
    """The execution is shown all the same."""
    options = ("--schedule", "@manual", "--handler", "fail", "--max-retries", "0", "--overlap", "allow-all")
    ask("tasks", "register", "failing", *options)
    done = ask("tasks", "run", "failing")
    assert done.code == 1
    assert "ERROR" in done.out
    assert "ValueError: as asked" in done.out
    done = ask("tasks", "run", "failing", "--json")
    assert (done.code, done.json["success"], done.json["execution"]["state"]) == (1, False, "FAILED")


def test_what_cannot_be_run_is_exit_code_1(ask):
    """Missing, disabled: one line says so."""
    assert ask("tasks", "run", "nobody").err == "Task not found: nobody\n"
    ask("tasks", "register", "off", "--schedule", "@manual", "--handler", "fail", "--disabled")
    done = ask("tasks", "run", "off", "--json")
    assert (done.code, done.out, done.err) == (1, "", "Task is disabled: off\n")


def test_the_same_request_id_is_the_same_execution(ask, steps: str):
    """Whether it waits or not."""
    first = ask("tasks", "run", steps, "--detach", "--request-id", "monday", "--json").json["execution"]["id"]
    assert ask("tasks", "run", steps, "--request-id", "monday", "--json").json["execution"]["id"] == first


def test_overlap_skips_and_cancel_ends(ask, held):
    """A detached run is shown as it begins; one beside it is SKIPPED; a cancelled one says why."""
    name, _ = held
    first = ask("tasks", "run", name, "--detach", "--json")
    assert (first.code, first.json["success"]) == (0, True)
    done = ask("tasks", "run", name)
    assert (done.code, "SKIPPED (OVERLAP)" in done.out, "SKIPPED: OVERLAP" in done.err) == (1, True, True)
    execution_id = first.json["execution"]["id"]
    assert ask("executions", "cancel", execution_id, "--note", "wrong printer").code == 0
    ended = ask("executions", "get", execution_id, "--json")
    while ended.json["state"] == "RUNNING":
        ended = ask("executions", "get", execution_id, "--json")
    assert (ended.json["state"], ended.json["error"]) == ("CANCELLED", "wrong printer")
    again = ask("executions", "cancel", execution_id, "--json").json
    assert again | {"progress": ended.json["progress"]} == ended.json
    assert ask("executions", "cancel", "exec_x_1_a").err == "Execution not found: exec_x_1_a\n"
    assert ask("executions", "get", "exec_x_1_a").code == 1


def test_an_interrupted_run_goes_on(ask, server: Server, held):
    """Ctrl-C says with which id, and how to stop it; exit code 130, nothing on standard output."""
    name, until = held
    with started(server, "tasks", "run", name, "--json") as process:
        until_it_says(process.stderr, "holding")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=AT_MOST)
    assert (process.returncode, out) == (130, "")
    found = re.match(rf"interrupted; ({ID}) goes on\. Look at it or stop it:\n", err)
    assert found
    assert f"schedule-grpc executions cancel {found[1]}\n" in err
    assert ask("executions", "get", found[1], "--json").json["state"] == "RUNNING"
    until.touch()
    ended = ask("tasks", "history", name, "--limit", "1", "--json")
    while ended.json[0]["state"] == "RUNNING":
        ended = ask("tasks", "history", name, "--limit", "1", "--json")
    assert (ended.json[0]["id"], ended.json[0]["result"]) == (found[1], "let go")


def test_a_run_that_nothing_takes_says_at_once_what_it_waits_for(ask, server: Server):
    """Not after the 30 s for which the server waits for a worker."""
    ask("tasks", "register", "lacking", "--schedule", "@manual", "--handler", "remote", "--allow-unknown-handler")
    with started(server, "tasks", "run", "lacking", "--cancel-on-interrupt") as process:
        lines = until_it_says(process.stderr, "no server")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=AT_MOST)
    assert [line.partition("  ")[2] for line in lines] == [
        "PENDING",
        "PENDING  waits: no server and no worker offers remote",
    ]
    assert re.search(rf"^interrupted; {ID} has ended CANCELLED$", err, re.MULTILINE)


def test_an_interrupted_run_can_be_cancelled(ask, server: Server, held):
    """With --cancel-on-interrupt."""
    name, _ = held
    with started(server, "tasks", "run", name, "--cancel-on-interrupt") as process:
        until_it_says(process.stderr, "holding")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=AT_MOST)
    assert (process.returncode, out) == (130, "")
    assert re.search(rf"^interrupted; {ID} has (been asked to stop|ended CANCELLED)$", err, re.MULTILINE)
    ended = ask("tasks", "history", name, "--limit", "1", "--json")
    while ended.json[0]["state"] == "RUNNING":
        ended = ask("tasks", "history", name, "--limit", "1", "--json")
    assert (ended.json[0]["state"], ended.json[0]["error"]) == ("CANCELLED", "Interrupted at the command line")


@pytest.mark.parametrize("end", ["kill", "terminate"])
def test_a_run_whose_server_goes_away_goes_on(end: str, tmp_path: Path):
    """Exit code 3, and the execution's id: the next server goes on with it."""
    with serving(tmp_path, "--handlers", HANDLERS, "--drain-timeout", "0") as server:
        options = (
            "--schedule",
            "@manual",
            "--handler",
            "hold",
            "--payload",
            json.dumps({"until": str(tmp_path / "x")}),
        )
        run("tasks", "register", "holding", *options, "--server", server.address)
        with started(server, "tasks", "run", "holding", "--patience", "0") as process:
            until_it_says(process.stderr, "holding")
            getattr(server, end)()
            out, err = process.communicate(timeout=AT_MOST)
    assert (process.returncode, out) == (3, "")
    assert re.search(rf"{server.address}: .*; execution {ID} goes on without this call\n$", err)


def test_a_run_whose_server_is_started_again_is_shown_to_its_end(tmp_path: Path):
    """Killed, and back on the same address and database: the same execution, and exit code 0."""
    payload = json.dumps({"until": str(tmp_path / "x")})
    options = ("--schedule", "@manual", "--handler", "hold", "--initial-backoff", "0s", "--payload", payload)
    with serving(tmp_path, "--handlers", HANDLERS) as server:
        run("tasks", "register", "holding", *options, "--server", server.address)
        with started(server, "tasks", "run", "holding", "--json") as process:
            until_it_says(process.stderr, "RUNNING")
            server.kill()
            (tmp_path / "x").touch()
            with serving(tmp_path, "--handlers", HANDLERS, "--grpc", server.address):
                out, _ = process.communicate(timeout=AT_MOST)
    told = json.loads(out)
    assert (process.returncode, told["success"]) == (0, True)
    assert [attempt["failureKind"] for attempt in told["execution"]["failedAttempts"]] == ["LEASE_LOST"]


def test_history_is_filtered(ask, steps: str):
    """By state and time, newest first, all pages up to the limit."""
    ran = [ask("tasks", "run", steps, "--detach", "--json").json["execution"]["id"] for _ in range(3)]

    def ids(*options: str) -> list[str]:
        return [each["id"] for each in ask("tasks", "history", steps, "--json", *options).json]

    assert set(ran) <= set(ids())
    assert len(ids("--limit", "2")) == 2
    assert ids("--state", "missed", "--state", "skipped,cancelled") == []
    assert ids("--since", "1h") == ids()
    assert ids("--until", "2026-01-01") == []
    assert ids("--since", "2999-01-01T00:00:00+02:00") == []
    assert ask("tasks", "history", "unheard-of").code == 1
    shown = ask("executions", "list", "--limit", "1").out.splitlines()
    assert (shown[0].split()[:3], len(shown)) == (["CREATED", "AGO", "TASK"], 2)
    assert ask("executions", "list", "--limit", "1", "--state", "succeeded", "--json").json[0]["state"] == "SUCCEEDED"


def test_more_than_a_page_is_listed(ask):
    """A limit beyond a page gives as many, from several pages."""
    ask("tasks", "register", "often", "--schedule", "every 1 minute", "--handler", "steps")
    stretch = ("--from", "2026-01-01T00:00Z", "--to", "2026-01-01T16:00Z")
    done = ask("tasks", "backfill", "often", *stretch, "--json")
    assert (done.json["count"], done.json["existingCount"], len(done.json["executions"])) == (960, 0, 960)
    ask("tasks", "backfill", "often", "--from", "2026-01-02", "--to", "2026-01-02T16:00Z")
    assert len(ask("tasks", "history", "often", "--limit", "1500", "--json").json) == 1500
    ask("tasks", "disable", "often")


def test_backfill(ask, held):
    """What was recorded is shown, what was there already is counted; too much is refused whole."""
    name, _ = held
    done = ask("tasks", "backfill", name, "--from", "2026-01-01", "--to", "2026-01-03")
    assert (done.code, done.out.count("PENDING")) == (0, 2)
    assert done.out.endswith("2 recorded, to run one by one; 0 were there already\n")
    done = ask("tasks", "backfill", name, "--from", "2026-01-02T00:00:00Z", "--to", "2026-01-04")
    assert done.out.endswith("1 recorded, to run one by one; 1 were there already\n")
    done = ask("tasks", "backfill", name, "--from", "2026-01-03", "--to", "2026-01-02")
    assert (done.code, done.err) == (1, "end_time: must be later than start_time\n")
    done = ask("tasks", "backfill", name, "--from", "1970-01-01")
    assert (done.code, "at most 1000 at once" in done.err) == (1, True)
    ask("tasks", "disable", name)


def test_trigger(ask):
    """Every task whose schedule means the same runs, now."""
    ask("tasks", "register", "tick", "--schedule", "0 0 1 2 *", "--handler", "steps")
    ask("tasks", "register", "tock", "--schedule", "0 0 1 2 *", "--handler", "steps", "--zone", "Asia/Tokyo")
    ran = ask("trigger", "0  0 1 2 *", "--json").json
    assert [(each["taskName"], each["trigger"]) for each in ran] == [("tick", "CRON"), ("tock", "CRON")]
    assert "tock" in ask("trigger", "0 0 1 2 *").out
    assert ask("trigger", "0 0 * 3 *").out == "No enabled task has this schedule.\n"
    done = ask("trigger", "often")
    assert (done.code, done.err.startswith("cron: ")) == (1, True)


def test_watch_tells_what_happens(ask, server: Server, steps: str):
    """A line for each change, and for each word of a handler, until Ctrl-C."""
    with started(server, "executions", "watch", "--task", steps) as process:
        until_it_says(process.stderr, f"Watching {server.address}")
        ask("tasks", "register", "unwatched", "--schedule", "@manual", "--handler", "steps")
        ask("tasks", "run", "unwatched")
        execution = ask("tasks", "run", steps, "--json").json["execution"]["id"]
        lines = until_it_says(process.stdout, "SUCCEEDED")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=AT_MOST)
    assert (process.returncode, err) == (130, "interrupted\n")
    assert all(re.match(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\dZ  {execution}  ", line) for line in lines)
    assert [line.split()[3] for line in lines] == ["PENDING", "RUNNING", "50", "PENDING", "RUNNING", "50", "SUCCEEDED"]


def test_watch_in_json_is_an_object_a_line(ask, server: Server, steps: str):
    """Only the states asked for."""
    with started(server, "executions", "watch", "--json", "--state", "succeeded,running") as process:
        until_it_says(process.stderr, "Watching")
        ask("tasks", "run", steps, "--payload", '{"failures": 0}')
        events = [json.loads(line) for line in until_it_says(process.stdout, "SUCCEEDED")]
    assert [event["event"] for event in events] == ["transition", "progress", "transition"]
    assert [event.get("previousState") for event in events] == ["PENDING", None, "RUNNING"]
    assert (events[1]["fraction"], events[1]["text"], events[1]["taskName"]) == (0.5, "half of it", steps)
    assert events[2]["execution"]["result"] == {"success": True, "message": "printed"}


def test_watch_ends_with_its_server(tmp_path: Path):
    """Exit code 3, as where there is none."""
    with serving(tmp_path) as server, started(server, "executions", "watch", "--patience", "0") as process:
        until_it_says(process.stderr, "Watching")
        server.terminate()
        _, err = process.communicate(timeout=AT_MOST)
    assert (process.returncode, err) == (3, f"{server.address}: the server stopped\n")
