"""Who is told."""

import threading
from collections.abc import Iterator

import pytest
from support.servers.webhook import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook that listens."""
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
