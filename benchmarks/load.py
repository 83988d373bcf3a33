"""Calls of one kind, many in flight, from a process of their own.

``python -m benchmarks.load ADDRESS CALL SECONDS RUN [PROOF]``: the file PROOF holds, as JSON, what the driver shows to
the server: ``token``; ``ca``, ``certificate`` and ``key``, the names of files.

The driver sends messages made beforehand where they are alike and never parses an answer, so that it costs less than
the server; its share of a core is among the figures.
"""

import asyncio
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message

from schedule_grpc.pb import schedule_pb2 as pb

IN_FLIGHT = 64
FILES = ("ca", "key", "certificate")
"""Of a proof, in the order in which gRPC takes them."""
SERVICE = "/schedule.v1.ScheduleService/"
REQUESTS: Mapping[str, Callable[[int, int, str], Message]] = {
    "GetTask": lambda caller, _number, _run: pb.GetTaskRequest(name=task_name(caller)),
    "ListTasks": lambda _caller, _number, _run: pb.ListTasksRequest(page_size=100),
    "ListTasks apart": lambda caller, _number, _run: pb.ListTasksRequest(page_size=100, **filters(caller)),
    "RegisterTask": lambda caller, number, run: registration(f"z-new-{run}-{caller}-{number}"),
    "RunTaskNow": lambda caller, _number, _run: pb.RunTaskNowRequest(name=task_name(caller)),
}
"""The request by who calls, for which time, in which run; the first word of its key is the rpc."""


def rpc_of(call: str) -> str:
    """Return the rpc of a call."""
    return call.partition(" ")[0]


def filters(caller: int) -> dict[str, Any]:
    """Return filters that all tasks match; 24 callers have different ones, so a reading serves three at most."""
    wider, prefix = divmod(caller % 24, 6)
    chosen: dict[str, Any] = {"name_prefix": "task-"[:prefix]}
    if wider & 1:
        chosen["enabled"] = True
    if wider & 2:
        chosen["handler"] = "nothing"
    return chosen


def task_name(number: int) -> str:
    """Return the name of one of the tasks that are asked for."""
    return f"task-{number:03}"


def registration(name: str) -> pb.RegisterTaskRequest:
    """Return what registers a task as teams have them: a cron expression, a payload, a description."""
    request = pb.RegisterTaskRequest(
        name=name, schedule="30 4 * * 1-5", handler="nothing", time_zone="Europe/Berlin", description="Nightly report"
    )
    request.payload.update({"team": "reporting", "limit": 100})
    return request


def channel_to(address: str, proof: Mapping[str, str]) -> grpc.aio.Channel:
    """Return a channel, encrypted if the proof names an authority."""
    if "ca" not in proof:
        return grpc.aio.insecure_channel(address)
    ca, key, certificate = (Path(proof[name]).read_bytes() if name in proof else None for name in FILES)
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(ca, key, certificate))


async def call_for(address: str, call: str, seconds: float, run: str, proof: Mapping[str, str]) -> dict[str, float]:
    """Keep `IN_FLIGHT` calls in flight for that long; return the figures."""
    make, took = REQUESTS[call], list[float]()
    metadata = (("authorization", f"Bearer {proof['token']}"),) if "token" in proof else None
    async with channel_to(address, proof) as channel:
        rpc = channel.unary_unary(SERVICE + rpc_of(call))
        stub = partial(rpc, metadata=metadata)
        await stub(make(0, -1, run).SerializeToString())  # it connects
        used, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()

        async def keep_calling(caller: int) -> None:
            number = 0
            while (sent := time.perf_counter()) < began + seconds:
                await stub(make(caller, number, run).SerializeToString())
                took.append(time.perf_counter() - sent)
                number += 1

        await asyncio.gather(*(keep_calling(caller) for caller in range(IN_FLIGHT)))
        spent, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    took.sort()
    return {
        "calls": len(took) + 1,
        "calls/s": len(took) / spent,
        "p50 ms": statistics.median(took) * 1e3,
        "p99 ms": took[int(len(took) * 0.99)] * 1e3,
        "driver, cores": (after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime) / spent,
    }


if __name__ == "__main__":
    at, which, lasts, number, *files = sys.argv[1:]
    shown = {name: value for file in files for name, value in json.loads(Path(file).read_text()).items()}
    print(json.dumps(asyncio.run(call_for(at, which, float(lasts), number, shown))))
