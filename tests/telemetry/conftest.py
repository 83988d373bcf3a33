"""A server and a worker that send what they do to a receiver, for all stories of a file."""

from collections.abc import AsyncIterator, Iterator

import pytest
from support.patience import calling
from support.rigs.traced_scene import Scene, traced_scene

from schedule_grpc.client import AsyncClient


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A traced server, its worker and their receiver."""
    with traced_scene(tmp_path_factory.mktemp("traced")) as made:
        yield made


@pytest.fixture
async def client(scene: Scene) -> AsyncIterator[AsyncClient]:
    """A client of the scene's server."""
    async with calling(scene.server.address) as made:
        yield made
