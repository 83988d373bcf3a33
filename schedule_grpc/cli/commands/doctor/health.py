"""A health check of a server by grpc.health.v1, which AsyncClient does not speak."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from schedule_grpc.cli.connection import Caller
from schedule_grpc.client.call import failure
from schedule_grpc.client.channel import route
from schedule_grpc.pb import schedule_pb2

SERVICE = schedule_pb2.DESCRIPTOR.services_by_name["ScheduleService"].full_name


async def serving(call: Caller, *, deadline: float) -> str:
    """Return the status of the server's service, SERVING or another of the protocol, within ``deadline`` seconds.

    Raises:
        ScheduleError: if the call fails; Unavailable if no server answers.
        ValueError, OSError: if the address, the key or the certificate cannot be used.
    """
    way = route(call.server, tls=call.tls(), token=call.token, token_file=call.token_file, attempts=1)
    if way.credentials is None:
        channel = grpc.aio.insecure_channel(way.address, options=way.options)
    else:
        channel = grpc.aio.secure_channel(way.address, way.credentials, options=way.options)
    async with channel:
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        try:
            response = await health_pb2_grpc.HealthStub(channel).Check(
                request, timeout=deadline, metadata=way.metadata()
            )
        except grpc.RpcError as error:
            raise failure(error, closed=False) from None
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))
