"""Following an execution whose events are late, missing or repeated: each line is shown once, and none is left out."""

import re
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from support.rigs.rig import START
from support.servers.scripted import Scripted, answering

from schedule_grpc.cli import following
from schedule_grpc.cli.following import NewLines
from schedule_grpc.domain.execution.log_lines import MAX_LINES, LogLine
from schedule_grpc.errors import ExecutionNotFound
from schedule_grpc.formats import protobuf
from schedule_grpc.pb import schedule_pb2 as pb

WHEN = protobuf.instant_to(START)


def line(number: int) -> LogLine:
    """Return a line."""
    return LogLine(number, START, "info", f"line {number}")


def new(lines: NewLines, attempt: int, *numbers: int) -> list[int]:
    """Return the numbers of those lines of an attempt that are new."""
    return [found.sequence for _, found in lines.among((attempt, line(number)) for number in numbers)]


def test_a_line_is_new_once():
    """By its attempt and number, in whatever order it comes; one that was left out may come later."""
    lines = NewLines()
    assert new(lines, 1, 1, 2, 3) == [1, 2, 3]
    assert new(lines, 1, 2, 3, 4) == [4]
    assert new(lines, 2, 1) == [1]
    assert new(lines, 1, 7) == [7]
    assert new(lines, 1, 5, 4, 7, 6, 5) == [5, 6]


def test_a_gap_is_seen():
    """In an attempt that began, and in one of which nothing has come."""
    lines = NewLines()
    assert not lines.lacks_some_before(1, 1)
    assert lines.lacks_some_before(1, 2)
    new(lines, 1, 1)
    assert not lines.lacks_some_before(1, 2)
    assert not lines.lacks_some_before(1, 1)
    assert lines.lacks_some_before(1, 3)


def test_what_is_remembered_is_bounded():
    """By the lines of an attempt that are kept: older ones cannot come."""
    lines = NewLines()
    assert new(lines, 1, 2**40 + 1) == [2**40 + 1]
    assert new(lines, 1, 2**40 + 1 - MAX_LINES, 2**40 - MAX_LINES) == [2**40 + 1 - MAX_LINES]
    assert new(lines, 1, 10**15) == [10**15]
    assert new(lines, 1, 2**40) == []


# -- against a server that streams and answers as a test says


class Story:
    """What a server sends to its watcher, and what it answers when it is asked for the execution."""

    def __init__(self, server: Scripted) -> None:
        self.server = server
        self.read = threading.Event()

    def answers(self, *executions: pb.Execution) -> None:
        """Answer so, one after the other."""
        self.server.answer("GetExecution", *executions)

    def streams(self, *messages: pb.WatchExecutionsResponse) -> None:
        """Send these, and hold the stream open."""

        def stream(context: Any) -> Iterator[pb.WatchExecutionsResponse]:
            context.send_initial_metadata(())
            yield from messages
            context.add_callback(self.read.set)
            self.read.wait(60)

        self.server.answer("WatchExecutions", stream)


@pytest.fixture
def story() -> Iterator[Story]:
    """A server without a script."""
    with answering() as server:
        yield Story(server)


def execution(state: str, *numbers: int, attempt: int = 1) -> pb.Execution:
    """Return an execution with a log."""
    made = pb.Execution(id="exec_1", task_name="task", state=state, trigger="MANUAL", create_time=WHEN, attempt=attempt)
    made.log.CopyFrom(pb.Execution.Log(lines=[told(number) for number in numbers]))
    return made


def told(number: int) -> pb.Execution.LogLine:
    """Return a line's message."""
    return pb.Execution.LogLine(attempt=1, sequence=number, log_time=WHEN, level="info", text=f"line {number}")


def logged(*numbers: int, of: str = "exec_1") -> pb.WatchExecutionsResponse:
    """Return the event of lines."""
    lines = [told(number) for number in numbers]
    return pb.WatchExecutionsResponse(log=pb.WatchExecutionsResponse.Log(execution_id=of, lines=lines))


def changed(state: str) -> pb.WatchExecutionsResponse:
    """Return the event of a change."""
    transition = pb.WatchExecutionsResponse.Transition(execution=execution(state), event_time=WHEN)
    return pb.WatchExecutionsResponse(transition=transition)


def numbers_in(text: str) -> list[int]:
    """Return the numbers of the lines that were shown."""
    return [int(each.rpartition(" ")[2]) for each in text.splitlines()]


