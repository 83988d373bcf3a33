"""Bindings of the user's own, and what every binding has: opened once, limited in time, closed for good."""

import asyncio
import sys
import traceback
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest

from schedule_grpc.bindings import Environment
from schedule_grpc.errors import BindingError, ConfigurationError
from schedule_grpc.testing import FakeClock

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)


class Till:
    """A user's object, with all that a binding may have."""

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        self.name = name
        self.options = options
        self.closed = 0
        self.pinged = 0

    async def ping(self) -> None:
        """Answer."""
        self.pinged += 1

    async def aclose(self) -> None:
        """Count."""
        self.closed += 1

    async def wait(self) -> None:
        """Never return."""
        await asyncio.Event().wait()

    async def fail(self, error: BaseException) -> None:
        """Fail as asked."""
        raise error

    def add(self, one: int, *, other: int) -> int:
        """Work without awaiting."""
        return one + other

    @asynccontextmanager
    async def transaction(self):
        """Offer statements that never end."""
        yield self


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A user's module ``shop.tills``."""
    made = ModuleType("shop.tills")
    monkeypatch.setitem(sys.modules, "shop", ModuleType("shop"))
    monkeypatch.setitem(sys.modules, "shop.tills", made)
    made.Till = Till
    return made


def environment(clock: FakeClock | None = None, factory: str = "Till", **options: Any) -> Environment:
    """Return an environment with such a binding."""
    return Environment({"TILL": {"url": f"shop.tills:{factory}", **options}}, clock=clock)


async def test_the_factory_gets_name_and_options(module: ModuleType):
    """All but url and timeout; as mapping of its own."""
    env = environment(timeout="3s", region="north", depth={"a": 1})
    till = await env.TILL
    assert (till.name, till.options) == ("TILL", {"region": "north", "depth": {"a": 1}})
    assert await env.TILL is till
    plain = Environment({"TILL": "shop.tills:Till"})
    assert (await plain.TILL).options == {}


async def test_a_factory_that_changes_its_options_gets_them_unchanged_the_next_time(module: ModuleType):
    """It is called again after a failure: tables within the options are its own, too."""
    seen = []

    def make(_: str, options: dict[str, Any]) -> Till:
        seen.append(options["depth"].pop("a", "gone"))
        if len(seen) == 1:
            raise ConnectionError
        return Till("TILL", options)

    module.make = make
    env = environment(factory="make", depth={"a": 1})
    with pytest.raises(BindingError):
        await env.TILL
    await env.TILL
    assert seen == [1, 1]


async def test_an_async_factory_and_a_nested_one_are_called_too(module: ModuleType):
    """Whatever is callable and gives an object, or a coroutine of one."""

    async def make(name: str, options: dict[str, Any]) -> Till:
        return Till(name, options)

    module.make, module.inner = make, ModuleType("inner")
    module.inner.make = make
    for factory in ("make", "inner.make"):
        assert isinstance(await environment(factory=factory).TILL, Till)


async def test_methods_can_be_called_whether_they_are_async_or_not(module: ModuleType):
    """Through the binding both are awaited."""
    env = environment()
    assert await env.TILL.add(1, other=2) == 3
    await env.ping("TILL")
    assert (await env.TILL).pinged == 1
    with pytest.raises(AttributeError, match="nothing"):
        await env.TILL.nothing()


async def test_an_object_with_neither_ping_nor_aclose_will_do(module: ModuleType):
    """It answers if it can be made; a plain close is called where there is no aclose."""
    calls = []
    module.make = lambda name, _options: {"name": name}

    class Closable:
        def close(self) -> None:
            calls.append("closed")

    module.closable = lambda _name, _options: Closable()
    for factory in ("make", "closable"):
        env = environment(factory=factory)
        await env.ping("TILL")
        await env.aclose()
    assert calls == ["closed"]


async def test_what_a_method_raises_reaches_the_handler_as_it_is(module: ModuleType):
    """A user's own errors are his."""
    with pytest.raises(LookupError, match="as asked"):
        await environment().TILL.fail(LookupError("as asked"))


async def test_a_ping_that_raises_anything_is_a_binding_error_without_secrets(module: ModuleType):
    """So that whoever looks after all bindings need not know them."""

    async def ping(self) -> None:
        raise OSError("cannot log in with geheim1")

    module.Sick = type("Sick", (Till,), {"ping": ping})
    env = environment(factory="Sick", password="geheim1")
    with pytest.raises(BindingError, match=r"^TILL: OSError: cannot log in with \*\*\*$") as caught:
        await env.ping("TILL")
    assert "geheim1" not in "".join(traceback.format_exception(caught.value))


