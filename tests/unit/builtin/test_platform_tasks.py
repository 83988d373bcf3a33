"""Embeddings, analytics, health check and rate limits: what they find, do and tell, on a real file and a real queue."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.rigs.rig import START

from schedule_grpc import builtin
from schedule_grpc.bindings import Environment
from schedule_grpc.bindings.instants import written
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.errors import BindingError
from schedule_grpc.testing import FakeClock, Ran, run

DEFAULTS = {"DB": "sqlite:///{folder}/platform.db", "QUEUE": "table://DB/queue_jobs"}


@pytest.fixture
async def env(tmp_path: Path) -> AsyncIterator[Environment]:
    """The platform's file and its queue."""
    built = Environment({name: url.format(folder=tmp_path) for name, url in DEFAULTS.items()}, clock=FakeClock(START))
    yield built
    await built.aclose()


async def called(function, env, **payload) -> Ran:
    """Return what became of one run."""
    return await run(function, payload=payload, env=env, clock=FakeClock(START))


# -- embeddings


async def entities(env: Environment, *rows: tuple[str, str]) -> None:
    """Store entities: id and type."""
    for name, kind in rows:
        await env.DB.execute(
            "INSERT INTO entities (ns, id, type, content, created_at) VALUES ('n', :id, :type, :content, '2026-01-01')",
            id=name,
            type=kind,
            content=f"about {name}",
        )


async def jobs(env: Environment) -> list[dict]:
    """Return the queue's jobs."""
    return await env.DB.fetch("SELECT * FROM queue_jobs ORDER BY dedupe_key")


async def test_an_entity_without_embedding_is_queued(env: Environment):
    """As a job that the older service's workers know; sessions, keys and logs are left out."""
    await entities(env, ("a", "note"), ("b", "page"), ("c", "session"), ("d", "api_key"), ("e", "log"), ("f", "note"))
    await env.DB.execute("INSERT INTO embeddings (ns, id, model, created_at) VALUES ('n', 'f', 'm', '2026-01-01')")
    ran = await called(builtin.generate_missing_embeddings, env)
    assert (ran.result["found"], ran.result["queuedCount"]) == (2, 2)
    assert ran.result["message"] == "Queued 2 entities for embedding generation"
    first, _ = await jobs(env)
    assert (first["type"], first["priority"], first["status"]) == ("generate-embedding", 5, "queued")
    assert json.loads(first["payload"]) == {"id": "a", "namespace": "n", "type": "note", "data": "about a"}


async def test_nothing_missing_is_a_success(env: Environment):
    """0 and 0."""
    ran = await called(builtin.generate_missing_embeddings, env)
    assert (ran.succeeded, ran.result["found"], ran.result["queuedCount"]) == (True, 0, 0)


async def test_what_an_earlier_run_queued_is_not_queued_again(env: Environment):
    """And does not stand in the way of the next ones: 100 each day are 100 others."""
    await entities(env, *((f"{number:03}", "note") for number in range(250)))
    for queued in (100, 100, 50, 0):
        ran = await called(builtin.generate_missing_embeddings, env)
        assert (ran.succeeded, ran.result["queuedCount"]) == (True, queued)
    assert len({job["dedupe_key"] for job in await jobs(env)}) == 250


async def test_a_job_that_is_done_may_be_queued_again(env: Environment):
    """Its worker failed to store the embedding."""
    await entities(env, ("a", "note"))
    await called(builtin.generate_missing_embeddings, env)
    await env.DB.execute("UPDATE queue_jobs SET status = 'failed'")
    assert (await called(builtin.generate_missing_embeddings, env)).result["queuedCount"] == 1


async def test_one_refused_job_does_not_stop_the_others(env: Environment):
    """The run fails, and says how many were queued and how many were not."""

    class Refusing:
        async def enqueue(self, type: str, payload: dict, **options) -> bool:  # noqa: A002
            if payload["id"] == "050":
                raise BindingError("QUEUE", "too long")
            queued: bool = await env.QUEUE.enqueue(type, payload, **options)
            return queued

    await entities(env, *((f"{number:03}", "note") for number in range(100)))
    ran = await run(builtin.generate_missing_embeddings, env={"DB": env.DB, "QUEUE": Refusing()})
    assert (ran.succeeded, ran.result["found"], ran.result["queuedCount"], ran.result["refusedCount"]) == (
        False,
        100,
        99,
        1,
    )
    assert ran.error == "1 of 100 jobs were refused, the first: QUEUE: too long"
    assert len(await jobs(env)) == 99


