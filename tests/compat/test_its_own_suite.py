"""What the older service's own suite asserted (compat.md, section 2), asked of ours; HTTP is in test_its_http.py."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.rigs.rig import Rig, at

from schedule_grpc import builtin
from schedule_grpc.backup import BackupSettings
from schedule_grpc.bindings import Environment
from schedule_grpc.builtin import Equipped
from schedule_grpc.domain.durations import human
from schedule_grpc.domain.execution import new_execution_id
from schedule_grpc.domain.schedule import parse
from schedule_grpc.errors import HandlerNotFound, InvalidSchedule
from schedule_grpc.handlers import Registry
from schedule_grpc.testing import FakeClock, run

NOW = at("2026-01-31T10:20:30")


@pytest.mark.parametrize(
    ("text", "cron"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("every 5 minutes", "*/5 * * * *"),
        ("every 2 hours", "0 */2 * * *"),
        ("*/15 * * * *", "*/15 * * * *"),
        ("0 9 * * 1-5", "0 9 * * 1-5"),
    ],
)
def test_a_named_schedule_reads_as_its_cron_expression(text: str, cron: str):
    """And cron text passes through."""
    assert parse(text).cron == cron


@pytest.mark.parametrize("text", ["@hourly", "@daily"])
def test_the_next_run_lies_in_the_future(text: str):
    """Strictly."""
    following = parse(text).next_after(NOW)
    assert following is not None
    assert following > NOW


@pytest.mark.parametrize("text", ["invalid cron", "invalid", "99 99 99 99 99"])
def test_what_is_no_schedule_is_refused(text: str):
    """With a reason."""
    with pytest.raises(InvalidSchedule):
        parse(text)


@pytest.mark.parametrize("text", ["0 * * * *", "@hourly", "every 5 minutes"])
def test_what_is_a_schedule_is_accepted(text: str):
    """In every form."""
    assert parse(text).text == text


@pytest.mark.parametrize(
    ("milliseconds", "told"), [(500, "500ms"), (2500, "2.50s"), (120_000, "2.00m"), (7_200_000, "2.00h")]
)
def test_durations_for_people(milliseconds: int, told: str):
    """As the older service wrote them."""
    assert human(timedelta(milliseconds=milliseconds)) == told


def test_an_execution_id_has_its_form():
    """It contains the task's name."""
    assert re.fullmatch(r"exec_test-task_\d+_[a-z0-9]+", new_execution_id("test-task", NOW))


