"""Fixtures that several suites share."""

# Before gRPC is loaded, as the server does: what it does at a fork crashes children now and then, initdb's among them.
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx2
import pytest
import structlog
import support.machine.fork_support  # noqa: F401
from support.machine import memory_folder
from support.machine.wall_clock import quiet
from support.patience import AT_MOST
from support.rigs.rig import GATES, Gates, Rig, new_rig
from support.servers import keyed_run, launched, process
from support.servers import postgres as postgres_server
from support.servers.live import Live, serving
from support.witnesses.checker import check
from xdist.scheduler import LoadScopeScheduling

NUMBERS = count(1)
FAULTS = Path(__file__).parent / "faults"
gives_way = False

# Hundreds of processes are started: compiled once, each is there in half the time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
process.let_children_hear()
memory_folder.use()
launched.usual = launched.environment()

# As the service itself: structlog's own default has rich draw every traceback, which takes longer than most tests.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


class FaultsTogether(LoadScopeScheduling):
    """One worker has the fault tests, which mostly wait; the others do the rest meanwhile.

    Stories are told together, by one worker. xdist's own groups are not heeded by pytest 9.2, of which nobody is told.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "faults" if nodeid.startswith("tests/faults/") else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FaultsTogether:
    """Say which worker gets which tests; they are begun in the order in which they were put here."""
    config.option.loadscopereorder = False
    return FaultsTogether(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the suite with keys."""
    parser.addoption("--keyed", action="store_true", help="servers ask every caller for a key")


def pytest_configure(config: pytest.Config) -> None:
    """Tell of the marks that select tests."""
    if config.getoption("--keyed"):
        keyed_run.begin()
    config.addinivalue_line("markers", f"keyless: {keyed_run.KEYLESS}; skipped with --keyed")
    config.addinivalue_line("markers", "postgresql: needs a PostgreSQL server")
    config.addinivalue_line("markers", "slow: takes seconds of processor time")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes long first, and mark what needs PostgreSQL: before pytest selects by marks.

    The fault tests, then files with slow tests, then the others by size: at the end all workers are busy with files
    that take a second. Coverage is not measured in slow tests, which it makes twice as slow: they go again and again
    where quick ones have been.
    """
    size = Counter(item.path for item in items)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (not item.path.is_relative_to(FAULTS), item.path not in slow, -size[item.path]))
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker("no_cover")
        if keyed_run.is_on and item.get_closest_marker("keyless"):
            item.add_marker(pytest.mark.skip(reason=keyed_run.KEYLESS))
        if isinstance(item, pytest.Function) and needs_postgresql(item):
            item.add_marker("postgresql")


def needs_postgresql(item: pytest.Function) -> bool:
    """Tell whether a test asks for PostgreSQL, by a fixture or as the database of this run."""
    chosen = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return "postgres" in item.fixturenames or "postgresql" in chosen


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Give way to the fault tests, whose servers are judged by the real clock: they come first, so this is for good."""
    global gives_way  # noqa: PLW0603
    if not gives_way and not item.path.is_relative_to(FAULTS):
        os.nice(5)
        gives_way = True


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where a test's database goes."""
    return tmp_path / "schedule.db"


@pytest.fixture
def place(database: Path) -> Path | str:
    """The file or the URL of a test's database. Folders whose tests run on both databases have their own fixture."""
    return database


@pytest.fixture
async def rig(place: Path | str) -> AsyncIterator[Rig]:
    """A whole service on a FakeClock; afterwards the checker looks for broken promises."""
    async with new_rig(place) as built:
        yield built
    assert check(place) == []


@pytest.fixture
async def deaf(place: Path | str) -> AsyncIterator[Rig]:
    """The same, whose engine receives no events: each tick reads the database, and nothing stops at once."""
    async with new_rig(place, hears=False) as built:
        yield built
    assert check(place) == []


@pytest.fixture
def gate() -> Iterator[Callable[[str], Gates]]:
    """Make gates by name, at which the handler ``fate`` waits."""

    def make(name: str) -> Gates:
        return GATES.setdefault(name, Gates())

    yield make
    GATES.clear()


@pytest.fixture
async def live(database: Path, tmp_path: Path) -> AsyncIterator[Live]:
    """A whole server with its engine running; afterwards the checker looks at its database."""
    async with serving(database, bindings={"DB": f"sqlite:///{tmp_path}/platform.db"}) as answering:
        yield answering
    assert check(database) == []


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgres_server.Postgres]:
    """A PostgreSQL server of our own."""
    with postgres_server.serving() as server:
        yield server


@pytest.fixture
def postgres_database(postgres: postgres_server.Postgres) -> Iterator[str]:
    """The name of a PostgreSQL database of a test's own."""
    with postgres.empty_database() as url:
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture
async def other(postgres: postgres_server.Postgres, postgres_database: str) -> AsyncIterator[Any]:
    """Another program's connection to that database."""
    connection = await asyncpg.connect(postgres.url(postgres_database))
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
def http_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server process that speaks HTTP; its tasks are those of many tests."""
    folder = tmp_path_factory.mktemp("http")
    (folder / "schedule.toml").write_text(
        '[http]\nallowed_hosts = ["schedule.example"]\nallowed_origins = ["https://ops.example"]\n'
    )
    with process.serving(folder, "--http", "127.0.0.1:0", "--init", **quiet()) as server:
        assert server.http_address is not None
        yield server.http_address


@pytest.fixture
def web(http_address: str) -> Iterator[httpx2.Client]:
    """A caller of that server."""
    with httpx2.Client(base_url=f"http://{http_address}", timeout=AT_MOST, trust_env=False) as client:
        yield client


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A task's name that no other test has."""
    return re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:80] + f"-{next(NUMBERS)}"
