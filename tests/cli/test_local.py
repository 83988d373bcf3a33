"""What needs no server: preview, migrate, proto, serve's own errors, --help."""

import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
from support.databases.old_files import first_version
from support.patience import AT_MOST
from support.servers import keyed_run
from support.servers.launched import environment
from support.servers.process import Server, run, serving

from schedule_grpc.cli.commands import proto
from schedule_grpc.cli.options import POLICY_OPTIONS
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.policy_reading import policy_text
from schedule_grpc.errors import DatabaseRefused
from schedule_grpc.store import NEWEST, schema_version

ROOT = Path(__file__).parents[2]
HEAVY = {
    *("grpc", "google", "rich", "pydantic_settings", "croniter", "cron_descriptor", "aiosqlite", "sqlite3"),
    *("asyncio", "structlog", "prometheus_client", "fastapi"),
}
"""What no help needs."""
NOT_TO_SERVE = {
    *("fastapi", "starlette", "uvicorn", "httpx2", "obstore", "zstandard", "apprise", "kombu", "asyncpg"),
    *("croniter", "cron_descriptor"),
}
"""What a server loads once somebody needs it, at the earliest when gRPC serves."""
NOT_TO_ASK = NOT_TO_SERVE | {"structlog", "prometheus_client", "pydantic_settings", "aiosqlite", "sqlite3"}
"""What a command that asks a server does without."""


def test_preview_tells_what_daylight_saving_time_does(tell):
    """In UTC and as clocks show it, with a note for the night that is unlike the others."""
    done = tell("preview", "30 2 * * *", "--zone", "Europe/Berlin", "--after", "2026-03-28T12:00Z", "--count", "2")
    assert (done.code, done.err) == (0, "")
    *times, note = done.out.splitlines()
    assert times == [
        "At 02:30",
        "  2026-03-29 01:00:00Z   Sun 2026-03-29 03:00:00 CEST",
        "  2026-03-30 00:30:00Z   Mon 2026-03-30 02:30:00 CEST",
    ]
    skipped = "Note: 2026-03-29 Europe/Berlin: clocks skip from 02:00 to 03:00"
    assert note == f"{skipped}; 02:30 does not exist and runs at 03:00 (01:00Z)."


def test_preview_in_json(tell):
    """With the cron expression that means the same, where there is one."""
    done = tell("preview", "@yearly", "--count", "2", "--after", "2026-05-01", "--json")
    assert done.json == {
        "schedule": "@yearly",
        "timeZone": "UTC",
        "description": "On January 1st at midnight",
        "cron": "0 0 1 1 *",
        "nextRuns": ["2027-01-01T00:00:00.000Z", "2028-01-01T00:00:00.000Z"],
        "notes": [],
    }
    assert "cron" not in tell("preview", "every 45 minutes", "--json").json


def test_preview_of_what_never_fires(tell):
    """Says never."""
    assert tell("preview", "@manual").out.splitlines()[-1] == "  never"
    assert len(tell("preview", "every 90 minutes").out.splitlines()) == 6


