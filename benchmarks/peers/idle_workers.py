"""Workers that wait, each with a connection of its own: `python -m benchmarks.peers.idle_workers ADDRESS COUNT`.

They keep the rules of workers that hold nothing: register, and pull again and again. The first line of output is the
address, once all have registered.
"""

import asyncio
import sys

import grpc
from google.protobuf.duration_pb2 import Duration

from schedule_grpc.pb import worker_pb2 as pb
from schedule_grpc.pb import worker_pb2_grpc

OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


async def wait(address: str, number: int, registered: "asyncio.Barrier") -> None:
    """Register a worker, and pull until the process is ended."""
    async with grpc.aio.insecure_channel(address, options=OWN_CONNECTION) as channel:
        stub = worker_pb2_grpc.WorkerServiceStub(channel)
        offered = [pb.OfferedHandler(name="nothing")]
        request = pb.RegisterWorkerRequest(name=f"idle-{number}", protocol=1, slots=8, handlers=offered)
        session = (await stub.RegisterWorker(request)).session_id
        await registered.wait()
        while True:
            await stub.Pull(pb.PullRequest(session_id=session, capacity=8, wait=Duration(seconds=20)))


async def main(address: str, count: int) -> None:
    """Keep that many workers waiting."""
    registered = asyncio.Barrier(count + 1)
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(wait(address, number, registered))
        await registered.wait()
        print(address, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
