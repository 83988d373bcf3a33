"""The rpcs of WorkerService: each reads its request, asks the dispatch, and writes its answer."""

from typing import Any, TypeAlias

import grpc  # noqa: TC002 (the alias below names it as text, and readers look it up here)

from schedule_grpc.access.current import current_call
from schedule_grpc.api import worker_calls as calls
from schedule_grpc.dispatch import Workers
from schedule_grpc.domain.access.grant import ALL
from schedule_grpc.domain.access.scope import Scope
from schedule_grpc.errors import PermissionDenied
from schedule_grpc.formats import protobuf
from schedule_grpc.pb import worker_pb2 as pb
from schedule_grpc.pb import worker_pb2_grpc
from schedule_grpc.service import Service
from schedule_grpc.tracing import Tracer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class WorkerServicer(worker_pb2_grpc.WorkerServiceServicer):
    """Methods raise errors as they come: `Methods` answers them as statuses."""

    def __init__(self, workers: Workers, service: Service, tracer: Tracer | None = None) -> None:
        """Take the dispatch, the service that lists workers, and the tracer of attempts."""
        self._tracer = tracer
        self._workers = workers
        self._service = service

    async def RegisterWorker(self, request: pb.RegisterWorkerRequest, context: Context) -> pb.RegisterWorkerResponse:
        """See the contract."""
        wanted = calls.worker_registration_from(request, _namespace(request.namespace))
        return calls.registered_worker_to(await self._workers.register(current_call().caller, wanted))

    async def Pull(self, request: pb.PullRequest, context: Context) -> pb.PullResponse:
        """See the contract."""
        pulled = await self._workers.pull(current_call().caller, calls.pull_from(request))
        return calls.pulled_to(pulled, self._tracer)

    async def Report(self, request: pb.ReportRequest, context: Context) -> pb.ReportResponse:
        """See the contract."""
        updates = calls.updates_from(request)
        return calls.judged_to(await self._workers.report(current_call().caller, request.session_id, updates))

    async def UnregisterWorker(
        self, request: pb.UnregisterWorkerRequest, context: Context
    ) -> pb.UnregisterWorkerResponse:
        """See the contract."""
        await self._workers.unregister(current_call().caller, request.session_id)
        return pb.UnregisterWorkerResponse()

    async def ListWorkers(self, request: pb.ListWorkersRequest, context: Context) -> pb.ListWorkersResponse:
        """See the contract."""
        service = self._service.seen_by(current_call().permit(protobuf.namespace_asked(request)))
        return pb.ListWorkersResponse(workers=map(protobuf.worker_to, await service.workers(request.handler)))


def _namespace(asked: str) -> str:
    """Return the namespace that a worker serves.

    Raises:
        PermissionDenied: if it asks for all of them, and the caller's grants do not.
        InvalidArgument: if it is no namespace's name.
    """
    if asked != ALL:
        return current_call().permit(asked).namespace
    if not current_call().caller.reaches(Scope.WORKER, ALL):
        raise PermissionDenied(Scope.WORKER, ALL)
    return ALL
