"""How handlers are offered and found."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from schedule_grpc.errors import ConfigurationError, HandlerNotFound
from schedule_grpc.handlers import Registry, TaskContext, handler


@handler("mine", description="Does it")
async def mine(_: TaskContext) -> int:
    """Return one."""
    return 1


@handler("documented")
def documented(_: TaskContext) -> int:
    """Say what it does.

    And more.
    """
    return 2


def module(**content: object) -> ModuleType:
    """Return a module with that content."""
    made = ModuleType("made")
    vars(made).update(content)
    return made


async def test_a_decorated_handler_stays_a_plain_function():
    """A test can call it."""
    assert await mine(None) == 1  # type: ignore[arg-type]
    assert documented(None) == 2  # type: ignore[arg-type]


def test_a_module_offers_its_decorated_functions():
    """With their names, kinds and descriptions; the same function twice is one."""
    registry = Registry()
    registry.add_module(module(a=mine, b=documented, again=mine, other=len))
    assert registry.names() == ("documented", "mine")
    assert (registry.get("mine").is_async, registry.get("mine").description) == (True, "Does it")
    assert (registry.get("documented").is_async, registry.get("documented").description) == (
        False,
        "Say what it does.",
    )
    assert "mine" in registry
    assert "toString" not in registry


def test_two_functions_of_one_name_are_refused():
    """The message names both places."""

    @handler("mine")
    def another(_: TaskContext) -> None:
        """Do nothing."""

    registry = Registry()
    registry.add_function(mine)
    with pytest.raises(ConfigurationError, match=r"two handlers are named mine: .*mine and .*another"):
        registry.add_function(another)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "-a", "é", "a" * 129])
def test_a_name_that_is_none_is_refused(name: str):
    """Where it is written, not when it is used."""
    with pytest.raises(ConfigurationError, match="not a handler's name"):
        handler(name)


def test_an_unknown_handler_is_not_found():
    """The error lists those there are, in the words callers know."""
    registry = Registry()
    registry.add_function(mine)
    with pytest.raises(HandlerNotFound, match=r"Task handler not found: invalid-task \(handlers: mine\)"):
        registry.get("invalid-task")


def test_what_cannot_be_offered_is_refused(tmp_path: Path, monkeypatch):
    """A module without handlers, one that is missing, one that fails, a plain function."""
    (tmp_path / "failing_module.py").write_text("raise ZeroDivisionError\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry()
    with pytest.raises(ConfigurationError, match="has no function decorated with @handler"):
        registry.add_module("json")
    with pytest.raises(ConfigurationError, match=r"no\.such\.module cannot be imported"):
        registry.add_module("no.such.module")
    with pytest.raises(ConfigurationError, match="ZeroDivisionError"):
        registry.add_module("failing_module")
    with pytest.raises(ConfigurationError, match="is not decorated with @handler"):
        registry.add_function(len)


def test_installed_distributions_offer_handlers_by_entry_point(tmp_path: Path, monkeypatch):
    """A module and a function, as a distribution's metadata names them."""
    (tmp_path / "offering.py").write_text(
        "from schedule_grpc.handlers import handler\n"
        "@handler('one')\ndef one(ctx): return 1\n"
        "@handler('two')\ndef two(ctx): return 2\n"
    )
    metadata = tmp_path / "offering-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: offering\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[schedule_grpc.handlers]\nall = offering\njust-one = offering:one\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry()
    registry.add_entry_points()
    sys.modules.pop("offering", None)
    assert registry.names() == ("one", "two")


def test_an_entry_point_that_cannot_be_loaded_is_refused(tmp_path: Path, monkeypatch):
    """The message names it."""
    metadata = tmp_path / "broken-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[schedule_grpc.handlers]\nbroken = nowhere.to.be.found\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match=r"entry point broken = nowhere\.to\.be\.found"):
        Registry().add_entry_points()


def test_a_description_can_be_kept():
    """It is written to the database when the server starts: one that is no Unicode must not keep it from starting."""

    @handler("odd", description="r\udcffsum\x00")
    def odd(_):
        return None

    registry = Registry()
    registry.add_function(odd)
    assert registry.get("odd").description == "r\ufffdsum\ufffd"
