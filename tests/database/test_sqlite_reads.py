"""Connections that take turns: one reads, and another helps while a turn of it takes long."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from schedule_grpc.database.operation import Factory
from schedule_grpc.database.sqlite import reads as sqlite_reads
from schedule_grpc.database.sqlite.batch import Done
from schedule_grpc.database.sqlite.reads import SharedReads
from schedule_grpc.runtime.clock import next_turn

NEVER = 3600.0


class Reader:
    """A connection whose turns end when they are told to; what it reads are the reads themselves."""

    def __init__(self) -> None:
        self.turns: list[Sequence[Factory[Any]]] = []
        self._ends = asyncio.Semaphore(0)

    async def connect(self) -> "Reader":
        """Return this."""
        return self

    async def run(self, _function: Callable[..., Any], factories: Sequence[Factory[Any]]) -> Any:
        """Take a turn."""
        self.turns.append(factories)
        await self._ends.acquire()
        return [Done(factory) for factory in factories]

    def look_at(self, error: Exception) -> None:
        """Take no notice."""

    def end(self, turns: int = 1) -> None:
        """End a turn."""
        for _ in range(turns):
            self._ends.release()


async def until(happened: Callable[[], bool]) -> None:
    """Return once something has happened."""
    while not happened():
        await next_turn()


class Scene:
    """Two readers, of which the second helps the first; what is read is named by a letter."""

    def __init__(self) -> None:
        self.first, self.second = Reader(), Reader()
        self._reads = SharedReads([self.first.connect, self.second.connect])

    def read(self, letter: Any) -> "asyncio.Task[Any]":
        """Ask for something."""
        return asyncio.create_task(self._reads.read(letter))

    async def both_read(self) -> "list[asyncio.Task[Any]]":
        """Return with b being read beside a, whose turn took long, and c being read since that ended."""
        reads = [self.read("a")]
        await until(lambda: self.first.turns == [["a"]])
        reads.append(self.read("b"))
        await until(lambda: self.second.turns == [["b"]])
        reads.append(self.read("c"))
        self.first.end()
        await until(lambda: self.first.turns == [["a"], ["c"]])
        return reads


async def test_who_helped_leaves_what_waits_to_the_other_that_goes_on(monkeypatch: pytest.MonkeyPatch):
    """Two that read side by side would take twice the turns for the same reads."""
    monkeypatch.setattr(sqlite_reads, "LONG", 0.0)
    scene = Scene()
    reads = await scene.both_read()
    monkeypatch.setattr(sqlite_reads, "LONG", NEVER)
    reads.append(scene.read("d"))
    await next_turn()
    scene.second.end()
    assert await reads[1] == "b"
    scene.first.end(2)
    assert await asyncio.gather(*reads) == ["a", "b", "c", "d"]
    assert (scene.first.turns, scene.second.turns) == ([["a"], ["c"], ["d"]], [["b"]])


async def test_who_helped_helps_again_where_the_next_turn_takes_long(monkeypatch: pytest.MonkeyPatch):
    """Though nothing else is asked for that would be a reason to look."""
    monkeypatch.setattr(sqlite_reads, "LONG", 0.0)
    scene = Scene()
    reads = await scene.both_read()
    last = scene.read("d")
    await next_turn()
    scene.second.end(2)
    assert await last == "d"
    assert scene.second.turns == [["b"], ["d"]]
    assert not reads[2].done()
    scene.first.end()
    assert await asyncio.gather(*reads) == ["a", "b", "c"]


async def test_reads_on_their_way_are_waited_for_where_they_come_in_numbers(monkeypatch: pytest.MonkeyPatch):
    """They share a turn."""
    monkeypatch.setattr(sqlite_reads, "LONG", NEVER)
    scene = Scene()
    scene.first.end()
    scene.second.end()

    async def read_later(letter: Any, turns: int) -> Any:
        for _ in range(turns):
            await next_turn()
        return await scene.read(letter)

    assert await asyncio.gather(scene.read("a"), scene.read("b")) == ["a", "b"]
    assert await asyncio.gather(scene.read("c"), read_later("d", 3), read_later("e", 8)) == ["c", "d", "e"]
    assert (scene.first.turns, scene.second.turns) == ([["a", "b"]], [["c", "d", "e"]])


async def test_who_asks_the_same_in_one_turn_is_answered_with_one_reading(monkeypatch: pytest.MonkeyPatch):
    """Who asks during it may have seen a later write: the next turn reads anew."""
    monkeypatch.setattr(sqlite_reads, "LONG", NEVER)
    scene = Scene()
    began = scene.read("a")
    await until(lambda: scene.first.turns == [["a"]])
    alike = [scene.read(partial(sorted, "ab")) for _ in range(3)]
    lists = [scene.read(partial(sorted, ["a"])) for _ in range(2)]  # they may be changed meanwhile
    await next_turn()
    alike[0].cancel()
    scene.first.end(2)
    assert await began == "a"
    first, second = await asyncio.gather(*alike[1:])
    assert first is second
    await asyncio.gather(*lists)
    scene.second.end()
    again = await scene.read(partial(sorted, "ab"))
    assert [each.args for each in scene.first.turns[1]] == [("ab",), (["a"],), (["a"],)]
    assert scene.second.turns == [[again]]
    assert again is not first


async def test_a_refusal_reaches_all_who_asked_the_same():
    """It is one reading."""

    class Broken(Reader):
        async def run(self, _function: Callable[..., Any], _factories: Sequence[Factory[Any]]) -> Any:
            raise sqlite3.OperationalError("disk I/O error")

    reads = SharedReads([Broken().connect])
    asked = [reads.read(partial(sorted, "ab")) for _ in range(2)]
    for refused in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(refused, sqlite3.OperationalError)
