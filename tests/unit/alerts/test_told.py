"""From a failing task to whoever is told, through a whole server, and over its restart."""

import asyncio
import json
from pathlib import Path

import pytest
from support.servers.webhook import Receiver

from schedule_grpc import app
from schedule_grpc.alerts import read_secret
from schedule_grpc.domain.execution import State
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.registration import Registration
from schedule_grpc.domain.retry import RetryPolicy
from schedule_grpc.domain.task import define
from schedule_grpc.errors import ConfigurationError
from schedule_grpc.runtime.clock import SystemClock
from schedule_grpc.settings.config import AlertSettings, Settings, load


def told_by(tmp_path: Path, alerts: AlertSettings) -> Settings:
    """Return what a server needs to tell of alerts."""
    return Settings(
        database=f"sqlite:///{tmp_path}/s.db",
        grpc="127.0.0.1:0",
        http="off",
        handlers=["support.handlers.ordinary"],
        alerts=alerts,
    )


async def test_a_failing_task_is_told_once_and_its_recovery_too(tmp_path: Path, receiver: Receiver):
    """The first server's target does not take the failure; the next server tells it, and then the end."""
    (tmp_path / "secret").write_bytes(b"shared\n")
    alerts = AlertSettings(urls=[receiver.url], secret_file=tmp_path / "secret")
    settings = Settings(
        database=f"sqlite:///{tmp_path}/s.db",
        grpc="127.0.0.1:0",
        http="off",
        handlers=["support.handlers.ordinary"],
        alerts=alerts,
    )
    policy = Policy(alert_after=1, retry=RetryPolicy(max_retries=0))
    for answer, handler, messages in ((500, "fail", 1), (204, "steps", 3)):
        receiver.answer = answer
        stopping = asyncio.Event()
        async with app.running(settings, clock=SystemClock()) as parts:
            running = [
                asyncio.create_task(parts.engine.run()),
                asyncio.create_task(parts.sender.run(parts.hub, stopping)),
            ]
            definition = define(name="task", schedule="@manual", handler=handler, policy=policy)
            await parts.service.register(Registration(definition=definition))
            await parts.service.run_now("task")
            while len(receiver.got) < messages:  # noqa: ASYNC110 (what it counts arrives on another thread)
                await asyncio.sleep(0.01)
            stopping.set()
            parts.engine.stop()
            await asyncio.gather(*running)
    told = [json.loads(body) for _, body in receiver.got]
    assert [each["type"] for each in told] == ["alert.started", "alert.started", "alert.ended"]
    assert {each["data"]["title"] for each in told} == {"Task task failed", "Resolved: Task task failed"}
    assert receiver.got[0][0]["webhook-id"] == receiver.got[1][0]["webhook-id"]


@pytest.mark.parametrize("handler", ["steps", "fail"])
async def test_no_task_waits_for_a_target_that_does_not_answer(tmp_path: Path, receiver: Receiver, handler: str):
    """While the message is held, the task runs again, and ends as it would have; so does the server."""
    receiver.released.clear()
    alerts = AlertSettings(urls=[receiver.url, "http://127.0.0.1:1/nobody"])
    settings = Settings(
        database=f"sqlite:///{tmp_path}/s.db",
        grpc="127.0.0.1:0",
        http="off",
        handlers=["support.handlers.ordinary"],
        alerts=alerts,
    )
    policy = Policy(alert_after=1, retry=RetryPolicy(max_retries=0))
    stopping = asyncio.Event()
    async with app.running(settings, clock=SystemClock()) as parts:
        running = [
            asyncio.create_task(parts.engine.run()),
            asyncio.create_task(parts.sender.run(parts.hub, stopping)),
        ]
        for name, does in (("failing", "fail"), ("other", handler)):
            definition = define(name=name, schedule="@manual", handler=does, policy=policy)
            await parts.service.register(Registration(definition=definition))
        await parts.service.run_now("failing")
        await asyncio.to_thread(receiver.came.wait, 10)
        ended = await parts.service.run_now("other")
        assert ended.state is (State.FAILED if handler == "fail" else State.SUCCEEDED)
        stopping.set()
        parts.engine.stop()
        await asyncio.gather(*running)
        assert len(receiver.got) == 1
        receiver.released.set()


def test_a_secret_that_cannot_be_read_is_a_wrong_configuration(tmp_path: Path, monkeypatch):
    """Said at the start."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "schedule.toml").write_text('[alerts]\nsecret_file = "missing"\n')
    with pytest.raises(ConfigurationError, match=r"alerts\.secret_file: .*missing"):
        read_secret(load({}).alerts.secret_file)


def test_an_unknown_key_of_the_alerts_is_refused(tmp_path: Path, monkeypatch):
    """With a misspelt one nobody would be told."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "schedule.toml").write_text('[alerts]\nurl = ["https://example.com"]\n')
    with pytest.raises(ConfigurationError, match=r"alerts\.url: unknown key; did you mean urls"):
        load({})
