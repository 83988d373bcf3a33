"""The cleanups on a real file: what is junk, what is old, what is huge, and what is interrupted."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from support.rigs.rig import START, at

from schedule_grpc import builtin
from schedule_grpc.bindings import Environment
from schedule_grpc.domain.registration import registered
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.handlers import PermanentFailure, Registry, TaskContext, perform
from schedule_grpc.testing import FakeClock

NOW = at("2026-01-31T10:00:00.500")
SESSIONS = "cleanup-expired-sessions"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the platform's file is."""
    return tmp_path / "platform.db"


@pytest.fixture
async def env(file: Path):
    """An environment with the platform's file, its tables made."""
    made = Environment({"DB": f"sqlite:///{file}"})
    await made.DB.ping()
    yield made
    await made.aclose()


def context(env: Environment, name: str, payload: dict[str, Any]) -> TaskContext:
    """Return what a built-in handler gets."""
    (definition,) = [each for each in builtin.default_definitions() if each.name == name]
    return TaskContext(
        task=registered(None, definition, enabled=None, now=START).after,
        execution_id="exec_1",
        attempt=1,
        scheduled_time=None,
        deadline=START + timedelta(seconds=29),
        payload=payload,
        env=env,
        clock=FakeClock(NOW),
        log=structlog.get_logger(),
    )


def offered(name: str):
    """Return a built-in handler's offer."""
    registry = Registry()
    registry.add_module(builtin)
    return registry.get(name)


async def clean(env: Environment, name: str, **payload: Any) -> dict[str, Any]:
    """Run a built-in cleanup."""
    found: dict[str, Any] = await offered(name).function(context(env, name, payload))
    return found


async def fill(env: Environment, table: str, rows: dict[str, Any]) -> None:
    """Insert a row per id and time."""
    middle = "'completed'" if table == "generations" else "'x'"
    async with env.DB.transaction() as transaction:
        for key, time in rows.items():
            await transaction.execute(f"INSERT INTO {table} VALUES (:id, {middle}, :time)", id=key, time=time)


async def left(env: Environment, table: str) -> list[str]:
    """Return the ids that are left."""
    return [row["id"] for row in await env.DB.fetch(f"SELECT id FROM {table} ORDER BY id")]


JUNK = {
    "empty": "",
    "word": "never",
    "now": "now",
    "zero": "0",
    "digit": "10",
    "julian day": "2460000.5",
    "julian number": 2460000,
    "time of day": "12:34",
    "epoch text": "1500000000",
    "epoch": 1500000000,
    "zero date": "0000-00-00 00:00:00",
    "month 13": "2020-13-01 00:00:00",
    "compact": "20200101T000000Z",
    "german": "01.01.2020 00:00:00",
    "blank": " 2020-01-01 00:00:00",
    "tail": "2020-01-01 00:00:00 or so",
    "blob": b"2020",
}


@pytest.mark.parametrize(
    ("name", "table"),
    [(SESSIONS, "sessions"), ("cleanup-expired-api-keys", "api_keys"), ("cleanup-old-generations", "generations")],
)
async def test_what_is_no_date_is_never_deleted(env: Environment, name: str, table: str):
    """SQLite reads '0', '12:34' and plain numbers as instants long past; the cleanups read dates only."""
    await fill(env, table, JUNK)
    assert (await clean(env, name))["deletedCount"] == 0
    assert await left(env, table) == sorted(JUNK)


@pytest.mark.parametrize(
    ("time", "deleted"),
    [
        ("2026-01-31 10:00:00", 1),
        ("2026-01-31T10:00:00.000Z", 1),
        ("2026-01-31 10:00:00.499", 1),
        ("2026-01-31T10:00:00.499Z", 1),
        ("2026-01-31T10:00:00.500Z", 0),
        ("2026-01-31 10:00:00.500", 0),
        ("2026-01-31T10:00:00.5009Z", 0),
        ("2026-01-31T10:00:00.501Z", 0),
        ("2026-01-31 10:00:01", 0),
        ("2026-01-31T12:00:00+02:00", 1),
        ("2026-01-31T12:00:01+02:00", 0),
        ("2026-01-31T05:00:00-05:00", 1),
        ("2026-01-31", 1),
        ("2026-02-01", 0),
    ],
)
async def test_an_instant_is_the_same_in_every_form(env: Environment, time: str, deleted: int):
    """At 10:00:00.500: what lies before goes, what is now or later stays, to the millisecond."""
    await fill(env, "sessions", {"a": time})
    assert (await clean(env, SESSIONS))["deletedCount"] == deleted


@pytest.mark.parametrize(
    ("time", "status", "deleted"),
    [
        ("2026-01-01T10:00:00.499Z", "completed", 1),
        ("2026-01-01T10:00:00.500Z", "completed", 0),
        ("2026-01-01 10:00:00", "completed", 1),
        ("2025-01-01 10:00:00", "failed", 0),
        ("2025-01-01 10:00:00", "COMPLETED", 0),
    ],
)
async def test_generations_are_old_after_thirty_days_to_the_millisecond(
    env: Environment, time: str, status: str, deleted: int
):
    """Only completed ones."""
    await env.DB.execute("INSERT INTO generations VALUES ('a', :status, :time)", status=status, time=time)
    result = await clean(env, "cleanup-old-generations")
    assert result == {
        "success": True,
        "deletedCount": deleted,
        "duration": 0,
        "message": f"Deleted {deleted} old generations",
    }


