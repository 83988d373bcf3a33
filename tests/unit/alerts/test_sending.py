"""Alerts on their way: what a webhook is sent, and what becomes of a message that nobody takes."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from support.rigs.rig import START
from support.servers.http_server import http_server
from support.servers.webhook import Receiver

from schedule_grpc.alerts import Sender, messages_of, open_targets
from schedule_grpc.domain.condition import Alert, Phase
from schedule_grpc.errors import BindingError, ConfigurationError, DatabaseUnavailable
from schedule_grpc.events import AlertsChanged, Hub
from schedule_grpc.testing import FakeClock


def alert(phase: Phase = Phase.STARTED, **changes) -> Alert:
    """Return an alert of a task."""
    told = {"task_uid": "u1", "namespace": "default", "task_name": "backup", "key": "failing"}
    told |= {"title": "It failed", "body": "why"}
    end_time = START + timedelta(minutes=5) if phase is Phase.ENDED else None
    return Alert(**(told | {"phase": phase, "start_time": START, "end_time": end_time} | changes))


class States:
    """What is to be told, in a list."""

    def __init__(self, *alerts: Alert) -> None:
        self.untold = list(alerts)
        self.away = False

    async def unsent_alerts(self) -> tuple[Alert, ...]:
        """Return them."""
        if self.away:
            raise DatabaseUnavailable("away")
        return tuple(self.untold)

    async def mark_alert_sent(self, alert: Alert) -> None:
        """Strike it off, or its start only, as the store does."""
        if alert not in self.untold:
            return
        self.untold.remove(alert)
        if alert.phase is Phase.STARTED and alert.end_time is not None:
            self.untold.append(replace(alert, phase=Phase.ENDED))


class Target:
    """Takes messages, or not."""

    name = "target"

    def __init__(self) -> None:
        self.got: list[str] = []
        self.refuses: Exception | None = None
        self.released = asyncio.Event()
        self.released.set()
        self.tries = 0

    async def send(self, message) -> None:
        """Keep it, unless it refuses; while it is not released, say nothing."""
        self.tries += 1
        await self.released.wait()
        if self.refuses is not None:
            raise self.refuses
        self.got.append(f"{message.type} {message.title}")

    async def aclose(self) -> None:
        """Nothing to do."""


async def test_a_webhook_gets_signed_json(receiver: Receiver):
    """As https://www.standardwebhooks.com says: id, timestamp, and a signature over both and the body."""
    clock = FakeClock(START)
    (target,) = open_targets([receiver.url], secret=b"shared", clock=clock)
    states = States(alert(), alert(Phase.ENDED))
    await Sender(states=states, targets=[target], clock=clock).send_all()
    await target.aclose()
    assert states.untold == []
    (first, body), (_, ended) = receiver.got
    assert json.loads(body) == {
        "type": "alert.started",
        "timestamp": "2026-01-31T10:00:00.000Z",
        "data": {
            "namespace": "default",
            "task": "backup",
            "key": "failing",
            "title": "It failed",
            "body": "why",
            "startTime": "2026-01-31T10:00:00.000Z",
        },
    }
    assert json.loads(ended)["type"] == "alert.ended"
    assert json.loads(ended)["timestamp"] == "2026-01-31T10:05:00.000Z"
    signed = f"{first['webhook-id']}.{first['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(b"shared", signed, hashlib.sha256).digest()).decode()
    assert first["webhook-signature"] == f"v1,{expected}"
    assert first["webhook-timestamp"] == str(int(START.timestamp()))


@pytest.mark.parametrize("answer", [302, 400, 500])
async def test_a_webhook_that_does_not_take_it_is_no_success(receiver: Receiver, answer: int):
    """And the error tells neither path nor query of its URL."""
    receiver.answer = answer
    (target,) = open_targets([receiver.url], secret=None, clock=FakeClock(START))
    states = States(alert())
    sender = Sender(states=states, targets=[target], clock=FakeClock(START))
    assert await sender.send_all() == START + timedelta(seconds=10)
    with pytest.raises(BindingError) as caught:
        await target.send(_message())
    assert str(answer) in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "t0p" not in str(caught.value)
    await target.aclose()


def _message():
    (message,) = messages_of(alert())
    return message


async def test_a_webhook_that_is_away_is_an_error_of_ours():
    """Nobody listens there."""
    (target,) = open_targets(["http://127.0.0.1:1/x"], secret=None, clock=FakeClock(START))
    with pytest.raises(BindingError, match=r"http://127\.0\.0\.1: ConnectError"):
        await target.send(_message())
    await target.aclose()


