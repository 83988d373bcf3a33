"""Which requests are calls by Connect and gRPC-Web: GETs, content types, and what pages of browsers send."""

import json

import httpx2
import pytest
from google.protobuf.descriptor_pb2 import MethodOptions
from support.callers.fetching import SERVICE
from support.servers.live import HANDLER, Live

from schedule_grpc.access.rules import ACCESS, RULES, SCHEDULE, WORKERS
from schedule_grpc.api.http.rpcs import RPCS
from schedule_grpc.domain.access.scope import Scope
from schedule_grpc.pb import access_pb2, worker_pb2
from schedule_grpc.pb import schedule_pb2 as pb

JSON = {"content-type": "application/json"}
FORM = "application/x-www-form-urlencoded"

# -- GET


async def test_what_only_reads_may_be_got(inside: Live, caller: httpx2.AsyncClient):
    """As Connect has it: the form and the message in the query."""
    await inside.client.register_task(name="task", schedule="@daily", handler=HANDLER)
    query = {"connect": "v1", "encoding": "json", "message": '{"name":"task"}'}
    answer = await caller.get(SERVICE + "GetTask", params=query)
    assert (answer.status_code, answer.json()["name"]) == (200, "task")
    assert answer.headers["cache-control"] == "no-store"
    head = await caller.head(SERVICE + "GetTask", params=query)
    assert (head.status_code, head.content) == (200, b"")
    proto = {"encoding": "proto", "base64": "1", "message": "CgR0YXNr"}
    assert pb.Task.FromString((await caller.get(SERVICE + "GetTask", params=proto)).content).name == "task"
    incomplete = await caller.get(SERVICE + "GetTask", params={"encoding": "json"})
    assert (incomplete.status_code, incomplete.json()["code"]) == (400, "invalid_argument")
    assert (await caller.get(SERVICE + "GetTask", params={"encoding": "xml"})).status_code == 415


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_acts_or_lasts_is_not_got(caller: httpx2.AsyncClient, method: str):
    """405: a GET makes the calls that the contract marks as free of side effects and that answer once, and no other."""
    got = set()
    for rpc in RULES:
        if not rpc.startswith((SCHEDULE, ACCESS, WORKERS)):
            continue
        answer = await caller.request(method, rpc, params={"encoding": "json", "message": "{}"})
        if answer.status_code != 405:
            got.add(rpc.rpartition("/")[2])
    assert got == {
        "ListTasks", "GetTask", "GetTaskHistory", "ListExecutions", "GetExecution", "ListHandlers", "PreviewSchedule",
        "ListWorkers", "ListKeys", "WhoAmI", "ListNamespaces", "ListAuditEvents", "GetSummary", "GetUpcomingRuns",
        "ExplainTask",
    }  # fmt: skip


def test_the_contract_marks_what_the_routes_of_http_get():
    """An rpc that some route calls by GET has no side effects; one that only others call has some."""
    marked = {
        f"/{service.full_name}/{method.name}"
        for file in (pb, access_pb2, worker_pb2)
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
    }
    by_get = {rpc for (method, _), rpc in RPCS.items() if method == "GET" and rpc.startswith("/schedule.")}
    by_others = {rpc for (method, _), rpc in RPCS.items() if method != "GET"}
    assert {RULES[rpc].scope for rpc in marked} <= {None, Scope.OBSERVE, Scope.ADMIN}
    assert by_get - marked == {SCHEDULE + "TriggerCron"}
    assert marked & by_others == set()
    assert marked - by_get == {ACCESS + "ListNamespaces"}


async def test_a_page_of_another_site_reads_no_answer_to_a_get(caller: httpx2.AsyncClient):
    """The request may come (it changes nothing), as to /tasks: the browser keeps its answer from the page."""
    query = {"encoding": "json", "message": "{}"}
    page = {"origin": "https://evil.example", "sec-fetch-site": "cross-site", "user-agent": "Mozilla/5.0"}
    answer = await caller.get(SERVICE + "ListTasks", params=query, headers=page)
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert not [name for name in answer.headers if name.startswith("access-control")]


# -- content types


@pytest.mark.parametrize("rpc", ["GetTask", "WatchExecutions"])
@pytest.mark.parametrize(
    "kind", ["text/plain", "multipart/form-data; boundary=x", "application/grpc", "application/grpc+proto"]
)
async def test_a_content_type_of_neither_protocol(caller: httpx2.AsyncClient, rpc: str, kind: str):
    """415 with the types that there are: also for gRPC itself, which has a port of its own."""
    assert_unsupported(await caller.post(SERVICE + rpc, content=b"{}", headers={"content-type": kind}))


def assert_unsupported(answer: httpx2.Response):
    """415, and which content types there are."""
    assert (answer.status_code, answer.json()["code"]) == (415, "unknown")
    assert "application/grpc-web" in answer.json()["message"]
    assert answer.headers["accept-post"] in answer.json()["message"]


UNDECLARED = ["", FORM, f"{FORM}; charset=utf-8"]


