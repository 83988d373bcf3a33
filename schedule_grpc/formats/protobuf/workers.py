"""Workers between our values and the contract's messages."""

from collections.abc import Iterable

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.offers import WorkerInfo
from schedule_grpc.formats.protobuf.values import instant_from, instant_to
from schedule_grpc.pb import worker_pb2 as pb


def worker_to(worker: WorkerInfo) -> pb.Worker:
    """Return a worker's message."""
    return pb.Worker(
        id=worker.id,
        name=worker.name,
        version=worker.version,
        handlers=worker.handlers,
        slots=worker.slots,
        running=worker.running,
        labels=worker.labels,
        start_time=instant_to(worker.start_time),
        seen_time=instant_to(worker.seen_time),
        draining=worker.draining,
        end_time=None if worker.end_time is None else instant_to(worker.end_time),
        namespace=worker.namespace,
        registered_by=worker.registered_by,
    )


def worker_from(message: pb.Worker) -> WorkerInfo:
    """Return the worker of a server's message."""
    return WorkerInfo(
        id=message.id,
        name=message.name,
        version=message.version,
        handlers=tuple(message.handlers),
        slots=message.slots,
        running=message.running,
        labels=dict(message.labels),
        start_time=instant_from(message.start_time),
        seen_time=instant_from(message.seen_time),
        draining=message.draining,
        end_time=instant_from(message.end_time) if message.HasField("end_time") else None,
        namespace=message.namespace or DEFAULT_NAMESPACE,
        registered_by=message.registered_by,
    )


def workers_to(workers: Iterable[WorkerInfo]) -> pb.ListWorkersResponse:
    """Return the answer of ListWorkers."""
    return pb.ListWorkersResponse(workers=map(worker_to, workers))


def workers_from(message: pb.ListWorkersResponse) -> tuple[WorkerInfo, ...]:
    """Return the workers of a ListWorkers answer."""
    return tuple(map(worker_from, message.workers))