async def test_a_target_that_is_down_is_tried_again_and_the_others_are_not():
    """After 10, 20, 40 seconds; who has it is not told twice."""
    clock, states = FakeClock(START), States(alert())
    up, down = Target(), Target()
    down.refuses = BindingError("target", "down")
    sender = Sender(states=states, targets=[up, down], clock=clock)
    for seconds, tries in ((0, 1), (9, 1), (1, 2), (19, 2), (1, 3), (40, 4)):
        await clock.advance(seconds)
        await sender.send_all()
        assert (len(up.got), down.tries) == (1, tries)
    assert states.untold
    down.refuses = None
    await clock.advance(80)
    await sender.send_all()
    assert (up.got, down.got, states.untold) == (["alert.started It failed"], ["alert.started It failed"], [])


async def test_a_target_that_does_not_answer_delays_no_other():
    """The others hear of what comes next while it is silent, and of the end of what it was never told of."""
    clock, states, hub, stopping = FakeClock(START), States(alert()), Hub(), asyncio.Event()
    up, silent = Target(), Target()
    silent.released.clear()
    running = asyncio.create_task(Sender(states=states, targets=[silent, up], clock=clock).run(hub, stopping))
    await clock.advance(0)
    states.untold = [alert(end_time=START + timedelta(minutes=5)), alert(key="other", title="Another")]
    hub.publish([AlertsChanged()])
    await clock.advance(0)
    assert up.got == ["alert.started It failed", "alert.ended Resolved: It failed", "alert.started Another"]
    assert (silent.got, len(states.untold)) == ([], 2)
    silent.released.set()
    await clock.advance(0)
    assert silent.got == ["alert.started It failed", "alert.started Another", "alert.ended Resolved: It failed"]
    assert states.untold == []
    stopping.set()
    await clock.advance(1)
    await running


async def test_a_target_that_is_back_is_told_in_order():
    """First what has ended, then that it holds again: the end of the first time must not stand last."""
    clock, target = FakeClock(START), Target()
    first = alert(Phase.ENDED)
    states = States(first, alert(start_time=START + timedelta(minutes=9), title="It failed again"))
    target.refuses = BindingError("target", "down")
    sender = Sender(states=states, targets=[target], clock=clock)
    assert await sender.send_all() == START + timedelta(seconds=10)
    assert target.tries == 1
    target.refuses = None
    await clock.advance(10)
    await sender.send_all()
    assert target.got == ["alert.ended Resolved: It failed", "alert.started It failed again"]


async def test_a_burst_is_told_to_its_end():
    """Ends too, of which the store says nothing when they are told, and more than are read at once."""
    clock, hub, stopping, target = FakeClock(START), Hub(), asyncio.Event(), Target()
    states = States(*(alert(Phase.ENDED, key=str(number)) for number in range(25)))

    async def ten_alerts() -> tuple[Alert, ...]:
        return tuple(states.untold[:10])

    states.unsent_alerts = ten_alerts
    running = asyncio.create_task(Sender(states=states, targets=[target], clock=clock).run(hub, stopping))
    await clock.advance(0)
    assert len(target.got) == 25
    stopping.set()
    await clock.advance(1)
    await running


async def test_an_answer_without_end_is_not_read():
    """Its status is all that counts."""

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n")
        while True:
            writer.write(bytes(65536))
            await writer.drain()

    async with http_server() as server:
        server.answer("/hook", endless)
        (target,) = open_targets([f"http://127.0.0.1:{server.port}/hook"], secret=None, clock=FakeClock(START))
        await target.send(_message())
        await target.aclose()
    assert [each.method for each in server.seen] == ["POST"]


async def test_a_target_that_fails_in_its_own_way_does_not_stop_the_others():
    """An error that is none of ours."""
    states, up, broken = States(alert()), Target(), Target()
    broken.refuses = RuntimeError("broken")
    await Sender(states=states, targets=[broken, up], clock=FakeClock(START)).send_all()
    assert up.got == ["alert.started It failed"]


async def test_a_message_of_three_days_ago_is_given_up():
    """It would be no news."""
    clock, states, down = FakeClock(START), States(alert()), Target()
    down.refuses = BindingError("target", "down")
    sender = Sender(states=states, targets=[down], clock=clock)
    await sender.send_all()
    await clock.advance(timedelta(days=3, seconds=1))
    await sender.send_all()
    assert states.untold == []


async def test_without_targets_the_log_is_all():
    """And nothing is kept for nobody."""
    states = States(alert(), alert(Phase.ENDED))
    assert await Sender(states=states, targets=[], clock=FakeClock(START)).send_all() is None
    assert states.untold == []


