"""A record on PostgreSQL holds tasks before their executions, and reads both as they are then."""

import asyncio
from datetime import timedelta

import asyncpg
from support.rigs.begin_scene import request
from support.rigs.rig import new_rig
from support.servers.postgres import Postgres

from schedule_grpc.domain.execution import Outcome, State
from schedule_grpc.domain.retry import FailureKind, RetryPolicy
from schedule_grpc.domain.task import Policy

WAITS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


async def test_a_wish_that_is_written_while_a_record_waits(postgres: Postgres, postgres_database: str):
    """Whoever holds the task can write its execution, so nothing is locked crosswise; and the record sees the wish."""
    url = postgres.url(postgres_database)
    async with new_rig(url) as rig:
        await rig.hold_lease("me")
        await rig.register("task", policy=Policy(retry=RetryPolicy(max_retries=3)))
        await rig.service.run_now("task", detach=True)
        (claim,) = (await rig.store.claim(request(rig))).claims
        failure = Outcome(
            execution_id=claim.execution.id,
            lease_token=claim.lease_token,
            end_time=rig.clock.now(),
            duration=timedelta(0),
            kind=FailureKind.ERROR,
            error="would be tried again",
            claimed=claim.execution,
        )
        other = await asyncpg.connect(url, server_settings={"lock_timeout": "2s"})
        async with other.transaction():
            await other.execute("SELECT 1 FROM scheduled_tasks WHERE name = 'task' FOR NO KEY UPDATE")
            recording = asyncio.create_task(rig.store.record([failure]))
            while not recording.done() and not await other.fetchval(WAITS):
                pass
            await other.execute(
                "UPDATE task_executions SET cancel_requested_time = create_time, cancel_note = 'no' WHERE id = $1",
                claim.execution.id,
            )
        (recorded,) = await recording
        await other.close()
        assert recorded is not None
        assert (recorded.state, recorded.cancel_note) == (State.CANCELLED, "no")
