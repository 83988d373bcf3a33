"""Everything at once, at two servers on one database: whatever comes first, the checker finds nothing, and all ends."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from support.rigs.rig import new_rig
from support.rigs.workers import BESIDE, LONG, NO, OK, Hand, Office, office_of, second_office
from support.servers.postgres import Postgres
from support.witnesses.checker import Acknowledged, check

from schedule_grpc.dispatch.values import Released, Verdict
from schedule_grpc.domain.execution import State
from schedule_grpc.errors import FailedPrecondition, NotFound

AT_ONCE, ROUNDS, TASKS = 6, 60, ("a", "b", "c")


@pytest.fixture
async def two(postgres: Postgres) -> AsyncIterator[tuple[Office, Office]]:
    """Two servers; afterwards the checker looks for broken promises."""
    with postgres.database() as url:
        async with new_rig(url) as rig, office_of(rig) as one, second_office(rig) as other:
            yield one, other
        assert check(url) == []


class Chaos:
    """Does one thing after the other, each at either server, chosen by a number."""

    def __init__(self, offices: tuple[Office, Office], seed: int) -> None:
        self._offices = offices
        self._random = random.Random(seed)  # noqa: S311 (a load, not a secret)
        self._hands: list[Hand] = []
        self.recorded: set[str] = set()

    async def begin(self) -> None:
        """Register tasks and workers."""
        for name in TASKS:
            await self._offices[0].task(name)
        self._hands = [await self._offices[0].hire(slots=3) for _ in range(4)]

    async def step(self) -> None:
        """Do something; what is refused is refused."""
        often = (self._pull, self._report, self._run)
        others = (self._cancel, self._leave, self._move, self._lapse, self._overtime, self._delete, self._disable)
        does = self._random.choice((*often, *often, *others))
        hand, office = self._random.choice(self._hands), self._random.choice(self._offices)
        with suppress(NotFound, FailedPrecondition, TimeoutError):
            await does(hand, office)

    async def finish(self) -> None:
        """Let one worker do all that is left."""
        office = self._offices[0]
        for hand in self._hands:
            await hand.leave()
        last = await office.hire(slots=100)
        while True:
            for token in tuple(last.held):
                await last.report(token)
            open_ones = [
                state for name in TASKS for state in await office.rig.states(name) if not State(state).is_terminal
            ]
            if not open_ones:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(last.pull(wait=LONG), 0.2)
            await office.advance(5)

    async def _pull(self, hand: Hand, office: Office) -> None:
        await asyncio.wait_for(hand.pull(wait=LONG, at=office), self._random.uniform(0.01, 0.1))

    async def _report(self, hand: Hand, office: Office) -> None:
        if hand.held:
            token = self._random.choice(hand.held)
            news = self._random.choice((OK, OK, NO, Released(began=True)))
            judged = await hand.report(token, news, at=office)
            if news is OK and judged.verdict is Verdict.APPLIED:
                self.recorded.add(token.rpartition(".")[0])
            if token in hand.held:
                hand.held.remove(token)

    async def _run(self, _: Hand, office: Office) -> None:
        await office.rig.service.run_now(self._random.choice(TASKS), detach=True)

    async def _cancel(self, hand: Hand, office: Office) -> None:
        if hand.held:
            await office.rig.service.cancel(self._random.choice(hand.held).rpartition(".")[0])

    async def _leave(self, hand: Hand, office: Office) -> None:
        await hand.leave(at=office)
        await self._move(hand, office)

    async def _move(self, hand: Hand, office: Office) -> None:
        again = await office.hire(slots=3, held_tokens=tuple(hand.held))
        hand.id, hand.held = again.id, again.held

    async def _lapse(self, hand: Hand, office: Office) -> None:
        living = await office.store.living_workers()
        if hand.id in living:
            await office.store.lapse_workers({hand.id: living[hand.id][0]}, now=office.rig.clock.now())

    async def _overtime(self, hand: Hand, office: Office) -> None:
        keys = [tuple(token.rpartition(".")[::2]) for token in hand.held[:1]]
        await office.store.end_overtime(keys, now=office.rig.clock.now())

    async def _delete(self, _: Hand, office: Office) -> None:
        name = self._random.choice(TASKS)
        await office.rig.service.delete(name)
        await self._offices[0].rig.register(name, "@manual", "remote", allow_unknown_handler=True, policy=BESIDE)

    async def _disable(self, _: Hand, office: Office) -> None:
        name = self._random.choice(TASKS)
        await office.rig.service.disable(name)
        await office.rig.service.enable(name)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
async def test_everything_at_once(two: tuple[Office, Office], seed: int):
    """What was answered APPLIED stands; what is left is run to its end."""
    chaos = Chaos(two, seed)
    await chaos.begin()
    for _ in range(ROUNDS):
        await asyncio.gather(*(chaos.step() for _ in range(AT_ONCE)))
    await chaos.finish()
    told = Acknowledged(executions=chaos.recorded, succeeded=chaos.recorded)
    assert check(two[0].rig.place, told) == []
