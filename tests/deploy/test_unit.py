"""schedule-grpc.service: what systemd would start answers, keeps its secrets, and says what is wrong."""

import re
import shlex
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.deployment import DEPLOY, ROOT, environment_file, in_seconds, mapped, unit
from support.patience import AT_MOST
from support.servers.launched import COMMAND, environment
from support.servers.process import Server, start_as_written

from schedule_grpc.access.authenticator import Mode
from schedule_grpc.settings.config import Settings, load

UNIT = unit()
STATE = "/var/lib/schedule-grpc"
PROGRAM = "/opt/schedule-grpc/bin/schedule-grpc"
CONFIGURATION = "/etc/schedule-grpc/schedule.toml"


def only(key: str) -> str:
    """Return the value of a key that stands once."""
    (value,) = UNIT[key]
    return value


def documented(command: str) -> str:
    """Return a command of docs/operations.md's steps, on one line, without what makes it root's."""
    text = (ROOT / "docs" / "operations.md").read_text().replace("\\\n", " ")
    found = re.search(rf"^sudo {re.escape(PROGRAM)} ({command} .*?)(?:\s+#.*)?$", text, re.MULTILINE)
    assert found is not None, command
    return found[1]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unit's state folder."""
    folder = tmp_path_factory.mktemp("state")
    folder.chmod(int(only("StateDirectoryMode"), 8))
    return folder


@pytest.fixture(scope="module")
def places(state: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What lies elsewhere in the test: the state folder, the configuration, ports."""
    configuration = tmp_path_factory.mktemp("etc") / "schedule.toml"
    ports = {STATE: str(state), "127.0.0.1:50051": "127.0.0.1:0"}
    configuration.write_text(mapped((DEPLOY / "schedule.toml").read_text(), ports))
    return {STATE: str(state), CONFIGURATION: str(configuration)}


@pytest.fixture(scope="module")
def server(state: Path, places: dict[str, str]) -> Iterator[Server]:
    """The server, with a file of secrets as the unit names one."""
    secrets = state.parent / "environment"
    secrets.write_text(f"# secrets\nSCHEDULE_BINDINGS__DB=sqlite:///{state}/platform.db\nSCHEDULE_HTTP='127.0.0.1:0'\n")
    program, *arguments = shlex.split(only("ExecStart"))
    assert program == PROGRAM
    started = start_as_written(state, *(mapped(each, places) for each in arguments), **environment_file(secrets))
    yield started
    started.end()


def executed(command: str, server: Server, places: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a command of the documentation at the server."""
    arguments = [mapped(each, places) for each in shlex.split(command)]
    return subprocess.run(
        [COMMAND, *arguments, "--server", server.address],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=AT_MOST,
    )


def test_systemd_has_nothing_to_say_of_it(tmp_path: Path):
    """With a program that is there."""
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not installed")
    copy = tmp_path / "schedule-grpc.service"
    copy.write_text((DEPLOY / copy.name).read_text().replace(PROGRAM, COMMAND))
    done = subprocess.run([verify, "verify", copy], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_its_configuration_asks_for_proofs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Its files lie in the state folder, which the unit makes for its user alone; the rest is read-only."""
    monkeypatch.chdir(tmp_path)
    settings = load({}, file=DEPLOY / "schedule.toml")
    assert (settings.auth.mode, settings.open_addresses) == (Mode.REQUIRED, ())
    assert settings.auth.bootstrap_key_file == Path(STATE) / "bootstrap.key"
    assert settings.database == f"sqlite:///{STATE}/schedule.db"
    assert f"/var/lib/{only('StateDirectory')}" == only("WorkingDirectory") == STATE
    assert (only("StateDirectoryMode"), only("UMask"), only("ProtectSystem")) == ("0700", "0077", "strict")


def test_it_has_the_time_that_it_takes_to_stop():
    """Before systemd kills it: the delay, the work, and 17 s that may follow."""
    takes = Settings().drain_delay + Settings().drain_timeout
    assert in_seconds(only("TimeoutStopSec")) >= takes.total_seconds() + 17


def test_the_documented_steps_make_tasks_and_keys(server: Server, state: Path, places: dict[str, str]):
    """With the first key, which only the user can read; a stranger may do neither."""
    assert stat.S_IMODE((state / "bootstrap.key").stat().st_mode) == 0o600
    refused = executed("tasks list", server, places)
    assert (refused.returncode, "Authentication required" in refused.stderr) == (1, True)
    made = executed(documented("init"), server, places)
    assert (made.returncode, "backup-database" in made.stdout) == (0, True)
    key = executed(documented("keys create").replace("NAME", "reports-ci"), server, places)
    assert (key.returncode, "sgk_" in key.stdout) == (0, True)


def test_it_ends_as_systemd_asks_it_to(server: Server):
    """SIGTERM to the server alone (KillMode=mixed); exit code 0 is no failure, so it is not started again."""
    assert (only("KillMode"), only("Restart")) == ("mixed", "on-failure")
    assert server.terminate()[0] == 0


def test_a_wrong_secret_is_one_line_and_no_restart(places: dict[str, str], tmp_path: Path):
    """Of the file of secrets: exit code 2, which the unit does not restart, and the variable's name."""
    secrets = tmp_path / "environment"
    secrets.write_text('SCHEDULE_HTTP__ALLOWED_HOSTS=["api"\n')
    command = [COMMAND, *(mapped(each, places) for each in shlex.split(only("ExecStart"))[1:])]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment(**environment_file(secrets)),
        capture_output=True,
        text=True,
        check=False,
        timeout=AT_MOST,
    )
    assert str(done.returncode) == only("RestartPreventExitStatus")
    assert done.stderr.startswith("cannot start: SCHEDULE_HTTP__ALLOWED_HOSTS: is not JSON: ")
    assert done.stderr.count("\n") == 1
