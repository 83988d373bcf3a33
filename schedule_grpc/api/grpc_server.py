"""The gRPC server: our service, health and reflection."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from schedule_grpc.access.gate import Gate
from schedule_grpc.api.access_servicer import AccessServicer
from schedule_grpc.api.call_spans import Answered
from schedule_grpc.api.listener_way import way_of
from schedule_grpc.api.methods import Methods
from schedule_grpc.api.reflection import Reflection
from schedule_grpc.api.servicer import ScheduleServicer
from schedule_grpc.api.worker_servicer import WorkerServicer
from schedule_grpc.dispatch import Workers
from schedule_grpc.errors import CannotStart
from schedule_grpc.pb import access_pb2, access_pb2_grpc, schedule_pb2, schedule_pb2_grpc, worker_pb2, worker_pb2_grpc
from schedule_grpc.runtime import forks
from schedule_grpc.runtime.certificates import ReloadedCertificates
from schedule_grpc.runtime.listeners import Bound, Listener
from schedule_grpc.service import Service
from schedule_grpc.service.keys import KeyService
from schedule_grpc.tracing import Tracer

SERVICE = schedule_pb2.DESCRIPTOR.services_by_name["ScheduleService"].full_name
ACCESS = access_pb2.DESCRIPTOR.services_by_name["AccessService"].full_name
WORKERS = worker_pb2.DESCRIPTOR.services_by_name["WorkerService"].full_name
MAX_REQUEST_BYTES = 1024 * 1024
MOST_STREAMS = 5000
"""Concurrent calls of one connection, waiting runs and watches included; further calls are answered UNAVAILABLE."""
KEEPALIVE_MS = 30_000

_OPTIONS = (
    # Without this a second server on the port would silently take half of the calls.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    # Calls that arrive faster than they are accepted wait. By default gRPC rejects calls at random above 1,000 pending
    # ones, with CANCELLED, which callers cannot tell from a cancellation of their own.
    ("grpc.server.max_pending_requests", 50_000),
    ("grpc.server.max_pending_requests_hard_limit", 100_000),
    # Without this the server accepts each stream of a client that opens streams and resets them at once: twenty
    # thousand in a tenth of a second took 250 MB. (A lower limit of pending requests, above, would reject calls of
    # other connections too.)
    ("grpc.max_concurrent_streams", MOST_STREAMS),
    # A watch or a waiting run may send nothing for hours: proxies and firewalls cut connections that are idle for a
    # minute, and a client that vanished would be kept. (The interval of the pings: below.)
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    # A client that pings every ten seconds is no attacker.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


class GrpcServer:
    """Serves one Service on all its listeners.

    Each listener has a gRPC server of its own: a call does not tell by which of its server's listeners it came.
    """

    def __init__(
        self,
        service: Service | None,
        *,
        keys: KeyService | None = None,
        workers: Workers | None = None,
        answered: Answered = lambda *_: None,
        gate: Gate | None = None,
        keepalive_ms: int = KEEPALIVE_MS,
        connection_age: timedelta | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        """Take a service.

        Args:
            service: The service that answers calls; None: the server answers health checks only.
            keys: The service that answers calls about keys; None: there are none.
            workers: The dispatch that answers workers' calls; None: there is none.
            answered: Called with the method and the status of each call.
            gate: Admits calls; None: all are admitted.
            keepalive_ms: Milliseconds after which the server pings an idle connection.
            connection_age: The age, give or take a tenth, at which a connection is asked to take no new calls
                (GOAWAY): its client makes another one, and no call fails; those in progress end on the old one. None:
                never.
            tracer: Makes spans of calls and of attempts; None: there are none.
        """
        self._options = (*_OPTIONS, ("grpc.keepalive_time_ms", keepalive_ms), *_renewal(connection_age))
        self._answered = answered
        self._gate = gate
        self._tracer = tracer
        self._servicer = None if service is None else ScheduleServicer(service)
        self._health = health.aio.HealthServicer()
        self._access: AccessServicer | None = None
        if keys is not None and service is not None:
            self._access = AccessServicer(keys, service)
        self._workers = None if workers is None or service is None else WorkerServicer(workers, service, tracer)
        served = {SERVICE: self._servicer, ACCESS: self._access, WORKERS: self._workers}
        self.servicers = {name: servicer for name, servicer in served.items() if servicer is not None}
        """By the full name of the service; HTTP answers Connect and gRPC-Web by the same."""
        names = tuple(self.servicers)
        self._healthy = ("", *names)
        self._reflection = Reflection((health.SERVICE_NAME, *names))
        self._servers: list[grpc.aio.Server] = []
        self._places: list[int | str] = []

    async def start(self, listeners: Sequence[Listener]) -> tuple[Bound, ...]:
        """Listen and answer; return the bound addresses (port 0 takes a free one). Health is NOT_SERVING at first.

        Raises:
            CannotStart: if the server cannot listen on one of them, or no rule says who may call one of its methods.
        """
        addresses = tuple(map(self._listen, listeners))
        for server in self._servers:
            await server.start()
        await self.set_serving(serving=False)
        return addresses

    def _listen(self, listener: Listener) -> Bound:
        server = self._made(listener)
        try:
            with listener.claimed():
                port = _add_port(server, listener)
        except (RuntimeError, OSError) as error:
            reason = "the port is in use, or the address is not this machine's"
            if listener.path is not None:
                reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise CannotStart(f"grpc: cannot listen on {listener.address}: {reason}") from error
        place = port if listener.path is None else str(listener.path)
        forks.keep_place(place)
        self._places.append(place)
        return listener.bound_to(port)

    def _made(self, listener: Listener) -> grpc.aio.Server:
        server = grpc.aio.server(options=self._options)
        # Generated code expects a server.
        methods: Any = Methods(server, self._answered, self._gate, way_of(listener), tracer=self._tracer)
        self._servers.append(server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, methods)
        if listener.health_only:
            return server
        if self._servicer is not None:
            schedule_pb2_grpc.add_ScheduleServiceServicer_to_server(self._servicer, methods)
        if self._access is not None:
            access_pb2_grpc.add_AccessServiceServicer_to_server(self._access, methods)
        if self._workers is not None:
            worker_pb2_grpc.add_WorkerServiceServicer_to_server(self._workers, methods)
        self._reflection.add_to(methods)
        return server

    async def set_serving(self, *, serving: bool) -> None:
        """Set the answer to health checks, of the whole server and of the service."""
        response = health_pb2.HealthCheckResponse
        status = response.SERVING if serving else response.NOT_SERVING
        for name in self._healthy:
            await self._health.set(name, status)

    async def stop(self, grace: float) -> None:
        """Accept no more calls, and give the calls in progress ``grace`` seconds."""
        await self._health.enter_graceful_shutdown()
        await asyncio.gather(*(server.stop(grace) for server in self._servers))
        for place in self._places:
            forks.forget_place(place)


def _renewal(connection_age: timedelta | None) -> Iterator[tuple[str, int]]:
    """Yield the options that let a connection grow so old; it is not cut while calls are in progress on it."""
    if connection_age is not None:
        yield "grpc.max_connection_age_ms", max(1, connection_age // timedelta(milliseconds=1))


def _configuration(certificates: ReloadedCertificates) -> grpc.ServerCertificateConfiguration:
    newest = certificates.newest()
    return grpc.ssl_server_certificate_configuration(
        [(newest.key, newest.certificate)], root_certificates=newest.client_ca
    )


def _add_port(server: grpc.aio.Server, listener: Listener) -> int:
    certificates = listener.certificates
    if certificates is None:
        return server.add_insecure_port(listener.address)
    credentials = grpc.dynamic_ssl_server_credentials(
        _configuration(certificates),
        lambda: _configuration(certificates),  # at each connection
        require_client_authentication=certificates.asks_for_client_certificate,
    )
    return server.add_secure_port(listener.address, credentials)
