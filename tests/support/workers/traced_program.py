"""A program with a worker and an OpenTelemetry provider of its own: `python -m support.workers.traced_program`."""

import asyncio
import sys

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from schedule_grpc import TaskContext, handler
from schedule_grpc.worker import Worker


@handler("own")
async def own(_: TaskContext) -> None:
    """Do nothing."""


def main(server: str, endpoint: str) -> None:
    """Run the worker; an empty line says that it is registered."""
    provider = TracerProvider(resource=Resource.create({"service.name": "a program"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")))
    trace.set_tracer_provider(provider)
    worker = Worker(server, handlers=[own], traces=True)
    asyncio.run(worker.run(ready=lambda: print(flush=True)))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
