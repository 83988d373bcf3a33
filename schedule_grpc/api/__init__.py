"""The interfaces of a server: gRPC, and HTTP, whose code is loaded later."""

from schedule_grpc.api.grpc_server import GrpcServer
from schedule_grpc.api.http_interface import HttpInterface

__all__ = ["GrpcServer", "HttpInterface"]
