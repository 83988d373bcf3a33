"""Modules that are strange, but are somebody's."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from schedule_grpc.bindings import Environment
from schedule_grpc.errors import ConfigurationError
from schedule_grpc.handlers import Registry, TaskContext, handler


@handler("kept")
async def kept(_: TaskContext) -> int:
    """Return one."""
    return 1


class Touchy:
    """Raises whatever it is asked for."""

    def __getattr__(self, name: str) -> object:
        raise ConnectionError(name)


@pytest.mark.parametrize("kind", [Touchy, lambda: Environment({})], ids=["touchy", "environment"])
def test_a_modules_other_values_are_not_touched(kind: Callable[[], object]):
    """A lazy object beside the handlers may not be asked for anything: it might open a connection, or raise."""
    neighbour = kind()
    module = ModuleType("tasks")
    vars(module).update(neighbour=neighbour, kept=kept)
    registry = Registry()
    registry.add_module(module)
    assert registry.names() == ("kept",)


@pytest.mark.parametrize("text", ["raise SystemExit(3)", "import sys; sys.exit()", "x = (", "import nowhere_at_all"])
def test_a_module_that_cannot_be_imported_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str):
    """A script that exits when it is imported must not end the server without a word."""
    name = f"strange_{abs(hash(text))}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match=f"{name} cannot be imported"):
        Registry().add_module(name)


def test_an_entry_point_that_exits_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The message names it."""
    (tmp_path / "exiting_tasks.py").write_text("raise SystemExit(3)")
    metadata = tmp_path / "exiting-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: exiting\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[schedule_grpc.handlers]\nmine = exiting_tasks\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match="entry point mine = exiting_tasks: "):
        Registry().add_entry_points()


def test_offers_are_listed_and_two_registries_do_not_know_each_other():
    """A registry holds what was added to it, and nothing global."""
    first, second = Registry(), Registry()
    first.add_function(kept)
    assert [offer.name for offer in first] == ["kept"]
    assert list(second) == []
    assert [offer.name for offer in Registry(first)] == ["kept"]
