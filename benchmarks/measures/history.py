"""Pages of a long history."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import grpc
from google.protobuf.message import Message

from benchmarks.database import Database
from benchmarks.load import SERVICE
from benchmarks.measure import Bench, Figures, Headline, Measure, Sides
from benchmarks.processes import Process, server
from schedule_grpc.domain.task import define
from schedule_grpc.pb import schedule_pb2 as pb

MOST_TASKS, FEWEST_EACH = 1_000, 100
"""Few enough executions a task that retention (10,000 each) leaves all of them, and enough that every page is full."""
FAILED_EVERY = 97
"""One of so many executions FAILED: no divisor of the number of tasks, so it is each task's turn."""
PAGE = 50
REQUESTS: dict[str, tuple[str, Message]] = {
    "task's history": ("GetTaskHistory", pb.GetTaskHistoryRequest(name="busy-7", page_size=PAGE)),
    "all": ("ListExecutions", pb.ListExecutionsRequest(page_size=PAGE)),
    "all by state": ("ListExecutions", pb.ListExecutionsRequest(page_size=PAGE, states=[pb.Execution.FAILED])),
    "all by a state of none": (
        "ListExecutions",
        pb.ListExecutionsRequest(page_size=PAGE, states=[pb.Execution.CANCELLED]),
    ),
}


@contextmanager
def history(bench: Bench) -> Iterator[Sides]:
    """Pages of 50 of a long history, beside the same pages of a short one.

    In a full run the long one has 5,000,000 executions, the short one 10,000.
    The newest page of one task, of all tasks, of all that FAILED (one in 97), of all that are CANCELLED (none):
    the median of calls one after the other, "p50 ms", each to a real server on a file of its own. The peer is the
    service itself with a short history: a page must not cost more with a long one. The rows are copies of one that the
    server recorded, spread over up to 1,000 tasks.
    """
    long = bench.sized("long", full=5_000_000, quick=50_000, tiny=2_000)
    short = bench.sized("short", full=10_000, quick=5_000, tiny=1_000)
    calls = bench.sized("calls", full=100, quick=20, tiny=3)
    with ExitStack() as stack:
        servers = {}
        for name, count in (("long", long), ("short", short)):
            folder = bench.folder / name
            folder.mkdir()
            fill(folder, count)
            servers[name] = stack.enter_context(server(folder))
        yield {name: partial(_pages, process, calls) for name, process in servers.items()}


def fill(folder: Path, count: int) -> None:
    """Make a database with that many ended executions, all before now, a millisecond apart."""
    database, tasks = Database.file(folder), min(count // FEWEST_EACH, MOST_TASKS)
    database.register_many(define(name="busy", schedule="@manual", handler="nothing"), tasks)
    with server(folder) as process, grpc.insecure_channel(process.address) as channel:
        request = pb.RunTaskNowRequest(name="busy").SerializeToString()
        answer = channel.unary_unary(f"{SERVICE}RunTaskNow")(request)
    recorded = pb.RunTaskNowResponse.FromString(answer).execution.id
    began = int((datetime.now(UTC).timestamp() - 86_400) * 1e6)
    instant = f"{began} + n * {86_400_000_000 // count}"
    name = f"CASE n % {tasks} WHEN 0 THEN 'busy' ELSE 'busy-' || (n % {tasks}) END"
    with database.without_indexes("task_executions"):
        database.copy(
            "task_executions",
            "id",
            recorded,
            count,
            id="'exec_copy_' || n",
            task_name=name,
            task_uid=f"(SELECT uid FROM scheduled_tasks WHERE name = {name} AND delete_time IS NULL)",
            state=f"CASE n % {FAILED_EVERY} WHEN 7 THEN 'FAILED' ELSE 'SUCCEEDED' END",
            failure_kind=f"CASE n % {FAILED_EVERY} WHEN 7 THEN 'ERROR' END",
            request_id="NULL",
            **dict.fromkeys(("create_time", "available_time", "start_time", "attempt_start_time", "end_time"), instant),
        )


def _pages(process: Process, calls: int) -> Figures:
    with grpc.insecure_channel(process.address) as channel:
        return {
            f"{name}, p50 ms": _median(channel.unary_unary(SERVICE + call), request.SerializeToString(), calls)
            for name, (call, request) in REQUESTS.items()
        }


def _median(call: Callable[[bytes], bytes], request: bytes, calls: int) -> float:
    took = []
    for _ in range(calls):
        began = time.perf_counter()
        call(request)
        took.append(time.perf_counter() - began)
    return sorted(took)[calls // 2] * 1e3


HISTORY = Measure(
    name="history",
    sides=history,
    headlines=tuple(
        Headline(
            says=f"{name}: times the time with a short history",
            figure=f"long: {name}, p50 ms",
            over=f"short: {name}, p50 ms",
            goal="<= 1.5",
        )
        for name in REQUESTS
    ),
)
