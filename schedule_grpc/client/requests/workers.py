"""The rpc that lists workers; the others of its service are called by workers."""

from schedule_grpc.client.call import Call
from schedule_grpc.domain.offers import WorkerInfo
from schedule_grpc.formats import protobuf
from schedule_grpc.formats.protobuf import request_of
from schedule_grpc.pb import worker_pb2 as pb


def list_workers(handler: str = "") -> Call[tuple[WorkerInfo, ...]]:
    """Return the workers that run executions of the namespace, the newest session first; at most 1,000.

    Those that live, and those whose sessions ended within 24 hours; if ``handler`` is given, only those that offer it.
    """
    return Call(
        rpc="ListWorkers", request=request_of(pb.ListWorkersRequest, handler=handler), read=protobuf.workers_from
    )
