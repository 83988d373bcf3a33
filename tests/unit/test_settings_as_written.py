"""Settings as people write them: lists at every edge, wrong values, complaints that name what was written."""

import json
import tomllib
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import get_origin

import pytest
from pydantic import BaseModel

from schedule_grpc.errors import ConfigurationError
from schedule_grpc.settings import sources
from schedule_grpc.settings.config import Settings, WrongSettings, addresses, load
from schedule_grpc.settings.sources import Source


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch):
    """No schedule.toml but the test's own."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("key", ["database", "grpc", "http"])
@pytest.mark.parametrize(
    "given",
    [
        "postgres:bob:hunter22",
        "bob:hunter22@127.0.0.1:1",
        "postgresql://bob:hunter22",
        "postgresql://bob:hunter22@127.0.0.1:99999/d",
        "postgresql://bob:hunter22@127.0.0.1:-1/d",
        "postgresql://bob:hunter/22@127.0.0.1/d",
        "postgresql://bob:hunter22@[::1/d",
        "postgresql://bob:hunter22\n@h:1",
        "127.0.0.1:hunter22",
        "127.0.0.1:²",
        "127.0.0.1:" + "9" * 5000,
    ],
)
def test_a_malformed_address_is_one_line_that_names_its_key_and_quotes_no_password(key: str, given: str):
    """What stands in the wrong place may be one."""
    with pytest.raises(ConfigurationError, match=rf"\A--{key}: [^\n]{{1,300}}\Z") as caught:
        load({key: given})
    assert "hunter" not in str(caught.value)


LISTS = {
    "handlers": ("a", "b.c"),
    "http.allowed_hosts": ("api", "[::1]"),
    "http.allowed_origins": ("https://a.example", "http://b.example:1"),
    "ui.frame_ancestors": ("https://a.example", "http://b.example:1"),
    "alerts.urls": ("https://x.example/a,b?c=d,e", "mailtos://u:p@mail.example?to=a@x,b@x"),
    "backup.allow_urls": ("s3://bucket/a", "file:///b"),
    "auth.anonymous_grants": ("observe@*", "read@reports"),
    "auth.denied": ("spiffe://prod.example/ns/a", "spiffe://prod.example/ns/b/*"),
    "auth.public": ("reflection", "docs"),
    "http_request.allow_hosts": ("a.example", "*.b.example"),
    "http_request.allow_private_hosts": ("127.0.0.1", "[::1]"),
}


@pytest.mark.parametrize("key", LISTS)
@pytest.mark.parametrize("written", [", ".join, ",".join, json.dumps, lambda items: json.dumps(items, indent=2)])
@pytest.mark.parametrize("edge", ["environment", "file", "flag"])
def test_a_list_is_written_with_commas_or_as_json(key: str, written, edge: str, tmp_path: Path, monkeypatch):
    """At every edge; a comma within a URL, and the brackets of an IPv6 address, are its own."""
    items = LISTS[key]
    table, _, name = key.rpartition(".")
    for given in (items, items[:1], ()):
        text = written(given)
        if edge == "environment":
            monkeypatch.setenv("SCHEDULE_" + key.upper().replace(".", "__"), text)
        elif edge == "file":
            head = f"[{table}]\n" if table else ""
            (tmp_path / "schedule.toml").write_text(f"{head}{name} = {json.dumps(text)}\n")
        flags = {} if edge != "flag" else {table: {name: [text]}} if table else {name: [text]}
        settings = load(flags)
        assert tuple(getattr(getattr(settings, table) if table else settings, name)) == given


def test_every_list_is_among_those_that_are_tried():
    """A new one has to be written with commas, too."""
    lists = {
        f"{table}.{name}" if table else name
        for table, model in {"": Settings, **tables()}.items()
        for name, field in model.model_fields.items()
        if get_origin(field.annotation) is list
    }
    assert lists == {*LISTS, "tasks"}


def tables() -> dict[str, type[BaseModel]]:
    """The settings that are tables with keys of their own."""
    return {
        name: field.annotation
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }


PLACES = [
    *((name,) for name in Settings.model_fields),
    *((table, name) for table, model in tables().items() for name in model.model_fields),
    ("bindings", "DB"),
    ("bindings", "DB", "timeout"),
    ("handler_concurrency", "a"),
    ("backup", "store_options", "endpoint"),
]
TEXTS = [
    "", " ", "x", "x,y", "-1", "0", "1e999", "nan", "true", "null", "9" * 5000, "2026-01-31", "[", "{", '["', '{"a',
    "[]", "[1]", "[null]", '[["a"]]', '[{"a": 1}]', "{}", '{"a": 1}', '{"address": [1]}', '{"a": {"b": {"c": 1}}}',
    '{"urls": 5, "secret_file": [], "root": {}, "zzz": 1}', "[" * 100_000, '{"a":' * 100_000, "\udcff", "a\nb", "::1",
    "https://x/", "0.0.0.0:1", "host:99999", "sqlite:///x", "postgresql://u:hunter2@[/x",
]  # fmt: skip
VALUES = [True, 5, -1, 0.5, float("nan"), float("inf"), date(2026, 1, 31), datetime(2026, 1, 31, tzinfo=UTC), time(1)]
VALUES += [[], [1], [[]], [{}], ["x"], ["[", "{"], {}, {"a": 1}, {"a": []}, {"a": {"b": 1}}, {"address": {}}, 10**30]


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES, ids=".".join)
def test_no_value_of_a_setting_ends_in_anything_but_a_complaint(place: tuple[str, ...], tmp_path: Path, monkeypatch):
    """Every setting with every wrong kind of value: in the environment, in the file, as a flag; a line for each."""
    variable = "SCHEDULE_" + "__".join(place).upper()
    for text in TEXTS:
        with monkeypatch.context() as environment:
            environment.setenv(variable, text)
            check_complaints({}, variable)
    # What is given elsewhere is tried beside an environment that is empty, and that takes longest to be read.
    monkeypatch.setattr(sources, "from_environment", lambda _: Source({}, str))
    for value in (*VALUES, *TEXTS):
        table = value
        for part in reversed(place):
            table = {part: table}
        if value in VALUES:
            check_complaints(table, f"--{place[0].replace('_', '-')}")
        with monkeypatch.context() as file:
            file.setattr(tomllib, "loads", lambda _, table=table: table)
            (tmp_path / "schedule.toml").touch()
            check_complaints({}, "schedule.toml: ")
        (tmp_path / "schedule.toml").unlink()


def check_complaints(flags: dict, spelled: str) -> None:
    """Load settings; what is wrong is told on one line each, naming the setting as it was given."""
    for complaint in complaints(flags):
        assert complaint.isprintable()
        assert complaint.startswith(
            (spelled, "engine", "grpc: ", "http: ", "SCHEDULE_TASKS: tasks", "schedule.toml: tasks")
        )
        assert "hunter2" not in complaint or "HOST:PORT" in complaint or "duration" in complaint


def complaints(flags: dict) -> tuple[str, ...]:
    """Load settings, and return what is wrong with them."""
    try:
        load(flags)
    except WrongSettings as error:
        return error.complaints
    return ()


@pytest.mark.parametrize("text", ["a = [" + "[" * 100_000, "a = " + "9" * 5000, "\ufeff= 1", 'a = "\ud800"'])
def test_a_file_that_is_no_toml_is_told_in_one_line(tmp_path: Path, text: str):
    """However deep, long or odd it is."""
    (tmp_path / "schedule.toml").write_text(text, errors="surrogatepass")
    with pytest.raises(ConfigurationError) as caught:
        load({})
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith("schedule.toml: ")


def test_what_must_fit_together_may_come_from_several_sources(tmp_path: Path, monkeypatch):
    """The environment alone need not be a whole configuration, nor does it bring defaults that the file has not."""
    (tmp_path / "schedule.toml").write_text(
        'database = "postgresql://db/schedule"\ninsecure_bind = true\n[bindings]\nqueue = "table://DB/other"\n'
    )
    monkeypatch.setenv("SCHEDULE_ENGINE", "false")
    monkeypatch.setenv("SCHEDULE_GRPC", "0.0.0.0:1")
    monkeypatch.setenv("SCHEDULE_BINDINGS__DB", "sqlite:///b.db")
    monkeypatch.setenv("SCHEDULE_HTTP", "127.0.0.1:2")
    monkeypatch.setenv("SCHEDULE_HTTP__ALLOWED_HOSTS", "api")
    settings = load({})
    assert (settings.engine, addresses(settings.grpc)) == (False, "0.0.0.0:1")
    assert settings.bindings == {"DB": f"sqlite:///{tmp_path}/b.db", "QUEUE": "table://DB/other"}
    assert (addresses(settings.http.address), settings.http.allowed_hosts) == ("127.0.0.1:2", ["api"])


def test_a_complaint_names_the_setting_as_it_was_given(tmp_path: Path, monkeypatch):
    """The variable, the flag, or the place in the file; a key within a JSON variable by its place in it."""
    (tmp_path / "schedule.toml").write_text("concurrency = true\nhandlers = [1]\n")
    monkeypatch.setenv("SCHEDULE_HTTP", '{"adress": "x"}')
    monkeypatch.setenv("SCHEDULE_BACKUP__ROOTS", "x")
    monkeypatch.setenv("SCHEDULE_ALERTS", "https://x/")
    with pytest.raises(WrongSettings) as caught:
        load({"drain_timeout": "2h"})
    assert sorted(caught.value.complaints) == [
        "--drain-timeout: Input should be less than or equal to 1 hour",
        "SCHEDULE_ALERTS: is not a table: a variable holds it as a JSON object, or one variable each key",
        "SCHEDULE_BACKUP__ROOTS: unknown key; did you mean root?",
        "SCHEDULE_HTTP: adress: unknown key; did you mean address?",
        "schedule.toml: concurrency: is a number, not true or false",
        "schedule.toml: handlers[0]: Input should be a valid string",
    ]


def test_a_key_that_a_json_setting_gives_twice_is_refused(monkeypatch: pytest.MonkeyPatch):
    """The last one would win in silence: another database than the one that stands first."""
    monkeypatch.setenv("SCHEDULE_BINDINGS", '{"DB": "sqlite:///a.db", "DB": "sqlite:///b.db"}')
    with pytest.raises(WrongSettings) as caught:
        load({})
    assert list(caught.value.complaints) == ["SCHEDULE_BINDINGS: the key 'DB' is given twice in one object"]
