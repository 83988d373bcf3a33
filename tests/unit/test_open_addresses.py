"""Addresses that were opened to others on purpose: the log says so each hour."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.rigs.rig import START

from schedule_grpc.access.authenticator import Mode
from schedule_grpc.app.open_addresses import EVERY, keep_warning
from schedule_grpc.settings.config import Settings
from schedule_grpc.testing import FakeClock

MADE_SAFE = {"mode": "required", "behind_tls_proxy": True}


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ({"grpc": "127.0.0.1:1,unix:/run/a.sock"}, ()),
        ({"grpc": "0.0.0.0:1,127.0.0.1:1"}, ("grpc: 0.0.0.0:1",)),
        ({"http": {"address": "[::]:2"}, "grpc": "10.0.0.1:1"}, ("grpc: 10.0.0.1:1", "http: [::]:2")),
        ({"grpc": "0.0.0.0:1", "auth": {"mode": "required"}}, ("grpc: 0.0.0.0:1",)),
        ({"grpc": "0.0.0.0:1", "auth": MADE_SAFE}, ()),
    ],
)
def test_open_are_those_that_others_reach_without_proof_or_tls(told: dict[str, Any], found: tuple[str, ...]):
    """With keys, too, where they pass in the clear."""
    assert Settings(insecure_bind=True, **told).open_addresses == found


async def test_the_log_warns_at_the_start_and_each_hour():
    """With the mode as it is then."""
    clock = FakeClock(START)
    modes = [Mode.OFF]
    with capture_logs() as lines:
        warning = asyncio.create_task(keep_warning(["grpc: 0.0.0.0:1"], lambda: modes[-1], clock))
        await clock.advance(EVERY - 1)
        assert len(lines) == 1
        modes.append(Mode.REQUIRED)
        await clock.advance(1)
        await clock.advance(EVERY)
        warning.cancel()
    line = {"event": "auth.insecure_bind", "log_level": "warning", "addresses": ["grpc: 0.0.0.0:1"]}
    assert lines == [line | {"mode": mode} for mode in ("off", "required", "required")]
