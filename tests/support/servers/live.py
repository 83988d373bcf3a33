"""A whole server on a free port, and how tests ask it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status
from support.machine.wall_clock import QuietClock
from support.patience import calling
from support.servers import keyed_run

from schedule_grpc import app
from schedule_grpc.client import AsyncClient
from schedule_grpc.pb import schedule_pb2 as pb
from schedule_grpc.pb import schedule_pb2_grpc
from schedule_grpc.settings.config import Settings

HANDLER = "cleanup-expired-sessions"
Code = grpc.StatusCode


@dataclass(kw_only=True)
class Live:
    """A server that answers, its parts, and two ways to call it."""

    parts: app.Parts
    client: AsyncClient
    stub: "schedule_pb2_grpc.ScheduleServiceAsyncStub"


@asynccontextmanager
async def serving(database: Path, **settings: Any) -> AsyncIterator[Live]:
    """Run a whole server with its engine; it speaks HTTP only where the settings say so."""
    told = {
        "http": "off",
        "grpc": "127.0.0.1:0",
        "handlers": ["support.handlers.ordinary"],
        "drain_timeout": timedelta(0),
    }
    file = keyed_run.new_file()
    if keyed_run.is_on:
        told["auth"] = {"mode": "required", "bootstrap_key_file": file}
    whole = Settings(database=f"sqlite:///{database}", **(told | settings))
    clock = QuietClock()
    async with app.running(whole, clock=clock) as parts:
        keyed_run.learn(str(database), file, parts.address, parts.http_address)
        assert not keyed_run.is_on or "auth" in settings or keyed_run.key_for(parts.address)
        engine = asyncio.create_task(parts.engine.run())
        await app._until_begun(parts, engine, asyncio.Event(), clock)
        async with calling(parts.address) as client, grpc.aio.insecure_channel(parts.address) as channel:
            yield Live(parts=parts, client=client, stub=schedule_pb2_grpc.ScheduleServiceStub(channel))
        parts.workers.drain()
        parts.engine.stop()
        await engine


async def refused(call: Any) -> tuple[Code, str, dict[str, str], dict[str, str]]:
    """Return a refusal's code, reason, metadata, and violations by field."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(caught.value)
    assert status is not None
    info, bad_request = ErrorInfo(), BadRequest()
    for detail in status.details:
        assert detail.Unpack(info) or detail.Unpack(bad_request)
    assert info.domain == "schedule.v1"
    violations = {violation.field: violation.description for violation in bad_request.field_violations}
    return caught.value.code(), info.reason, dict(info.metadata), violations


def asked(**changes: Any) -> pb.RegisterTaskRequest:
    """Return a request that would be accepted, but for the changes."""
    return pb.RegisterTaskRequest(**({"name": "task", "schedule": "@daily", "handler": HANDLER} | changes))


def struct(value: dict[str, Any]) -> Struct:
    """Return a Struct."""
    made = Struct()
    made.update(value)
    return made
