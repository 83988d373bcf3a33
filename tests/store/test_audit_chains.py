"""The chains of the audit log: append-only, never forked, and tampering is found."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from support.rigs.audit_scene import CALLER, as_caller, logged, registration, reports
from support.rigs.rig import Rig
from support.witnesses.audited import changed_rows, tampered
from support.witnesses.checker.reading import rows

from schedule_grpc.domain.access.audit import AuditFilter, hash_of
from schedule_grpc.domain.access.permit import Permit
from schedule_grpc.domain.access.scope import Scope
from schedule_grpc.events import Hub
from schedule_grpc.service import Service
from schedule_grpc.store import Store, open_store


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit_events SET principal = 'key:other'",
        "UPDATE audit_events SET count = 2 WHERE seq = 1",
        "DELETE FROM audit_events",
        "DELETE FROM audit_events WHERE seq = 2",
    ],
)
async def test_a_row_is_neither_changed_nor_removed(rig: Rig, sql: str):
    """The database itself refuses."""
    await as_caller(rig).register_all([registration("a"), registration("b")])
    before = rows(rig.place, "SELECT * FROM audit_events")
    with pytest.raises(Exception, match="audit_events: a row cannot be"):
        await changed_rows(rig.place, sql)
    assert rows(rig.place, "SELECT * FROM audit_events") == before


TAMPERING = {
    "UPDATE audit_events SET principal = 'key:other' WHERE seq = 3": (2, "row 3 was changed"),
    "UPDATE audit_events SET prev_hash = '' WHERE seq = 2": (1, "row 2 was changed"),
    "UPDATE audit_events SET hash = prev_hash WHERE seq = 2": (1, "row 2 was changed"),
    "DELETE FROM audit_events WHERE seq = 1": (0, "row 1 is missing"),
    "DELETE FROM audit_events WHERE seq IN (2, 3)": (1, "rows 2 to 3 are missing"),
    "DELETE FROM audit_events WHERE seq = 5": (4, "row 5 is missing at the end"),
    "DELETE FROM audit_events": (0, "rows 1 to 5 are missing at the end"),
    "DELETE FROM audit_chains": (5, "the head of the chain is row 0"),
    "UPDATE audit_chains SET hash = ''": (5, "the head of the chain is row 5, with another hash"),
    "UPDATE audit_events SET seq = CASE seq WHEN 2 THEN 103 ELSE 102 END WHERE seq IN (2, 3);"
    "UPDATE audit_events SET seq = seq - 100 WHERE seq > 100": (1, "row 2 was changed"),
}


@pytest.mark.parametrize("sql", TAMPERING)
async def test_tampering_is_found(rig: Rig, sql: str):
    """By somebody who can switch triggers off: a row changed, removed, swapped. Up to it the chain is whole."""
    for number in range(5):
        await as_caller(rig).register(registration(f"task-{number}"))
    (before,) = await reports(rig.store)
    assert (before.whole_to, before.trouble, before.first) == (5, "", 1)
    await tampered(rig.place, sql)
    (found,) = await reports(rig.store)
    whole_to, trouble = TAMPERING[sql]
    assert found.whole_to == whole_to
    assert trouble in found.trouble


@pytest.mark.parametrize("value", ["9223372036854775807", "-9223372036854775808"])
async def test_a_list_goes_on_beside_a_row_that_cannot_be_read(rig: Rig, value: str):
    """It shows the others, page by page."""
    for number in range(3):
        await as_caller(rig).register(registration(f"task-{number}"))
    await tampered(rig.place, f"UPDATE audit_events SET time = {value}, count = -1 WHERE seq = 2")
    page = await rig.store.list_audit(AuditFilter(), limit=2)
    rest = await rig.store.list_audit(AuditFilter(), after=page[-1].place, limit=2)
    assert [each.seq for each in (*page, *rest) if each.seq != 2] == [3, 1]
    (report,) = await reports(rig.store)
    assert report.trouble == "row 2 was changed"


async def test_a_row_that_is_written_anew_does_not_fit_the_next(rig: Rig):
    """With a hash of its own that is right."""
    for number in range(3):
        await as_caller(rig).register(registration(f"task-{number}"))
    (found,) = rows(rig.place, "SELECT * FROM audit_events WHERE seq = 2")
    row = dict(found) | {"principal": "key:other"}
    await tampered(rig.place, f"UPDATE audit_events SET principal = 'key:other', hash = '{hash_of(row)}' WHERE seq = 2")
    (report,) = await reports(rig.store)
    assert (report.whole_to, report.trouble) == (2, "row 3 does not follow row 2: one of them was written anew")


async def test_retention_takes_the_oldest_rows_only(rig: Rig):
    """A few at a time, a whole beginning of each chain; what is left is a whole chain that begins later."""
    for number in range(4):
        await as_caller(rig).register(registration(f"task-{number}"))
        await rig.clock.advance(timedelta(days=1))
    before = rig.clock.now() - timedelta(days=2, hours=1)
    assert await rig.store.prune_audit(before=before) == 2
    assert await rig.store.prune_audit(before=before) == 0
    assert [each.seq for each in await logged(rig.store)] == [3, 4]
    (found,) = await reports(rig.store)
    assert (found.first, found.whole_to, found.trouble) == (3, 4, "")
    with pytest.raises(Exception, match="before its retention is over"):
        await changed_rows(rig.place, "DELETE FROM audit_events WHERE seq = 3")
    await as_caller(rig).register(registration("more"))
    assert [each.seq for each in await logged(rig.store)] == [3, 4, 5]


async def test_many_calls_and_two_servers_never_fork_a_chain(rig: Rig):
    """Writers of one chain wait for each other; servers of two machines have two chains."""
    others: list[Store] = []
    if rig.store.is_shared:
        others = [await open_store(rig.place, Hub()), await open_store(rig.place, Hub(), replica="elsewhere")]

    def service(store: Store) -> Service:
        made = Service(store=store, clock=rig.clock, hub=Hub(), registry=rig.registry)
        return made.seen_by(Permit(CALLER, "default", Scope.ADMIN))

    services = [service(store) for store in (rig.store, *others)]
    try:
        await asyncio.gather(
            *(
                each.register(registration(f"task-{number}-{place}"))
                for place, each in enumerate(services)
                for number in range(30)
            )
        )
        await asyncio.gather(
            *(each.run_now(f"task-{number}-0", detach=True) for each in services for number in range(30)),
            *(each.disable(f"task-{number}-1") for each in services[1:] for number in range(10)),
            return_exceptions=False,
        )
    finally:
        for store in others:
            await store.close()
    found = await reports(rig.store)
    assert [each.trouble for each in found] == [""] * len(found)
    assert len(found) == (2 if others else 1)
    expected = 60 * len(services) + (10 if others else 0)
    assert sum(each.whole_to for each in found) == expected == len(await logged(rig.store))


async def test_two_databases_have_different_hashes_of_one_payload(rig: Rig, tmp_path: Path):
    """The salt is the database's own, so that hashes cannot be looked up in a table."""
    hashes = []
    other = await open_store(tmp_path / "other.db", Hub())
    try:
        for store in (rig.store, other):
            made = Service(store=store, clock=rig.clock, hub=Hub(), registry=rig.registry)
            await made.seen_by(Permit(CALLER, "default", Scope.ADMIN)).register(registration(payload={"a": 1}))
            hashes.append((await logged(store))[0].payload_hash)
    finally:
        await other.close()
    assert hashes[0] != hashes[1]
