"""Settings: where they come from, and what is refused."""

import json
import tomllib
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import get_origin

import pytest
from pydantic import BaseModel
from rig import START

from schedule_grpc import app
from schedule_grpc.config import Settings, WrongSettings, keys, load
from schedule_grpc.errors import ConfigurationError
from schedule_grpc.paging import Page
from schedule_grpc.task import TaskFilter
from schedule_grpc.testing import FakeClock


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch):
    """No schedule.toml but the test's own."""
    monkeypatch.chdir(tmp_path)


def test_defaults():
    """What a newcomer gets."""
    settings = load({})
    assert (settings.database, settings.grpc, settings.http.address) == (
        "sqlite:///schedule.db",
        "127.0.0.1:50051",
        "127.0.0.1:8787",
    )
    assert (settings.concurrency, settings.drain_timeout) == (100, timedelta(seconds=30))
    assert settings.bindings == {"DB": "sqlite:///platform.db", "QUEUE": "table://DB/queue_jobs"}


def test_flags_before_environment_before_file(tmp_path: Path, monkeypatch):
    """Each source yields to the one before it, key by key."""
    (tmp_path / "schedule.toml").write_text(
        'concurrency = 1\ndrain_timeout = "1m"\nlog_level = "debug"\n'
        '[bindings]\nDB = "sqlite:///a.db"\nMORE = "sqlite:///m"\n'
    )
    monkeypatch.setenv("SCHEDULE_CONCURRENCY", "2")
    monkeypatch.setenv("SCHEDULE_DRAIN_TIMEOUT", "500ms")
    monkeypatch.setenv("SCHEDULE_BINDINGS__DB", "sqlite:///b.db")
    monkeypatch.setenv("SCHEDULE_HANDLERS", "a.b, c")
    settings = load({"concurrency": 3, "grpc": None})
    assert settings.concurrency == 3
    assert settings.drain_timeout == timedelta(milliseconds=500)
    assert settings.log_level == "debug"
    assert settings.bindings == {
        "DB": "sqlite:///b.db",
        "MORE": "sqlite:///m",
        "QUEUE": "table://DB/queue_jobs",
    }
    assert settings.handlers == ["a.b", "c"]


def test_a_part_of_a_table_in_the_environment_leaves_the_file_its_part(tmp_path: Path, monkeypatch):
    """A secret from the environment must not take away whoever the file says is told."""
    (tmp_path / "schedule.toml").write_text(
        '[alerts]\nurls = ["https://hooks.example"]\n[backup]\nallow_urls = ["s3://bucket"]\n'
        '[http_request]\nallow_hosts = ["api.example"]\n[handler_concurrency]\na = 1\n'
    )
    monkeypatch.setenv("SCHEDULE_ALERTS__SECRET_FILE", "secret")
    monkeypatch.setenv("SCHEDULE_BACKUP__ROOT", "/backups")
    monkeypatch.setenv("SCHEDULE_HTTP_REQUEST__SECRETS_DIR", "secrets")
    monkeypatch.setenv("SCHEDULE_HANDLER_CONCURRENCY__B", "2")
    settings = load({})
    assert (settings.alerts.urls, settings.alerts.secret_file) == (["https://hooks.example"], Path("secret"))
    assert (settings.backup.root, settings.backup.allow_urls) == ("/backups", ["s3://bucket"])
    assert (settings.http_request.allow_hosts, settings.http_request.secrets_dir) == (["api.example"], Path("secrets"))
    assert settings.handler_concurrency == {"a": 1, "b": 2}


def test_the_http_interface_is_an_address_or_a_table(tmp_path: Path, monkeypatch):
    """Each source says a part: the file who may ask, the environment a host more, a flag the address."""
    (tmp_path / "schedule.toml").write_text(
        '[http]\naddress = "127.0.0.1:1"\nallowed_origins = ["https://ops.example"]\nallowed_hosts = ["a"]\n'
    )
    monkeypatch.setenv("SCHEDULE_HTTP__ALLOWED_HOSTS", '["b"]')
    http = load({"http": "127.0.0.1:2"}).http
    assert (http.address, http.allowed_hosts, http.allowed_origins) == ("127.0.0.1:2", ["b"], ["https://ops.example"])
    monkeypatch.setenv("SCHEDULE_HTTP", "off")
    assert load({}).http.address == "off"


