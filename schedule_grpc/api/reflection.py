"""Reflection, v1 and v1alpha: clients such as grpcurl ask by it which services there are, and what they take.

grpcio-reflection's servicer has v1alpha only, and reads Python's descriptor pool (`api/descriptors.py` says what that
lacks). Its messages serve both versions, which differ by the package's name alone.
"""

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection_pb2

from schedule_grpc.api.descriptors import V1, V1ALPHA, Descriptors, served
from schedule_grpc.api.methods import Methods

SERVICES = (f"{V1}.ServerReflection", f"{V1ALPHA}.ServerReflection")
"""Newer clients ask the first one, and the second one if there is no first."""
Response = reflection_pb2.ServerReflectionResponse


class Reflection:
    """Answers what the services of a server are."""

    def __init__(self, services: Sequence[str]) -> None:
        """Take the full names of the services that are listed; reflection's own are added."""
        self._services = sorted((*services, *SERVICES))

    def add_to(self, methods: Methods) -> None:
        """Add both versions to a server."""
        handler = grpc.stream_stream_rpc_method_handler(
            self.answers,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=Response.SerializeToString,
        )
        for service in SERVICES:
            methods.add_registered_method_handlers(service, {"ServerReflectionInfo": handler})

    async def answers(self, requests: AsyncIterable[Any], _context: Any) -> AsyncIterator[Any]:
        """Yield one answer to each request of the stream."""
        async for request in requests:
            answer = self._answer(request)
            answer.valid_host = request.host
            answer.original_request.CopyFrom(request)
            yield answer

    def _answer(self, request: Any) -> Any:
        descriptors = served()
        match request.WhichOneof("message_request"):
            case "list_services":
                return Response(list_services_response={"service": [{"name": name} for name in self._services]})
            case "file_by_filename":
                return _files(descriptors, request.file_by_filename, f"File not found: {request.file_by_filename}")
            case "file_containing_symbol":
                symbol = request.file_containing_symbol
                return _files(descriptors, descriptors.file_of_symbol.get(symbol), f"Symbol not found: {symbol}")
            case "all_extension_numbers_of_type":
                return _no_extensions(descriptors, request.all_extension_numbers_of_type)
            case "file_containing_extension":
                return _not_found("No message has extensions")
            case _:
                return _error(grpc.StatusCode.INVALID_ARGUMENT, "The request asks nothing")


def _files(descriptors: Descriptors, name: str | None, missing: str) -> Any:
    found = () if name is None else descriptors.with_dependencies(name)
    return Response(file_descriptor_response={"file_descriptor_proto": found}) if found else _not_found(missing)


def _no_extensions(descriptors: Descriptors, message: str) -> Any:
    if message not in descriptors.messages:
        return _not_found(f"Message not found: {message}")
    return Response(all_extension_numbers_response={"base_type_name": message})


def _not_found(message: str) -> Any:
    return _error(grpc.StatusCode.NOT_FOUND, message)


def _error(code: grpc.StatusCode, message: str) -> Any:
    return Response(error_response={"error_code": code.value[0], "error_message": message})
