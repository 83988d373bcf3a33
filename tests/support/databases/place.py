"""For tests that run on both databases: ``place`` is a SQLite file in one run of a test, a PostgreSQL one in the next.

SCHEDULE_TEST_POSTGRES=postgresql://... names another server than the one that the tests start.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.servers.postgres import database_elsewhere

if TYPE_CHECKING:
    from support.servers.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, database: Path) -> Iterator[Path | str]:
    """The file or the URL of a test's database."""
    if request.param == "sqlite":
        yield database
        return
    elsewhere = os.environ.get("SCHEDULE_TEST_POSTGRES")
    if elsewhere:
        with database_elsewhere(elsewhere) as url:
            yield url
        return
    server: Postgres = request.getfixturevalue("postgres")
    with server.lent_database() as url:
        yield url
