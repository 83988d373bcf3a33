"""Every rpc of a server, over one channel: the rpcs of all services have different names."""

from collections.abc import Callable, Mapping
from typing import Any

import grpc

from schedule_grpc.pb import access_pb2, access_pb2_grpc, schedule_pb2, schedule_pb2_grpc, worker_pb2, worker_pb2_grpc

SERVICES = (
    schedule_pb2.DESCRIPTOR.services_by_name["ScheduleService"],
    access_pb2.DESCRIPTOR.services_by_name["AccessService"],
    worker_pb2.DESCRIPTOR.services_by_name["WorkerService"],
)
OF_WORKERS = frozenset({"RegisterWorker", "Pull", "Report", "UnregisterWorker"})
"""Rpcs that workers call: clients have no methods for them."""


def rpcs_over(channel: grpc.Channel | grpc.aio.Channel) -> Mapping[str, Callable[..., Any]]:
    """Return every rpc by its name."""
    stubs: tuple[Any, ...] = (
        schedule_pb2_grpc.ScheduleServiceStub(channel),
        access_pb2_grpc.AccessServiceStub(channel),
        worker_pb2_grpc.WorkerServiceStub(channel),
    )
    return {method: getattr(stub, method) for stub in stubs for method in vars(stub)}
