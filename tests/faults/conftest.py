"""How long the fault tests are: short in the suite, long with FAULTS=long (`make soak`)."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from inspect import signature
from pathlib import Path

import pytest
import pytest_asyncio
from support.servers import launched, process
from support.stories import Begun, Story, story_of

FOLDER = Path(__file__).parent
LONGEST = tuple(
    FOLDER / f"test_{each}.py"
    for each in (
        "rollouts",
        "replica_leases",
        "worker_servers",
        "worker_leases",
        "replica_databases",
        "worker_losses",
        "replica_processes",
        "replica_upgrades",
    )
)
"""Stories that come before the others, in this order: waiting for a lease's end takes longest."""
AT_ONCE = 6
"""Stories told at a time: they wait a lot, and each has a server that works now and then."""
PATIENCE = 1800
"""Seconds after which pytest ends a test here, which may be the first to wait for stories that are all in one queue."""

pytest.register_assert_rewrite("support.servers.replicas")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let stories come first, for they stand still while another test waits, and the longest before the others.

    What waits for a lease's end takes longest, and leaves the machine to the rest. All have time enough: what they
    claim of time they measure.
    """
    here = [place for place, item in enumerate(items) if item.path.is_relative_to(FOLDER)]
    for place, item in zip(here, sorted((items[place] for place in here), key=_comes_later), strict=True):
        items[place] = item
        item.add_marker(pytest.mark.timeout(PATIENCE))


def _comes_later(item: pytest.Item) -> tuple[bool, int]:
    place = LONGEST.index(item.path) if item.path in LONGEST else len(LONGEST)
    return story_of(item) is None, place


@pytest.fixture(scope="package", autouse=True)
def no_server_stays() -> Iterator[None]:
    """Whatever becomes of tests, their servers end with them.

    Coverage is not measured in them: it makes a server twice as slow, and these are judged by the real clock.
    """
    launched.measured = False
    yield
    launched.measured = True
    process.end_all()


@pytest.fixture(scope="session")
def long() -> bool:
    """Whether there is time."""
    return os.environ.get("FAULTS") == "long"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stories(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Begun]:
    """Those that are to be tested, begun one after the other, `AT_ONCE` at a time."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def played(told: Story, named: dict[str, object]) -> None:
        async with turn:
            await told(tmp_path_factory.mktemp(told.__name__), **named)

    # As many as wait for servers at once: stories must not wait for each other.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(64))
    chosen = [
        told for item in request.session.items if not item.get_closest_marker("skip") and (told := story_of(item))
    ]
    if "PYTEST_XDIST_WORKER" in os.environ:  # two workers would tell every story twice: the second one fails here
        (tmp_path_factory.getbasetemp().parent / "stories").mkdir()
    begun = {}
    for told in chosen:
        named = {name: request.getfixturevalue(name) for name in list(signature(told).parameters)[1:]}
        begun[told] = asyncio.create_task(played(told, named))
    yield begun
    for task in begun.values():
        task.cancel()
    await asyncio.gather(*begun.values(), return_exceptions=True)