def test_execution_ids_are_unique():
    """A thousand at one moment."""
    assert len({new_execution_id("test-task", NOW) for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "name",
    [
        "cleanup-expired-sessions",
        "cleanup-expired-api-keys",
        "cleanup-old-generations",
        "generate-missing-embeddings",
        "update-analytics",
        "backup-database",
        "health-check-services",
        "check-rate-limits",
    ],
)
def test_a_built_in_handler_is_registered(name: str):
    """Under the name that callers know."""
    registry = Registry()
    registry.add_module(builtin)
    assert registry.get(name).name == name


async def test_an_unknown_handler_is_named(rig: Rig):
    """In the words that callers know."""
    with pytest.raises(HandlerNotFound, match=r"^Task handler not found: invalid-task"):
        await rig.register(handler="invalid-task")


CLEANUPS = [
    (builtin.cleanup_expired_sessions, "sessions", "expired sessions", 2),
    (builtin.cleanup_expired_api_keys, "api_keys", "expired API keys", 1),
    (builtin.cleanup_old_generations, "generations", "old generations", 3),
]
ROWS = {
    "sessions": "INSERT INTO sessions (id, expires_at) VALUES (:id, :time)",
    "api_keys": "INSERT INTO api_keys (id, expires_at) VALUES (:id, :time)",
    "generations": "INSERT INTO generations (id, status, created_at) VALUES (:id, 'completed', :time)",
}


@pytest.mark.parametrize(("function", "table", "what", "count"), CLEANUPS)
async def test_a_cleanup_tells_how_many_it_deleted(tmp_path: Path, function, table: str, what: str, count: int):
    """2, 1 and 3 for so many expired rows, and what is not expired stays."""
    env = Environment({"DB": f"sqlite:///{tmp_path}/platform.db"})
    for number in range(count):
        await env.DB.execute(ROWS[table], id=f"old{number}", time="2020-01-01T00:00:00.000Z")
    await env.DB.execute(ROWS[table], id="new", time="2999-01-01 00:00:00")
    ran = await run(function, env={"DB": env.DB})
    assert (ran.succeeded, ran.result["success"], ran.result["deletedCount"]) == (True, True, count)
    assert ran.result["message"] == f"Deleted {count} {what}"
    assert await env.DB.fetch(f"SELECT id FROM {table}") == [{"id": "new"}]
    await env.aclose()


@pytest.mark.parametrize(("function", "table", "what", "count"), CLEANUPS)
async def test_a_database_error_is_a_failure_with_its_message(tmp_path: Path, function, table, what, count):
    """The table is gone: the run has failed, and says why."""
    env = Environment({"DB": f"sqlite:///{tmp_path}/platform.db"})
    await env.DB.execute(f"DROP TABLE {table}")
    ran = await run(function, env={"DB": env.DB})
    assert not ran.succeeded
    assert f"no such table: {table}" in (ran.error or "")
    await env.aclose()


@pytest.mark.parametrize(
    ("cron", "names"),
    [
        ("*/5 * * * *", ["health-check-services"]),
        ("0 * * * *", ["check-rate-limits", "cleanup-expired-sessions", "update-analytics"]),
        ("0 0 * * *", ["backup-database", "cleanup-expired-api-keys", "generate-missing-embeddings"]),
        ("0 0 * * 0", ["cleanup-old-generations"]),
    ],
)
async def test_the_older_deployments_four_triggers(rig: Rig, cron: str, names: list[str]):
    """Each starts the tasks of its schedule, once, and no others."""
    for name, schedule in (
        ("health-check-services", "every 5 minutes"),
        ("cleanup-expired-sessions", "@hourly"),
        ("update-analytics", "@hourly"),
        ("check-rate-limits", "@hourly"),
        ("cleanup-expired-api-keys", "@daily"),
        ("generate-missing-embeddings", "@daily"),
        ("backup-database", "@daily"),
        ("cleanup-old-generations", "@weekly"),
    ):
        await rig.register(name, schedule)
    started = await rig.service.trigger_cron(cron)
    assert [execution.task_name for execution in started] == names
    await rig.tick()
    assert {(await rig.service.execution(each.id)).state.value for each in started} == {"SUCCEEDED"}


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Equipped]:
    """The platform's file, its queue, and a folder for backups."""
    url = f"sqlite:///{tmp_path}/platform.db"
    env = Environment({"DB": url, "QUEUE": "table://DB/queue_jobs"})
    yield Equipped(env, BACKUP=BackupSettings(sources={"DB": url}, root=str(tmp_path / "backups")))
    await env.aclose()


@pytest.mark.parametrize("count", [2, 0])
async def test_embeddings_are_queued(platform: Equipped, count: int):
    """found and queuedCount, and so many jobs."""
    for number in range(count):
        await platform.DB.execute(
            "INSERT INTO entities (ns, id, type, created_at) VALUES ('n', :id, 'note', '2026-01-01')", id=str(number)
        )
    ran = await run(builtin.generate_missing_embeddings, env=platform)
    assert (ran.result["found"], ran.result["queuedCount"]) == (count, count)
    assert len(await platform.DB.fetch("SELECT id FROM queue_jobs")) == count


async def test_analytics_store_a_snapshot(platform: Equipped):
    """With success."""
    ran = await run(builtin.update_analytics, env=platform)
    assert ran.result["success"] is True
    assert len(await platform.DB.fetch("SELECT id FROM analytics_snapshots")) == 1


async def test_a_backup_says_so(platform: Equipped):
    """Its message contains the word; here there is a file too."""
    await platform.DB.ping()
    ran = await run(builtin.backup_database, env=platform, scheduled_time=NOW)
    assert (ran.result["success"], ran.result["message"]) == (True, "Database backup completed")
    assert Path(ran.result["file"]).stat().st_size > 0


async def test_a_health_check_has_a_list_of_results(platform: Equipped):
    """One for each service."""
    ran = await run(builtin.health_check_services, env=platform)
    assert isinstance(ran.result["results"], list)


async def test_a_key_with_950_requests_is_one_warning(platform: Equipped):
    """In a list."""
    clock = FakeClock(NOW)
    async with platform.DB.transaction() as together:
        for number in range(950):
            await together.execute(
                "INSERT INTO api_requests (id, api_key, created_at) VALUES (:id, 'k', '2026-01-31 10:00:00')",
                id=str(number),
            )
    ran = await run(builtin.check_rate_limits, env=platform, clock=clock)
    assert ran.result["warnings"] == [{"api_key": "k", "requests": 950}]
