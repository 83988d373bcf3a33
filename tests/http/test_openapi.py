"""The description at /openapi.json: schemathesis asks every operation for what it says, and for what it does not."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from support.machine.wall_clock import quiet
from support.patience import AT_MOST
from support.servers import keyed_run
from support.servers.process import serving

from schedule_grpc.api.http.server_routes import INFORMATION

SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "8" if os.environ.get("FAULTS") == "long" else "4")
"""Of each operation; a long run has some hundred."""
LEFT_OUT = (
    # Rules between fields and values (an end after its start, a known handler, no overlap) are no part of a schema.
    "positive_data_acceptance",
    # A deleted task's history stays readable.
    "use_after_free",
)


@pytest.mark.keyless  # it would revoke the key that it calls with
@pytest.mark.slow
def test_every_operation_does_what_the_description_says(tmp_path: Path):
    """Statuses, types, schemas, no 5xx: the stream of events apart, which does not end by itself.

    Of a server of its own, for it deletes and changes what other tests rely on.
    """
    with serving(tmp_path, "--http", "127.0.0.1:0", "--init", **quiet()) as server:
        done = asked_everything(f"http://{server.http_address}", tmp_path)
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Tested: 34" in done.stdout


def asked_everything(address: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Let schemathesis ask a server; the description is read for it, for which it has 10 s and no more."""
    description = folder / "openapi.json"
    description.write_text(httpx2.get(f"{address}/openapi.json", timeout=AT_MOST, trust_env=False).text)
    asked = [SCHEMATHESIS, "run", str(description), "--url", address, "--exclude-path", "/events"]
    kinds = ["--phases", "coverage,fuzzing", "--max-examples", EXAMPLES, "--generation-deterministic", "--no-color"]
    checks = [
        "--exclude-checks",
        ",".join(LEFT_OUT),
        "--request-timeout",
        str(AT_MOST),
        "--suppress-health-check",
        "all",
    ]
    headers = [f"--header={name}: {value}" for name, value in keyed_run.bearer(address).items()]
    return subprocess.run([*asked, *kinds, *checks, *headers], capture_output=True, text=True, check=False, cwd=folder)


@pytest.mark.keyless
async def test_every_body_that_the_description_shows_is_accepted(caller: httpx2.AsyncClient):
    """As it is: what /docs offers to be sent is no refusal."""
    description = (await caller.get("/openapi.json")).json()
    sent = set()
    for path, method, example in sorted(
        shown_bodies(description), key=lambda shown: (shown[0] != "/tasks", "{id}" in shown[0])
    ):
        place = path.replace("{name}", "custom-task")
        if "{id}" in path:
            place = path.replace("{id}", (await caller.get("/executions")).json()["executions"][0]["id"])
        answer = await caller.request(method.upper(), place, json=example)
        of_keys = path.startswith("/keys")  # no caller without a key is handed one: tests/http/test_keys.py
        assert answer.status_code == (403 if of_keys else 200), (path, answer.text)
        sent.add(path)
        await caller.post("/tasks/custom-task/enable")
    assert len(sent) == 9


def shown_bodies(description: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Return path, method and example of every operation that takes a body."""
    for path, item in description["paths"].items():
        for method, operation in item.items():
            if "requestBody" in operation:
                schema = operation["requestBody"]["content"]["application/json"]["schema"]
                name = schema.get("anyOf", [schema])[0]["$ref"].rpartition("/")[2]
                yield path, method, description["components"]["schemas"][name]["examples"][0]


def test_only_answers_that_there_are_are_described(web: httpx2.Client):
    """FastAPI's own refusal, 422 in an envelope of its own, is none; every refusal is the same envelope."""
    told = web.get("/openapi.json").json()
    assert not {"HTTPValidationError", "ValidationError"} & told["components"]["schemas"].keys()
    for path, item in told["paths"].items():
        for method, operation in item.items():
            refusals = {status: each for status, each in operation["responses"].items() if status >= "400"}
            assert "422" not in refusals
            assert ("415" in refusals) == (method in ("post", "patch", "delete")), path
            for status, each in refusals.items():
                name = each["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                assert name in ("Refusal", "RunRefusal") or (path, status) in {("/health", "503"), ("/readyz", "503")}


def test_every_route_is_described(web: httpx2.Client):
    """And the root names no other."""
    paths = web.get("/openapi.json").json()["paths"]
    described = {f"{method.upper()} {path}" for path, item in paths.items() for method in item}
    named = [each for each in INFORMATION["endpoints"].values() if isinstance(each, str)]
    named += INFORMATION["endpoints"]["tasks"].values()
    undescribed = {"GET /openapi.json", "GET /docs"}  # of the description itself
    assert set(named) - undescribed <= described
    assert len(described) == 35