def test_a_gap_between_events_is_read(story: Story, tell):
    """Lines that another server heard come as no event: they are read before those that follow them."""
    story.answers(execution("RUNNING", 1), execution("RUNNING", 1, 2, 3, 4), execution("SUCCEEDED", 1, 2, 3, 4, 5, 6))
    story.streams(logged(2), logged(9, of="exec_other"), logged(4, 5), changed("SUCCEEDED"))
    done = tell("executions", "logs", "exec_1", "--follow", "--server", story.server.address)
    assert (done.code, numbers_in(done.out)) == (0, [1, 2, 3, 4, 5, 6])


def test_lines_that_an_event_brings_late_are_shown_late(story: Story, tell):
    """Rather than never, and not twice."""
    story.answers(execution("RUNNING"), execution("RUNNING", 2), execution("FAILED", 2))
    story.streams(logged(2), logged(1), logged(1, 2), changed("FAILED"))
    done = tell("executions", "logs", "exec_1", "--follow", "--server", story.server.address)
    assert (done.code, numbers_in(done.out)) == (1, [2, 1])


def test_lost_events_are_read(story: Story, tell):
    """Its lines, and its end: no event of that comes."""
    story.answers(execution("RUNNING", 1), execution("CANCELLED", 1, 2))
    story.streams(pb.WatchExecutionsResponse(lost=pb.WatchExecutionsResponse.Lost(count=2)))
    done = tell("executions", "logs", "exec_1", "--follow", "--server", story.server.address)
    assert (done.code, numbers_in(done.out)) == (1, [1, 2])
    assert done.err == "exec_1  RUNNING  attempt 1\nexec_1  CANCELLED\n"


def test_a_silent_stream_is_not_trusted(story: Story, tell, monkeypatch: pytest.MonkeyPatch):
    """The execution is read every few seconds; a server that is away for that moment ends nothing."""
    monkeypatch.setattr(following, "READ_EVERY", 0.01)
    story.server.answer("GetExecution", execution("RUNNING", 1), grpc.StatusCode.UNAVAILABLE)
    story.answers(*[grpc.StatusCode.UNAVAILABLE] * 4, execution("RUNNING", 1, 2), execution("SUCCEEDED", 1, 2, 3))
    story.streams(logged(9, of="exec_other"))
    done = tell("executions", "logs", "exec_1", "--follow", "--server", story.server.address)
    assert (done.code, numbers_in(done.out)) == (0, [1, 2, 3])


def test_an_execution_that_retention_removes_ends_its_log(story: Story, tell, monkeypatch: pytest.MonkeyPatch):
    """With the error that it is not there."""
    monkeypatch.setattr(following, "READ_EVERY", 0.01)
    story.server.answer("GetExecution", execution("RUNNING", 1), ExecutionNotFound("exec_1"))
    story.streams()
    done = tell("executions", "logs", "exec_1", "--follow", "--server", story.server.address)
    assert (done.code, done.err.splitlines()[-1]) == (1, "Execution not found: exec_1")


def test_the_worker_of_an_execution_is_shown(story: Story, tell):
    """That of the newest attempt, and those of attempts that failed."""
    found = execution("RUNNING")
    found.worker = "host-7 (invoices 3)"
    lost = pb.Execution.FailedAttempt(
        number=1, start_time=WHEN, duration=Duration(seconds=2), failure_kind="LEASE_LOST", error="", worker="host-6"
    )
    found.failed_attempts.append(lost)
    story.answers(found)
    shown = tell("executions", "get", "exec_1", "--server", story.server.address).out.splitlines()
    facts = {label.strip(): fact for label, fact in (re.split("  +", each, maxsplit=1) for each in shown)}
    assert facts["worker"] == "host-7 (invoices 3)"
    assert facts["attempt 1"].split("  ")[1].startswith("by host-6, LEASE_LOST after 2")


def test_a_log_that_is_withheld_is_no_empty_log(story: Story, tell):
    """The caller's key has the scope observe alone: it reads why, and the exit code says that it has not seen a log."""
    withheld = execution("SUCCEEDED")
    withheld.ClearField("log")
    story.answers(withheld)
    story.streams()
    for follow in ((), ("--follow",)):
        done = tell("executions", "logs", "exec_1", *follow, "--server", story.server.address)
        assert (done.code, done.out) == (1, "")
        why = "for log lines, and a server that keeps them"
        assert done.err == f"Permission denied: read@default/task is needed ({why})\n"
