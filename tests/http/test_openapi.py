"""The description at /openapi.json: schemathesis asks every operation for what it says, and for what it does not."""

import os
import subprocess
import sys
from pathlib import Path

import httpx2

from schedule_grpc.api.http.server_routes import INFORMATION

SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "8")
"""Of each operation; a long run has some hundred."""
LEFT_OUT = (
    # Rules between fields and values (an end after its start, a known handler, no overlap) are no part of a schema.
    "positive_data_acceptance",
    # A deleted task's history stays readable.
    "use_after_free",
)


def test_every_operation_does_what_the_description_says(http_server: str, tmp_path: Path):
    """Statuses, types, schemas, no 5xx: the stream of events apart, which does not end by itself."""
    asked = [SCHEMATHESIS, "run", f"http://{http_server}/openapi.json", "--exclude-path", "/events"]
    kinds = ["--phases", "coverage,fuzzing", "--max-examples", EXAMPLES, "--generation-deterministic", "--no-color"]
    checks = ["--exclude-checks", ",".join(LEFT_OUT), "--request-timeout", "20", "--suppress-health-check", "all"]
    done = subprocess.run([*asked, *kinds, *checks], capture_output=True, text=True, check=False, cwd=tmp_path)
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Tested: 21" in done.stdout


def test_every_route_is_described(web: httpx2.Client):
    """And the root names no other."""
    paths = web.get("/openapi.json").json()["paths"]
    described = {f"{method.upper()} {path}" for path, item in paths.items() for method in item}
    named = [each for each in INFORMATION["endpoints"].values() if isinstance(each, str)]
    named += INFORMATION["endpoints"]["tasks"].values()
    undescribed = {"GET /openapi.json", "GET /docs"}  # of the description itself
    assert set(named) - undescribed <= described
    assert len(described) == 22