@pytest.mark.parametrize(
    "arguments",
    [
        ("preview", "99 * * * *"),
        ("preview", "@daily", "--zone", "Mars"),
        ("preview", "@daily", "--after", "later"),
        ("preview", "@daily", "--count", "0"),
        ("serve", "--grpc", "nowhere"),
        ("serve", "--grpc", "0.0.0.0:0"),
        ("serve", "--database", "sqlite:///:memory:"),
        ("serve", "--database", "mysql://x"),
        ("serve", "--concurrency", "0"),
        ("serve", "--drain-timeout", "soon"),
        ("serve", "--config", "missing.toml"),
        ("migrate", "--database", "mysql://x"),
        ("migrate", "--config", "missing.toml"),
        ("proto",),
    ],
)
def test_wrong_usage_is_exit_code_2(tell, arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With words on standard error, and no traceback."""
    monkeypatch.chdir(tmp_path)
    done = tell(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_must_not_be_used_is_exit_code_1(tmp_path: Path):
    """One line says why, and the file stays as it was."""
    (tmp_path / "schedule.db").write_text("my diary")
    for arguments in (("serve", "--grpc", "127.0.0.1:0"), ("migrate",)):
        done = run(*arguments, folder=tmp_path)
        assert done.returncode == 1
        assert "is not a " in done.stderr
        assert "Traceback" not in done.stderr
        assert (tmp_path / "schedule.db").read_text() == "my diary"


def test_a_handler_module_that_is_missing_is_exit_code_1(tmp_path: Path):
    """It is named."""
    done = run("serve", "--grpc", "127.0.0.1:0", "--handlers", "no.such.module", folder=tmp_path)
    assert done.returncode == 1
    assert "no.such.module" in done.stderr


@pytest.mark.parametrize(
    ("configuration", "told"),
    [
        ('[alerts]\nurls = ["nothing://x"]', "alerts.urls: "),
        ('[alerts]\nsecret_file = "missing"', "alerts.secret_file: "),
        ('[bindings]\nDB = "ftp://x"', "bindings.DB: "),
    ],
)
def test_a_wrong_configuration_is_exit_code_2(tmp_path: Path, configuration: str, told: str):
    """It does not mend itself: whoever starts the server again and again need not."""
    (tmp_path / "schedule.toml").write_text(configuration)
    done = run("serve", "--grpc", "127.0.0.1:0", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"cannot start: {told}" in done.stderr


def test_a_port_in_use_is_exit_code_1(tmp_path: Path):
    """It may be free the next time."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for ports in (("--grpc", address), ("--grpc", "127.0.0.1:0", "--http", address)):
            done = run("serve", *ports, folder=tmp_path)
            assert (done.returncode, done.stdout) == (1, "")
            assert f"cannot listen on {address}" in done.stderr


def test_migrate_creates_and_brings_up_to_date(tell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """And says which schema version there was and is."""
    monkeypatch.chdir(tmp_path)
    done = tell("migrate", "--database", "sqlite:///new.db")
    assert (done.code, done.out) == (0, f"new.db created with schema version {NEWEST}\n")
    assert tell("migrate", "--database", "sqlite:///new.db").out == f"new.db is at schema version {NEWEST}\n"
    (tmp_path / "schedule.toml").write_text('database = "sqlite:///old.db"')
    first_version(tmp_path / "old.db")
    assert tell("migrate", "--json").json == {"database": "sqlite:///old.db", "before": 1, "version": NEWEST}
    first_version(tmp_path / "older.db")
    done = tell("migrate", "--database", "sqlite:///older.db")
    assert done.out == f"older.db brought from schema version 1 to {NEWEST}\n"
    assert schema_version(tmp_path / "older.db") == NEWEST


def test_migrate_leaves_a_running_servers_file_alone(tmp_path: Path):
    """The server is named."""
    with serving(tmp_path) as server:
        done = run("migrate", folder=tmp_path)
    assert done.returncode == 1
    assert f"another schedule-grpc server (process {server.process.pid}) is using this file" in done.stderr


def test_a_look_at_the_database_tells_what_is_wrong_with_it(tell, tmp_path: Path):
    """Empty, foreign, newer, damaged, a folder, not a database: each is refused with its reason."""
    good = tmp_path / "good.db"
    tell("migrate", "--database", f"sqlite:///{good}")
    assert schema_version(good) == NEWEST

    def reason(name: str) -> str:
        with pytest.raises(DatabaseRefused) as caught:
            schema_version(tmp_path / name)
        return str(caught.value).removeprefix(f"{tmp_path / name}: ")

    (tmp_path / "empty.db").touch()
    assert reason("empty.db").startswith("is empty (0 bytes). If its tasks are meant to be gone")
    (tmp_path / "folder.db").mkdir()
    assert reason("folder.db") == "is not a file"
    (tmp_path / "text.db").write_text("my diary" * 100)
    assert reason("text.db") == "is not a SQLite database, or its first page is damaged"
    shutil.copy(good, tmp_path / "foreign.db")
    with closing(sqlite3.connect(tmp_path / "foreign.db")) as connection:
        connection.execute("PRAGMA application_id = 1")
    assert reason("foreign.db") == "is a SQLite database of another application"
    shutil.copy(good, tmp_path / "newer.db")
    with closing(sqlite3.connect(tmp_path / "newer.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert reason("newer.db").startswith("has schema version 99, of a newer schedule-grpc")
    damaged = bytearray(good.read_bytes())
    damaged[4096 * 3 : 4096 * 5] = b"\xff" * 8192
    (tmp_path / "damaged.db").write_bytes(damaged)
    assert "is damaged: " in reason("damaged.db") or "malformed" in reason("damaged.db")


def test_the_contract_is_copied(tell, tmp_path: Path):
    """As it stands in the source tree, or in the wheel; every path is told."""
    done = tell("proto", "--out", str(tmp_path / "new" / "folder"))
    folder = tmp_path / "new" / "folder" / "schedule" / "v1"
    written = [folder / f"{name}.proto" for name in ("access", "schedule", "worker")]
    assert (done.code, done.out) == (0, "".join(f"{path}\n" for path in written))
    for path in written:
        assert path.read_bytes() == (ROOT / "protos" / "schedule" / "v1" / path.name).read_bytes()
    assert tell("proto", "--out", str(tmp_path / "new" / "folder"), "--json").json == list(map(str, written))
    (tmp_path / "file").touch()
    done = tell("proto", "--out", str(tmp_path / "file"))
    assert (done.code, done.out) == (1, "")
    assert "Traceback" not in done.err


def test_the_wheels_contract_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where the package has one of its own; an installation without any says so."""
    (tmp_path / "wheel" / "a").mkdir(parents=True)
    (tmp_path / "wheel" / "a" / "b.proto").write_text("x")
    monkeypatch.setattr(proto, "PLACES", (tmp_path / "wheel", ROOT / "protos"))
    assert proto.copied(tmp_path / "out") == (tmp_path / "out" / "a" / "b.proto",)
    monkeypatch.setattr(proto, "PLACES", (tmp_path / "nowhere", tmp_path / "neither"))
    with pytest.raises(FileNotFoundError):
        proto.copied(tmp_path / "out")


def test_help_shows_every_policys_default():
    """What --help says of a policy is what the policy is; no policy lacks its option."""
    defaults = {path: policy_text(value) for path, value in Policy().fields().items()}
    assert {option.path: option.default for option in POLICY_OPTIONS} == defaults


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        ("--help", {*HEAVY, "pydantic"}),
        # typer itself takes pydantic to read a command's own arguments
        ("tasks register --help", HEAVY),
        ("executions list --help", HEAVY),
        ("executions list -h", HEAVY),
        ("doctor --help", HEAVY),
    ],
)
def test_help_loads_nothing_heavy(arguments: str, heavy: set[str]):
    """What the command line imports beside the package itself is light."""
    code = (
        "import sys, schedule_grpc; before = set(sys.modules)\n"
        "from schedule_grpc.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, *(set(sys.modules) - before), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments.split()],
        capture_output=True,
        text=True,
        timeout=AT_MOST,
        check=True,
        env=environment(),
    )
    assert "Usage: " in done.stdout
    ended, *loaded = done.stderr.split()
    assert ended == "0"
    assert not packages(loaded) & heavy


def packages(modules: Iterable[str]) -> set[str]:
    """Return the packages to which modules belong."""
    return {name.partition(".")[0] for name in modules}


def test_a_command_that_asks_a_server_loads_no_server(server: Server):
    """Nor a log, nor a database."""
    code = (
        "import sys\n"
        "from schedule_grpc.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, *sys.modules, file=sys.stderr)"
    )
    asking = environment(**keyed_run.variables(server.address))
    done = subprocess.run(
        [sys.executable, "-c", code, "tasks", "list", "--server", server.address],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        # Coverage loads sqlite3.
        env={name: value for name, value in asking.items() if not name.startswith("COVERAGE_")},
    )
    assert "NEXT" in done.stdout
    ended, *loaded = done.stderr.split()
    assert ended == "0"
    assert not packages(loaded) & NOT_TO_ASK
    assert not {name for name in loaded if name.startswith(("schedule_grpc.engine", "schedule_grpc.handlers"))}


def test_a_server_loads_nothing_for_later_before_it_serves(tmp_path: Path):
    """What HTTP, the built-in tasks, alerts and English need comes when gRPC serves, or when somebody asks."""
    code = (
        "import sys\n"
        "from schedule_grpc.api import GrpcServer\n"
        "from schedule_grpc.cli import main\n"
        "from schedule_grpc.errors import CannotStart\n"
        "async def start(*_): raise CannotStart(' '.join(sys.modules))\n"
        "GrpcServer.start = start\n"
        "main()"
    )
    arguments = ("serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(),
        cwd=tmp_path,
    )
    _, told, loaded = done.stderr.partition("cannot start: ")
    assert told
    assert "schedule_grpc.engine" in loaded.split()
    assert not packages(loaded.split()) & NOT_TO_SERVE
