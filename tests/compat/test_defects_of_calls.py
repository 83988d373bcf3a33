"""Defects of the older service (compat.md, section 3) that concern callers, over gRPC; 33 is in test_its_http.py."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from support.rigs.rig import START
from support.servers.live import Code, Live, asked, refused

from schedule_grpc.backup import BackupSettings, verify_backup
from schedule_grpc.bindings import Environment
from schedule_grpc.builtin import (
    Equipped,
    backup_database,
    cleanup_expired_sessions,
    generate_missing_embeddings,
    health_check_services,
)
from schedule_grpc.pb import schedule_pb2 as pb
from schedule_grpc.testing import FakeClock, run


async def test_defect_28_text_dates_in_two_formats_were_compared_as_text(tmp_path: Path):
    """On the day itself a blank sorts before a T: both forms are read as times."""
    env = Environment({"DB": f"sqlite:///{tmp_path}/platform.db"})
    for name, time in (
        ("past-t", "2026-01-31T11:59:59.000Z"),
        ("past-blank", "2026-01-31 11:59:59"),
        ("future-t", "2026-01-31T12:00:01.000Z"),
        ("future-blank", "2026-01-31 12:00:01"),
    ):
        await env.DB.execute("INSERT INTO sessions (id, expires_at) VALUES (:id, :time)", id=name, time=time)
    ran = await run(cleanup_expired_sessions, env={"DB": env.DB})
    assert ran.result["deletedCount"] == 2
    left = await env.DB.fetch("SELECT id FROM sessions ORDER BY id")
    assert [row["id"] for row in left] == ["future-blank", "future-t"]
    await env.aclose()


@pytest.mark.parametrize("name", ["toString", "constructor", "__proto__", "hasOwnProperty", "__class__"])
async def test_defect_30_tostring_passed_as_a_handler_name(live: Live, name: str):
    """Only names that are offered can be run."""
    code, _, _, _ = await refused(live.stub.RegisterTask(asked(handler=name)))
    assert code in (Code.FAILED_PRECONDITION, Code.INVALID_ARGUMENT)


@pytest.mark.parametrize("rpc", ["GetTaskHistory", "ListExecutions", "ListTasks"])
async def test_defect_31_limits_were_passed_on(live: Live, rpc: str):
    """A negative one is refused with its field; a number that is none cannot be sent."""
    request = {
        "GetTaskHistory": pb.GetTaskHistoryRequest(page_size=-1),
        "ListExecutions": pb.ListExecutionsRequest(page_size=-1),
        "ListTasks": pb.ListTasksRequest(page_size=-1),
    }[rpc]
    code, _, _, violations = await refused(getattr(live.stub, rpc)(request))
    assert (code, list(violations)) == (Code.INVALID_ARGUMENT, ["page_size"])


async def test_defect_32_raw_error_messages_in_answers(live: Live, monkeypatch):
    """A fault of ours tells an id, and nothing else."""

    async def broken(*_, **__):
        raise RuntimeError("SELECT secret FROM scheduled_tasks")

    monkeypatch.setattr(live.parts.store, "find_task", broken)
    code, why, details, _ = await refused(live.stub.GetTask(pb.GetTaskRequest(name="task")))
    assert (code, why) == (Code.INTERNAL, "INTERNAL")
    assert "secret" not in str(details)
    assert details["error_id"]


async def test_defect_35_deleting_a_missing_task_said_success(live: Live):
    """NOT_FOUND."""
    code, why, _, _ = await refused(live.stub.DeleteTask(pb.DeleteTaskRequest(name="missing")))
    assert (code, why) == (Code.NOT_FOUND, "TASK_NOT_FOUND")


async def test_defect_26_the_backup_did_nothing(tmp_path: Path):
    """It writes a file that opens, with every row; and alerts are messages (tests/unit/alerts), not comments."""
    url = f"sqlite:///{tmp_path}/platform.db"
    env = Environment({"DB": url})
    await env.DB.execute("INSERT INTO sessions (id) VALUES ('a'), ('b')")
    settings = BackupSettings(sources={"DB": url}, root=str(tmp_path / "backups"))
    ran = await run(backup_database, env=Equipped(env, BACKUP=settings))
    assert verify_backup(Path(ran.result["file"])).content.tables["sessions"] == 2
    await env.aclose()


class Services:
    """Two services, each of which takes a second to answer."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def names(self) -> tuple[str, ...]:
        """Return the names of what is configured."""
        return ("DB", "QUEUE")

    async def ping(self, _: str) -> None:
        """Answer after a second."""
        until = self._clock.now() + timedelta(seconds=1)
        while self._clock.now() < until:
            await self._clock.wait_until(until, asyncio.Event())


async def test_defect_27_response_times_included_the_ones_before():
    """They are asked at once, each by its own time; and only what is configured is asked."""
    clock = FakeClock(START)
    running = asyncio.create_task(run(health_check_services, env=Services(clock), clock=clock))
    await clock.advance(1)
    ran = await running
    assert [(each["service"], each.get("responseTime")) for each in ran.result["results"]] == [
        ("DB", 1000),
        ("QUEUE", 1000),
        ("AI", None),
    ]


async def test_defect_29_the_same_entities_were_queued_again_every_day(tmp_path: Path):
    """The next run takes the next ones; what was refused is a failure."""
    env = Environment({"DB": f"sqlite:///{tmp_path}/platform.db", "QUEUE": "table://DB/queue_jobs"})
    for number in range(150):
        await env.DB.execute(
            "INSERT INTO entities (ns, id, type, created_at) VALUES ('n', :id, 'note', '2026-01-01')", id=str(number)
        )
    counts = [(await run(generate_missing_embeddings, env=env)).result["queuedCount"] for _ in range(3)]
    assert counts == [100, 50, 0]
    await env.aclose()
