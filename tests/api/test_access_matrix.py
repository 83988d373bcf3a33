"""Every rpc and every route, by every kind of caller: who may make it is what the table of rules says, and no more."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from support.callers.every_rpc import accepted
from support.callers.fetching import Failed, Fetching
from support.callers.raw_http import raw
from support.patience import AT_MOST
from support.servers.teams import Teams, channel_to, serving_teams

from schedule_grpc.access import gate
from schedule_grpc.access.rules import RULES
from schedule_grpc.api.http import application
from schedule_grpc.api.http.rpcs import rpc_of
from schedule_grpc.api.http.target import ApiRoute
from schedule_grpc.pb import access_pb2, schedule_pb2, worker_pb2

SERVICES = [
    schedule_pb2.DESCRIPTOR.services_by_name["ScheduleService"],
    access_pb2.DESCRIPTOR.services_by_name["AccessService"],
    worker_pb2.DESCRIPTOR.services_by_name["WorkerService"],
]
METHODS = {f"/{service.full_name}/{method.name}": method for service in SERVICES for method in service.methods}
LADDER = ["observe", "read", "run", "write", "admin"]
NEEDS: dict[str, str] = {
    **dict.fromkeys(("ListTasks", "GetTask", "GetTaskHistory", "ListExecutions", "GetExecution"), "observe"),
    **dict.fromkeys(("WatchExecutions", "ListHandlers", "PreviewSchedule", "ListWorkers"), "observe"),
    **dict.fromkeys(("GetSummary", "GetUpcomingRuns", "ExplainTask"), "observe"),
    **dict.fromkeys(("RegisterWorker", "Pull", "Report", "UnregisterWorker"), "worker"),
    **dict.fromkeys(("RunTaskNow", "CancelExecution", "BackfillTask", "TriggerCron"), "run"),
    **dict.fromkeys(("EnableTask", "DisableTask"), "run"),
    **dict.fromkeys(("RegisterTask", "BatchRegisterTasks", "UpdateTask", "DeleteTask"), "write"),
    "InitializeDefaultTasks": "admin in default",
    **dict.fromkeys(("CreateKey", "ListKeys", "RotateKey"), "admin anywhere"),
    "ListAuditEvents": "admin",
    **dict.fromkeys(("RevokeKey", "WhoAmI"), "any caller"),
    **dict.fromkeys(("CreateNamespace", "UpdateNamespace", "ListNamespaces", "DeleteNamespace"), "admin in all"),
    **dict.fromkeys(("Check", "Watch", "List"), "nothing"),
    **dict.fromkeys(("ServerReflectionInfo", "pages of HTTP"), "any caller"),
    "dashboard": "nothing",
    "metrics": "observe in all",
}
"""What each needs, written once more, from the design: a slip in the table is none here."""
OPEN = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


@pytest.fixture
async def teams(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Teams]:
    """A server that knows its callers; it answers at once, however often this peer fails."""
    monkeypatch.setattr(gate, "SLOWED_BY", 0.0)
    async with serving_teams(database, tmp_path) as teams:
        yield teams


def test_every_rpc_and_route_has_its_rule():
    """One that is added is decided about here, or the tests fail; the server would not start either."""
    assert {rpc.rpartition("/")[2] for rpc in RULES} == set(NEEDS)
    assert set(METHODS) <= set(RULES)


def holds(grants: Sequence[str], need: str, namespace: str, name: str) -> bool:
    """Return whether grants are enough for a need in a namespace, or for a name in it."""
    if need in ("nothing", "any caller"):
        return True
    scope, _, where = need.partition(" in ")
    scope = scope.removesuffix(" anywhere")
    enough = set(LADDER[LADDER.index(scope) :]) if scope in LADDER else {scope}
    for grant in grants:
        held, _, place = grant.partition("@")
        place, _, prefix = place.partition("/")
        fits = {"all": place == "*", "default": place in ("*", "default")}.get(where, place in ("*", namespace))
        if held in enough and (fits or need.endswith("anywhere")) and name.startswith(prefix if name else ""):
            return True
    return False


NAMED = ("RunTaskNow", "BackfillTask", "EnableTask", "DisableTask", "RegisterTask", "BatchRegisterTasks")
NAMED = (*NAMED, "UpdateTask", "DeleteTask")
"""Rpcs that are refused for a name that the caller's grants do not cover."""


def expected(teams: Teams, who: str, rpc: str, namespace: str) -> grpc.StatusCode | None:
    """Return the refusal of a call for the task `task`; None: it is not refused for who makes it."""
    need = NEEDS[rpc]
    if need == "nothing":
        return None
    if who not in teams.held:
        return grpc.StatusCode.UNAUTHENTICATED
    name = "task" if rpc in NAMED else ""
    return None if holds(teams.held[who], need, namespace, name) else grpc.StatusCode.PERMISSION_DENIED


