"""Unary calls, 64 in flight."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count

import grpc

from benchmarks.database import Database
from benchmarks.load import IN_FLIGHT, REQUESTS, SERVICE, rpc_of, task_name
from benchmarks.measure import Bench, Figures, Headline, Measure, Sides
from benchmarks.processes import Process, peer, result_of, server
from schedule_grpc.domain.task import define

GOALS = {
    "GetTask": ">= 0.65",
    "ListTasks": ">= 0.5",
    "ListTasks apart": "",
    "RegisterTask": ">= 0.42",
    "RunTaskNow": ">= 0.38",
}
TASKS = 128


@contextmanager
def calls(bench: Bench) -> Iterator[Sides]:
    """GetTask, ListTasks of 100, RegisterTask (new ones), RunTaskNow (until it has ended), 64 in flight.

    ListTasks is called twice: by callers that ask for one page, which share a reading, and "apart", with 24 different
    filters, so that few do.

    Beside each call, in turn, a bare grpc.aio server that parses the same request and answers the message that the
    service answered, from memory: the limit of any such server in Python. One driver, a process of its own, calls both;
    "calls/s" is its count, "CPU µs each" what the server's process uses. "driver, cores" near 1 says that the driver
    was the limit, and that the ratio flatters; the ratio of CPU does not depend on it.
    """
    seconds = bench.sized("seconds a call", full=5.0, quick=0.5, tiny=0.1)
    runs = count()
    Database.file(bench.folder).register(
        [define(name=task_name(number), schedule="30 4 * * 1-5", handler="nothing") for number in range(TASKS)]
    )
    with server(bench.folder) as ours, echo(ours, bench) as bare:

        def driven(process: Process, call: str) -> Figures:
            used = process.cpu()
            arguments = (process.address, call, str(seconds), str(next(runs)))
            figures = result_of("load", *arguments, folder=bench.folder)
            return figures | {"CPU µs each": (process.cpu() - used) / figures.pop("calls") * 1e6}

        sides = {}
        for call in REQUESTS:
            sides[call] = partial(driven, ours, call)
            sides[f"{call} echo"] = partial(driven, bare, call)
        yield sides


@contextmanager
def echo(ours: Process, bench: Bench) -> Iterator[Process]:
    """Within this context a bare server answers what the service answers."""
    answers = {}
    with grpc.insecure_channel(ours.address) as channel:
        for call, make in REQUESTS.items():
            stub = channel.unary_unary(SERVICE + rpc_of(call))
            answers[rpc_of(call)] = stub(make(IN_FLIGHT, 0, "sample").SerializeToString()).hex()
    file = bench.folder / "answers.json"
    file.write_text(json.dumps(answers))
    with peer("echo", str(file), folder=bench.folder) as bare:
        yield bare


LINES = tuple(
    line
    for call, goal in GOALS.items()
    for line in (
        Headline(
            says=f"{call}, of the echo's rate", figure=f"{call}: calls/s", over=f"{call} echo: calls/s", goal=goal
        ),
        Headline(
            says=f"{call}, times the echo's CPU",
            figure=f"{call}: CPU µs each",
            over=f"{call} echo: CPU µs each",
        ),
    )
)
CALLS = Measure(name="calls", sides=calls, headlines=LINES)