@pytest.mark.parametrize("kind", UNDECLARED)
async def test_a_program_that_declares_no_content_type_sends_json(inside: Live, caller: httpx2.AsyncClient, kind: str):
    """`curl -d '{"name": "x"}' .../GetTask` sends it as a form; what a form would be is no message."""
    await inside.client.register_task(name="task", schedule="@daily", handler=HANDLER)
    headers = {"content-type": kind, "user-agent": "curl/8.5.0"}
    answer = await caller.post(SERVICE + "DisableTask", content=b'{"name": "task"}', headers=headers)
    assert (answer.status_code, answer.json()["name"]) == (200, "task")
    assert answer.headers["content-type"] == "application/json"
    assert not (await inside.client.get_task("task")).enabled
    form = await caller.post(SERVICE + "EnableTask", content=b"name=task", headers=headers)
    assert (form.status_code, form.json()["code"]) == (400, "invalid_argument")
    assert_unsupported(await caller.post(SERVICE + "WatchExecutions", content=b"{}", headers=headers))


@pytest.mark.parametrize("kind", UNDECLARED)
@pytest.mark.parametrize(
    "of_browser",
    [
        {"origin": "http://localhost"},  # a page of this very server: no page of ours sends forms
        {"origin": "http://localhost", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-mode": "no-cors"},
        {"sec-ch-ua": '"Chromium"'},
        {"referer": "http://localhost/docs"},
        {"cookie": "a=b"},
        {"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:60.0) Gecko/20100101 Firefox/60.0"},  # sends none of these
    ],
    ids=" ".join,
)
async def test_a_browsers_form_is_no_call(
    inside: Live, caller: httpx2.AsyncClient, kind: str, of_browser: dict[str, str]
):
    """Pages of any site can send it without a preflight: one mark of a browser is enough, and nothing is changed."""
    await inside.client.register_task(name="task", schedule="@daily", handler=HANDLER)
    headers = {"host": "localhost", "user-agent": "curl/8.5.0", "content-type": kind} | of_browser
    assert_unsupported(await caller.post(SERVICE + "DisableTask", content=b'{"name": "task"}', headers=headers))
    assert (await inside.client.get_task("task")).enabled


@pytest.mark.parametrize("kind", UNDECLARED)
@pytest.mark.parametrize("origin", ["null", "https://evil.example"])
async def test_a_form_of_another_site_is_refused_before(
    inside: Live, caller: httpx2.AsyncClient, kind: str, origin: str
):
    """403, whatever its content type: browsers send Origin with each POST to another site, `null` if they hide it."""
    await inside.client.register_task(name="task", schedule="@daily", handler=HANDLER)
    headers = {"origin": origin, "content-type": kind}
    answer = await caller.post(SERVICE + "DisableTask", content=b'{"name": "task"}', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert (await inside.client.get_task("task")).enabled


# -- pages of browsers


def test_a_page_of_an_allowed_origin(web: httpx2.Client):
    """It may send what the protocols need, and read where gRPC-Web has its errors."""
    page = {"origin": "https://ops.example"}
    wanted = {"access-control-request-method": "POST", "access-control-request-headers": "connect-protocol-version"}
    preflight = web.options(SERVICE + "GetTask", headers=page | wanted)
    assert preflight.headers["access-control-allow-origin"] == "https://ops.example"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    allowed = preflight.headers["access-control-allow-headers"].split(", ")
    assert {"authorization", "content-type", "connect-protocol-version", "connect-timeout-ms"} <= set(allowed)
    assert {"x-grpc-web", "x-user-agent", "grpc-timeout"} <= set(allowed)
    answer = web.post(SERVICE + "GetTask", json={"name": "x"}, headers=page)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (404, "https://ops.example")
    assert {"grpc-status", "grpc-message"} <= set(answer.headers["access-control-expose-headers"].split(", "))
    other = web.options("/tasks", headers=page | wanted)
    assert "connect-protocol-version" not in other.headers["access-control-allow-headers"]


@pytest.mark.parametrize("rpc", ["GetTask", "RunTaskNow", "WatchExecutions"])
def test_a_page_of_another_origin(web: httpx2.Client, rpc: str):
    """It is refused before its body is read, in Connect's form; no answer of its can be read."""
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        answer = web.post(SERVICE + rpc, content=b"{}", headers=JSON | headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
        assert "allowed_origins" in answer.json()["message"]
        assert not [name for name in answer.headers if name.startswith("access-control")]
    preflight = web.options(SERVICE + rpc, headers={"origin": "https://evil.example"})
    assert not [name for name in preflight.headers if name.startswith("access-control")]
    got = web.get(SERVICE + "GetTask", params={"encoding": "json", "message": "{}"}, headers={"host": "evil.example"})
    assert (got.status_code, got.json()["code"]) == (403, "permission_denied")


def test_no_description_has_them(web: httpx2.Client):
    """The description at /openapi.json is of JSON's routes; the contract describes rpcs."""
    assert "schedule.v1" not in json.dumps(list(web.get("/openapi.json").json()["paths"]))