async def own_entities(env: Environment) -> None:
    """Put a table in place as a user may have it."""
    await env.DB.execute("DROP TABLE entities")
    await env.DB.execute("CREATE TABLE entities (ns TEXT, id TEXT, type TEXT, content TEXT, created_at TEXT)")


async def test_an_entity_without_a_type_is_queued_too(env: Environment):
    """Only those of three types are left out."""
    await own_entities(env)
    for number, kind in enumerate((None, "note", "log")):
        await env.DB.execute("INSERT INTO entities (ns, id, type) VALUES ('n', :id, :type)", id=str(number), type=kind)
    await called(builtin.generate_missing_embeddings, env)
    told = [json.loads(job["payload"]) for job in await jobs(env)]
    assert [(each["id"], each["type"]) for each in told] == [("0", None), ("1", "note")]


# -- analytics


async def test_a_snapshot_is_stored(env: Environment):
    """Totals, types, and what was made in the last hour and day, in either form of a date."""
    for name, time in (
        ("a", "2026-01-31T09:30:00.000Z"),
        ("b", "2026-01-31 09:30:00"),
        ("c", "2026-01-30 12:00:00"),
        ("d", "2025-01-01"),
    ):
        await env.DB.execute(
            "INSERT INTO entities (ns, id, type, created_at) VALUES ('n', :id, :type, :time)",
            id=name,
            type="page" if name == "a" else "note",
            time=time,
        )
    await env.DB.execute("INSERT INTO sessions (id) VALUES ('s')")
    ran = await called(builtin.update_analytics, env)
    assert ran.result["stats"]["entities"] == {
        "total": 4,
        "byType": {"note": 3, "page": 1},
        "untyped": 0,
        "lastHour": 2,
        "lastDay": 3,
    }
    assert ran.result["stats"]["sessions"] == {"total": 1}
    assert ran.result["message"] == "Analytics updated successfully"
    (row,) = await env.DB.fetch("SELECT * FROM analytics_snapshots")
    assert (json.loads(row["stats"]), row["created_at"]) == (ran.result["stats"], "2026-01-31T10:00:00.000Z")


async def test_rows_without_a_type_are_told_apart_from_those_of_a_type_of_that_name(env: Environment):
    """A table of the user's may have NULL: it is none of the texts that Python or JSON write for it."""
    await own_entities(env)
    for number, kind in enumerate((None, None, "None", "null", "")):
        await env.DB.execute("INSERT INTO entities (ns, id, type) VALUES ('n', :id, :type)", id=str(number), type=kind)
    stats = (await called(builtin.update_analytics, env)).result["stats"]["entities"]
    assert (stats["total"], stats["untyped"], stats["byType"]) == (5, 2, {"None": 1, "null": 1, "": 1})


async def test_a_repeated_attempt_stores_no_second_snapshot(env: Environment):
    """It has the same idempotency key."""
    first = await called(builtin.update_analytics, env)
    again = first.context
    await builtin.update_analytics(again)
    assert len(await env.DB.fetch("SELECT id FROM analytics_snapshots")) == 1


# -- health check


async def test_every_service_is_asked_and_what_is_not_configured_is_no_failure(env: Environment):
    """AI has no URL here."""
    ran = await called(builtin.health_check_services, env)
    assert (ran.succeeded, ran.result["message"]) == (True, "All services healthy")
    assert [(each["service"], each["status"]) for each in ran.result["results"]] == [
        ("DB", "healthy"),
        ("QUEUE", "healthy"),
        ("AI", "unconfigured"),
    ]
    assert [(each.key, each.over) for each in ran.conditions] == [
        ("service:DB", True),
        ("service:QUEUE", True),
        ("service:AI", True),  # it may have been down before it was taken out of the configuration
    ]


async def test_a_service_that_is_down_fails_the_run_and_is_an_alert(tmp_path: Path):
    """The others' answers are there all the same."""
    env = Environment({"DB": f"sqlite:///{tmp_path}/missing/p.db", "AI": "http://127.0.0.1:1/v1"})
    ran = await called(builtin.health_check_services, env)
    assert (ran.succeeded, ran.error) == (False, "Some services are down")
    assert {each["service"]: each["status"] for each in ran.result["results"]} == {
        "DB": "down",
        "AI": "down",
        "QUEUE": "unconfigured",
    }
    assert [(each.title, each.key, each.over) for each in ran.conditions] == [
        ("DB is down", "service:DB", False),
        ("AI is down", "service:AI", False),
        ("", "service:QUEUE", True),
    ]
    await env.aclose()


