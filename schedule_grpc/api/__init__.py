"""The interfaces of a server: gRPC."""

from schedule_grpc.api.grpc_server import GrpcServer

__all__ = ["GrpcServer"]