@pytest.mark.parametrize(
    "origin", ["ops.example", "https://ops.example/", "https://ops.example/x", "ftp://a", "*", "null"]
)
def test_an_origin_that_is_none_is_refused(tmp_path: Path, origin: str):
    """It would never be equal to one."""
    (tmp_path / "schedule.toml").write_text(f'[http]\nallowed_origins = ["{origin}"]\n')
    with pytest.raises(ConfigurationError, match=r"schedule\.toml: http\.allowed_origins\[0\]: .* is not an origin"):
        load({})


def test_an_unknown_key_in_the_file_is_refused(tmp_path: Path):
    """All of them at once, in tables too, each with what was probably meant."""
    (tmp_path / "schedule.toml").write_text(
        'concurency = 1\nallowed_hosts = []\n"a\\nb" = 1\n[http]\nallowed-host = []\n[backup]\nzzz = 1\nroot = 1\n'
    )
    with pytest.raises(WrongSettings) as caught:
        load({})
    told = [complaint.removeprefix("schedule.toml: ") for complaint in caught.value.complaints]
    assert sorted(told)[1:] == [
        "allowed_hosts: unknown key; did you mean http.allowed_hosts?",
        "backup.root: Input should be a valid string",
        "backup.zzz: unknown key; the keys are allow_urls, pg_dump, root, store_options",
        "concurency: unknown key; did you mean concurrency?",
        "http.allowed-host: unknown key; did you mean allowed_hosts?",
    ]
    assert min(told).startswith("'a\\nb': unknown key; the keys are alerts, api, backup, ")


def test_foreign_variables_are_none_of_our_business(monkeypatch):
    """Kubernetes sets SCHEDULE_PORT beside a service named schedule."""
    monkeypatch.setenv("SCHEDULE_PORT", "tcp://10.0.0.1:50051")
    assert load({}).grpc == "127.0.0.1:50051"


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ({"database": "mysql://u:secret@x"}, "database: 'mysql' is neither sqlite:///PATH nor postgresql://..."),
        ({"engine": False, "api": False}, "engine and api are both off: this server would do nothing"),
        ({"engine": False}, "engine: only on PostgreSQL can another server do the work; this one holds its file alone"),
        ({"database": "sqlite:///"}, "database: "),
        ({"grpc": "50051"}, "grpc: '50051' is not HOST:PORT"),
        ({"http": "127.0.0.1:99999"}, "--http: address: "),
        ({"http": "0.0.0.0:8787"}, "http: "),
        ({"grpc": "0.0.0.0:50051"}, "insecure_bind"),
        ({"grpc": "example.org:50051"}, "insecure_bind"),
        ({"concurrency": 0}, "concurrency: "),
        ({"drain_timeout": "forever"}, "--drain-timeout: "),
        ({"drain_timeout": "2h"}, "--drain-timeout: "),
        ({"log_format": "xml"}, "--log-format: "),
        ({"bindings": {"d-b": "sqlite:///x"}}, "'d-b' is not a name such as DB"),
    ],
)
def test_bad_values_are_refused(flags: dict, reason: str):
    """With key and reason."""
    with pytest.raises(ConfigurationError) as caught:
        load(flags)
    assert reason in str(caught.value)


@pytest.mark.parametrize("address", ["localhost:1", "127.0.0.9:1", "[::1]:1"])
def test_loopback_needs_no_permission(address: str):
    """Names and addresses of this machine alone."""
    assert load({"grpc": address}).grpc == address


def test_an_open_address_needs_a_word():
    """With insecure_bind it is accepted."""
    assert load({"grpc": "0.0.0.0:1", "insecure_bind": True}).insecure_bind is True


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path):
    """Missing, or not TOML."""
    with pytest.raises(ConfigurationError, match="missing"):
        load({}, file=tmp_path / "missing.toml")
    (tmp_path / "bad.toml").write_text("= 1")
    with pytest.raises(ConfigurationError, match=r"bad\.toml"):
        load({}, file=tmp_path / "bad.toml")


def test_every_key_has_a_meaning():
    """The table of settings has no empty cell but defaults that are empty."""
    assert all(key.meaning for key in keys())


TASKS = """
[[tasks]]
name = "report"
schedule = "0 9 * * 1-5"
time_zone = "Europe/Berlin"
handler = "send-report"
policy = { timeout = "5m", overlap = "buffer-one", retry = { max_retries = 1 } }

[[tasks]]
name = "sweep"
schedule = "every 90 minutes"
handler = "sweep"
enabled = false
"""


