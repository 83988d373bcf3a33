"""The entrance of a server: its keys are kept fresh, and the log tells whom it refused."""

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs
from support.rigs.gate_house import House, bearer
from support.rigs.rig import START

from schedule_grpc.access.authenticator import CallerPolicy, Mode
from schedule_grpc.access.credentials import Credentials
from schedule_grpc.access.gate import Gate
from schedule_grpc.access.opening import opened_entrance
from schedule_grpc.access.refusals import KINDS_KEPT, PERIOD, Refusals
from schedule_grpc.access.rules import SCHEDULE
from schedule_grpc.domain.access.keys import revoked
from schedule_grpc.errors import ConfigurationError, ScheduleError, Unauthenticated
from schedule_grpc.events import Hub, KeysChanged
from schedule_grpc.testing import FakeClock

GET = SCHEDULE + "GetTask"


async def refused_within(house: House, gate: Gate, credentials: Credentials, turns: int) -> int | None:
    """Return after how many seconds a call is refused; None: not within these."""
    for second in range(turns):
        try:
            async with gate.admitting(GET, credentials):
                pass
        except ScheduleError:
            return second
        await house.clock.advance(1)
    return None


@pytest.mark.parametrize("told", [True, False])
async def test_a_revocation_elsewhere_is_known_within_a_second(told: bool):
    """At once where the notification arrives."""
    house, hub = House(shared=True), Hub()
    text = house.keys.make("read@a")
    async with opened_entrance(house.keys, hub, CallerPolicy(), house.clock) as entrance:
        house.keys.put(revoked(house.keys.kept[text.id], START))
        if told:
            hub.relay([KeysChanged()])
            await house.clock.advance(0)
        assert await refused_within(house, entrance.gate, bearer(text), 5) == (0 if told else 1)


async def test_a_server_that_shall_be_open_does_not_start_beside_keys():
    """Their makers take it for closed."""
    house = House()
    house.keys.make("read@a")
    with pytest.raises(ConfigurationError, match=r"auth\.mode is off, and there are keys"):
        async with opened_entrance(house.keys, Hub(), CallerPolicy(mode=Mode.OFF), house.clock):
            pass


async def test_the_upkeep_goes_on_while_the_database_is_away():
    """And reads the keys when it is back."""
    house = House(shared=True)
    text = house.keys.make("read@a")
    async with opened_entrance(house.keys, Hub(), CallerPolicy(), house.clock) as entrance:
        house.keys.away = True
        await house.clock.advance(3)
        house.keys.put(revoked(house.keys.kept[text.id], START))
        house.keys.away = False
        assert await refused_within(house, entrance.gate, bearer(text), 5) == 1


async def test_what_the_upkeep_was_told_is_done_once_the_database_is_back():
    """The server of a file is told of each change once, and asks for none."""
    house, hub = House(), Hub()
    text = house.keys.make("read@a")
    async with opened_entrance(house.keys, hub, CallerPolicy(), house.clock) as entrance:
        house.keys.away = True
        house.keys.put(revoked(house.keys.kept[text.id], START))
        hub.publish([KeysChanged()])
        await house.clock.advance(3)
        house.keys.away = False
        assert await refused_within(house, entrance.gate, bearer(text), 5) == 1


async def test_calls_end_with_their_keys_while_the_database_hangs():
    """A key's own end needs no database."""
    house = House(shared=True)
    text = house.keys.make("read@a", lifetime=timedelta(seconds=3))
    async with opened_entrance(house.keys, Hub(), CallerPolicy(), house.clock) as entrance:
        house.keys.hangs = True
        watching = asyncio.create_task(_watching(entrance.gate, bearer(text)))
        await house.clock.advance(2)
        assert not watching.done()
        await house.clock.advance(2)
        with pytest.raises(Unauthenticated):
            await watching


async def _watching(gate: Gate, credentials: Credentials) -> None:
    async with gate.admitting(SCHEDULE + "WatchExecutions", credentials):
        await asyncio.Event().wait()


async def test_the_upkeep_survives_what_nobody_foresaw():
    """Without it no revocation would be known, and no stream would end."""
    house = House(shared=True)
    text = house.keys.make("read@a")
    async with opened_entrance(house.keys, Hub(), CallerPolicy(), house.clock) as entrance:
        with capture_logs() as lines, pytest.MonkeyPatch.context() as patched:
            patched.setattr(house.keys, "keys_in_use", lambda: None)
            house.keys.put(revoked(house.keys.kept[text.id], START))
            await house.clock.advance(1)
        assert [line["event"] for line in lines] == ["gate.failed"]
        assert await refused_within(house, entrance.gate, bearer(text), 5) == 1


# -- the log


async def test_a_flood_of_refusals_is_a_line_and_a_number():
    """The first is logged at once; the others once a minute, by peer and program."""
    clock = FakeClock(START)
    refusals = Refusals(clock)
    with capture_logs() as lines:
        for port in range(500):
            refusals.note("auth.denied", "UNAUTHENTICATED", GET, Credentials(peer=f"10.0.0.7:{port}", agent="curl/8"))
        await clock.advance(PERIOD)
        refusals.flush()
        refusals.flush()
    assert [(line["count"], line["peer"], line["agent"], line["method"]) for line in lines] == [
        (1, "10.0.0.7", "curl/8", GET),
        (499, "10.0.0.7", "curl/8", GET),
    ]


async def test_refusals_of_more_kinds_than_are_kept_share_a_line():
    """An attacker chooses its program's name."""
    clock = FakeClock(START)
    refusals = Refusals(clock)
    with capture_logs() as lines:
        for number in range(KINDS_KEPT + 50):
            refusals.note("auth.denied", "UNAUTHENTICATED", GET, Credentials(peer="p:1", agent=f"agent {number}"))
    assert len(lines) == KINDS_KEPT + 1
    assert lines[-1]["method"] == "(other)"
