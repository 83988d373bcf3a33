"""Databases of programs that spelled some names of the contract in another way: version 9 renames what they wrote."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.databases.old_files import database_of_version, file_of_version
from support.rigs.rig import START, new_rig
from support.witnesses.checker import check
from support.witnesses.checker.reading import rows

from schedule_grpc.domain.execution import Reason, State
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.runtime.clock import to_micros

POLICY = Policy(catch_up_window=timedelta(days=7))
POLICY_TEXT = (
    '{"alert_after":0,"catch_up":"LATEST","catchup_window_us":604800000000,"end_time_us":null,'
    '"initial_backoff_us":1000000,"jitter_us":0,"max_age_us":2592000000000,"max_backoff_us":10000000,'
    '"max_count":10000,"max_retries":3,"multiplier":2.0,"overdue_grace_us":0,"overlap":"SKIP",'
    '"start_deadline_us":3600000000,"start_time_us":null,"timeout_us":29000000}'
)
ERROR = 'ValueError: {"kind": 1} and "kind": 2'
"""It looks like a key, and is none."""
ATTEMPTS = r"""[{"duration_us":5,"error":"ValueError: {\"kind\": 1} and \"kind\": 2","kind":"TIMEOUT","number":1,"""
NOW, HOUR = to_micros(START), 3_600_000_000
ENDED = (
    ("START_DEADLINE", 2, Reason.START_DEADLINE),
    ("START_DEADLINE", 3, Reason.START_DEADLINE),
    ("CATCHUP_NONE", 4, Reason.CATCH_UP_NONE),
    ("CATCHUP_LIMIT", 5, Reason.CATCH_UP_LIMIT),
    ("CATCHUP_WINDOW", 6, Reason.CATCH_UP_WINDOW),
)
ROWS = f"""
INSERT INTO scheduled_tasks (
    uid, name, revision, schedule, time_zone, handler, enabled, payload, metadata, category, description, policy, note,
    create_time, update_time, settled_time, next_run_time, failure_count, consecutive_failures, last_run_time,
    last_failure_time)
VALUES ('u1', 'task', 3, '@hourly', 'UTC', 'fate', 1, '{{}}', '{{}}', '', '', '{POLICY_TEXT}', '',
    {NOW - 7 * HOUR}, {NOW - 7 * HOUR}, {NOW}, {NOW + HOUR}, 1, 1, {NOW - HOUR}, {NOW - HOUR});
INSERT INTO task_executions (
    id, task_uid, task_name, handler, "trigger", scheduled_time, create_time, available_time, end_time, state, reason,
    revision)
VALUES {
    ", ".join(
        f"('exec_{hours}', 'u1', 'task', 'fate', 'CATCH_UP', {NOW - hours * HOUR}, {NOW - 2 * HOUR}, {NOW - 2 * HOUR},"
        f" {NOW - 2 * HOUR}, 'MISSED', '{reason}', 3)"
        for reason, hours, _ in ENDED
    )
};
INSERT INTO task_executions (
    id, task_uid, task_name, handler, "trigger", scheduled_time, create_time, available_time, start_time,
    attempt_start_time, end_time, state, kind, attempt, attempts, error, cancel_requested_time, cancel_reason, revision)
VALUES ('exec_1', 'u1', 'task', 'fate', 'SCHEDULE', {NOW - HOUR}, {NOW - HOUR}, {NOW - HOUR}, {NOW - HOUR},
    {NOW - HOUR}, {NOW - HOUR}, 'FAILED', 'TIMEOUT', 1, '{ATTEMPTS}"start_us":{NOW - HOUR}}}]', 'last', NULL, NULL, 3),
    ('exec_0', 'u1', 'task', 'fate', 'SCHEDULE', {NOW}, {NOW}, {NOW}, {NOW}, {NOW}, {NOW}, 'CANCELLED', NULL, 1, NULL,
    'enough', {NOW}, 'enough', 3);
"""


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
        file_of_version(place, version, ROWS)
    else:
        await database_of_version(place, version, ROWS)


@pytest.mark.parametrize("version", [2, 5, 8])
async def test_what_was_written_is_read_by_the_names_of_today(place: Path | str, version: int):
    """Reasons, kinds of failure, failed attempts and notes; an error's text that looks like a key stays as it is."""
    await made(place, version)
    async with new_rig(place) as rig:
        *missed, failed, cancelled = await rig.history()
    assert [(each.reason, each.troubles) for each in missed] == [(reason, ()) for _, _, reason in ENDED]
    assert (failed.state, failed.failure_kind, failed.troubles) == (State.FAILED, FailureKind.TIMEOUT, ())
    assert [(each.failure_kind, each.error) for each in failed.failed_attempts] == [(FailureKind.TIMEOUT, ERROR)]
    assert (cancelled.state, cancelled.cancel_note, cancelled.failed_attempts) == (State.CANCELLED, "enough", ())


@pytest.mark.parametrize("version", [2, 5, 8])
async def test_a_task_is_what_it_was(place: Path | str, version: int):
    """Its etag too; to register the same definition again changes nothing, and its policy has its name of today."""
    await made(place, version)
    async with new_rig(place) as rig:
        found = await rig.service.get_task("task")
        assert (found.policy, found.trouble, found.etag) == (POLICY, "", "3")
        assert await rig.register(policy=POLICY) == found
    (row,) = rows(place, "SELECT policy, revision FROM scheduled_tasks")
    assert (row["policy"], row["revision"]) == (POLICY_TEXT.replace("catchup_window", "catch_up_window"), 3)
    assert check(place) == []
