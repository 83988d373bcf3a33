"""The audit log of a whole server: who is audited, what of refused calls and of reads is in it, and who may list it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from structlog.testing import capture_logs
from support.callers.every_rpc import RPCS, WATCH, accepted, stub, with_text
from support.patience import AT_MOST, calling, until
from support.servers.live import Live, serving
from support.witnesses.checker.reading import rows

from schedule_grpc.access import tally
from schedule_grpc.client import AsyncClient, AuditEvent, AuditFilter
from schedule_grpc.domain.access.caller import EVERYTHING, Caller
from schedule_grpc.domain.access.keys import KeyRequest
from schedule_grpc.errors import PermissionDenied, Unauthenticated
from schedule_grpc.service.keys import KeyService
from schedule_grpc.settings.audit import AuditOptions
from schedule_grpc.settings.auth import AuthOptions
from schedule_grpc.store import check_audit

OPERATOR = Caller(name="offline", grants=EVERYTHING)
MARKER = "s3cret märker"
"""No name has a blank: where it is sent as one, it is refused."""


async def key(live: Live, name: str, *grants: str) -> str:
    """Return the text of a new key."""
    keys = KeyService(store=live.parts.store, clock=live.parts.service.clock)
    return (await keys.create_key(OPERATOR, KeyRequest(name=name, grants=grants))).text


async def keyed(live: Live, name: str, *grants: str, text: str = "") -> AsyncClient:
    """Return a client with a key, by default a new one, once the server knows it."""
    client = calling(live.parts.address, token=text or await key(live, name, *grants))

    async def known() -> bool:
        try:
            return (await client.who_am_i()).name == f"key:{name}"
        except Unauthenticated:
            return False

    await until(known)
    return client


async def listed(client: AsyncClient, chosen: AuditFilter | None = None) -> list[AuditEvent]:
    """Return the rows of the log, oldest first."""
    return [each async for each in client.audit_events(chosen)][::-1]


@pytest.fixture
async def permissive(database: Path) -> AsyncIterator[Live]:
    """A server that asks who calls, and serves callers that have nothing to show."""
    async with serving(database, auth=AuthOptions(mode="permissive"), http="127.0.0.1:0") as live:
        yield live


async def test_a_change_is_listed_to_its_namespaces_administrators(permissive: Live):
    """All of it to admin@*; to another one what is of its namespace, and nothing to a caller without admin."""
    await permissive.client.create_namespace("reports")
    lead = await keyed(permissive, "lead", "admin@reports")
    reader = await keyed(permissive, "reader", "write@reports")
    operator = await keyed(permissive, "operator", "admin@*")
    async with lead, reader, operator:
        await lead.register_task(name="task", schedule="@manual", handler="steps")
        await permissive.client.register_task(name="other", schedule="@manual", handler="steps")
        found = await listed(lead)
        assert {each.namespace for each in found} == {"reports"}
        row = found[-1]
        assert (row.principal, row.via, row.method, row.resource) == ("key:lead", "key", "RegisterTask", "task")
        assert row.peer.startswith("ipv4:127.0.0.1:")
        assert "grpc-python" in row.user_agent
        assert await listed(lead, AuditFilter(namespace="reports")) == found
        everything = await listed(operator)
        assert [each for each in everything if each.namespace == "reports"] == found
        assert [each.resource for each in everything if each.principal == "anonymous"] == ["reports", "other"]
        assert await listed(operator, AuditFilter(principal="key:lead", method="RegisterTask")) == [row]
        with pytest.raises(PermissionDenied):
            await listed(lead, AuditFilter(namespace="default"))
        with pytest.raises(PermissionDenied):
            await listed(reader)


async def test_pages_go_on_where_they_ended(permissive: Live):
    """To the first row of all; a token of other filters is refused."""
    for number in range(7):
        await permissive.client.register_task(name=f"task-{number}", schedule="@manual", handler="steps")
    pages = [each.resource async for each in permissive.client.audit_events(page_size=3)]
    assert pages == [f"task-{number}" for number in reversed(range(7))]
    page = await permissive.client.list_audit_events(page_size=3)
    with pytest.raises(Exception, match="page_token"):
        await permissive.client.list_audit_events(AuditFilter(method="DeleteTask"), page_token=page.next_page_token)
    now = datetime.now(UTC)
    assert await listed(permissive.client, AuditFilter(start_time=now + timedelta(days=1))) == []
    assert len(await listed(permissive.client, AuditFilter(end_time=now + timedelta(days=1)))) == 7


async def test_http_lists_the_same(permissive: Live):
    """With the same filters; a change over HTTP is one of the rpc that its route stands for."""
    address = f"http://{permissive.parts.http_address}"
    async with httpx2.AsyncClient(base_url=address, timeout=AT_MOST, trust_env=False) as web:
        body = {"name": "task", "schedule": "@manual", "handler": "steps", "payload": {"a": 1}}
        assert (await web.post("/tasks", json=body)).status_code == 200
        assert (await web.post("/tasks/task/disable")).status_code == 200
        told = (await web.get("/audit", params={"limit": 1})).json()
        assert (told["count"], told["events"][0]["method"]) == (1, "DisableTask")
        (row,) = (await web.get("/audit", params={"pageToken": told["nextPageToken"], "limit": 1})).json()["events"]
        assert (row["method"], row["resource"], row["afterEtag"]) == ("RegisterTask", "task", "1")
        assert len(row["payloadHash"]) == 64
        assert row["peer"].endswith(tuple("0123456789"))
        assert "httpx" in row["userAgent"]
        chosen = {"method": "DisableTask", "principal": "anonymous", "namespace": "default"}
        (row,) = (await web.get("/audit", params=chosen)).json()["events"]
        assert row["changed"] == ["enabled"]
        assert (await web.get("/audit", params={"namespace": "other"})).json()["events"] == []


async def test_each_row_is_a_line_of_the_log(database: Path):
    """Unless the settings say that none is."""
    for log, expected in ((True, 1), (False, 0)):
        auth, audit = AuthOptions(mode="permissive"), AuditOptions(log=log)
        with capture_logs() as lines:
            async with serving(database, auth=auth, audit=audit) as live:
                await live.client.register_task(name=f"task-{log}", schedule="@manual", handler="steps")
        told = [line for line in lines if line["event"] == "audit.recorded"]
        assert len(told) == expected
        if told:
            assert (told[0]["method"], told[0]["resource"], told[0]["seq"]) == ("RegisterTask", "task-True", 1)
            assert "reason" not in told[0]


async def test_refused_calls_are_counted(database: Path):
    """Without a key, with one that lacks the scope, or has it elsewhere; written at the latest when it stops."""
    async with serving(database, auth=AuthOptions(mode="required"), http="127.0.0.1:0") as live:
        for _ in range(5):
            with pytest.raises(Unauthenticated):
                await live.client.get_task("task")
        text = await key(live, "ci", "run@default/nightly-")
        async with await keyed(live, "ci", text=text) as client:
            for _ in range(3):
                with pytest.raises(PermissionDenied):
                    await client.delete_task("nightly-a")  # the scope is lacked everywhere
            for _ in range(2):
                with pytest.raises(PermissionDenied):
                    await client.run_task_now("other")  # the name is not covered
            with pytest.raises(PermissionDenied):
                await client.in_namespace("reports").run_task_now("nightly-a")
        address = f"http://{live.parts.http_address}"
        async with httpx2.AsyncClient(base_url=address, timeout=AT_MOST, trust_env=False) as web:
            answer = await web.post("/tasks/other/run", headers={"authorization": f"Bearer {text}"})
            assert answer.status_code == 403
    found = rows(database, "SELECT * FROM audit_events WHERE outcome = 'DENIED' ORDER BY principal, method, namespace")
    columns = ("principal", "method", "namespace", "reason", "count")
    counted = [tuple(row[name] for name in columns) for row in found if row["method"] != "WhoAmI"]
    assert counted == [
        ("anonymous", "GetTask", "", "UNAUTHENTICATED", 5),
        ("key:ci", "DeleteTask", "default", "PERMISSION_DENIED", 3),
        ("key:ci", "RunTaskNow", "default", "PERMISSION_DENIED", 3),
        ("key:ci", "RunTaskNow", "reports", "PERMISSION_DENIED", 1),
    ]


async def test_reads_are_counted_where_that_is_set(database: Path, monkeypatch: pytest.MonkeyPatch):
    """By caller, rpc and namespace; no row of a read else."""
    monkeypatch.setattr(tally, "PERIOD", 0.0)
    for reads in (True, False):
        auth, audit = AuthOptions(mode="permissive"), AuditOptions(reads=reads)
        async with serving(database, auth=auth, audit=audit) as live:
            before = len(await listed(live.client))
            await live.client.list_tasks()
            if reads:
                found = await until(lambda: _reads(live.client))
                assert {(each.method, each.namespace, each.outcome) for each in found} == {
                    ("ListTasks", "default", "DONE")
                }
        after = rows(database, "SELECT * FROM audit_events WHERE method = 'ListTasks'")
        assert len(after) == (1 if reads else before)


async def _reads(client: AsyncClient) -> list[AuditEvent]:
    return await listed(client, AuditFilter(method="ListTasks"))


@pytest.mark.keyless
async def test_where_nobody_is_asked_nothing_is_written(live: Live, database: Path):
    """Nor for a call that is refused."""
    await live.client.register_task(name="task", schedule="@manual", handler="steps")
    with pytest.raises(PermissionDenied):
        await live.client.create_key("ci", ["run@default"])
    await live.client.create_namespace("reports")
    assert await listed(live.client) == []
    assert rows(database, "SELECT * FROM audit_keeping") == []


async def test_no_row_has_a_value(database: Path):
    """Whatever any rpc is sent, in any field: names of what is there, hashes, and nothing of the text."""
    auth, handlers = AuthOptions(mode="permissive"), ["support.handlers.hostile"]
    async with serving(database, auth=auth, handlers=handlers) as live:
        payload: dict[str, Any] = {"password": MARKER, MARKER: [MARKER]}
        fields = {"schedule": "@manual", "handler": "quick", "payload": payload, "metadata": {"note": MARKER}}
        await live.client.register_task(name="task", description=MARKER, **fields)
        ran = await live.client.run_task_now("task", payload=payload, request_id=MARKER, detach=True)
        await live.client.cancel_execution(ran.execution.id, note=MARKER)
        await live.client.disable_task("task", note=MARKER)
        await live.client.enable_task("task")
        await live.client.update_task("task", payload={"other": MARKER})
        options = [("grpc.primary_user_agent", f"agent/{MARKER.encode().hex()}")]
        async with grpc.aio.insecure_channel(live.parts.address, options=options) as channel:
            sent = 0
            for rpc in RPCS:
                if rpc == WATCH:
                    continue
                for _, request in with_text(rpc, MARKER, "task", ran.execution.id):
                    await asyncio.gather(stub(channel, rpc)(request), return_exceptions=True)
                    sent += 1
                await asyncio.gather(
                    stub(channel, rpc)(accepted(rpc, "task", ran.execution.id)), return_exceptions=True
                )
            assert sent > 30
        token = "sgk_0a1B2c3D_" + "Z" * 49
        async with grpc.aio.insecure_channel(
            live.parts.address, options=[("grpc.primary_user_agent", token)]
        ) as channel:
            await stub(channel, "RegisterTask")(accepted("RegisterTask", "another", ""))
    found = rows(database, "SELECT * FROM audit_events")
    methods = {row["method"] for row in found}
    assert {"RegisterTask", "UpdateTask", "RunTaskNow", "DisableTask", "EnableTask", "DeleteTask"} <= methods
    written = "\n".join(str(value) for row in found for value in dict(row).values())
    assert "märker" not in written
    assert "s3cret" not in written
    assert "sgk_0a1B2c3D_***" in written
    assert "Z" * 20 not in written
    (report,) = await check_audit(f"sqlite:///{database}")
    assert (report.trouble, report.whole_to) == ("", len(found))
