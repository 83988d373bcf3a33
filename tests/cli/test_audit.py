"""``schedule-grpc audit``: what it lists, and what it finds in a log that somebody changed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.servers.live import Live, serving
from support.servers.postgres import Postgres
from support.witnesses.audited import tampered

from schedule_grpc.domain.access.audit import Author, Entry
from schedule_grpc.domain.access.caller import Caller
from schedule_grpc.events import Hub
from schedule_grpc.runtime.clock import SystemClock
from schedule_grpc.settings.auth import AuthOptions
from schedule_grpc.store import open_store


@pytest.fixture
async def permissive(database: Path) -> AsyncIterator[Live]:
    """A server with two rows in its log."""
    async with serving(database, auth=AuthOptions(mode="permissive")) as live:
        await live.client.register_task(name="nightly", schedule="@manual", handler="steps", payload={"a": "s3cret"})
        await live.client.disable_task("nightly", note="s3cret")
        yield live


async def test_rows_are_a_table_or_json(permissive: Live, tell):
    """Newest first, with filters; a value is in neither."""

    async def ask(*arguments: str):
        return await asyncio.to_thread(tell, "audit", "list", *arguments, "--server", permissive.parts.address)

    await ask()  # the first call without a key is a line of the log

    shown = await ask()
    assert shown.code == 0
    columns = ["TIME", "WHO", "FROM", "METHOD", "OUTCOME", "NAMESPACE", "WHAT", "DETAILS"]
    printed = [line for line in shown.out.splitlines() if not line.startswith("[")]  # the server's log comes out here
    head, *lines = printed
    assert head.split() == columns
    assert ["DisableTask" in lines[0], "RegisterTask" in lines[1]] == [True, True]
    assert "enabled, note" in lines[0]
    found = (await ask("--json", "--since", "2020-01-01")).json
    assert [row["method"] for row in found] == ["DisableTask", "RegisterTask"]
    assert {row["resource"] for row in found} == {"nightly"}
    assert "s3cret" not in shown.out + str(found)
    assert (await ask("--json", "--until", "2020-01-01")).json == []
    assert len((await ask("--json", "--method", "DisableTask", "--principal", "anonymous")).json) == 1
    assert (await ask("--json", "--namespace", "default", "--limit", "1")).json == found[:1]
    assert (await ask("--json", "--principal", "key:nobody")).json == []


async def test_a_whole_log_and_a_broken_one(permissive: Live, database: Path, tell):
    """Beside the server, which need not be asked; exit code 1 where something is wrong."""
    url = f"sqlite:///{database}"
    whole = await asyncio.to_thread(tell, "audit", "verify", "--database", url)
    assert (whole.code, whole.err) == (0, "")
    assert whole.out.startswith("server: whole: rows 1 to 2, hash ")
    await tampered(database, "UPDATE audit_events SET principal = 'key:other' WHERE seq = 2")
    broken = await asyncio.to_thread(tell, "audit", "verify", "--database", url)
    assert broken.code == 1
    assert broken.out.startswith("server: BROKEN: row 2 was changed; whole are rows 1 to 1, hash ")
    (report,) = (await asyncio.to_thread(tell, "audit", "verify", "--database", url, "--json")).json
    assert (report["replica"], report["first"], report["wholeTo"]) == ("server", 1, 1)
    assert report["trouble"] == "row 2 was changed"


async def test_on_postgresql(postgres: Postgres, tell):
    """The same, a chain for each machine."""
    with postgres.database() as url:
        empty = await asyncio.to_thread(tell, "audit", "verify", "--database", url)
        assert (empty.code, empty.out) == (0, "The audit log is empty\n")
        for replica in ("a", "b"):
            store = await open_store(url, Hub(), replica=replica)
            author = Author(caller=Caller(name="key:ci", grants=()), method="GetTask", time=SystemClock().now())
            await store.record_calls([Entry(author=author)])
            await store.close()
        await tampered(url, "DELETE FROM audit_events WHERE replica = 'b'")
        found = await asyncio.to_thread(tell, "audit", "verify", "--database", url)
    assert found.code == 1
    assert [line.partition(", hash")[0] for line in found.out.splitlines()] == [
        "a: whole: rows 1 to 1",
        "b: BROKEN: row 1 is missing at the end; whole are no rows",
    ]


def test_what_is_no_database_is_refused(tmp_path: Path, tell):
    """With the reason, and nothing is created."""
    done = tell("audit", "verify", "--database", f"sqlite:///{tmp_path}/none.db")
    assert done.code == 1
    assert "has no audit log: it is empty" in done.err
    assert list(tmp_path.iterdir()) == []
