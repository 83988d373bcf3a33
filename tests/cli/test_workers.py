"""`workers list`, `handlers`, and what `doctor` says of both."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from support.servers.scripted import Scripted, answering

from schedule_grpc.cli.commands.doctor.check import Verdict
from schedule_grpc.cli.commands.doctor.offer_checks import offers_asked
from schedule_grpc.cli.connection import Caller
from schedule_grpc.domain.offers import WorkerInfo
from schedule_grpc.domain.task import Handler
from schedule_grpc.errors import PermissionDenied
from schedule_grpc.formats import protobuf
from schedule_grpc.pb import schedule_pb2 as pb
from schedule_grpc.runtime.clock import SystemClock

MINUTE = timedelta(minutes=1)


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A server that answers as the test says."""
    with answering() as scripted:
        yield scripted


def now() -> datetime:
    """Return the time of this machine."""
    return SystemClock().now()


def worker(name: str, *, seen: timedelta = timedelta(0), **changes: Any) -> WorkerInfo:
    """Return a worker that was seen so long ago."""
    told: dict[str, Any] = {
        "id": "1f2e3d4c5b6a",
        "version": "invoices 3",
        "handlers": ("send",),
        "slots": 8,
        "running": 3,
        "start_time": now() - 10 * MINUTE,
        "seen_time": now() - seen,
        "namespace": "default",
    }
    return WorkerInfo(name=name, **(told | changes))


def test_workers_are_listed_on_lines_of_80_characters(ask, server: Scripted):
    """Those that live, then those that ended; of many handlers the first ones."""
    gone = worker("host-6", end_time=now() - MINUTE)
    many = worker("host-7-4711", handlers=("import", "report", "send", "sort"), draining=True)
    server.answer("ListWorkers", protobuf.workers_to([gone, many]))
    done = ask("workers", "list", "--handler", "send")
    assert [seen.request.handler for seen in server.seen] == ["send"]
    header, first, second = done.out.splitlines()
    assert header.split() == ["ID", "NAME", "VERSION", "SLOTS", "SEEN", "HANDLERS"]
    assert re.fullmatch(
        r"1f2e3d4c5b6a  host-7-4711  invoices 3  3/8    stopping +import, report, send and 1 more", first
    )
    assert re.fullmatch(r"1f2e3d4c5b6a  host-6       invoices 3  3/8    ended 1\.\d\dm ago +send", second)
    assert first.index("import") < 80
    told = ask("workers", "list", "--json").json
    assert [each["name"] for each in told] == ["host-6", "host-7-4711"]
    assert told[1]["handlers"] == ["import", "report", "send", "sort"]


def test_no_workers_is_a_sentence(ask, server: Scripted):
    """For people; for programs it is an empty list."""
    server.answer("ListWorkers", protobuf.workers_to([]))
    assert ask("workers", "list").out == "No workers.\n"
    assert ask("workers", "list", "--json").json == []


def test_handlers_are_listed_with_their_workers(ask, server: Scripted):
    """How many, and the versions of their programs."""
    found = [
        Handler(name="own", concurrency=2, description="Here"),
        Handler(name="send", worker_count=3, worker_versions=("2", "3"), description="There"),
    ]
    server.answer("ListHandlers", pb.ListHandlersResponse(handlers=map(protobuf.handler_to, found)))
    assert ask("handlers").out.splitlines() == [
        "HANDLER  OFFERED  AT ONCE  WORKERS   DESCRIPTION",
        "own      yes      2                  Here",
        "send     yes               3 (2, 3)  There",
    ]
    assert [each["workerVersions"] for each in ask("handlers", "--json").json] == [[], ["2", "3"]]


async def asked(server: Scripted) -> list[tuple[Verdict, str, str]]:
    """Return what the checks of offers find."""
    checks = await offers_asked(Caller(server=server.address), deadline=10)
    return [(check.verdict, check.subject, check.finding) for check in checks]


def answers(
    server: Scripted,
    *,
    tasks: Sequence[pb.Task] = (),
    handlers: Sequence[Handler] = (),
    workers: Sequence[WorkerInfo] = (),
) -> None:
    """Say what the server has."""
    server.answer("ListTasks", pb.ListTasksResponse(tasks=tasks))
    server.answer("ListHandlers", pb.ListHandlersResponse(handlers=map(protobuf.handler_to, handlers)))
    server.answer("ListWorkers", protobuf.workers_to(workers))


def task(name: str, *, no_worker: bool = False) -> pb.Task:
    """Return a task."""
    return pb.Task(name=name, schedule="@daily", time_zone="UTC", handler="send", etag="1", no_worker=no_worker)


async def test_all_is_well_where_every_handler_is_offered(server: Scripted):
    """By servers alone, or by workers that were seen lately; only tasks that fire are asked for."""
    answers(server, tasks=[task("a"), task("b")])
    assert await asked(server) == [
        (Verdict.OK, "offers", "the handlers of all 2 enabled tasks are offered"),
        (Verdict.OK, "workers", "there is none: servers run all handlers that are offered"),
    ]
    assert server.seen[0].request.enabled
    server.replies.clear()
    ended = worker("old", end_time=now(), seen=10 * MINUTE)
    answers(server, handlers=[Handler(name="send", worker_versions=("1",))], workers=[worker("new"), ended])
    assert (Verdict.OK, "workers", "1, with 3 of 8 slots in use") in await asked(server)


async def test_what_is_not_well_is_told(server: Scripted):
    """Tasks that wait, handlers of several versions, workers that are silent."""
    answers(
        server,
        tasks=[task("served"), *(task(f"lacking-{number}", no_worker=True) for number in range(7))],
        handlers=[Handler(name="send", worker_versions=("1", "2"))],
        workers=[worker("well"), worker("silent", seen=2 * MINUTE)],
    )
    lacking, versions, silent = await asked(server)
    named = ", ".join(f"lacking-{number} (send)" for number in range(5))
    assert lacking[:2] == (Verdict.FAIL, "offers")
    assert lacking[2].startswith(f"no server and no worker offers the handler of {named} and 2 more: executions wait")
    assert versions == (Verdict.WARN, "workers", "send is offered by programs of several versions: 1, 2")
    assert silent[:2] == (Verdict.WARN, "workers")
    assert re.fullmatch(r"not seen lately: silent \(invoices 3\), 2\.\d\dm ago", silent[2])


async def test_a_caller_that_may_not_ask_is_told(server: Scripted):
    """The other checks go on."""
    server.answer("ListTasks", PermissionDenied("observe", "default"))
    ((verdict, subject, _),) = await asked(server)
    assert (verdict, subject) == (Verdict.WARN, "workers")
