"""Registers new tasks in batches, from a process of its own: `python -m benchmarks.register ADDRESS COUNT`."""

import json
import sys
import time
from itertools import islice

import grpc

from benchmarks.load import SERVICE, registration
from benchmarks.measures.cron_burst import different_crons
from schedule_grpc.pb import schedule_pb2 as pb
from schedule_grpc.runtime.clock import EPOCH

TOGETHER = 1_000
"""Tasks in a call, the most that one takes."""


def requests(count: int) -> list[bytes]:
    """Return the calls that register that many tasks."""
    schedules = [definition.schedule.text for definition in islice(different_crons(EPOCH), min(count, 40_000))]
    made = []
    for first in range(0, count, TOGETHER):
        call = pb.BatchRegisterTasksRequest()
        for number in range(first, min(first + TOGETHER, count)):
            request = registration(f"batch-{number}")
            request.schedule = schedules[number % len(schedules)]
            call.requests.append(request)
        made.append(call.SerializeToString())
    return made


def main(address: str, count: int) -> None:
    """Register and print the figures."""
    made = requests(count)
    with grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)]) as channel:
        register = channel.unary_unary(f"{SERVICE}BatchRegisterTasks")
        began = time.perf_counter()
        for request in made:
            register(request)
        spent = time.perf_counter() - began
    print(json.dumps({"tasks/s": count / spent}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
