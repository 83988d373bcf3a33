"""health-check-services over real services: each that is down, slow or wrong is told for itself."""

import time
from pathlib import Path
from typing import Any

import pytest
from support.rigs.builtin_handler import attempt, context

from schedule_grpc import builtin
from schedule_grpc.bindings import Environment
from schedule_grpc.runtime.clock import SystemClock

WRONG = "wr0ng-w0rd"
LIMIT_MS = 1500


async def checked(bindings: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], str | None]:
    """Run the health check over bindings, by the real clock; return what it found of each, and its error."""
    clock = SystemClock()
    env = Environment(bindings, clock=clock)
    ctx = context("health-check-services", {"timeout_ms": LIMIT_MS}, clock=clock, names=env.names, ping=env.ping)
    fate = await attempt(builtin.health_check_services, ctx)
    await env.aclose()
    return {result["service"]: result for result in fate.result["results"]}, fate.error


async def test_one_that_is_down_and_slow_ones_each_have_their_own_time(
    tmp_path: Path, ai, redis, relay, postgres, postgres_database: str
):
    """All are asked at once: the slow ones take their whole limit, together, and nobody else's time has it in it."""
    closed, silent = await relay(postgres.socket), await relay(postgres.socket)
    await closed.close()
    silent.hold()
    ai.answer = lambda service, *_: (200 if service.released.wait(60) else 500, {})
    began = time.perf_counter()
    found, error = await checked(
        {
            "DB": f"sqlite:///{tmp_path}/platform.db",
            "AI": ai.url,
            "QUEUE": f"redis://127.0.0.1:{redis.connection_pool.connection_kwargs['port']}/0",
            "CLOSED": f"postgresql://postgres@127.0.0.1:{closed.port}/{postgres_database}",
            "SILENT": f"postgresql://postgres@127.0.0.1:{silent.port}/{postgres_database}",
        }
    )
    took = time.perf_counter() - began
    silent.go_on()
    assert error == "Some services are down"
    down = {name for name, result in found.items() if result["status"] == "down"}
    assert down == {"AI", "SILENT", "CLOSED"}
    assert found["AI"]["error"] == found["SILENT"]["error"] == f"no answer in {LIMIT_MS} ms"
    assert "refused" in found["CLOSED"]["error"]
    assert all(found[name]["responseTime"] >= LIMIT_MS - 1 for name in ("AI", "SILENT"))
    assert all(found[name]["responseTime"] < LIMIT_MS for name in ("DB", "QUEUE", "CLOSED"))
    assert took < 2 * LIMIT_MS / 1000 + 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((500, {"error": {"message": "overloaded"}}), "AI: answered 500 Internal Server Error: overloaded"),
        ((200, b"<html>"), "AI: answered something else than JSON"),
        ((200, {"models": []}), "AI: answered something else than a list of models"),
    ],
)
async def test_an_ai_that_answers_wrongly_is_down(ai, answer: tuple[int, Any], error: str):
    """With what it said."""
    ai.answer = lambda *_: answer
    found, failed = await checked({"AI": ai.url})
    assert (found["AI"]["status"], found["AI"]["error"], failed) == ("down", error, "Some services are down")
    assert {found[name]["status"] for name in ("DB", "QUEUE")} == {"unconfigured"}


async def test_a_wrong_password_is_nowhere_in_the_result(relay, postgres, postgres_database: str, capsys):
    """Neither in the recorded result nor in the error nor in the log."""
    way = await relay(postgres.socket)
    found, _ = await checked({"DB": f"postgresql://locked:{WRONG}@127.0.0.1:{way.port}/{postgres_database}"})
    assert found["DB"]["error"] == 'DB: password authentication failed for user "locked"'
    told = capsys.readouterr()
    assert WRONG not in repr(found) + told.out + told.err
