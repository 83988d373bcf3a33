"""GET /tasks/{name}."""

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from benchmarks.database import Database
from benchmarks.measure import Bench, Figures, Headline, Measure, Sides
from benchmarks.processes import Process, peer, result_of, server
from schedule_grpc.domain.task import define

TASK = "nightly"


@contextmanager
def http(bench: Bench) -> Iterator[Sides]:
    """GET /tasks/{name}, 16 kept connections, beside a bare FastAPI route on uvicorn that answers the same bytes.

    The peer's route takes the name from the path and renders the same body as JSON, from memory; same versions, same
    uvicorn settings, no access log. One driver, a process of its own, asks both in turn. The ratio is the price of the
    guard, the service and a read of the database over FastAPI itself.
    """
    seconds = bench.sized("seconds", full=4.0, quick=1.0, tiny=0.1)
    Database.file(bench.folder).register([define(name=TASK, schedule="30 4 * * 1-5", handler="nothing")])
    with server(bench.folder, http="127.0.0.1:0") as ours:
        with urllib.request.urlopen(f"http://{ours.http_address}/tasks/{TASK}") as answer:
            body = bench.folder / "body.json"
            body.write_bytes(answer.read())
        with peer("bare_http", str(body), folder=bench.folder) as bare:
            sides = {"server": (ours, ours.http_address), "fastapi": (bare, bare.address)}
            yield {name: partial(_driven, bench, process, at, seconds) for name, (process, at) in sides.items()}


def _driven(bench: Bench, process: Process, address: str, seconds: float) -> Figures:
    used = process.cpu()
    figures = result_of("http_load", address, f"/tasks/{TASK}", str(seconds), folder=bench.folder)
    return figures | {"CPU µs each": (process.cpu() - used) / figures.pop("requests") * 1e6}


HTTP = Measure(
    name="http",
    sides=http,
    headlines=(
        Headline(
            says="of a bare FastAPI route's rate",
            figure="server: requests/s",
            over="fastapi: requests/s",
            goal=">= 0.6",
        ),
        Headline(says="times its CPU", figure="server: CPU µs each", over="fastapi: CPU µs each"),
    ),
)
