"""Connect and gRPC-Web: the rpcs of the contract for callers that have fetch and no HTTP/2 frames."""

from schedule_grpc.api.http.connect.calls import Shared
from schedule_grpc.api.http.connect.refusals import answer_to_rpc
from schedule_grpc.api.http.connect.routes import ADMISSION_KEY, rpc_routes

__all__ = ["ADMISSION_KEY", "Shared", "answer_to_rpc", "rpc_routes"]
