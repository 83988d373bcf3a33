"""Clients for other services: one method per rpc, our values and our errors, never protobuf.

`Client` waits in threads, `AsyncClient` in an event loop; both have the same methods, made of the same functions (see
`requests`)::

    with Client("127.0.0.1:50051") as client:
        client.register_task(name="report", schedule="@daily", handler="send-report")
        for task in client.tasks():
            print(task.name, task.next_run_time)

    async with AsyncClient("schedule.example:443", tls=Tls(), token=token) as client:
        async with client.watch_executions("report") as events:
            async for event in events:
                print(event)
"""

from schedule_grpc.client.asynchronous import AsyncClient, AsyncWatch
from schedule_grpc.client.blocking import Client, Watch
from schedule_grpc.client.channel import Tls
from schedule_grpc.client.responses import RunResult

__all__ = ["AsyncClient", "AsyncWatch", "Client", "RunResult", "Tls", "Watch"]