async def test_a_sender_wakes_when_something_changed_and_outlives_the_database():
    """Told at once; a database that is away is asked again."""
    clock, states, hub, target = FakeClock(START), States(), Hub(), Target()
    stopping = asyncio.Event()
    states.away = True
    running = asyncio.create_task(Sender(states=states, targets=[target], clock=clock).run(hub, stopping))
    await clock.advance(1)
    states.away = False
    states.untold.append(alert())
    hub.publish([AlertsChanged()])
    await clock.advance(0)
    assert target.got == ["alert.started It failed"]
    stopping.set()
    await clock.advance(1)
    await running


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http:///nowhere", "names no host"),
        ("https://u:s3cret@host:99999/t0p", "a port that is none"),
        ("https://host:s3cret/t0p", "a port that is none"),
        ("https://host:0/t0p", "a port that is none"),
        ("HTTPS://host:-1/t0p", "a port that is none"),
        ("http://[s3cret/t0p", "cannot be read as a URL"),
        ("nonsense://s3cret", "apprise does not understand"),
        ("mailto:ana:s3cret", "apprise does not understand"),
        ("slack://s3cret/t0p", "apprise does not understand"),
    ],
)
def test_a_target_that_nobody_understands_is_refused(url: str, reason: str, caplog: pytest.LogCaptureFixture):
    """At the start, not at the first alert; nothing that may be its secret is repeated, nor logged."""
    with pytest.raises(ConfigurationError, match=reason) as caught:
        open_targets([url], secret=None, clock=FakeClock(START))
    assert not re.search("s3cret|t0p", str(caught.value) + caplog.text)


def test_a_secret_in_base64_signs_with_what_it_spells():
    """As the libraries of Standard Webhooks write secrets, and read them."""
    signatures = set()
    for secret in (b"whsec_" + base64.b64encode(b"shared"), b"shared"):
        (target,) = open_targets(["http://host/"], secret=secret, clock=FakeClock(START))
        signatures.add(target._signed("id", b"{}")["webhook-signature"])
    assert len(signatures) == 1


@pytest.mark.parametrize(("secret", "reason"), [(b"", "no secret"), (b"whsec_", "no secret"), (b"whsec_?", "base64")])
def test_a_secret_that_is_none_is_refused(secret: bytes, reason: str):
    """Everybody could sign with it."""
    with pytest.raises(ConfigurationError, match=reason):
        open_targets([], secret=secret, clock=FakeClock(START))


async def test_apprise_tells_whoever_it_knows(receiver: Receiver):
    """Here by its own JSON notification, on a real socket."""
    receiver.answer = 200
    (target,) = open_targets([f"json://127.0.0.1:{receiver.server_port}/"], secret=None, clock=FakeClock(START))
    await target.send(_message())
    ((_, body),) = receiver.got
    assert (json.loads(body)["title"], json.loads(body)["message"]) == ("It failed", "why")


async def test_a_target_that_does_not_answer_holds_no_stopping_server(receiver: Receiver):
    """The send is given up at once, the next server sends it again, under the same id."""
    clock, stopping = FakeClock(START), asyncio.Event()
    states = States(alert())
    receiver.released.clear()
    for sent in (1, 2):
        receiver.came.clear()
        sender = Sender(states=states, targets=open_targets([receiver.url], secret=None, clock=clock), clock=clock)
        running = asyncio.create_task(sender.run(Hub(), stopping))
        await asyncio.to_thread(receiver.came.wait, 10)
        stopping.set()
        await running
        await sender.aclose()
        stopping.clear()
        assert len(receiver.got) == sent
    receiver.released.set()
    assert len(states.untold) == 1
    assert receiver.got[0][0]["webhook-id"] == receiver.got[1][0]["webhook-id"]


async def test_an_apprise_service_that_does_not_answer_is_given_up_in_time(receiver: Receiver):
    """After 20 s by the clock; its thread holds neither the loop nor the end of the process."""
    clock = FakeClock(START)
    receiver.released.clear()
    (target,) = open_targets([f"json://127.0.0.1:{receiver.server_port}/"], secret=None, clock=clock)
    sending = asyncio.create_task(target.send(_message()))
    await asyncio.to_thread(receiver.came.wait, 10)
    (thread,) = [each for each in threading.enumerate() if each.name == "apprise"]
    assert thread.daemon
    await clock.advance(20)
    with pytest.raises(BindingError, match="json://: TimeoutError"):
        await sending
    receiver.released.set()
    await asyncio.to_thread(thread.join)


def test_a_message_names_the_namespace():
    """In a field of its own; in the title where it is not the default one, for targets that show no more."""
    ended = alert(Phase.ENDED)
    assert [each.title for each in messages_of(ended)] == ["Resolved: It failed"]
    elsewhere = replace(alert(end_time=START), namespace="reports")
    assert [each.title for each in messages_of(elsewhere)] == ["[reports] It failed", "Resolved: [reports] It failed"]
    assert {each.as_json()["data"]["namespace"] for each in messages_of(elsewhere)} == {"reports"}
