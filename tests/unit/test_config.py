"""Settings: where they come from, and what is refused."""

from datetime import timedelta
from pathlib import Path

import pytest
from support.rigs.rig import START

from schedule_grpc import app
from schedule_grpc.domain.execution.log_lines import Keep
from schedule_grpc.domain.paging import Page
from schedule_grpc.domain.task import TaskFilter
from schedule_grpc.errors import ConfigurationError
from schedule_grpc.settings.config import WrongSettings, addresses, keys, load
from schedule_grpc.testing import FakeClock


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch):
    """No schedule.toml but the test's own."""
    monkeypatch.chdir(tmp_path)


def test_defaults(tmp_path: Path):
    """What a newcomer gets."""
    settings = load({})
    assert (settings.database, *map(addresses, (settings.grpc, settings.http.address))) == (
        f"sqlite:///{tmp_path}/schedule.db",
        "127.0.0.1:50051",
        "127.0.0.1:8787",
    )
    assert (settings.concurrency, settings.drain_timeout) == (100, timedelta(seconds=30))
    assert settings.bindings == {"DB": f"sqlite:///{tmp_path}/platform.db", "QUEUE": "table://DB/queue_jobs"}


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
        "DB": f"sqlite:///{tmp_path}/b.db",
        "MORE": f"sqlite:///{tmp_path}/m",
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
    assert (settings.alerts.urls, settings.alerts.secret_file) == (["https://hooks.example"], tmp_path / "secret")
    assert (settings.backup.root, settings.backup.allow_urls) == ("/backups", ["s3://bucket"])
    assert (settings.http_request.allow_hosts, settings.http_request.secrets_dir) == (
        ["api.example"],
        tmp_path / "secrets",
    )
    assert settings.handler_concurrency == {"a": 1, "b": 2}


def test_paths_are_those_of_the_folder_in_which_settings_are_read(tmp_path: Path, monkeypatch):
    """A handler that changes the working directory afterwards changes no file."""
    (tmp_path / "schedule.toml").write_text(
        'database = "sqlite:///data/s.db"\n'
        '[bindings]\nDB = "sqlite:///p.db"\nFULL = "sqlite:////p.db"\nAI = {url = "https://ai", key_file = "key"}\n'
        'FILE = {url = "sqlite:///f.db", timeout = "1s"}\nPG = "postgresql://u@h/d?sslrootcert=ca%20s.pem&sslmode=require"\n'
        '[backup]\nroot = "../b"\npg_dump = "bin/pg_dump"\n'
        '[http_request]\nsecrets_dir = "s"\nca_file = "/ca.pem"\n[alerts]\nsecret_file = "k"\n'
        '[http_request.secrets.A]\nfile = "a"\nhosts = "h"\nnamespaces = "reports"\n'
    )
    settings = load({})
    monkeypatch.chdir("/")
    assert settings.database == f"sqlite:///{tmp_path}/data/s.db"
    assert settings.bindings == {
        "DB": f"sqlite:///{tmp_path}/p.db",
        "FULL": "sqlite:////p.db",
        "AI": {"url": "https://ai", "key_file": f"{tmp_path}/key"},
        "FILE": {"url": f"sqlite:///{tmp_path}/f.db", "timeout": "1s"},
        "PG": f"postgresql://u@h/d?sslrootcert={tmp_path}/ca%20s.pem&sslmode=require",
        "QUEUE": "table://DB/queue_jobs",
    }
    assert (settings.backup.root, settings.backup.pg_dump) == (f"{tmp_path}/../b", f"{tmp_path}/bin/pg_dump")
    request, alerts = settings.http_request, settings.alerts
    assert (request.secrets_dir, request.ca_file, alerts.secret_file) == (
        tmp_path / "s",
        Path("/ca.pem"),
        tmp_path / "k",
    )
    assert request.secrets["A"].file == tmp_path / "a"


@pytest.mark.parametrize(
    ("database", "root", "pg_dump"),
    [
        ("postgresql://u@h/d?sslmode=require", "s3://bucket", "pg_dump"),
        ("postgresql://u@h/d?passfile=~/p&sslkey=/k", "file:///b", "/bin/pg_dump"),
    ],
)
def test_what_is_no_relative_path_stays(database: str, root: str, pg_dump: str):
    """URLs, absolute paths, a home directory, a program on PATH."""
    settings = load({"database": database, "backup": {"root": root, "pg_dump": pg_dump}})
    assert (settings.database, settings.backup.root, settings.backup.pg_dump) == (database, root, pg_dump)


def test_the_http_interface_is_an_address_or_a_table(tmp_path: Path, monkeypatch):
    """Each source says a part: the file who may ask, the environment a host more, a flag the address."""
    (tmp_path / "schedule.toml").write_text(
        '[http]\naddress = "127.0.0.1:1"\nallowed_origins = ["https://ops.example"]\nallowed_hosts = ["a"]\n'
    )
    monkeypatch.setenv("SCHEDULE_HTTP__ALLOWED_HOSTS", '["b"]')
    http = load({"http": "127.0.0.1:2"}).http
    assert (addresses(http.address), http.allowed_hosts, http.allowed_origins) == (
        "127.0.0.1:2",
        ["b"],
        ["https://ops.example"],
    )
    monkeypatch.setenv("SCHEDULE_HTTP", "off")
    assert load({}).http.address == ()