@pytest.mark.parametrize("size", [1, 7, 1000, 100_000])
async def test_every_batch_size_deletes_the_same(env: Environment, size: int):
    """Expired and living rows in turn: no batch stops the walk, none is left out."""
    await fill(env, "sessions", {f"{number:03}": "2020-01-01" if number % 3 else "2030-01-01" for number in range(100)})
    assert (await clean(env, SESSIONS, batch_size=size))["deletedCount"] == 66
    assert await left(env, "sessions") == [f"{number:03}" for number in range(0, 100, 3)]


async def test_ten_thousand_rows_go_in_batches_that_readers_see(env: Environment, file: Path):
    """The default batch of 1,000: another connection reads between, and finds a whole number of batches."""
    with closing(sqlite3.connect(file, isolation_level=None, timeout=10)) as other:
        other.execute("BEGIN")
        rows = ((f"{number:05}", "2020-01-01T00:00:00.000Z") for number in range(10_000))
        other.executemany("INSERT INTO sessions VALUES (?, 'u', ?)", rows)
        other.execute("COMMIT")
        seen = [10_000]
        cleaning = asyncio.create_task(clean(env, SESSIONS))
        while not cleaning.done():
            await asyncio.sleep(0)
            (found,) = other.execute("SELECT count(*) FROM sessions").fetchone()
            if found != seen[-1]:
                seen.append(found)
        assert (await cleaning)["message"] == "Deleted 10000 expired sessions"
    assert {found % 1000 for found in seen} == {0}
    assert len(set(seen)) > 2
    assert seen == sorted(seen, reverse=True)


async def test_a_session_that_is_renewed_during_the_cleanup_stays(env: Environment, monkeypatch: pytest.MonkeyPatch):
    """What was found expired is looked at again in the statement that deletes it."""
    await fill(env, "sessions", {"a": "2020-01-01", "b": "2020-01-01"})
    fetch = env.DB.fetch

    class Renewing:
        async def dialect(self) -> str:
            return "sqlite"

        async def fetch(self, sql: str, **parameters: Any) -> Any:
            rows = await fetch(sql, **parameters)
            await env.DB.execute("UPDATE sessions SET expires_at = '2030-01-01' WHERE id = 'a'")
            return rows

        async def execute(self, sql: str, **parameters: Any) -> Any:
            return await env.DB.execute(sql, **parameters)

    class Env:
        DB = Renewing()

    assert (await clean(Env(), SESSIONS))["deletedCount"] == 1  # type: ignore[arg-type]
    assert await left(env, "sessions") == ["a"]


async def test_a_timeout_in_the_middle_keeps_what_was_done(env: Environment):
    """The attempt fails by TIMEOUT, the batches before it are deleted, and the next attempt does the rest."""
    await fill(env, "sessions", {f"{number:03}": "2020-01-01" for number in range(200)})
    given = context(env, SESSIONS, {"batch_size": 1})
    stop = asyncio.get_running_loop().create_future()
    attempt = asyncio.create_task(perform(offered(SESSIONS), given, timeout=timedelta(seconds=29), stop=stop))
    while len(await left(env, "sessions")) > 190:
        pass
    assert isinstance(given.clock, FakeClock)
    await given.clock.advance(29)
    assert (await attempt).kind is FailureKind.TIMEOUT
    await env.DB.execute("DELETE FROM sessions WHERE id IS NULL")  # queues behind the batch that was under way
    remaining = len(await left(env, "sessions"))
    assert 0 < remaining <= 190
    assert (await clean(env, SESSIONS))["deletedCount"] == remaining


async def test_a_missing_table_is_a_failure_that_names_binding_and_table(env: Environment):
    """Recorded as the attempt's error; nothing is swallowed."""
    await env.DB.execute("DROP TABLE generations")
    stop = asyncio.get_running_loop().create_future()
    name = "cleanup-old-generations"
    fate = await perform(offered(name), context(env, name, {}), timeout=timedelta(seconds=29), stop=stop)
    assert (fate.kind, fate.error) == (FailureKind.ERROR, "BindingError: DB: no such table: generations")


async def test_without_the_binding_the_failure_says_what_is_configured():
    """An operator reads in the history what to configure."""
    stop = asyncio.get_running_loop().create_future()
    fate = await perform(
        offered(SESSIONS), context(Environment({}), SESSIONS, {}), timeout=timedelta(seconds=29), stop=stop
    )
    assert fate.error == "ConfigurationError: no binding is named DB (bindings: none)"


@pytest.mark.parametrize("value", [0, -1, 100_001, 1.5, "1000", None, True, [1]])
@pytest.mark.parametrize("name", [SESSIONS, "cleanup-expired-api-keys", "cleanup-old-generations"])
async def test_a_bad_batch_size_is_refused_before_anything_is_deleted(env: Environment, name: str, value: object):
    """Naming the field and the value."""
    await fill(env, "sessions", {"a": "2020-01-01"})
    with pytest.raises(PermanentFailure, match=r"payload\.batch_size: .* is not a whole number from 1 to 100000"):
        await clean(env, name, batch_size=value)
    assert await left(env, "sessions") == ["a"]


@pytest.mark.parametrize("days", [0, 36_501])
async def test_a_bad_age_is_refused(env: Environment, days: int):
    """From a day to a hundred years."""
    with pytest.raises(PermanentFailure, match=r"payload\.older_than_days"):
        await clean(env, "cleanup-old-generations", older_than_days=days)


async def test_the_longest_age_deletes_what_is_older_still(env: Environment):
    """A hundred years back."""
    await fill(env, "generations", {"a": "1926-02-01 00:00:00", "b": "1926-03-01 00:00:00"})
    assert (await clean(env, "cleanup-old-generations", older_than_days=36_500))["deletedCount"] == 1
