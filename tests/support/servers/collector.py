"""A receiver of OTLP on real sockets, by gRPC and by HTTP, that keeps what it is sent.

Also a program, to look at traces without any other: `python -m support.servers.collector --http 4318 --grpc 4317`
prints each span and each metric that arrives as a line of JSON.
"""

import argparse
import contextlib
import gzip
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from support.patience import AT_MOST


@dataclass(frozen=True)
class Span:
    """A span that arrived."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    """Empty: it is a root."""
    kind: str
    failed: bool
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    links: list[str]
    """Trace ids."""
    resource: dict[str, Any]

    @property
    def service(self) -> str:
        """The service that sent it."""
        return str(self.resource["service.name"])


@dataclass
class Collector:
    """What has arrived so far."""

    spans: list[Span] = field(default_factory=list)
    metrics: dict[str, Metric] = field(default_factory=dict)
    """The newest value of each, by name."""
    headers: list[dict[str, str]] = field(default_factory=list)
    """Those of each request."""
    http_port: int = 0
    grpc_port: int = 0
    on_span: Callable[[Span], None] = lambda _: None
    on_metric: Callable[[Metric], None] = lambda _: None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def take_traces(self, request: Any) -> None:
        """Keep spans."""
        with self._changed:
            for one in request.resource_spans:
                resource = _values(one.resource.attributes)
                for scoped in one.scope_spans:
                    for message in scoped.spans:
                        span = _span(message, resource)
                        self.spans.append(span)
                        self.on_span(span)
            self._changed.notify_all()

    def take_metrics(self, request: Any) -> None:
        """Keep metrics."""
        with self._changed:
            for one in request.resource_metrics:
                for scoped in one.scope_metrics:
                    for metric in scoped.metrics:
                        self.metrics[metric.name] = metric
                        self.on_metric(metric)
            self._changed.notify_all()

    def until(self, is_there: Callable[[], object]) -> None:
        """Wait until something has arrived; in a thread of its own where an event loop must go on."""
        with self._changed:
            assert self._changed.wait_for(is_there, AT_MOST), f"arrived: {[span.name for span in self.spans]}"

    def named(self, name: str) -> list[Span]:
        """Return the spans of a name, in the order of their starts."""
        with self._changed:
            return sorted((span for span in self.spans if span.name == name), key=lambda span: span.start_ns)

    def one(self, name: str) -> Span:
        """Return the only span of a name."""
        [span] = self.named(name)
        return span


@contextmanager
def collecting(http_port: int = 0, grpc_port: int = 0) -> Iterator[Collector]:
    """Within this context a receiver listens; port 0 takes a free one."""
    collector = Collector()
    http = ThreadingHTTPServer(("127.0.0.1", http_port), _handler_of(collector))
    serving = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    serving.start()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Traces(collector), server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(_Metrics(collector), server)
    collector.http_port, collector.grpc_port = http.server_port, server.add_insecure_port(f"127.0.0.1:{grpc_port}")
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()
        http.shutdown()
        http.server_close()


class _Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 (gRPC names it)
        self._collector.headers.append(dict(context.invocation_metadata()))
        self._collector.take_traces(request)
        return trace_service_pb2.ExportTraceServiceResponse()


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 (gRPC names it)
        self._collector.headers.append(dict(context.invocation_metadata()))
        self._collector.take_metrics(request)
        return metrics_service_pb2.ExportMetricsServiceResponse()


def _handler_of(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            collector.headers.append({name.lower(): value for name, value in self.headers.items()})
            if self.path == "/v1/traces":
                collector.take_traces(trace_service_pb2.ExportTraceServiceRequest.FromString(body))
            else:
                collector.take_metrics(metrics_service_pb2.ExportMetricsServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def _span(message: SpanMessage, resource: dict[str, Any]) -> Span:
    return Span(
        name=message.name,
        trace_id=message.trace_id.hex(),
        span_id=message.span_id.hex(),
        parent_id=message.parent_span_id.hex(),
        kind=SpanMessage.SpanKind.Name(message.kind).removeprefix("SPAN_KIND_"),
        failed=message.status.code == 2,
        start_ns=message.start_time_unix_nano,
        end_ns=message.end_time_unix_nano,
        attributes=_values(message.attributes),
        links=[link.trace_id.hex() for link in message.links],
        resource=resource,
    )


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs if isinstance(pair, KeyValue)}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return None if kind is None else getattr(value, kind)


def main() -> None:
    """Print what arrives until interrupted."""
    parser = argparse.ArgumentParser(description="Receive OTLP, and print each span as a line of JSON")
    parser.add_argument("--http", type=int, default=4318, help="the port of OTLP over HTTP")
    parser.add_argument("--grpc", type=int, default=4317, help="the port of OTLP over gRPC")
    parser.add_argument("--metrics", action="store_true", help="print the names of metrics, too")
    chosen = parser.parse_args()

    def show(span: Span) -> None:
        sys.stdout.write(json.dumps(vars(span)) + "\n")
        sys.stdout.flush()

    with collecting(chosen.http, chosen.grpc) as collector, contextlib.suppress(KeyboardInterrupt):
        collector.on_span = show
        if chosen.metrics:
            collector.on_metric = lambda metric: print(json.dumps({"metric": metric.name}), flush=True)  # noqa: T201
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main()