async def test_a_factory_that_fails_is_told_and_tried_again(module: ModuleType):
    """Down at first use, back later."""
    results: list[Any] = [OSError("no such host, geheim1"), BindingError("TILL", "not yet, geheim1"), Till("TILL", {})]

    def make(name: str, options: dict[str, Any]) -> Till:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    module.make = make
    env = environment(factory="make", token="geheim1")
    with pytest.raises(BindingError, match=r"^TILL: cannot be opened: OSError: no such host, \*\*\*$"):
        await env.ping("TILL")
    with pytest.raises(BindingError, match=r"^TILL: not yet, \*\*\*$") as caught:
        await env.ping("TILL")
    assert "geheim1" not in "".join(traceback.format_exception(caught.value))
    await env.ping("TILL")


@pytest.mark.parametrize("method", ["ping", "wait", "open"])
async def test_every_call_is_limited_by_the_bindings_timeout(module: ModuleType, method: str):
    """Pings, methods, and the opening itself, which is then tried anew."""
    clock = FakeClock(NOW)
    opened = []

    class Slow(Till):
        async def ping(self) -> None:
            await self.wait()

    async def make(name: str, options: dict[str, Any]) -> Till:
        opened.append(name)
        if method == "open" and len(opened) == 1:
            await asyncio.Event().wait()
        return Slow(name, options) if method == "ping" else Till(name, options)

    module.make = make
    env = environment(clock, factory="make", timeout="90s")
    asking = asyncio.create_task(getattr(env.TILL, "add" if method == "open" else method)())
    await clock.advance(89)
    assert not asking.done()
    await clock.advance(1)
    with pytest.raises(BindingError, match=r"^TILL: no answer within 90s$"):
        await asking
    assert await env.TILL.add(1, other=1) == 2
    assert len(opened) == (2 if method == "open" else 1)
    await env.aclose()


async def test_every_statement_of_a_transaction_is_limited_not_the_whole(module: ModuleType):
    """What a handler does between two of them is its own time."""
    clock = FakeClock(NOW)
    env = environment(clock)
    async with env.TILL.transaction() as transaction:
        await clock.advance(11)
        assert not hasattr(transaction, "__wrapped__")
        asking = asyncio.create_task(transaction.wait())
        await clock.advance(10)
        with pytest.raises(BindingError, match=r"^TILL: no answer within 10s$"):
            await asking


async def test_a_transaction_may_swallow_an_exception(module: ModuleType):
    """As any context of Python's may."""

    @asynccontextmanager
    async def transaction(self):
        with suppress(LookupError):
            yield self

    module.Lenient = type("Lenient", (Till,), {"transaction": transaction})
    async with environment(factory="Lenient").TILL.transaction():
        raise LookupError


async def test_one_that_cannot_be_closed_keeps_no_other_open(module: ModuleType):
    """It raises, or never returns: the others are closed, and so is the environment."""
    clock = FakeClock(NOW)
    made: list[Till] = []

    def make(name: str, options: dict[str, Any]) -> Till:
        made.append(Till(name, options))
        return made[-1]

    module.make = make
    module.Raising = type("Raising", (Till,), {"aclose": lambda self: self.fail(OSError("stuck"))})
    module.Stuck = type("Stuck", (Till,), {"aclose": Till.wait})
    kinds = {"A": "Raising", "B": "Stuck", "C": "make"}
    env = Environment({name: f"shop.tills:{kind}" for name, kind in kinds.items()}, clock=clock)
    for name in env.names():
        await env.ping(name)
    closing = asyncio.create_task(env.aclose())
    await clock.advance(10)
    await closing
    assert made[0].closed == 1
    await env.aclose()
    assert made[0].closed == 1


async def test_who_still_calls_when_it_is_closed_is_told_so(module: ModuleType):
    """Whatever the object itself makes of it; a handler that is really cancelled stays cancelled."""
    closed = asyncio.Event()

    class Broken(Till):
        async def wait(self) -> None:
            await closed.wait()
            raise RuntimeError("used after it was closed")

        async def give_up(self) -> None:
            await closed.wait()
            raise asyncio.CancelledError

        async def aclose(self) -> None:
            closed.set()

    module.Broken = Broken
    env = environment(factory="Broken")
    calls = [asyncio.create_task(call()) for call in (env.TILL.wait, env.TILL.give_up, env.TILL.wait)]
    await env.ping("TILL")
    calls[2].cancel()
    await env.aclose()
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert [str(end) for end in ends[:2]] == ["TILL: is closed"] * 2
    assert isinstance(ends[2], asyncio.CancelledError)
    with pytest.raises(BindingError, match=r"^TILL: is closed$"):
        await env.TILL


async def test_names_are_told_and_an_unknown_one_is_refused():
    """In the order of the configuration."""
    env = Environment({"QUEUE": "table://DB/queue_jobs", "DB": "sqlite:///d.db"})
    assert env.names() == ("QUEUE", "DB")
    assert Environment({}).names() == ()
    with pytest.raises(ConfigurationError, match=r"no binding is named AI \(bindings: DB, QUEUE\)"):
        await env.ping("AI")
    assert repr(env.DB) == "<binding DB>"
