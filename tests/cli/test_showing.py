"""What is shown while something happens, and what the shell completes."""

import asyncio
import os
import pty
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support.patience import AT_MOST
from support.rigs.rig import at
from support.servers import keyed_run
from support.servers.launched import COMMAND, environment
from support.servers.process import Server

from schedule_grpc import app
from schedule_grpc.bindings import Environment
from schedule_grpc.cli.commands.doctor import checks
from schedule_grpc.cli.commands.doctor.checks import Check, Verdict
from schedule_grpc.cli.connection import Caller
from schedule_grpc.cli.progress import event_in_words, state_in_words
from schedule_grpc.cli.tables import print_execution, print_executions, print_task, print_tasks
from schedule_grpc.domain import examination
from schedule_grpc.domain.execution import CoveredRange, Execution, Reason, State, Trigger
from schedule_grpc.domain.task import Task, TaskStats, define
from schedule_grpc.events import Lost, Progress, Transition
from schedule_grpc.formats.json_answers import event_json
from schedule_grpc.runtime.clock import SystemClock
from schedule_grpc.settings.config import Settings

NOON = at("2026-01-31T12:00:00")
"""When everything here happens."""


def execution(**changes: Any) -> Execution:
    """Return an execution, but for the changes."""
    told: dict[str, Any] = {
        "id": "exec_a_1_x",
        "task_uid": "u",
        "task_name": "a",
        "handler": "h",
        "trigger": Trigger.SCHEDULE,
        "state": State.PENDING,
        "create_time": NOON,
        "available_time": NOON,
        "revision": 1,
    }
    return Execution(**told | changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "PENDING"),
        ({"state": State.RUNNING, "attempt": 2}, "RUNNING  attempt 2"),
        ({"state": State.RUNNING, "attempt": 1, "cancel_requested_time": NOON}, "RUNNING  attempt 1, asked to stop"),
        ({"state": State.SKIPPED, "reason": Reason.OVERLAP, "end_time": NOON}, "SKIPPED: OVERLAP"),
        (
            {"state": State.CANCELLED, "start_time": NOON, "end_time": NOON + timedelta(seconds=2), "error": "a\nb"},
            "CANCELLED after 2.00s: a …",
        ),
    ],
)
def test_a_state_is_told_on_one_line(changes: dict[str, Any], words: str):
    """With what led there."""
    assert state_in_words(execution(**changes)) == words


def test_lost_events_and_progress_are_told():
    """A reader who was too slow is told how much; progress is a percentage and a text."""
    assert event_in_words(Lost(count=7)) == "(7 events were lost: this reader was too slow)"
    assert event_in_words(Lost(count=0)) == "(the server was not heard for a while: events may be missing here)"
    progress = Progress(execution_id="e", task_name="t", fraction=0.256, text="", time=NOON)
    assert event_in_words(progress) == "2026-01-31 12:00:00Z  e  26 %"
    assert event_json(Lost(count=7)) == {"event": "lost", "count": 7}
    assert event_json(progress)["fraction"] == 0.256
    told = event_json(Transition(previous_state=None, execution=execution(), time=NOON))
    assert (told["event"], told["execution"]["state"], "previousState" in told) == ("transition", "PENDING", False)


def test_what_an_execution_covers_is_shown(capsys: pytest.CaptureFixture[str]):
    """As a count and a range."""
    covers = CoveredRange(from_time=NOON - timedelta(days=2), to_time=NOON, count=10_000, exact=False)
    print_execution(execution(covers=covers, cancel_requested_time=NOON))
    shown = capsys.readouterr().out
    assert "covers     at least 10000 earlier, 2026-01-29 12:00:00Z to 2026-01-31 12:00:00Z\n" in shown
    assert "cancelled  asked for at 2026-01-31 12:00:00Z\n" in shown


