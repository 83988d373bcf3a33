"""How long the fault tests are: short in the suite, long with FAULTS=long (`make soak`)."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

import process
import pytest
import pytest_asyncio
from stories import Begun, story_of


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the stories of a module come first: they stand still while another test waits."""
    places = {item.path: place for place, item in reversed(list(enumerate(items)))}
    items.sort(key=lambda item: (places[item.path], story_of(item) is None))


@pytest.fixture(scope="module", autouse=True)
def servers() -> Iterator[None]:
    """Whatever becomes of a module's tests, their servers end with it."""
    yield
    process.end_all()


@pytest.fixture
def long() -> bool:
    """Whether there is time."""
    return os.environ.get("FAULTS") == "long"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stories(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Begun]:
    """Those of the module that are to be tested, begun."""
    chosen = [told for item in request.session.items if item.path == request.path and (told := story_of(item))]
    begun = {told: asyncio.create_task(told(tmp_path_factory.mktemp(told.__name__))) for told in chosen}
    yield begun
    for task in begun.values():
        task.cancel()
    await asyncio.gather(*begun.values(), return_exceptions=True)
