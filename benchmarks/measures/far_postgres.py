"""A PostgreSQL that is 20 milliseconds away."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import grpc

from benchmarks.database import Database
from benchmarks.load import SERVICE
from benchmarks.measure import Bench, Figures, Headline, Measure, Sides
from benchmarks.peers.plain_postgres import round_trips
from benchmarks.postgres import Postgres, postgres
from benchmarks.processes import Process, peer, server
from schedule_grpc.domain.task import define
from schedule_grpc.pb import schedule_pb2 as pb

SETTLES = 5.0
"""Seconds."""
EACH_SECOND = 20
"""Tasks that are due each second meanwhile."""
ONE_WAY = "0.010"
"""Seconds."""
COVERED = "SELECT COALESCE(sum(covers_count), 0) FROM task_executions"


@contextmanager
def far_postgres(bench: Bench) -> Iterator[Sides]:
    """A PostgreSQL behind 20 ms of network: RunTaskNow until the end, and tasks that are due each second.

    A proxy between server and database, a process of its own, holds back each packet for 10 ms in each direction.
    "p50 ms" is the median of calls one after the other, on a server that does nothing else. Beside it the median of one
    statement over asyncpg through the same proxy: the ratio says how many round trips a call takes. "covered" counts
    the occurrences of twenty tasks of every second, on a server of their own, that did not run by themselves because
    the server was late; none is the limit.
    """
    calls = bench.sized("calls", full=60, quick=10, tiny=2)
    seconds = bench.sized("seconds of tasks of every second", full=20, quick=5, tiny=1)
    with postgres() as database_server, slow(database_server, bench.folder) as network:
        asked, each = database_server.database(), database_server.database()
        asked.register([define(name="asked", schedule="@manual", handler="nothing")])
        each.register_many(define(name="each", schedule="every 1 second", handler="nothing"), EACH_SECOND)

        def served() -> Figures:
            with server(bench.folder, database=through(network, asked)) as process:
                took = _took(process.address, calls)
            return {"p50 ms": took[calls // 2] * 1e3, "max ms": took[-1] * 1e3}

        def fired() -> Figures:
            with server(bench.folder, database=through(network, each)):
                time.sleep(SETTLES)  # what came due before the server was there is covered, and rightly
                before = _covered(each)
                time.sleep(seconds)
                return {"covered": _covered(each) - before}

        yield {
            "server": served,
            "round trip": lambda: round_trips(through(network, asked), calls),
            "each second": fired,
        }


def slow(database_server: Postgres, folder: Path) -> AbstractContextManager[Process]:
    """Return a context within which there is a network before a PostgreSQL."""
    return peer("slow_network", str(database_server.socket), ONE_WAY, folder=folder)


def through(network: Process, database: Database) -> str:
    """Return a database's URL as it is reached through a network."""
    return f"postgresql://postgres@{network.address}{urlsplit(database.url).path}?sslmode=disable"


def _took(address: str, calls: int) -> list[float]:
    request, took = pb.RunTaskNowRequest(name="asked").SerializeToString(), []
    with grpc.insecure_channel(address) as channel:
        run = channel.unary_unary(f"{SERVICE}RunTaskNow")
        for _ in range(calls):
            began = time.perf_counter()
            answer = pb.RunTaskNowResponse.FromString(run(request))
            took.append(time.perf_counter() - began)
            assert answer.success, answer
    return sorted(took)


def _covered(database: Database) -> float:
    return float(database.row(COVERED)[0])


FAR_POSTGRES = Measure(
    name="far-postgres",
    sides=far_postgres,
    headlines=(
        Headline(says="RunTaskNow, p50 ms", figure="server: p50 ms", goal="<= 150"),
        Headline(says="RunTaskNow, round trips", figure="server: p50 ms", over="round trip: p50 ms"),
        Headline(says="occurrences covered for lateness", figure="each second: covered", goal="0"),
    ),
    quick=False,
)
