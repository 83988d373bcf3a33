"""A server that asks everybody for a key, and browsers before it."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from support.callers.page_reader import HOST, Reader
from support.rigs.rig import Rig

from schedule_grpc.access.authenticator import Authenticator, CallerPolicy
from schedule_grpc.access.gate import Gate
from schedule_grpc.access.key_ring import KeyRing
from schedule_grpc.access.rules import RULES
from schedule_grpc.access.sessions import Sessions
from schedule_grpc.api import GrpcServer
from schedule_grpc.api.http import Access, Guard, application
from schedule_grpc.api.ui.dashboard import Dashboard, Shown
from schedule_grpc.api.ui.pages import add_pages
from schedule_grpc.domain.access.caller import EVERYTHING, Caller
from schedule_grpc.domain.access.keys import KeyRequest
from schedule_grpc.service.keys import KeyService

ROOT = Caller(name="key:root", grants=EVERYTHING)


@dataclass(kw_only=True)
class Door:
    """A server that asks everybody for a key, as soon as there is one."""

    rig: Rig
    keys: KeyService
    ring: KeyRing
    guard: Guard
    troubles: list[str]

    async def key(self, name: str, *grants: str) -> str:
        """Return the text of a new key with these grants."""
        return (await self.keys.create_key(ROOT, KeyRequest(name=name, grants=grants))).text

    def reader(self, scheme: str = "http") -> Reader:
        """Return a new browser."""
        return Reader(app=self.guard, until_done=self.rig.until_done, scheme=scheme)

    async def logged_in(self, *grants: str, scheme: str = "http") -> Reader:
        """Return a browser that has logged in with the new key ``people``."""
        return await self.reader_with_key("people", *grants, scheme=scheme)

    async def reader_with_key(self, name: str, *grants: str, scheme: str = "http") -> Reader:
        """Return a browser that has logged in with a new key."""
        reader = self.reader(scheme)
        answer = await reader.post("/ui/login", {"key": await self.key(name, *grants)})
        assert answer.status == 200, answer.text
        return reader


def door_of(rig: Rig) -> Door:
    """Return a server on a rig's database that asks everybody for a key; it has read no keys yet."""
    ring = KeyRing(rig.store, rig.clock)
    keys = KeyService(store=rig.store, clock=rig.clock, changed=ring.refresh)
    gate = Gate(Authenticator(CallerPolicy(), ring, rig.clock), RULES, rig.clock)
    sessions = Sessions(rig.store, rig.clock)
    troubles: list[str] = []
    dashboard = Dashboard(
        clock=rig.clock,
        sessions=sessions,
        gate=gate,
        shown=Shown(version="v17.4"),
        facts=lambda: {"database": "sqlite:///tasks.db"},
        troubles=lambda: troubles,
    )
    app = application(
        rig.service,
        registry=CollectorRegistry(),
        troubles=lambda: troubles,
        unready=list,
        clock=rig.clock,
        keys=keys,
        servicers=GrpcServer(rig.service, keys=keys, gate=gate).servicers,
        pages=lambda made, service: add_pages(made, service, dashboard),
    )
    access = Access(hosts=frozenset({HOST}))
    guard = Guard(app, access=access, clock=rig.clock, answered=lambda *_: None, gate=gate, sessions=sessions)
    return Door(rig=rig, keys=keys, ring=ring, guard=guard, troubles=troubles)