@pytest.mark.parametrize(
    "origin",
    [
        "https://ana@ops.example",
        "https://ops.example:99999",
        "ops.example",
        "https://ops.example/",
        "https://ops.example/x",
        "ftp://a",
        "*",
        "null",
        "https://*.example",
        "https://bücher.example",
        "https://ops.example;script-src",
        "https://ops.example 'self'",
        "'self'",
    ],
)
@pytest.mark.parametrize(("table", "key"), [("http", "allowed_origins"), ("ui", "frame_ancestors")])
def test_an_origin_that_is_none_is_refused(tmp_path: Path, origin: str, table: str, key: str):
    """It would never be equal to one, or say more in a header than one site."""
    (tmp_path / "schedule.toml").write_text(f'[{table}]\n{key} = ["{origin}"]\n')
    with pytest.raises(ConfigurationError, match=rf"schedule\.toml: {table}\.{key}\[0\]: .* is not an origin"):
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
    assert min(told).startswith("'a\\nb': unknown key; the keys are alerts, api, audit, auth, backup, ")


@pytest.mark.parametrize(
    ("written", "keep", "max_age"),
    [
        ("", Keep.ALL, timedelta(days=7)),
        ('keep = "failed"\nmax_age = "2d"', Keep.FAILED, timedelta(days=2)),
        ('keep = "none"\nmax_age = "1h"', Keep.NONE, timedelta(hours=1)),
    ],
)
def test_what_is_kept_of_lines(written: str, keep: Keep, max_age: timedelta):
    """Which attempts' lines, and how long."""
    Path("schedule.toml").write_text(f"[logs]\n{written}\n")
    assert (load({}).logs.keep, load({}).logs.max_age) == (keep, max_age)


@pytest.mark.parametrize("written", ['keep = "some"', 'max_age = "59m"', 'max_age = "3651d"', "lines = 3"])
def test_what_cannot_be_kept_of_lines(written: str):
    """Other words, too short or too long a time."""
    Path("schedule.toml").write_text(f"[logs]\n{written}\n")
    with pytest.raises(WrongSettings, match=r"logs\."):
        load({})


def test_foreign_variables_are_none_of_our_business(monkeypatch):
    """Kubernetes sets SCHEDULE_PORT beside a service named schedule."""
    monkeypatch.setenv("SCHEDULE_PORT", "tcp://10.0.0.1:50051")
    assert addresses(load({}).grpc) == "127.0.0.1:50051"


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ({"database": "mysql://u:secret@x"}, "database: 'mysql' is neither sqlite:///PATH nor postgresql://..."),
        ({"engine": False, "api": False}, "engine and api are both off: this server would do nothing"),
        ({"engine": False}, "engine: only on PostgreSQL can another server do the work; this one holds its file alone"),
        ({"database": "sqlite:///"}, "database: "),
        ({"grpc": "50051"}, "grpc: '50051' is not HOST:PORT"),
        ({"http": "127.0.0.1:99999"}, "--http: address: '127.0.0.1:99999' is not HOST:PORT"),
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
    assert addresses(load({"grpc": address}).grpc) == address


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
    with pytest.raises(ConfigurationError, match=r"tasks\[0\] \(report\)\.policy\.tiemout: unknown key"):
        load({})


def test_handlers_can_be_limited(tmp_path: Path, monkeypatch):
    """In the file; by a number of at least one."""
    (tmp_path / "schedule.toml").write_text('[handler_concurrency]\n"send-report" = 2\n')
    assert load({}).handler_concurrency == {"send-report": 2}
    (tmp_path / "schedule.toml").write_text("[handler_concurrency]\na = 0\n")
    with pytest.raises(ConfigurationError, match=r"handler_concurrency\.a: Input should be greater than or equal to 1"):
        load({})


async def test_a_declared_instant_that_is_over_keeps_no_server_from_starting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """On a fresh database it is not registered, and a warning names it with its file; the other tasks are."""
    once = '[[tasks]]\nname = "once"\nschedule = "2020-01-01T00:00:00Z"\nhandler = "x"\n'
    (tmp_path / "schedule.toml").write_text(once + TASKS)
    settings = load({"grpc": "127.0.0.1:0", "http": "off", "database": f"sqlite:///{tmp_path}/s.db"})
    async with app.running(settings, clock=FakeClock(START)) as parts:
        page = await parts.service.list_tasks(TaskFilter(), Page())
        assert [task.name for task in page.tasks] == ["report", "sweep"]
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "task.passed" in line)
    assert all(told in line for told in ("task=once", "schedule=2020-01-01T00:00:00Z", "file=schedule.toml"))


async def test_a_declared_instant_stays_when_it_is_over(tmp_path: Path):
    """Registered before it, it is the same task at every later start, and runs once."""
    (tmp_path / "schedule.toml").write_text(
        f'[[tasks]]\nname = "once"\nschedule = "{START + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"\nhandler = "x"\n'
    )
    settings = load({"grpc": "127.0.0.1:0", "http": "off", "database": f"sqlite:///{tmp_path}/s.db"})
    for clock in (FakeClock(START), FakeClock(START + timedelta(days=1))):
        async with app.running(settings, clock=clock) as parts:
            (task,) = (await parts.service.list_tasks(TaskFilter(), Page())).tasks
            assert (task.name, task.etag) == ("once", "1")


def test_what_is_wrong_with_a_declared_task_names_it_and_its_file(tmp_path: Path):
    """The default file, one that is named, and the environment."""
    bad = '[[tasks]]\nname = "nightly"\nschedule = "0 25 * * *"\nhandler = "x"\n'
    for name in ("schedule.toml", "other.toml"):
        (tmp_path / name).write_text(bad)
        with pytest.raises(ConfigurationError, match=rf"^{name}: tasks\[0\] \(nightly\)\.schedule: hour: 25 is above"):
            load({}, file=None if name == "schedule.toml" else Path(name))


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
