"""Both clients behind one way to ask, and the server that answers them as a test says."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pytest
from support.servers.scripted import Scripted, answering

from schedule_grpc.client import AsyncClient, AsyncWatch, Client, Watch


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """A server on a free port of this machine."""
    with answering() as server:
        yield server


@dataclass
class Asker:
    """Makes clients of one kind and asks them, so that one test speaks of both."""

    kind: type[Client] | type[AsyncClient]
    made: list[Client | AsyncClient] = field(default_factory=list)

    def __call__(self, *arguments: Any, **settings: Any) -> Client | AsyncClient:
        """Return a client that is closed after the test."""
        client = self.kind(*arguments, **settings)
        self.made.append(client)
        return client

    async def ask(self, client: Client | AsyncClient, rpc: str, *arguments: Any, **named: Any) -> Any:
        """Return what a client's method answers; the blocking one's in a thread, iterators as lists."""
        method = getattr(client, rpc)
        if isinstance(client, AsyncClient):
            answer = method(*arguments, **named)
            return [each async for each in answer] if isinstance(answer, AsyncIterator) else await answer

        def wait() -> Any:
            answer = method(*arguments, **named)
            return list(answer) if isinstance(answer, Iterator) else answer

        return await asyncio.to_thread(wait)

    async def watch(self, client: Client | AsyncClient, *arguments: Any, **named: Any) -> Watch | AsyncWatch:
        """Return a watch that has begun; its user closes it, or the client's end does."""
        if isinstance(client, Client):
            return await asyncio.to_thread(client.watch_executions, *arguments, **named)
        async with AsyncExitStack() as begun:
            watch = await begun.enter_async_context(client.watch_executions(*arguments, **named))
            begun.pop_all()
        return watch

    async def events(self, watch: Watch | AsyncWatch, count: int | None = None) -> list[Any]:
        """Return so many events of a watch, or all to its end."""
        if isinstance(watch, Watch):
            return await asyncio.to_thread(lambda: list(islice(watch, count)))
        return [event async for event in watch] if count is None else [await anext(watch) for _ in range(count)]

    async def close(self, what: Client | AsyncClient | Watch | AsyncWatch) -> None:
        """Close a client or a watch."""
        if isinstance(what, AsyncClient | AsyncWatch):
            await what.close()
        else:
            what.close()


@pytest.fixture(params=[Client, AsyncClient], ids=["blocking", "async"])
async def asker(request: pytest.FixtureRequest) -> AsyncIterator[Asker]:
    """Each test runs once for each kind of client."""
    made = Asker(request.param)
    yield made
    for client in made.made:
        await made.close(client)
