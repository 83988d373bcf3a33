"""A server, of gRPC and HTTP, that answers calls about keys and namespaces, for the caller that a test names."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from support.patience import calling
from support.rigs.rig import START

from schedule_grpc.access.authenticator import Authenticator, CallerPolicy, Mode
from schedule_grpc.access.credentials import Credentials
from schedule_grpc.access.gate import Gate
from schedule_grpc.access.key_ring import KeyRing
from schedule_grpc.access.proven import Proven
from schedule_grpc.access.rules import RULES
from schedule_grpc.api import GrpcServer, HttpInterface
from schedule_grpc.client import AsyncClient
from schedule_grpc.domain.access.caller import Caller
from schedule_grpc.domain.access.grant import read_grants
from schedule_grpc.events import Hub
from schedule_grpc.handlers import Registry
from schedule_grpc.runtime.listeners import Listener
from schedule_grpc.service import Service
from schedule_grpc.service.keys import KeyService
from schedule_grpc.store import Store, open_store
from schedule_grpc.testing import FakeClock


def caller(*grants: str, key_id: str = "") -> Caller:
    """Return a caller with a key that has these grants."""
    return Caller(name="key:maker", grants=read_grants(grants), key_id=key_id)


class Whoever:
    """Takes every call for that of one caller."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    async def prove(self, _credentials: Credentials) -> Proven:
        """Return the caller."""
        return Proven(self.caller)


@dataclass(kw_only=True)
class Keyed:
    """The server's parts; whoever calls is ``caller``."""

    store: Store
    clock: FakeClock
    whoever: Whoever
    address: str
    http_address: str
    client: AsyncClient

    @property
    def caller(self) -> Caller:
        """The caller of every call."""
        return self.whoever.caller

    @caller.setter
    def caller(self, caller: Caller) -> None:
        self.whoever.caller = caller


@asynccontextmanager
async def serving_keys(place: Path | str) -> AsyncIterator[Keyed]:
    """Serve AccessService on a free port, and a clock that stands still; the caller may do everything at first."""
    hub = Hub()
    store = await open_store(place, hub)
    clock = FakeClock(START)
    whoever = Whoever(caller("admin@*"))
    authenticator = Authenticator(CallerPolicy(mode=Mode.REQUIRED), KeyRing(store, clock), clock, provers=[whoever])
    gate = Gate(authenticator, RULES, clock)
    keys = KeyService(store=store, clock=clock)
    server = GrpcServer(Service(store=store, clock=clock, hub=Hub(), registry=Registry(())), keys=keys, gate=gate)

    def make(http: Any) -> Any:
        app = http.application(None, registry=CollectorRegistry(), troubles=list, unready=list, clock=clock, keys=keys)
        access = http.Access(hosts=frozenset(), origins=frozenset())
        guard = http.Guard(app, access=access, clock=clock, answered=lambda *_: None, gate=gate)
        return http.HttpServer(guard, grace=0)

    interface = HttpInterface([Listener(address="127.0.0.1:0")], make)
    try:
        await interface.answer()
        (bound,) = await server.start([Listener(address="127.0.0.1:0")])
        async with calling(bound.address) as client:
            yield Keyed(
                store=store,
                clock=clock,
                whoever=whoever,
                address=bound.address,
                http_address=interface.addresses[0].address,
                client=client,
            )
    finally:
        await interface.close()
        await server.stop(0)
        await store.close()