class Services:
    """Bindings that answer after a while by the test's clock."""

    def __init__(self, clock: FakeClock, **seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds

    def names(self) -> tuple[str, ...]:
        """Return their names."""
        return tuple(self._seconds)

    async def ping(self, name: str) -> None:
        """Answer in time."""
        never = asyncio.Event()
        until = self._clock.now() + timedelta(seconds=self._seconds[name])
        while self._clock.now() < until:
            await self._clock.wait_until(until, never)


async def test_each_has_its_own_time_and_its_own_limit():
    """All at once: a slow one is degraded, one that never answers is down, and neither delays the others."""
    clock = FakeClock(START)
    running = asyncio.create_task(
        run(builtin.health_check_services, env=Services(clock, DB=0.2, AI=3, QUEUE=3600), clock=clock)
    )
    await clock.advance(5)
    ran = await running
    assert ran.result["results"] == [
        {"service": "DB", "status": "healthy", "responseTime": 200},
        {"service": "AI", "status": "degraded", "responseTime": 3000},
        {"service": "QUEUE", "status": "down", "responseTime": 5000, "error": "no answer in 5000 ms"},
    ]
    assert ran.duration == timedelta(seconds=5)


# -- rate limits


async def requests(env: Environment, key: str, count: int, *, minutes_ago: int = 5) -> None:
    """Store requests of an API key."""
    time = written(START - timedelta(minutes=minutes_ago))
    async with env.DB.transaction() as together:
        for number in range(count):
            await together.execute(
                "INSERT INTO api_requests (id, api_key, created_at) VALUES (:id, :key, :time)",
                id=f"{key}-{minutes_ago}-{number}",
                key=key,
                time=time,
            )


async def test_a_key_near_its_limit_is_one_warning_and_one_alert(env: Environment):
    """950 of 1,000 in the last hour; what is older does not count, and one that is well below has recovered."""
    await requests(env, "near-its-limit", 950)
    await requests(env, "quiet", 10)
    await requests(env, "earlier", 2000, minutes_ago=61)
    ran = await called(builtin.check_rate_limits, env)
    assert ran.result["warnings"] == [{"api_key": "near-its-limit", "requests": 950}]
    assert ran.result["message"] == "1 API keys nearing rate limit"
    alerts = [each for each in ran.conditions if not each.over]
    assert [each.title for each in alerts] == ["API key near-its… nears its rate limit"]
    assert len([each for each in ran.conditions if each.over]) == 2


@pytest.mark.parametrize(("count", "warned"), [(899, False), (900, True)])
async def test_the_threshold_is_nine_tenths(env: Environment, count: int, warned: bool):
    """From there on."""
    await requests(env, "key", count)
    ran = await called(builtin.check_rate_limits, env)
    assert bool(ran.result["warnings"]) is warned
    assert ran.succeeded


async def test_limit_and_threshold_are_the_payloads(env: Environment):
    """And nothing near them is healthy."""
    await requests(env, "key", 5)
    ran = await called(builtin.check_rate_limits, env, limit=10, threshold=0.5)
    assert ran.result["warnings"] == [{"api_key": "key", "requests": 5}]
    ran = await called(builtin.check_rate_limits, env, limit=11, threshold=0.5)
    assert ran.result["message"] == "All rate limits healthy"


# -- what none of them takes


@pytest.mark.parametrize(
    ("function", "payload", "field"),
    [
        (builtin.generate_missing_embeddings, {"batch_size": 0}, "batch_size"),
        (builtin.health_check_services, {"timeout_ms": "5s"}, "timeout_ms"),
        (builtin.health_check_services, {"degraded_ms": True}, "degraded_ms"),
        (builtin.check_rate_limits, {"limit": -1}, "limit"),
        (builtin.check_rate_limits, {"threshold": 1.5}, "threshold"),
        (builtin.check_rate_limits, {"threshold": None}, "threshold"),
    ],
)
async def test_a_bad_payload_is_refused_for_good(env: Environment, function, payload: dict, field: str):
    """With its field; a retry would not help."""
    ran = await called(function, env, **payload)
    assert ran.failure_kind is FailureKind.REJECTED
    assert ran.error is not None
    assert ran.error.startswith(f"payload.{field}: ")


@pytest.mark.parametrize(
    ("function", "table"),
    [
        (builtin.generate_missing_embeddings, "entities"),
        (builtin.update_analytics, "analytics_snapshots"),
        (builtin.check_rate_limits, "api_requests"),
    ],
)
async def test_a_missing_table_is_a_failure_that_names_it(env: Environment, function, table: str):
    """And the binding."""
    await env.DB.execute(f"DROP TABLE {table}")
    ran = await called(function, env)
    assert (ran.succeeded, f"no such table: {table}" in (ran.error or "")) == (False, True)
    assert "DB" in (ran.error or "")
