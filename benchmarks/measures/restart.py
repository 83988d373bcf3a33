"""A server that restarts with many tasks."""

import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial

from benchmarks.bursts import until_ended
from benchmarks.database import Database
from benchmarks.measure import Bench, Figures, Headline, Measure, Sides
from benchmarks.processes import Launched, cpu, launched, peer, serve_command
from schedule_grpc.domain.task import define

LAST_START = "SELECT max(start_time) FROM task_executions"


@contextmanager
def restart(bench: Bench) -> Iterator[Sides]:
    """A server is started on many tasks, of which some came due while none ran.

    In a full run 100,000, and 1,000 of them.
    "CPU s until serving" is what the process has used when its gRPC port takes the first connection; "all started s"
    goes from there to the start of the last overdue execution, as recorded. The peer is a bare grpc.aio server with the
    service's messages: what Python and gRPC take by themselves.
    """
    tasks, overdue = bench.sized("tasks and overdue", full=(100_000, 1_000), quick=(10_000, 100), tiny=(50, 5))
    kept = Database.file(bench.folder, "kept.db")
    kept.register_many(define(name="idle", schedule="30 4 * * *", handler="nothing"), tasks - overdue)
    came_due = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=60)
    due = define(name="due", schedule=came_due.isoformat(), handler="nothing")
    kept.register_many(due, overdue, came_due - timedelta(seconds=1))

    def restarted() -> Figures:
        database = Database.file(bench.folder)
        shutil.copy(kept.path, database.path)
        port = _free_port()
        began = time.monotonic()
        with launched(serve_command(bench.folder, grpc=f"127.0.0.1:{port}"), bench.folder) as started:
            _until_it_listens(started, port)
            used, serving, now = cpu(started.process.pid), time.monotonic() - began, datetime.now(UTC)
            until_ended(database, overdue, every=0.1)
            last = datetime.fromtimestamp(database.row(LAST_START)[0] / 1e6, UTC)
        all_started = (last - now).total_seconds()
        return {"CPU s until serving": used, "wall s until serving": serving, "all started s": all_started}

    yield {"server": restarted, "bare grpc": partial(_bare, bench)}


def _bare(bench: Bench) -> Figures:
    answers = bench.folder / "answers.json"
    answers.write_text("{}")
    began = time.monotonic()
    with peer("echo", str(answers), folder=bench.folder) as process:
        return {"CPU s until serving": process.cpu(), "wall s until serving": time.monotonic() - began}


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port: int = taken.getsockname()[1]
        return port


def _until_it_listens(started: Launched, port: int) -> None:
    while started.process.poll() is None:
        with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), 1)):
            return
        time.sleep(0.002)
    raise RuntimeError(f"the server did not start: {started.errors.read_text()[-2000:]}")


RESTART = Measure(
    name="restart",
    sides=restart,
    headlines=(
        Headline(says="CPU s until serving", figure="server: CPU s until serving", goal="<= 1.2"),
        Headline(
            says="times the CPU of a bare grpc.aio server",
            figure="server: CPU s until serving",
            over="bare grpc: CPU s until serving",
        ),
        Headline(says="s until all overdue have started", figure="server: all started s", goal="<= 0.5"),
    ),
)
