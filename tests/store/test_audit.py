"""The audit log: a row for each change in the change's transaction, and none where nothing changed."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeAlias

import pytest
from msgspec import structs
from support.rigs.audit_scene import CALLER, as_caller, logged, registration, reports
from support.rigs.rig import Rig, at
from support.witnesses.checker.reading import rows

from schedule_grpc.domain.access.audit import AuditEvent, AuditFilter, Author, Entry, Outcome
from schedule_grpc.domain.access.caller import ANYBODY, Caller
from schedule_grpc.domain.access.grant import read_grants
from schedule_grpc.domain.access.keys import KeyRequest
from schedule_grpc.domain.registration import TaskUpdate
from schedule_grpc.errors import ScheduleError
from schedule_grpc.events import Audited
from schedule_grpc.runtime import failpoints
from schedule_grpc.service import Service
from schedule_grpc.service.keys import KeyService

Act: TypeAlias = Callable[[Service], Awaitable[Any]]


async def last(rig: Rig) -> AuditEvent:
    """Return the newest row."""
    return (await logged(rig.store))[-1]


async def test_a_registration_is_one_row(rig: Rig):
    """Who, by which key, from where, with which program, and what; the fields that a change names, and no value."""
    service = as_caller(rig)
    await service.register(registration(payload={"token": "s3cr3t"}))
    await service.register(registration(payload={"token": "s3cr3t"}))  # unchanged: no row
    await service.register(registration(payload={"token": "other"}, description="d", policy={"timeout": 60}))
    created, changed = await logged(rig.store)
    assert (created.principal, created.via, created.key_id) == ("key:ci", "key", "0a1B2c3D")
    assert (created.peer, created.user_agent, created.method) == ("ipv4:10.0.0.1:5", "curl/8", "RegisterTask")
    assert (created.namespace, created.resource, created.outcome) == ("default", "task", "DONE")
    assert (created.before_etag, created.after_etag, created.changed) == ("", "1", ())
    assert (changed.before_etag, changed.after_etag) == ("1", "2")
    assert changed.changed == ("description", "payload", "policy")
    assert created.payload_hash
    assert changed.payload_hash
    assert created.payload_hash != changed.payload_hash
    assert "s3cr3t" not in repr(rows(rig.place, "SELECT * FROM audit_events"))
    assert (created.seq, changed.seq, changed.prev_hash) == (1, 2, created.hash)


async def a_task(rig: Rig) -> None:
    """Register a task, by nobody in particular."""
    await rig.register("task", "@manual")


async def canceled(service: Service) -> None:
    """Run a task and cancel the run, and once more, which changes nothing."""
    execution = await service.run_now("task", detach=True)
    await service.cancel(execution.id)
    await service.cancel(execution.id)


CHANGES: dict[str, tuple[Act, list[str]]] = {
    "batch": (
        lambda service: service.register_all([registration(), registration("b"), registration("c")]),
        ["BatchRegisterTasks", "BatchRegisterTasks"],
    ),
    "update": (
        lambda service: service.update(TaskUpdate(name="task", fields={"description": "d"}, policy={})),
        ["UpdateTask"],
    ),
    "update nothing": (
        lambda service: service.update(TaskUpdate(name="task", fields={}, policy={}, enabled=True)),
        [],
    ),
    "validate only": (
        lambda service: service.register(replace(registration("new"), validate_only=True)),
        [],
    ),
    "delete": (lambda service: service.delete("task"), ["DeleteTask"]),
    "disable": (lambda service: service.disable("task", note="n"), ["DisableTask"]),
    "enable": (lambda service: service.enable("task"), []),
    "run": (lambda service: service.run_now("task", payload={"a": 1}, detach=True), ["RunTaskNow"]),
    "cancel": (canceled, ["RunTaskNow", "CancelExecution"]),
    "namespace": (lambda service: service.create_namespace("reports"), ["CreateNamespace"]),
    "same namespace": (lambda service: service.update_namespace("default", handlers=["*"]), []),
    "list": (lambda service: service.handlers(), []),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_each_change_has_its_row(rig: Rig, name: str):
    """One for each task, run, namespace that changed; none where nothing did."""
    await a_task(rig)
    act, methods = CHANGES[name]
    await act(as_caller(rig))
    assert [each.method for each in await logged(rig.store)] == methods
    assert all(not each.trouble for each in await reports(rig.store))


@pytest.mark.parametrize("name", CHANGES)
async def test_where_nobody_is_asked_nothing_is_written(rig: Rig, name: str):
    """A caller that the server asks for nothing leaves no row, not even a chain."""
    await a_task(rig)
    act, _ = CHANGES[name]
    await act(as_caller(rig, ANYBODY))
    assert [rows(rig.place, f"SELECT * FROM {table}") for table in ("audit_events", "audit_chains")] == [[], []]


async def test_an_anonymous_caller_of_a_server_that_asks_is_audited(rig: Rig):
    """As one that has proven nothing."""
    await as_caller(rig, Caller(name="anonymous", grants=read_grants(["admin@*"]))).register(registration())
    row = await last(rig)
    assert (row.principal, row.via) == ("anonymous", "none")


async def test_a_trigger_has_a_row_for_each_run(rig: Rig):
    """And a backfill one, with the number of its executions."""
    for name in ("a", "b"):
        await rig.register(name, "@hourly")
    await rig.clock.advance(4 * 3600)
    runs = await as_caller(rig).trigger_cron("0 * * * *")
    found = await logged(rig.store)
    assert {(each.method, each.resource, each.execution) for each in found} == {
        ("TriggerCron", run.task_name, run.id) for run in runs
    }
    done = await as_caller(rig).backfill("a", at("2026-01-31T10:00"), at("2026-01-31T13:00"))
    row = await last(rig)
    assert (row.method, row.resource, row.count) == ("BackfillTask", "a", len(done.executions))
    before = len(await logged(rig.store))
    await as_caller(rig).backfill("a", at("2026-01-31T10:00"), at("2026-01-31T13:00"))  # all are there
    assert len(await logged(rig.store)) == before


async def test_a_repeated_request_id_has_no_second_row(rig: Rig):
    """Whether the runs share a write or not."""
    await a_task(rig)
    service = as_caller(rig)
    await asyncio.gather(*(service.run_now("task", detach=True, request_id="one") for _ in range(3)))
    await service.run_now("task", detach=True, request_id="one")
    (row,) = await logged(rig.store)
    assert (row.method, row.resource) == ("RunTaskNow", "task")


async def test_keys_and_namespaces(rig: Rig):
    """Made, rotated, revoked; created, changed, deleted: with names of what changed, and no text of a key."""
    keys = KeyService(store=rig.store, clock=rig.clock)
    made = await keys.create_key(CALLER, KeyRequest(name="other", grants=("run@default",)))
    again = await keys.rotate_key(CALLER, "other")
    await keys.revoke_text(CALLER, again.text)
    await keys.revoke_text(CALLER, again.text)  # once more: nothing changes
    service = as_caller(rig)
    await service.create_namespace("reports")
    await service.update_namespace("reports", limits={"max_tasks": 5})
    await service.delete_namespace("reports")
    found = await logged(rig.store)
    assert [(each.method, each.namespace, each.resource, each.changed) for each in found] == [
        ("CreateKey", "default", "other", ()),
        ("RotateKey", "default", "other", ("text", "old_text_expire_time")),
        ("RevokeKey", "default", "other", ("revoke_time",)),
        ("CreateNamespace", "reports", "reports", ()),
        ("UpdateNamespace", "reports", "reports", ("limits.max_tasks",)),
        ("DeleteNamespace", "reports", "reports", ()),
    ]
    assert found[0].after_etag == found[1].before_etag
    assert found[2].after_etag == ""
    written = repr(rows(rig.place, "SELECT * FROM audit_events"))
    assert made.text[13:] not in written
    assert again.text[13:] not in written


async def test_a_change_that_cannot_be_audited_does_not_happen(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """The row fails: the task is as it was."""
    await a_task(rig)

    def reached(operation: str, step: str) -> None:
        if (operation, step) == ("audit", "begun"):
            raise failpoints.FailpointReached("audit.begun")

    with monkeypatch.context() as patched:
        patched.setattr(failpoints, "reached", reached)
        with pytest.raises(failpoints.FailpointReached):
            await as_caller(rig).disable("task")
    assert (await rig.service.get_task("task")).enabled
    assert await logged(rig.store) == []


async def test_rows_are_announced_with_their_commit(rig: Rig):
    """For the line of the log: the same rows, in their order."""
    told: list[AuditEvent] = []
    rig.hub._listeners.append(
        lambda events: told.extend(row for e in events if isinstance(e, Audited) for row in e.rows)
    )
    await as_caller(rig).register_all([registration("a"), registration("b")])
    assert told == await logged(rig.store)


async def test_lists_are_filtered_and_paged(rig: Rig):
    """By namespace, caller, method and time; newest first."""
    other = structs.replace(CALLER, name="key:other")
    for number in range(6):
        await as_caller(rig, CALLER if number % 2 else other).register(registration(f"task-{number}"))
        await rig.clock.advance(60)
    await as_caller(rig).create_namespace("reports")
    every = await rig.store.list_audit(AuditFilter(), limit=100)
    assert [each.resource for each in every] == ["reports", *(f"task-{number}" for number in reversed(range(6)))]
    of_other = await logged(rig.store, AuditFilter(principal="key:other"))
    assert [each.resource for each in of_other] == ["task-0", "task-2", "task-4"]
    assert [each.resource for each in await logged(rig.store, AuditFilter(namespace="reports"))] == ["reports"]
    both = AuditFilter(namespace="default", principal="key:ci", method="RegisterTask")
    assert [each.resource for each in await logged(rig.store, both)] == ["task-1", "task-3", "task-5"]
    assert await logged(rig.store, replace(both, method="DeleteTask")) == []
    within = AuditFilter(start_time=every[4].time, end_time=every[2].time)
    assert [each.resource for each in await logged(rig.store, within)] == ["task-2", "task-3"]


async def test_calls_that_change_nothing_are_counted_rows(rig: Rig):
    """Refused ones, with the code; in the same chain."""
    author = Author(
        caller=structs.replace(CALLER, agent="x\x00" + "a" * 300), method="DeleteTask", time=rig.clock.now()
    )
    await rig.store.record_calls(
        [Entry(author=author, outcome=Outcome.DENIED, reason="PERMISSION_DENIED", namespace="default", count=7)]
    )
    row = await last(rig)
    assert (row.outcome, row.reason, row.count) == ("DENIED", "PERMISSION_DENIED", 7)
    assert len(row.user_agent) == 200
    assert row.user_agent.startswith("x\ufffda")
    (found,) = await reports(rig.store)
    assert found.trouble == ""


async def test_a_refused_change_has_no_row(rig: Rig):
    """Its transaction is undone, or never begun."""
    await a_task(rig)
    service = as_caller(rig)
    for call in (service.delete("nobody"), service.enable("task", etag="9"), service.run_now("nobody")):
        with pytest.raises(ScheduleError):
            await call
    assert await logged(rig.store) == []
