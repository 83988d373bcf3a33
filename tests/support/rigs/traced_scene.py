"""A server and a worker, both processes, that send what they do to a receiver."""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.servers.collector import Collector, Span, collecting
from support.servers.process import Server, serving
from support.servers.worker_process import WorkerProcess, worker

QUICK = {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_METRIC_EXPORT_INTERVAL": "300"}
"""Milliseconds after which spans and metrics are sent: a test waits for them."""


@dataclass
class Scene:
    """A traced server with HTTP, its worker, and their receiver."""

    collector: Collector
    server: Server
    worker: WorkerProcess

    async def arrived(self, name: str, *, of: str, count: int = 1) -> list[Span]:
        """Return the spans of a name in a trace once there are so many."""
        found: list[Span] = []

        def are_there() -> bool:
            found[:] = [span for span in self.collector.spans if (span.name, span.trace_id) == (name, of)]
            return len(found) >= count

        await asyncio.to_thread(self.collector.until, are_there)
        assert len(found) == count
        return sorted(found, key=lambda span: span.start_ns)

    async def one(self, name: str, *, of: str) -> Span:
        """Return the only span of a name in a trace once it is there."""
        [span] = await self.arrived(name, of=of)
        return span


@dataclass(frozen=True)
class CallersSpan:
    """The span of a caller that has a tracer of its own."""

    trace_id: str
    span_id: str
    sampled: bool = True

    @property
    def traceparent(self) -> str:
        """Its ids in W3C's form."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"


def callers_span(*, sampled: bool = True) -> CallersSpan:
    """Return a span that no other caller has."""
    return CallersSpan(secrets.token_hex(16), secrets.token_hex(8), sampled)


@contextmanager
def traced_scene(folder: Path) -> Iterator[Scene]:
    """Within this context they run: the server sends by HTTP, the worker, which offers ``far.relay``, by gRPC."""
    (folder / "worker").mkdir()
    allowed = {"SCHEDULE_HTTP_REQUEST__ALLOW_PRIVATE_HOSTS": "127.0.0.1"}
    with collecting() as collector:
        by_http = {"SCHEDULE_OTEL__ENDPOINT": f"http://127.0.0.1:{collector.http_port}"}
        by_grpc = {
            "SCHEDULE_OTEL__ENDPOINT": f"http://127.0.0.1:{collector.grpc_port}",
            "SCHEDULE_OTEL__PROTOCOL": "grpc",
        }
        told: dict[str, Any] = {"handlers": "support.handlers.traced", **QUICK, **by_http, **allowed}
        with serving(folder, "--http", "127.0.0.1:0", **told) as server:
            far = {**QUICK, **by_grpc, "TRACED_SERVER": server.address}
            with worker(server.address, module="support.handlers.far", folder=folder / "worker", **far) as made:
                yield Scene(collector, server, made)
