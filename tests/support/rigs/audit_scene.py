"""What tests of the audit log have in common: a caller that is audited, and what the log says."""

from typing import Any

from support.rigs.rig import Rig

from schedule_grpc.domain.access.audit import AuditEvent, AuditFilter, ChainReport
from schedule_grpc.domain.access.caller import Caller
from schedule_grpc.domain.access.grant import read_grants
from schedule_grpc.domain.access.permit import Permit
from schedule_grpc.domain.access.scope import Scope
from schedule_grpc.domain.registration import Registration
from schedule_grpc.domain.task import define
from schedule_grpc.service import Service
from schedule_grpc.store import Store
from schedule_grpc.store.operations.audit import check_chains

CALLER = Caller(
    name="key:ci", grants=read_grants(["admin@*"]), key_id="0a1B2c3D", peer="ipv4:10.0.0.1:5", agent="curl/8"
)


def as_caller(rig: Rig, caller: Caller = CALLER) -> Service:
    """Return the service as a caller uses it."""
    return rig.service.seen_by(Permit(caller, "default", Scope.ADMIN))


def registration(name: str = "task", **changes: Any) -> Registration:
    """Return a registration of a task that runs by hand only."""
    return Registration(definition=define(**{"name": name, "schedule": "@manual", "handler": "fate"} | changes))


async def logged(store: Store, chosen: AuditFilter | None = None) -> list[AuditEvent]:
    """Return the rows of the log, oldest first."""
    return list(reversed(await store.list_audit(chosen or AuditFilter(), limit=1000)))


async def reports(store: Store) -> tuple[ChainReport, ...]:
    """Return what a check of the log finds."""
    return await store._database.read(check_chains)
