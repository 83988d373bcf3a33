"""RunTaskNow, one call after the other: `python -m benchmarks.one_by_one ADDRESS TASK COUNT`."""

import asyncio
import json
import statistics
import sys
import time

import grpc

from schedule_grpc.pb import schedule_pb2 as pb
from schedule_grpc.pb import schedule_pb2_grpc

WARMING = 20
"""Calls before those that are measured."""


async def call(address: str, task: str, count: int) -> dict[str, float]:
    """Return the figures of that many calls."""
    took: list[float] = []
    async with grpc.aio.insecure_channel(address) as channel:
        stub = schedule_pb2_grpc.ScheduleServiceStub(channel)
        for _ in range(WARMING + count):
            sent = time.perf_counter()
            answer = await stub.RunTaskNow(pb.RunTaskNowRequest(name=task))
            took.append(time.perf_counter() - sent)
            assert answer.success, answer
    took = sorted(took[WARMING:])
    return {"p50 ms": statistics.median(took) * 1e3, "p99 ms": took[int(len(took) * 0.99)] * 1e3}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(call(sys.argv[1], sys.argv[2], int(sys.argv[3])))))
