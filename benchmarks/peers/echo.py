"""A bare grpc.aio server that parses each request and answers one message: `python -m benchmarks.peers.echo FILE`.

The file holds the answers as JSON, the bytes in hex by the call's name. The messages are the service's own; nothing
else is.
"""

import asyncio
import json
import sys
from pathlib import Path

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from schedule_grpc.pb import schedule_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["ScheduleService"]


def answering(call: str, answer: bytes) -> grpc.RpcMethodHandler:
    """Return what answers a call with one message, which is serialized each time."""
    method = SERVICE.methods_by_name[call]
    response = GetMessageClass(method.output_type).FromString(answer)

    async def answered(_request: Message, _context: grpc.aio.ServicerContext) -> Message:
        return response

    return grpc.unary_unary_rpc_method_handler(
        answered,
        request_deserializer=GetMessageClass(method.input_type).FromString,
        response_serializer=GetMessageClass(method.output_type).SerializeToString,
    )


async def serve(answers: dict[str, str]) -> None:
    """Serve until the process is ended."""
    server = grpc.aio.server()
    handlers = {call: answering(call, bytes.fromhex(answer)) for call, answer in answers.items()}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE.full_name, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(Path(sys.argv[1]).read_text())))
