"""What one server tells the others: hints by ids, and whole transitions where somebody watches."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.rigs.rig import Rig

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.execution import Execution, State
from schedule_grpc.errors import DatabaseUnavailable
from schedule_grpc.events import (
    ENDS_KNOWN,
    AlertsChanged,
    CancelRequested,
    Event,
    Hub,
    KeysChanged,
    Lost,
    TaskChanged,
    Transition,
)
from schedule_grpc.store.relay import MOST_BYTES, Relay

NOW = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)


@pytest.fixture
def place(database: Path) -> Path:
    """One database is enough: the relay asks nothing of it."""
    return database


class Words:
    """What is said to the others, and not sent."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def publish(self, word: str) -> None:
        """Keep it."""
        self.said.append(word)

    async def close(self) -> None:
        """Nothing is left to say."""


class Server:
    """One server's hub and relay, and what its listeners were told of the others."""

    def __init__(self, *found: Execution, away: bool = False) -> None:
        self.hub, self.words, self.told = Hub(), Words(), list[Event]()
        self.found, self.away = {each.id: each for each in found}, away
        self.relay = Relay(self.hub, find=self._find, connect=lambda _: self.words)

    async def _find(self, ids: Sequence[str]) -> Sequence[Execution]:
        if self.away:
            raise DatabaseUnavailable("away")
        return [self.found[each] for each in ids if each in self.found]

    async def hears(self, other: "Server") -> list[Event]:
        """Hear what another has said; return what its listeners are told then."""
        with self.hub.listening(self.told.extend, with_peers=True):
            for word in other.words.said:
                self.relay.receive(word)
            while self.relay._reading:
                await next(iter(self.relay._reading))
        return self.told


@pytest.fixture
async def execution(rig: Rig) -> Execution:
    """One that waits."""
    await rig.register("task", "@manual")
    return await rig.service.run_now("task", detach=True)


async def test_hints(execution: Execution):
    """A changed task, a cancel request, an alert, keys, new work: told as they are, without a row being read."""
    here, there = Server(), Server(away=True)
    recorded = Transition(previous_state=None, execution=execution, time=NOW)
    gone = TaskChanged(namespace=DEFAULT_NAMESPACE, name="b", deleted_uid="uid")
    events = [
        TaskChanged(namespace=DEFAULT_NAMESPACE, name="a"),
        gone,
        CancelRequested(execution_id="x"),
        AlertsChanged(),
        KeysChanged(),
    ]
    here.relay.publish([*events, recorded])
    assert await there.hears(here) == [*events, TaskChanged(namespace="", name="")]


async def test_ones_own_words(execution: Execution):
    """Are passed over: its own hub has told of them already."""
    here = Server()
    here.relay.publish([TaskChanged(namespace=DEFAULT_NAMESPACE, name="a")])
    assert await here.hears(here) == []


async def test_transitions_for_those_who_watch(execution: Execution):
    """Are read where somebody watches, and told whole; one that has moved on since is left out."""
    running = replace(execution, state=State.RUNNING)
    moved = Transition(previous_state=State.PENDING, execution=running, time=NOW)
    here, watched, late, unwatched = Server(), Server(running), Server(execution), Server(running)
    here.relay.publish([moved])
    for server in (watched, late):
        with server.hub.subscribed(lambda _: True):
            await server.hears(here)
    assert watched.told == [moved]
    assert late.told == []
    assert await unwatched.hears(here) == []


async def test_who_waits_for_an_end_is_woken(execution: Execution):
    """By the id alone; nothing is read for it."""
    here, there = Server(), Server(away=True)
    here.relay.publish(
        [Transition(previous_state=State.RUNNING, execution=replace(execution, state=State.SUCCEEDED), time=NOW)]
    )
    with there.hub.ending(execution.id) as ended:
        await there.hears(here)
        assert ended.is_set()


async def test_who_waits_here_is_told_how_it_ended(execution: Execution):
    """Where it ended nothing is read; what another server says of it afterwards takes nothing back."""
    here = Server()
    ended = replace(execution, state=State.SUCCEEDED)
    with here.hub.ending(execution.id) as ending:
        here.hub.publish([Transition(previous_state=State.RUNNING, execution=ended, time=NOW)])
        here.hub.note_ends([execution.id])
        assert (ending.is_set(), ending.execution) == (True, ended)


async def test_an_end_that_was_told_before_is_known(execution: Execution):
    """Of the last ones: who begins to wait for one of these does not wait."""
    here, there = Server(), Server(away=True)
    moved = Transition(previous_state=State.RUNNING, execution=replace(execution, state=State.SUCCEEDED), time=NOW)
    here.hub.publish([moved])
    here.relay.publish([moved])
    await there.hears(here)
    for hub in (here.hub, there.hub):
        with hub.ending(execution.id) as ending, hub.ending("other") as other:
            assert (ending.is_set(), other.is_set()) == (True, False)
        hub.note_ends(f"{number}" for number in range(ENDS_KNOWN))
        with hub.ending(execution.id) as ending:
            assert not ending.is_set()


async def test_rows_that_cannot_be_read(execution: Execution):
    """Who watches is told that something may be missing."""
    here, there = Server(), Server(away=True)
    here.relay.publish([Transition(previous_state=None, execution=execution, time=NOW)])
    with there.hub.subscribed(lambda _: True) as subscription:
        await there.hears(here)
        assert list(subscription._kept) == [Lost(count=0)]


async def test_a_gap(execution: Execution):
    """Whoever waits, watches, fires, runs or sends looks for himself."""
    here = Server()
    with here.hub.subscribed(lambda _: True) as subscription, here.hub.ending("any") as ended:
        here.relay.gap()
        assert list(subscription._kept) == [Lost(count=0)]
        assert ended.is_set()
    with here.hub.listening(here.told.extend, with_peers=True):
        here.relay.gap()
    assert here.told == [
        TaskChanged(namespace="", name=""),
        CancelRequested(execution_id=""),
        AlertsChanged(),
        KeysChanged(),
    ]


async def test_many_events_are_few_words():
    """Each as long as PostgreSQL takes, and all of them in order."""
    here, there = Server(), Server()
    events = [TaskChanged(namespace=DEFAULT_NAMESPACE, name=f"task-{number:0100}") for number in range(1000)]
    here.relay.publish(events)
    assert max(len(word.encode()) for word in here.words.said) < MOST_BYTES + 200
    assert all(len(one) + len(word) > MOST_BYTES for one, word in pairwise(here.words.said))
    assert await there.hears(here) == events


@pytest.mark.parametrize("word", ["", "{", "[]", "7", "null", '["x", [["?"]]]', '["x", [["t", "id", null, "NEW", 1]]]'])
async def test_words_that_are_not_understood(word: str):
    """A newer server's, say: passed over, and those after them are heard."""
    here, there = Server(), Server()
    here.words.said.append(word)
    here.relay.publish([TaskChanged(namespace=DEFAULT_NAMESPACE, name="a")])
    assert await there.hears(here) == [TaskChanged(namespace=DEFAULT_NAMESPACE, name="a")]


def test_words_are_text_that_needs_no_escaping():
    """No backslash: they are put into a literal as they are."""
    here = Server()
    here.relay.publish([TaskChanged(namespace=DEFAULT_NAMESPACE, name="a-b.c_D9"), AlertsChanged()])
    (word,) = here.words.said
    assert "\\" not in word
    assert json.loads(word)[1] == [["n", "default", "a-b.c_D9"], ["a"]]