def request_of(method: str, namespace: str) -> Message:
    """Return a request that names the task and the namespace, as far as its message can."""
    descriptor = METHODS[method]
    request: Any
    if descriptor.containing_service is SERVICES[0]:
        request = accepted(descriptor.name, "task", "exec_none")
    else:
        request = GetMessageClass(descriptor.input_type)()
        if "name" in descriptor.input_type.fields_by_name:
            request.name = "no-such-name"
    if namespace and "namespace" in descriptor.input_type.fields_by_name and descriptor.name not in ELSEWHERE:
        request.namespace = namespace
    return request


ELSEWHERE = ("ListKeys", "RotateKey", "RevokeKey", "InitializeDefaultTasks")
"""Their namespace is that of keys, or fixed."""


async def outcome(channel: grpc.aio.Channel, method: str, request: Message, metadata: Any) -> grpc.StatusCode | None:
    """Return how a call was refused for who made it; None: it was not."""
    kind = channel.unary_stream if METHODS[method].server_streaming else channel.unary_unary
    call = kind(method)(request.SerializeToString(), metadata=metadata, timeout=AT_MOST)
    try:
        if METHODS[method].server_streaming:
            await call.wait_for_connection()
            call.cancel()
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code() if error.code() in OPEN else None
    return None


@pytest.mark.parametrize("namespace", ["", "default", "other"])
async def test_each_rpc_is_made_by_those_who_may(teams: Teams, namespace: str):
    """By each caller, in its own namespace, in this one, and in another one; each mismatch is named."""
    wrong = []
    async with channel_to(teams.live.parts.address) as channel:
        for method, descriptor in METHODS.items():
            rpc = method.rpartition("/")[2]
            asked = namespace if "namespace" in descriptor.input_type.fields_by_name else ""
            for who in teams.authorizations:
                place = asked or ("other" if who == "other" else "default")
                metadata = teams.metadata(who)
                found = await outcome(channel, method, request_of(method, namespace), metadata)
                if found is not expected(teams, who, rpc, place):
                    wrong.append((method, who, found))
    assert wrong == []


async def refusal_by_fetch(fetching: Fetching, method: str, request: Message) -> str | None:
    """Return how a call by Connect or gRPC-Web was refused for who made it; None: it was not."""
    service, _, rpc = method.rpartition("/")
    answer = GetMessageClass(METHODS[method].output_type)
    try:
        if METHODS[method].server_streaming:
            async with fetching.stream(rpc, request, answer, f"{service}/") as messages:
                await anext(messages)
        else:
            await fetching.call(rpc, request, answer, f"{service}/")
    except Failed as failed:
        return failed.code if failed.code in ("unauthenticated", "permission_denied") else None
    return None


@pytest.mark.parametrize("namespace", ["", "other"])
@pytest.mark.parametrize("form", ["connect+proto", "grpc-web+json"])
async def test_each_rpc_is_made_by_the_same_by_fetch(teams: Teams, form: str, namespace: str):
    """Connect and gRPC-Web ask for what gRPC asks for."""
    wrong = []
    async with asking(teams) as client:
        for method, descriptor in METHODS.items():
            asked = namespace if "namespace" in descriptor.input_type.fields_by_name else ""
            for who, values in teams.authorizations.items():
                if len(values) > 1:
                    continue
                fetching = Fetching(client, form, {"authorization": values[0].strip()} if values else {})
                found = await refusal_by_fetch(fetching, method, request_of(method, namespace))
                place = asked or ("other" if who == "other" else "default")
                wanted = expected(teams, who, method.rpartition("/")[2], place)
                if found != (wanted and wanted.name.lower()):
                    wrong.append((method, who, found))
    assert wrong == []


async def test_who_may_open_the_socket_may_do_what_it_grants(teams: Teams):
    """Without any token; a wrong one is wrong there, too."""
    async with channel_to(teams.socket) as channel:
        for method in METHODS:
            assert await outcome(channel, method, request_of(method, ""), ()) is None, method
        wrong = teams.metadata("no key")
        assert (
            await outcome(
                channel, "/schedule.v1.AccessService/WhoAmI", request_of("/schedule.v1.AccessService/WhoAmI", ""), wrong
            )
            is grpc.StatusCode.UNAUTHENTICATED
        )


async def test_a_prefix_covers_names_that_begin_with_it(teams: Teams):
    """A name that it does not cover is not there for a reader, and refused to a writer."""
    async with channel_to(teams.live.parts.address) as channel:
        stub = {method.rpartition("/")[2]: channel.unary_unary(method) for method in METHODS}

        async def code(who: str, rpc: str, **fields: Any) -> str:
            method = next(each for each in METHODS if each.endswith("/" + rpc))
            request = GetMessageClass(METHODS[method].input_type)(**fields)
            try:
                await stub[rpc](request.SerializeToString(), metadata=teams.metadata(who), timeout=AT_MOST)
            except grpc.aio.AioRpcError as error:
                return error.code().name
            return "OK"

        registration = {"schedule": "@manual", "handler": "steps"}
        assert [
            await code("inside", "GetTask", name="task"),
            await code("outside", "GetTask", name="task"),
            await code("inside", "RunTaskNow", name="task"),
            await code("outside", "RunTaskNow", name="task"),
            await code("outside", "DeleteTask", name="task"),
            await code("outside", "DeleteTask", name="no-such-task"),
            await code("inside", "RegisterTask", name="task-2", **registration),
            await code("inside", "RegisterTask", name="tas", **registration),
            await code("outside", "RegisterTask", name="other-1", **registration),
        ] == [
            *("OK", "NOT_FOUND", "OK", "PERMISSION_DENIED", "PERMISSION_DENIED", "PERMISSION_DENIED"),
            *("OK", "PERMISSION_DENIED", "OK"),
        ]


