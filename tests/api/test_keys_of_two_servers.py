"""Two servers of one database: what one of them is told about keys, the other one knows within a second."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.patience import calling, until
from support.servers.postgres import Postgres

from schedule_grpc import app, errors
from schedule_grpc.runtime.clock import SystemClock
from schedule_grpc.settings.config import Settings


@asynccontextmanager
async def two_servers(url: str, folder: Path) -> AsyncIterator[tuple[app.Parts, app.Parts, str]]:
    """Run two servers, the first of which made the first key; yield them with the file of that."""
    first_key = folder / "first.key"

    def running(number: int) -> Any:
        auth = {"bootstrap_key_file": first_key} if number == 0 else {}
        settings = Settings(database=url, grpc=["127.0.0.1:0", f"unix:{folder}/{number}.sock"], http="off", auth=auth)
        return app.running(settings, clock=SystemClock())

    async with running(0) as one, running(1) as other:
        yield one, other, str(first_key)


async def is_known(address: str, token: str) -> bool:
    """Return whether a server accepts a key."""
    async with calling(address, token=token) as client:
        try:
            await client.who_am_i()
        except errors.Unauthenticated:
            return False
    return True


async def is_closed(address: str) -> bool:
    """Return whether a server requires proof."""
    return not await is_known(address, "no-key")


@pytest.mark.parametrize("told", [True, False])
async def test_a_stream_ends_on_the_other_server_too(
    postgres: Postgres, postgres_database: str, tmp_path: Path, told: bool
):
    """Within two seconds after the revocation, also where no notification arrives."""
    async with two_servers(postgres.url(postgres_database), tmp_path) as (one, other, first_key):
        if not told:
            other.hub.relay = lambda _: None  # type: ignore[method-assign]  # what a cut connection does
        async with calling(one.address, token_file=first_key) as operator:
            text = (await operator.create_key("leaked", ["observe@default"])).text
            await until(lambda: is_known(other.address, text))
            async with calling(other.address, token=text) as leaked, leaked.watch_executions() as watch:
                loop = asyncio.get_running_loop()
                began = loop.time()
                await operator.revoke_key("leaked")
                with pytest.raises(errors.Unauthenticated):
                    await anext(watch)
                assert loop.time() - began < 2
                with pytest.raises(errors.Unauthenticated):
                    await leaked.list_tasks()


async def test_a_server_that_was_open_is_closed_by_a_key_of_another_one(
    postgres: Postgres, postgres_database: str, tmp_path: Path
):
    """It asks nobody until then, and requires proof from then on."""
    url = postgres.url(postgres_database)
    settings = Settings(database=url, grpc="127.0.0.1:0", http="off")
    async with app.running(settings, clock=SystemClock()) as one, calling(one.address) as anybody:
        assert (await anybody.who_am_i()).name == "anonymous"
        async with two_servers(url, tmp_path) as (_, _, first_key):
            await until(lambda: is_closed(one.address))
            async with calling(one.address, token_file=first_key) as operator:
                assert (await operator.who_am_i()).name == "key:bootstrap"


async def test_two_servers_that_start_at_once_make_one_first_key(
    postgres: Postgres, postgres_database: str, tmp_path: Path
):
    """The other one has nothing to write, leaves no file, and answers nobody without a key from its first call on."""
    url = postgres.url(postgres_database)
    files = [tmp_path / f"{number}.key" for number in range(4)]

    async def run(file: Path) -> None:
        settings = Settings(database=url, grpc="127.0.0.1:0", http="off", auth={"bootstrap_key_file": file})
        async with app.running(settings, clock=SystemClock()) as parts:
            closed.append(await is_closed(parts.address))
            await barrier.wait()

    closed: list[bool] = []
    barrier = asyncio.Barrier(len(files))
    async with app.running(Settings(database=url, grpc="127.0.0.1:0", http="off"), clock=SystemClock()):
        await asyncio.gather(*map(run, files))
    assert closed == [True] * len(files)
    written = [file for file in files if file.exists()]
    assert len(written) == 1
    assert written[0].read_text().startswith("sgk_")
