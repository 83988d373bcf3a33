"""Bindings by name: opened once, when first used, and closed for good."""

import asyncio
import copy
import threading
from pathlib import Path
from typing import Any

import pytest

from schedule_grpc.bindings import Environment
from schedule_grpc.errors import BindingError, ConfigurationError


def url_of(path: Path) -> str:
    """Return the URL of a file."""
    return f"sqlite:///{path}"


async def test_nothing_is_opened_before_its_first_use(tmp_path: Path):
    """Neither by making the environment nor by naming the binding."""
    env = Environment({"DB": url_of(tmp_path / "platform.db")})
    _ = env.DB
    assert not (tmp_path / "platform.db").exists()
    await env.aclose()
    assert not (tmp_path / "platform.db").exists()


async def test_a_binding_that_many_ask_for_at_once_is_opened_once(tmp_path: Path):
    """Two threads per file, one writer and one reader, however many callers."""
    before = set(threading.enumerate())
    env = Environment({"DB": url_of(tmp_path / "platform.db")})
    await asyncio.gather(*(env.DB.ping() for _ in range(20)))
    files = [each for each in set(threading.enumerate()) - before if "_connection_worker" in each.name]
    assert len(files) == 2
    await env.aclose()


async def test_a_closed_binding_stays_closed(tmp_path: Path):
    """An abandoned handler that wakes after the shutdown gets an error; reopening would keep the process alive."""
    env = Environment({"DB": url_of(tmp_path / "platform.db"), "UNUSED": url_of(tmp_path / "unused.db")})
    await env.DB.ping()
    await env.aclose()
    for binding in (env.DB, env.UNUSED):
        with pytest.raises(BindingError, match="is closed"):
            await binding.ping()
        with pytest.raises(BindingError, match="is closed"):
            async with binding.transaction():
                pass
    assert not (tmp_path / "unused.db").exists()
    await env.aclose()


async def test_a_path_is_relative_to_the_working_directory_and_absolute_with_four_slashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """sqlite:///x.db and sqlite:////folder/x.db."""
    monkeypatch.chdir(tmp_path)
    for url, place in (("sqlite:///here.db", "here.db"), (f"sqlite:///{tmp_path}/there.db", "there.db")):
        env = Environment({"DB": url})
        await env.DB.ping()
        await env.aclose()
        assert (tmp_path / place).is_file()


@pytest.mark.parametrize("name", ["db", "Db", "MY DB", "1DB", "", "D-B"])
def test_names_are_upper_case_identifiers(name: str):
    """So that ctx.env.NAME can be written, and stands out."""
    with pytest.raises(ConfigurationError, match="upper-case"):
        Environment({name: "sqlite:///platform.db"})


@pytest.mark.parametrize("url", ["sqlite:///:memory:", "sqlite:///file::memory:?cache=shared"])
def test_a_database_in_memory_is_refused(url: str):
    """Its readers would see another database than its writer; the message says what to do."""
    with pytest.raises(ConfigurationError, match=r"bindings\.DB: .*in memory.*name a file"):
        Environment({"DB": url})


def test_an_unknown_scheme_is_told_with_what_is_known():
    """The message names the binding, the URL and the form that is understood."""
    with pytest.raises(ConfigurationError, match=r"bindings\.DB: 'mysql://x' is none of sqlite:///PATH, postgresql://"):
        Environment({"DB": "mysql://x"})


def test_an_unknown_name_lists_the_configured_ones():
    """In order."""
    env = Environment({"QUEUE": "sqlite:///q.db", "DB": "sqlite:///d.db"})
    with pytest.raises(ConfigurationError, match=r"no binding is named AI \(bindings: DB, QUEUE\)"):
        _ = env.AI
    with pytest.raises(ConfigurationError, match=r"\(bindings: none\)"):
        _ = Environment({}).DB


def test_python_may_look_for_what_every_object_might_have():
    """Private and special names are no bindings: copying, inspecting and debugging do not raise our error."""
    env = Environment({"DB": "sqlite:///d.db"})
    assert not hasattr(env, "__wrapped__")
    assert not hasattr(env.DB, "__wrapped__")
    assert copy.copy(env) is not env


async def test_a_caller_who_gives_up_does_not_take_the_others_with_him(tmp_path: Path):
    """The opening that one was cancelled in goes on for the one who came after."""
    env = Environment({"DB": url_of(tmp_path / "platform.db")})
    first, second = (asyncio.create_task(env.DB.ping()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert first.cancelled()
    await env.aclose()


@pytest.mark.parametrize("shared", ["environment", "binding"])
def test_no_handler_puts_something_else_in_a_bindings_place(shared: str):
    """All handlers share the environment and its bindings: neither can be written to."""
    environment = Environment({"DB": "sqlite:///x.db"})
    held: Any = environment if shared == "environment" else environment.DB
    for name in ("DB", "fetch", "anything"):
        with pytest.raises(AttributeError):
            setattr(held, name, object())