# -- HTTP


async def routes(teams: Teams) -> list[tuple[str, str]]:
    """Return every route of the server, as method and path."""
    app = application(
        teams.live.parts.service,
        registry=teams.live.parts.metrics.registry,
        troubles=list,
        unready=list,
        clock=teams.live.parts.service.clock,
        keys=object(),  # type: ignore[arg-type]  # no route is called
    )
    return [
        (method, route.path)
        for route in app.router.routes
        if isinstance(route, ApiRoute)
        for method in sorted(route.methods or ())
    ]


@asynccontextmanager
async def asking(teams: Teams) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield an HTTP client of the server."""
    address = f"http://{teams.live.parts.http_address}"
    async with httpx2.AsyncClient(base_url=address, timeout=AT_MOST, trust_env=False) as client:
        yield client


BODIES: dict[str, dict[str, str]] = {
    "/tasks": {"name": "task", "schedule": "@manual", "handler": "steps"},
    "/tasks/{name}/backfill": {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-02T00:00:00Z"},
}


async def status(client: httpx2.AsyncClient, method: str, path: str, headers: Any) -> int:
    """Return the status of a request, without waiting for a stream's end."""
    place = path.replace("{name}", "task").replace("{id}", "exec_none")
    body = None if method in ("GET", "DELETE") else BODIES.get(path, {})
    async with client.stream(method, place, headers=headers, json=body) as answer:
        return answer.status_code


@pytest.mark.parametrize("namespace", ["", "other"])
async def test_each_route_is_answered_to_those_who_may(teams: Teams, namespace: str):
    """As the rpc that it stands for; a GET that changes something is refused to everybody."""
    refusals = {grpc.StatusCode.UNAUTHENTICATED: 401, grpc.StatusCode.PERMISSION_DENIED: 403, None: None}
    wrong = []
    async with asking(teams) as client:
        for method, path in await routes(teams):
            rpc = rpc_of(method, path).rpartition("/")[2]
            asked = namespace if NEEDS[rpc] in LADDER and rpc != "PreviewSchedule" else ""
            for who, values in teams.authorizations.items():
                headers = [("authorization", value.strip()) for value in values]
                headers += [("schedule-namespace", asked)] if asked else []
                place = asked or ("other" if who == "other" else "default")
                found = await status(client, method, path, headers)
                wanted = refusals[expected(teams, who, rpc, place)]
                if (method, path) == ("GET", "/__scheduled"):
                    wanted = 405
                if found != wanted if wanted else found in (401, 403, 405):
                    wrong.append((method, path, who, found, wanted))
    assert wrong == []


ODD = [
    "{}%0a",
    "{}%0d%0a",
    "{}%00",
    "/{}",
    "/.{}",
    "{}/",
    "{}//",
    "{}%2f",
    "{};x",
    "{}?",
    "http://localhost{}",
    "/x/..{}",
]
"""Ways to write a path that are close to it."""


async def test_no_spelling_of_a_path_takes_less(teams: Teams):
    """Not one byte that only a known caller gets comes back, and nothing is changed, however the path is written."""
    service = teams.live.parts.service
    before = await service.get_task("task")
    for method, path in await routes(teams):
        if NEEDS[rpc_of(method, path).rpartition("/")[2]] == "nothing":
            continue
        for spelling in ("{}", *ODD):
            for verb in {method, "HEAD"}:
                place = spelling.format(path.replace("{name}", "task").replace("{id}", "exec_none"))
                head = f"{verb} {place} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                answer = await raw(teams.live, head.encode())
                assert answer.startswith((b"HTTP/1.1 40",)), (verb, place, answer[:200])
                assert b"hunter2" not in answer
    assert await service.get_task("task") == before


async def test_a_stranger_is_told_that_proof_is_needed_and_nothing_else(teams: Teams):
    """The same answer whether or not the task exists; health says its status alone."""
    async with asking(teams) as client:
        known, unknown = [await client.get(f"/tasks/{name}") for name in ("task", "no-such-task")]
        assert (known.status_code, known.headers["www-authenticate"]) == (401, "Bearer")
        assert known.json() == unknown.json() == {"success": False, "error": "Authentication required"}
        health = (await client.get("/health")).json()
        assert set(health) == {"status", "service", "timestamp"}
