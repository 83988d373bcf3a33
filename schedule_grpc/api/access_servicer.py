"""The rpcs of AccessService: each reads its request, asks the service of keys, and writes its answer."""

from typing import Any, TypeAlias

import grpc  # noqa: TC002 (the alias below names it as text, and readers look it up here)
from google.protobuf.empty_pb2 import Empty

from schedule_grpc.access.current import current_call
from schedule_grpc.domain.access.namespace import EVERY_HANDLER
from schedule_grpc.domain.paging import Page
from schedule_grpc.formats import protobuf
from schedule_grpc.pb import access_pb2 as pb
from schedule_grpc.pb import access_pb2_grpc
from schedule_grpc.service import Service
from schedule_grpc.service.keys import KeyService
from schedule_grpc.service.namespaces import NamespaceService

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class AccessServicer(access_pb2_grpc.AccessServiceServicer):
    """Methods raise errors as they come: `Methods` answers them as statuses."""

    def __init__(self, keys: KeyService, service: Service) -> None:
        """Take the service of keys, and the whole service."""
        self._keys = keys
        self._service = service

    @property
    def _namespaces(self) -> NamespaceService:
        return self._service.seen_by(current_call().permit())

    async def CreateKey(self, request: pb.CreateKeyRequest, context: Context) -> pb.CreateKeyResponse:
        """See the contract."""
        made = await self._keys.create_key(current_call().caller, protobuf.key_request_from(request))
        return pb.CreateKeyResponse(key=protobuf.key_to(made.key), text=made.text)

    async def ListKeys(self, request: pb.ListKeysRequest, context: Context) -> pb.ListKeysResponse:
        """See the contract."""
        page = Page(size=request.page_size, token=request.page_token)
        return protobuf.key_page_to(
            await self._keys.list_keys(current_call().caller, protobuf.key_filter_from(request), page)
        )

    async def RotateKey(self, request: pb.RotateKeyRequest, context: Context) -> pb.RotateKeyResponse:
        """See the contract."""
        overlap = protobuf.overlap_from(request)
        made = await self._keys.rotate_key(
            current_call().caller, request.name, namespace=request.namespace, overlap=overlap
        )
        return pb.RotateKeyResponse(key=protobuf.key_to(made.key), text=made.text)

    async def RevokeKey(self, request: pb.RevokeKeyRequest, context: Context) -> pb.Key:
        """See the contract."""
        protobuf.check_revocation(request)
        if request.text:
            return protobuf.key_to(await self._keys.revoke_text(current_call().caller, request.text))
        return protobuf.key_to(
            await self._keys.revoke_key(current_call().caller, request.name, namespace=request.namespace)
        )

    async def WhoAmI(self, request: pb.WhoAmIRequest, context: Context) -> pb.WhoAmIResponse:
        """See the contract."""
        return protobuf.identity_to(await self._keys.who_am_i(current_call().caller))

    async def CreateNamespace(self, request: pb.CreateNamespaceRequest, context: Context) -> pb.Namespace:
        """See the contract."""
        return protobuf.namespace_to(
            await self._namespaces.create_namespace(
                request.name,
                handlers=tuple(request.handlers) or (EVERY_HANDLER,),
                limits=protobuf.limits_from(request.limits),
            )
        )

    async def UpdateNamespace(self, request: pb.UpdateNamespaceRequest, context: Context) -> pb.Namespace:
        """See the contract."""
        update = protobuf.namespace_update_from(request)
        return protobuf.namespace_to(
            await self._namespaces.update_namespace(
                update.name, handlers=update.handlers, limits=update.limits, etag=update.etag
            )
        )

    async def ListNamespaces(self, request: pb.ListNamespacesRequest, context: Context) -> pb.ListNamespacesResponse:
        """See the contract."""
        page = Page(size=request.page_size, token=request.page_token)
        return protobuf.namespace_page_to(await self._namespaces.list_namespaces(page))

    async def DeleteNamespace(self, request: pb.DeleteNamespaceRequest, context: Context) -> Empty:
        """See the contract."""
        await self._namespaces.delete_namespace(request.name, etag=request.etag)
        return Empty()

    async def ListAuditEvents(self, request: pb.ListAuditEventsRequest, context: Context) -> pb.ListAuditEventsResponse:
        """See the contract."""
        page = Page(size=request.page_size, token=request.page_token)
        service = self._service.seen_by(current_call().permit(request.namespace))
        return protobuf.audit_page_to(await service.audit_events(protobuf.audit_filter_from(request), page))
