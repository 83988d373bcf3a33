"""Databases of programs that knew no namespaces: all that is in them belongs to the namespace ``default``."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
from support.databases.old_files import database_of_version, file_of_version
from support.rigs.rig import START, new_rig
from support.witnesses.checker import check
from support.witnesses.checker.reading import rows

from schedule_grpc.database import look
from schedule_grpc.domain.access.namespace import NO_LIMITS
from schedule_grpc.domain.execution import ExecutionFilter, State
from schedule_grpc.domain.paging import Page
from schedule_grpc.domain.registration import Registration
from schedule_grpc.errors import DatabaseRefused
from schedule_grpc.runtime.clock import to_micros
from schedule_grpc.store.policies import policy_text
from schedule_grpc.store.schema import APPLICATION_ID, MIGRATIONS

NOW = to_micros(START)
DAY = 86_400_000_000
OLD = f"""
INSERT INTO scheduled_tasks (
    uid, name, revision, schedule, time_zone, handler, enabled, payload, metadata, category, description, policy, note,
    create_time, update_time, settled_time, success_count, last_success_time, last_run_time, delete_time)
VALUES
    ('u1', 'task', 3, '@manual', 'UTC', 'fate', 1, '{{}}', '{{}}', '', '', '{{}}', '', {NOW - DAY}, {NOW - DAY}, {NOW},
     1, {NOW}, {NOW}, NULL),
    ('u0', 'gone', 2, '@manual', 'UTC', 'fate', 1, '{{}}', '{{}}', '', '', '{{}}', '', {NOW - DAY}, {NOW - DAY}, {NOW},
     1, {NOW - DAY}, {NOW - DAY}, {NOW - DAY});
INSERT INTO task_executions (
    id, task_uid, task_name, handler, "trigger", create_time, available_time, start_time, attempt_start_time, end_time,
    state, attempt, request_id, revision)
VALUES
    ('exec_2', 'u1', 'task', 'fate', 'MANUAL', {NOW}, {NOW}, {NOW}, {NOW}, {NOW}, 'SUCCEEDED', 1, 'r', 3),
    ('exec_1', 'u0', 'gone', 'fate', 'MANUAL', {NOW - DAY}, {NOW - DAY}, {NOW - DAY}, {NOW - DAY}, {NOW - DAY},
     'SUCCEEDED', 1, NULL, 2);
"""
"""What a program of any earlier version may have written."""
VERSIONS = range(1, 10)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, database: Path) -> Iterator[Path | str]:
    """Where there is no database yet."""
    if request.param == "sqlite":
        yield database
        return
    with request.getfixturevalue("postgres").empty_database() as url:
        yield url


async def made(place: Path | str, version: int) -> None:
    """Make the database of a version, and the rows in it."""
    if isinstance(place, Path):
        file_of_version(place, version, OLD)
    else:
        await database_of_version(place, version, OLD)


@pytest.mark.parametrize("version", VERSIONS)
async def test_all_that_is_there_belongs_to_the_default_namespace(place: Path | str, version: int):
    """Tasks, histories, of deleted ones too, and request ids; the namespace allows and limits what it always did."""
    await made(place, version)
    async with new_rig(place) as rig:
        task = await rig.service.get_task("task")
        assert (task.key, task.etag, task.changed_by, task.trouble) == (("default", "task"), "3", "", "")
        ran = await rig.service.run_now("task", detach=True, request_id="r")
        assert (ran.id, ran.task_key, ran.triggered_by, ran.trouble) == ("exec_2", ("default", "task"), None, "")
        everything = await rig.service.executions(ExecutionFilter(), Page())
        assert [each.id for each in everything.executions] == ["exec_2", "exec_1"]
        assert [each.id for each in await rig.history("gone")] == ["exec_1"]
        found = await rig.service.get_namespace("default")
        assert (found.handlers, found.limits) == (("*",), NO_LIMITS)
        assert [each.name for each in (await rig.service.list_namespaces(Page())).namespaces] == ["default"]
    assert check(place) == []


@pytest.mark.parametrize("version", [1, 9])
async def test_another_namespace_has_the_same_names_then(place: Path | str, version: int):
    """The name of a task, and a request id, that the old database has."""
    await made(place, version)
    async with new_rig(place) as rig:
        await rig.service.create_namespace("reports")
        there = rig.service.in_namespace("reports")
        (task,) = await there.register_all([Registration(definition=(await rig.service.get_task("task")).definition)])
        ran = await there.run_now("task", detach=True, request_id="r")
        assert (task.namespace, ran.id != "exec_2") == ("reports", True)
        await rig.tick()
        assert (await there.execution(ran.id)).state is State.SUCCEEDED
    stored = rows(place, "SELECT namespace, policy FROM scheduled_tasks WHERE name = 'task' ORDER BY namespace")
    assert [row["namespace"] for row in stored] == ["default", "reports"]
    assert stored[1]["policy"] == policy_text(task.policy)


async def test_a_program_that_knows_no_namespaces_is_refused(place: Path | str):
    """It would show all of them to everybody."""
    async with new_rig(place):
        pass
    if isinstance(place, Path):
        with pytest.raises(DatabaseRefused, match="knows versions up to 9"):
            look(place, MIGRATIONS[:9], APPLICATION_ID)
        with closing(sqlite3.connect(place)) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        return
    from schedule_grpc.database.postgres.database import look as look_at  # noqa: PLC0415 (as the service: an extra)

    with pytest.raises(DatabaseRefused, match="knows versions up to 9"):
        await look_at(place, MIGRATIONS[:9])
    connection = await asyncpg.connect(place)
    oldest = "SELECT oldest_program FROM schedule_schema ORDER BY version DESC LIMIT 1"
    assert await connection.fetchval(oldest) >= 10
    await connection.close()
