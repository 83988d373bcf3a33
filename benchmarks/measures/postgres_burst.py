"""Tasks due at one instant on PostgreSQL, with one server and with two."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

from benchmarks.bursts import once, run_burst
from benchmarks.database import ENDED
from benchmarks.measure import Bench, Figures, Headline, Measure, Sides
from benchmarks.peers.plain_postgres import drain
from benchmarks.postgres import Postgres, postgres

FILLS_WITHIN = 2.0
"""Seconds."""


@contextmanager
def postgres_burst(bench: Bench) -> Iterator[Sides]:
    """Tasks due at one instant on PostgreSQL, with one server and with two, until all are recorded.

    As the measure `burst`; "database's CPU µs each" is that of all of PostgreSQL's processes, fsync on, on the same
    machine: with two cores the servers and the database share them, so two servers can only be quicker where cores are
    free. Beside them the statements alone over asyncpg, in sets of 500, one commit each, on the same schema: the limit
    of what PostgreSQL must do.
    """
    count = bench.sized("tasks", full=10_000, quick=500, tiny=20)

    with postgres() as database_server:

        def servers(number: int) -> Figures:
            return run_burst(
                database_server.database,
                count,
                bench.folder,
                fill=once(count),
                servers=number,
                database_cpu=database_server.cpu,
            )

        yield {
            "1 server": partial(servers, 1),
            "2 servers": partial(servers, 2),
            "plain": partial(_plain, database_server, count),
        }


def _plain(database_server: Postgres, count: int) -> Figures:
    database = database_server.database()
    due = datetime.now(UTC) + timedelta(seconds=FILLS_WITHIN)
    once(count)(database, due)
    before = database_server.cpu()
    figures = asyncio.run(drain(database.url, due))
    assert database.row(ENDED)[0] == count
    return figures | {"database's CPU µs each": (database_server.cpu() - before) / count * 1e6}


POSTGRES_BURST = Measure(
    name="postgres-burst",
    sides=postgres_burst,
    headlines=(
        Headline(says="1 server, PostgreSQL's CPU µs each", figure="1 server: database's CPU µs each", goal="<= 280"),
        Headline(says="2 servers, PostgreSQL's CPU µs each", figure="2 servers: database's CPU µs each", goal="<= 280"),
        Headline(
            says="1 server, times PostgreSQL's CPU of the plain statements",
            figure="1 server: database's CPU µs each",
            over="plain: database's CPU µs each",
        ),
        Headline(
            says="1 server's time by 2 servers'", figure="1 server: wall s", over="2 servers: wall s", goal=">= 1.4"
        ),
        Headline(says="2 servers' CPU by 1 server's", figure="2 servers: CPU µs each", over="1 server: CPU µs each"),
    ),
)