def test_a_namespace_is_shown_where_it_is_not_the_default(capsys: pytest.CaptureFixture[str]):
    """As a column if any row has another one; as a line of one task or execution, with the principals."""
    tasks = [
        Task(
            definition=define(name="a", namespace=namespace, schedule="@daily", handler="h"),
            uid="u",
            revision=1,
            enabled=True,
            create_time=NOON,
            update_time=NOON,
            settled_time=NOON,
            changed_by="key:reports-ci",
        )
        for namespace in ("default", "reports")
    ]
    executions = [execution(), execution(namespace="reports", triggered_by="schedule")]
    for show_all, rows in ((print_tasks, tasks), (print_executions, executions)):
        show_all(rows[:1])
        assert "NAMESPACE" not in capsys.readouterr().out
        show_all(rows)
        lines = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
        assert lines == ["NAMESPACE", "default", "reports"]
    for show, row in ((print_task, tasks), (print_execution, executions)):
        show(row[0])
        assert "namespace" not in capsys.readouterr().out
        show(row[1])
        shown = capsys.readouterr().out
        assert re.search(r"^namespace +reports$", shown, re.MULTILINE)
        assert re.search(r"^(changed by +key:reports-ci|triggered by +schedule)$", shown, re.MULTILINE)


def test_a_table_is_cut_only_at_its_end(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Ids stay whole on any terminal, and everything does where nobody looks at a terminal."""
    failed = execution(state=State.FAILED, attempt=1, end_time=NOON, error=f"[red]{'w' * 100}[/red]")
    print_executions([failed])
    assert failed.error in capsys.readouterr().out
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    print_executions([failed])
    shown = capsys.readouterr().out
    assert failed.id in shown
    assert re.search(r"\[red\]w{14,30}…\n", shown)


def test_on_a_terminal_one_line_moves(ask, server: Server):
    """On standard error; what attempts died of stays above it; standard output is JSON all the same."""
    options = ("--schedule", "@manual", "--handler", "by-steps", "--initial-backoff", "0s")
    ask("tasks", "register", "shown", *options, "--payload", '{"failures": 1}')
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, "tasks", "run", "shown", "--json", "--server", server.address],
        env=environment(TERM="xterm", COLUMNS="120", **keyed_run.variables(server.address)),
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    moved = b"".join(until_hung_up(terminal)).decode()
    os.close(terminal)
    out, _ = process.communicate(timeout=AT_MOST)
    assert process.returncode == 0
    assert '"state": "SUCCEEDED"' in out
    assert "PENDING  attempt 1 failed (ERROR)" in moved
    assert "[red]away[/red]\\x1b[31m" in moved
    assert "shown: half of it" in moved
    assert "50%" in moved
    assert "shown: SUCCEEDED" in moved


def until_hung_up(terminal: int) -> Iterator[bytes]:
    """Give what is written to a terminal until nobody has it open any more."""
    while True:
        try:
            read = os.read(terminal, 4096)
        except OSError:  # Linux's way to say so
            return
        if not read:
            return
        yield read


def completed(server: str, line: str, **variables: str) -> list[str]:
    """Return what the shell is told to complete a line with."""
    words = line.split(" ")
    told = {"_SCHEDULE_GRPC_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [COMMAND],
        env=environment(**keyed_run.variables(*words, server)) | told | {"SCHEDULE_SERVER": server} | variables,
        capture_output=True,
        text=True,
        timeout=AT_MOST,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_names_are_completed_from_the_server(server: Server):
    """Of tasks and handlers; states and zones need none."""
    tasks = ["cleanup-expired-api-keys", "cleanup-expired-sessions"]
    assert completed(server.address, "schedule-grpc tasks get cleanup-e") == tasks
    assert completed(server.address, "schedule-grpc doctor cleanup-e") == tasks
    assert completed("127.0.0.1:1", f"schedule-grpc tasks run --server {server.address} cleanup-e") == tasks
    assert completed(server.address, "schedule-grpc tasks register x --handler by") == ["by-steps"]
    assert completed(server.address, "schedule-grpc executions list --state s") == ["succeeded", "skipped"]
    assert "Europe/Berlin" in completed(server.address, "schedule-grpc preview @daily --zone Europe/B")


def test_where_there_is_no_server_nothing_is_completed():
    """And nothing is said: a shell would put it into the line."""
    assert completed("127.0.0.1:1", "schedule-grpc tasks get c") == []
    assert completed("127.0.0.1:1", "schedule-grpc tasks get c", SCHEDULE_TLS_CA="/nowhere") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_installed(tell, monkeypatch, shell: str):
    """By the variable, which does not depend on the shell that is found above us; --install-completion looks there."""
    monkeypatch.setenv("_SCHEDULE_GRPC_COMPLETE", f"source_{shell}")
    done = tell()
    assert (done.code, "_SCHEDULE_GRPC_COMPLETE=complete_" in done.out) == (0, True)


# -- what a doctor sees that no healthy server shows


def task(**changes: Any) -> Task:
    """Return a task that is due at noon, but for the changes."""
    told: dict[str, Any] = {
        "definition": define(name="a", schedule="@daily", handler="h"),
        "uid": "u",
        "revision": 1,
        "enabled": True,
        "create_time": NOON,
        "update_time": NOON,
        "settled_time": NOON,
        "next_run_time": NOON,
    }
    return Task(**told | changes)


@pytest.mark.parametrize(
    ("late", "changes", "verdict", "words"),
    [
        (59, {}, Verdict.OK, "next 2026-01-31 12:00:00Z, 2026-02-01 00:00:00Z"),
        (61, {}, Verdict.FAIL, "is overdue since 2026-01-31 12:00:00Z"),
        (61, {"enabled": False, "next_run_time": None}, Verdict.OK, "UTC)"),
        (0, {"next_run_time": None}, Verdict.WARN, "will not fire any more by itself"),
    ],
)
def test_a_task_that_is_overdue_is_red(late: int, changes: dict[str, Any], verdict: Verdict, words: str):
    """By more than a minute; one that will not fire again may surprise."""
    check = examination._schedule(task(**changes), NOON + timedelta(seconds=late))
    assert check.verdict is verdict
    assert words in check.finding


def test_failures_whose_execution_is_gone_are_told():
    """The count outlives the history."""
    counted = TaskStats(consecutive_failures=3)
    check = examination._failures(task(stats=counted), [])
    assert (check.verdict, check.finding) == (Verdict.FAIL, "3 in a row")
    recovered = TaskStats(last_success_time=NOON)
    check = examination._failures(task(stats=recovered), [execution(state=State.FAILED)])
    assert (check.verdict, check.finding) == (Verdict.OK, "none since 2026-01-31 12:00:00Z")


@contextmanager
def never_answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within this context the doctor's patience is short, and a binding never answers."""

    class Silent:
        async def ping(self) -> None:
            await asyncio.Event().wait()

        async def aclose(self) -> None:
            return

    module = ModuleType("silent_binding")
    module.opened = lambda _name, _options: Silent()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "silent_binding", module)
    monkeypatch.setattr(checks, "PATIENCE", 0.01)
    yield


async def test_a_binding_that_does_not_answer_is_red(monkeypatch: pytest.MonkeyPatch):
    """After the doctor's patience is over."""
    with never_answering(monkeypatch):
        check = await checks._binding(Environment({"X": "silent_binding:opened"}), "X")
    assert check == Check(Verdict.FAIL, "binding X", "no answer in 0.01 s", check.advice)


async def test_a_server_that_does_not_serve_is_red(tmp_path: Path):
    """It answers, and says that it is not well."""
    async with serving_nothing(tmp_path) as parts:
        check = await checks._server(Caller(server=parts.address))
    assert (check.verdict, check.finding) == (Verdict.FAIL, f"{parts.address}: NOT_SERVING")


@asynccontextmanager
async def serving_nothing(folder: Path) -> AsyncIterator[app.Parts]:
    """Within this context a server runs whose health is red."""
    settings = Settings(database=f"sqlite:///{folder}/schedule.db", grpc="127.0.0.1:0", http="off", bindings={})
    async with app.running(settings, clock=SystemClock()) as parts:
        await parts.server.set_serving(serving=False)
        yield parts