def test_tasks_of_the_file_are_registrations(tmp_path: Path):
    """In their order, with their policies."""
    (tmp_path / "schedule.toml").write_text(TASKS)
    report, sweep = load({}).registrations()
    assert (report.definition.name, report.definition.schedule.time_zone) == ("report", "Europe/Berlin")
    assert report.definition.policy.timeout == timedelta(minutes=5)
    assert report.definition.policy.retry.max_retries == 1
    assert (sweep.definition.schedule.text, sweep.enabled) == ("every 90 minutes", False)


def test_a_wrong_task_is_a_wrong_configuration(tmp_path: Path):
    """Said with its place, before anything starts."""
    (tmp_path / "schedule.toml").write_text(TASKS.replace("timeout", "tiemout"))
    with pytest.raises(ConfigurationError, match=r"tasks\[0\]\.policy\.tiemout: unknown key; did you mean timeout\?"):
        load({})


def test_handlers_can_be_limited(tmp_path: Path, monkeypatch):
    """In the file; by a number of at least one."""
    (tmp_path / "schedule.toml").write_text('[handler_concurrency]\n"send-report" = 2\n')
    assert load({}).handler_concurrency == {"send-report": 2}
    (tmp_path / "schedule.toml").write_text("[handler_concurrency]\na = 0\n")
    with pytest.raises(ConfigurationError, match=r"handler_concurrency\.a: Input should be greater than or equal to 1"):
        load({})


async def test_a_server_registers_the_tasks_of_its_configuration(tmp_path: Path):
    """Handlers that nobody offers yet are allowed; at the next start nothing changes."""
    (tmp_path / "schedule.toml").write_text(TASKS + '[bindings]\nDB = "sqlite:///platform.db"\n')
    for _ in range(2):
        settings = load({"grpc": "127.0.0.1:0", "http": "off", "database": f"sqlite:///{tmp_path}/s.db"})
        async with app.running(settings, clock=FakeClock(START)) as parts:
            page = await parts.service.list_tasks(TaskFilter(), Page())
            assert [(task.name, task.etag, task.enabled) for task in page.tasks] == [
                ("report", "1", True),
                ("sweep", "1", False),
            ]


LISTS = {
    "handlers": ("a", "b.c"),
    "http.allowed_hosts": ("api", "[::1]"),
    "http.allowed_origins": ("https://a.example", "http://b.example:1"),
    "alerts.urls": ("https://x.example/a,b?c=d,e", "mailtos://u:p@mail.example?to=a@x,b@x"),
    "backup.allow_urls": ("s3://bucket/a", "file:///b"),
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


@pytest.mark.parametrize("place", PLACES, ids=".".join)
def test_no_value_of_a_setting_ends_in_anything_but_a_complaint(place: tuple[str, ...], tmp_path: Path, monkeypatch):
    """Every setting with every wrong kind of value: in the environment, in the file, as a flag; a line for each."""
    variable = "SCHEDULE_" + "__".join(place).upper()
    for text in TEXTS:
        with monkeypatch.context() as environment:
            environment.setenv(variable, text)
            judge({}, variable)
    for value in (*VALUES, *TEXTS):
        table = value
        for part in reversed(place):
            table = {part: table}
        if value in VALUES:
            judge(table, f"--{place[0].replace('_', '-')}")
        with monkeypatch.context() as file:
            file.setattr(tomllib, "loads", lambda _, table=table: table)
            (tmp_path / "schedule.toml").touch()
            judge({}, "schedule.toml: ")
        (tmp_path / "schedule.toml").unlink()


def judge(flags: dict, spelled: str) -> None:
    """Load settings; what is wrong is told on one line each, naming the setting as it was given."""
    for complaint in complaints(flags):
        assert complaint.isprintable()
        assert complaint.startswith((spelled, "engine", "grpc: ", "http: ", "tasks"))
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
    assert (settings.engine, settings.grpc) == (False, "0.0.0.0:1")
    assert settings.bindings == {"DB": "sqlite:///b.db", "QUEUE": "table://DB/other"}
    assert (settings.http.address, settings.http.allowed_hosts) == ("127.0.0.1:2", ["api"])


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
