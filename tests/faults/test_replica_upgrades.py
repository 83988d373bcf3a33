"""Several servers that migrate: at the same instant, killed in its midst, and one version beside the next."""

import asyncio
import re
from pathlib import Path

import asyncpg
import pytest
from support.callers.load import Load, settled
from support.patience import calling, until
from support.servers.postgres import Postgres
from support.servers.process import run
from support.servers.replicas import replicas
from support.stories import checked, story
from support.witnesses.checker.reading import rows

from schedule_grpc.database import Migration
from schedule_grpc.database.postgres.migrate import migrate
from schedule_grpc.runtime.failpoints import STEPS, VARIABLE
from schedule_grpc.store.schema import MIGRATIONS, NEWEST

ADDED = Migration(
    version=NEWEST + 1,
    script=f"""-- Programs of version {NEWEST} can work with it.
ALTER TABLE scheduled_tasks ADD COLUMN team TEXT NOT NULL DEFAULT 'nobody';
ALTER TABLE task_executions ADD COLUMN cost BIGINT NOT NULL DEFAULT 0;
""",
)
APART = Migration(version=NEWEST + 2, script="ALTER TABLE scheduled_tasks ALTER COLUMN team DROP DEFAULT;\n")
"""What programs of this version cannot work with."""


def versions(url: str) -> list[int]:
    """Return the versions that a database's schema went through."""
    return [row["version"] for row in rows(url, "SELECT version FROM schedule_schema ORDER BY version")]


@story
async def test_started_at_the_same_instant(tmp_path: Path, postgres: Postgres):
    """On an empty database: one of them migrates, the others wait for it, and all of them serve."""
    with postgres.empty_database() as url:
        async with replicas(tmp_path, url) as servers:
            for server in await servers.start_many(3):
                async with calling(server.address) as client:
                    await client.register_task(name="task", schedule="@manual", handler="quick")
                    assert (await client.run_task_now("task")).success
            await servers.stop_all()
        assert versions(url) == list(range(1, NEWEST + 1))
        assert await checked(url, at_rest=True) == []


@story
async def test_killed_while_migrating(tmp_path: Path, postgres: Postgres):
    """At every step: what was begun is undone or done, and the next start goes on."""
    with postgres.empty_database() as url:
        async with replicas(tmp_path, url) as servers:
            for step in STEPS:
                with pytest.raises(AssertionError, match="exit -9"):
                    await servers.start(**{VARIABLE: f"migrate.{step}=kill"})
            await servers.start()
            await servers.stop_all()
        assert versions(url) == list(range(1, NEWEST + 1))
        assert await checked(url) == []


@story
async def test_a_newer_version_beside_this_one(tmp_path: Path, postgres: Postgres):
    """Columns are added under running servers, which go on; another of this version may start, until it may not."""
    with postgres.database() as url:
        async with replicas(tmp_path, url) as servers:
            first = await servers.start()
            async with calling(first.address) as client:
                for number in range(5):
                    await client.register_task(name=f"second-{number}", schedule="every 1 second", handler="quick")

                async def has_run() -> bool:
                    return len((await client.get_task_history("second-0")).executions) >= 2

                await until(has_run)
                newer = await asyncpg.connect(url)
                await migrate(newer, (*MIGRATIONS, ADDED))
                before = len((await client.get_task_history("second-0")).executions)

                async def goes_on() -> bool:
                    return len((await client.get_task_history("second-0")).executions) >= before + 3

                await until(goes_on)
                await client.run_task_now("second-0")
                second = await servers.start()
                await migrate(newer, (*MIGRATIONS, ADDED, APART))
                await newer.close()
                refused = await asyncio.to_thread(run, "serve", "--database", url, "--grpc", "127.0.0.1:0")
                assert refused.returncode == 1
                (line,) = refused.stderr.strip().splitlines()
                said = (
                    f"has schema version {NEWEST + 2}, of a newer schedule-grpc; this one knows versions up to {NEWEST}"
                )
                assert re.fullmatch(rf"(Error: )?cannot start: postgresql://\S+: {said}", line)
            found = await settled(second.address, url, Load().log, replicas=tmp_path)
            await servers.stop_all()
    assert found == []
