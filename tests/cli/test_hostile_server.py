"""Every command on a terminal, at a server whose every text is hostile: nothing is moved, hidden or reordered.

Names, payloads' and metadata's keys, notes, errors, names of keys and of namespaces: whatever is a text in an answer.
"""

import os
import pty
import re
import subprocess
import threading
import tty
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, TextIO

import grpc
import pytest
import typer
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from support.servers.launched import COMMAND
from support.servers.scripted import RPCS, Scripted, answering

from schedule_grpc.cli.main import app
from schedule_grpc.errors import InvalidArgument, Violation
from schedule_grpc.pb import schedule_pb2 as pb

HOSTILE = "a\x1b[2Jb\x9b2Jc\u202ed\u200be\u2028f\x07g\x7fh\U000e0041i\x85j\rk\x1b]0;title\x07\nl\u2066m"
LOCAL = {
    *(("serve",), ("preview",), ("migrate",), ("proto",), ("contexts", "list"), ("audit", "verify")),
    *(("worker",), ("worker-check",)),
    *(("import", "crontab"), ("import", "apscheduler"), ("import", "celery-beat"), ("import", "k8s-cronjob")),
}
"""Commands that show nothing of a server's answers. (What a worker shows of a refusal is tried by itself.)"""
OURS = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[[12]?K|\x1b\[1A|\r(?=\x1b\[|\n|$)")
"""Colours, and the line that moves: what the commands themselves write to a terminal."""
TASK_FILE = '[[tasks]]\nname = "task"\nschedule = "@daily"\nhandler = "handler"\npayload = { a = 1 }\n'
SCHEDULE = ("--schedule", "@daily", "--handler", "handler")

COMMANDS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("doctor",): ("task",),
    ("handlers",): (),
    ("workers", "list"): (),
    ("upcoming",): (),
    ("why",): ("task",),
    ("init",): (),
    ("trigger",): ("* * * * *",),
    ("tasks", "apply"): ("--file", "tasks.toml", "--dry-run"),
    ("tasks", "run"): ("task",),
    ("tasks", "list"): (),
    ("tasks", "get"): ("task",),
    ("tasks", "register"): ("task", *SCHEDULE),
    ("tasks", "update"): ("task", "--description", "other"),
    ("tasks", "delete"): ("task",),
    ("tasks", "enable"): ("task",),
    ("tasks", "disable"): ("task",),
    ("tasks", "history"): ("task",),
    ("tasks", "backfill"): ("task", "--from", "2h"),
    ("executions", "list"): (),
    ("executions", "get"): ("exec_1",),
    ("executions", "logs"): ("exec_1",),
    ("executions", "cancel"): ("exec_1",),
    ("executions", "watch"): (),
    ("audit", "list"): (),
    ("keys", "create"): ("name", "--grant", "read@default"),
    ("keys", "list"): (),
    ("keys", "rotate"): ("name",),
    ("keys", "revoke"): ("name",),
    ("keys", "whoami"): (),
    ("namespaces", "create"): ("name",),
    ("namespaces", "update"): ("name", "--max-tasks", "1"),
    ("namespaces", "list"): (),
    ("namespaces", "delete"): ("name",),
}
"""Every other command, with what it needs."""
TEXTLESS = {("tasks", "apply"), ("tasks", "delete"), ("namespaces", "delete")}
"""Those of them that show no text of an answer."""


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A server that answers as the test says."""
    with answering() as scripted:
        yield scripted


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a file of tasks; the terminal has colours and a line that moves."""
    monkeypatch.chdir(tmp_path)
    # doctor sets up the log of its process, which here is that of all tests.
    monkeypatch.setattr("schedule_grpc.log.set_up.configure", lambda **_: None)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "tasks.toml").write_text(TASK_FILE)
    return tmp_path


def on_a_terminal(*arguments: str) -> str:
    """Return all that a command writes to its terminal, byte by byte as it wrote it."""

    def run(terminal: TextIO) -> None:
        with redirect_stdout(terminal), redirect_stderr(terminal), suppress(SystemExit):
            app(arguments, prog_name="schedule-grpc")

    return written_by(run)


def written_by(run: Callable[[TextIO], object]) -> str:
    """Return all that is written to a terminal, byte by byte."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    written: list[bytes] = []
    reading = threading.Thread(target=lambda: written.extend(_until_hung_up(master)))
    reading.start()
    with os.fdopen(slave, "w", encoding="utf-8") as terminal:
        run(terminal)
    reading.join()
    os.close(master)
    return b"".join(written).decode()


def _until_hung_up(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            yield os.read(terminal, 65536)
        except OSError:  # Linux's way to say that nobody has it open any more
            return


def unsafe(text: str) -> set[str]:
    """Return the characters of a text that a terminal obeys or hides, beside those that commands write themselves."""
    return {
        each for each in OURS.sub("", text) if each != "\n" and unicodedata.category(each) in ("Cc", "Cf", "Zl", "Zp")
    }


def filled(kind: type[Message], depth: int = 0) -> Message:
    """Return a message in which every text is hostile, in lists and maps, too; no page follows it."""
    if kind.DESCRIPTOR.full_name == "google.protobuf.Struct":
        struct: Any = kind()
        struct.update({HOSTILE: HOSTILE, "deep": {HOSTILE: [HOSTILE]}})
        return struct
    message: Any = kind()
    for field in kind.DESCRIPTOR.fields:
        if field.name == "next_page_token" or (
            field.containing_oneof is not None and field.containing_oneof.fields[0] != field
        ):
            continue
        if field.message_type is not None:
            if depth < 6 and not field.message_type.GetOptions().map_entry:
                value = filled(GetMessageClass(field.message_type), depth + 1)
                if field.is_repeated:
                    getattr(message, field.name).append(value)
                else:
                    getattr(message, field.name).CopyFrom(value)
            continue
        plain = _plain(field)
        if field.is_repeated:
            getattr(message, field.name).append(plain)
        else:
            setattr(message, field.name, plain)
    return message


def _plain(field: FieldDescriptor) -> Any:
    if field.name == "etag":
        return "1"  # a number, for our clients
    if field.enum_type is not None:
        return field.enum_type.values[-1].number
    return {FieldDescriptor.CPPTYPE_STRING: HOSTILE, FieldDescriptor.CPPTYPE_BOOL: True}.get(field.cpp_type, 1)


def watched(last: str = "") -> Callable[[grpc.ServicerContext], Any]:
    """Return the answer of a stream: one event of each kind, of which one may be the last, then its end by an error."""
    kind = GetMessageClass(RPCS["WatchExecutions"].output_type)
    fields = sorted(kind.DESCRIPTOR.oneofs[0].fields, key=lambda field: field.name == last)

    def answer(context: grpc.ServicerContext) -> Iterator[Message]:
        for chosen in fields:
            message: Any = kind()
            getattr(message, chosen.name).CopyFrom(filled(GetMessageClass(chosen.message_type)))
            yield message
        context.abort(grpc.StatusCode.PERMISSION_DENIED, HOSTILE)

    return answer


def test_every_command_is_tried():
    """One that is new has its row above, or shows nothing of a server's."""

    def paths(command: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        for name, each in getattr(command, "commands", {}).items():
            yield from paths(each, (*before, name))
        if not hasattr(command, "commands"):
            yield before

    assert set(paths(typer.main.get_command(app))) == COMMANDS.keys() | LOCAL


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["for people", "json"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_hostile_answers_are_harmless(server: Scripted, command: tuple[str, ...], form: tuple[str, ...]):
    """What is shown of them is their text, escaped."""
    for rpc, method in RPCS.items():
        server.answer(rpc, watched() if method.server_streaming else filled(GetMessageClass(method.output_type)))
    shown = on_a_terminal(*command, *COMMANDS[command], *form, "--server", server.address)
    assert server.seen
    assert re.search(r"\\(x|u00)1b\[2J", shown) or command in TEXTLESS
    assert unsafe(shown) == set()


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["for people", "json"])
def test_a_hostile_refusal_ends_a_worker_harmlessly(server: Scripted, form: tuple[str, ...]):
    """It is shown as the reason of the end. A process of its own: the log of a worker writes past `sys.stderr`."""
    server.answer("RegisterWorker", lambda context: context.abort(grpc.StatusCode.PERMISSION_DENIED, HOSTILE))
    command = [COMMAND, "worker", "schedule_grpc.conformance.handlers", *form, "--server", server.address]
    shown = written_by(lambda terminal: subprocess.run(command, stdout=terminal, stderr=terminal, check=False))
    assert server.seen
    assert re.search(r"\\(x|u00)1b\[2J", shown)
    assert unsafe(shown) == set()


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["for people", "json"])
@pytest.mark.parametrize("command", [("executions", "logs"), ("tasks", "run")], ids=" ".join)
def test_hostile_lines_that_are_followed_are_harmless(
    server: Scripted, command: tuple[str, ...], form: tuple[str, ...]
):
    """As they come, above the line that moves, too: the execution runs first, and then it ends."""
    for rpc, method in RPCS.items():
        if not method.server_streaming:
            server.answer(rpc, filled(GetMessageClass(method.output_type)))
    running, begun = (server.replies[rpc].popleft() for rpc in ("GetExecution", "RunTaskNow"))
    ended: Any = filled(GetMessageClass(RPCS["GetExecution"].output_type))
    running.state = begun.execution.state = pb.Execution.RUNNING  # type: ignore[union-attr]
    running.ClearField("log")  # type: ignore[union-attr]
    running.log.SetInParent()  # type: ignore[union-attr]
    server.answer("GetExecution", *([running] if command == ("executions", "logs") else []), ended)
    server.answer("RunTaskNow", begun)
    server.answer("WatchExecutions", watched(last="transition"))
    shown = on_a_terminal(*command, "exec_1", "--follow", *form, "--server", server.address)
    assert len(re.findall(r"\\(?:x|u00)1b\[2J", shown)) > 1
    assert unsafe(shown) == set()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_hostile_refusals_are_harmless(server: Scripted, command: tuple[str, ...]):
    """Messages, and the fields and reasons of violations."""
    violations = [Violation(field=field, reason=HOSTILE) for field in (HOSTILE, "name")]

    def abort(context: grpc.ServicerContext) -> Message:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, HOSTILE)
        raise AssertionError("abort raises")

    for refusal in (InvalidArgument(*violations), abort):
        for rpc in RPCS:
            server.replies[rpc].clear()
            server.answer(rpc, refusal)
        shown = on_a_terminal(*command, *COMMANDS[command], "--server", server.address)
        assert r"\x1b[2J" in shown
        assert unsafe(shown) == set()
