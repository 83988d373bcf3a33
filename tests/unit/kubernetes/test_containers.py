"""What the manifests give a server is what it reads: variables, commands, ports, paths, times."""

import re
import tomllib
from datetime import timedelta
from pathlib import Path, PurePosixPath

import pytest
from support.manifests.commands import check_command, commands_in, variables_of_commands
from support.manifests.container import SECRETS, variables_of
from support.manifests.rendered import (
    BASE,
    CHART,
    DEPLOY,
    EXAMPLE,
    NAME,
    Manifest,
    charted,
    container_of,
    kustomized,
    only,
    pod_of,
    rendered,
)
from yaml import safe_load, safe_load_all

from schedule_grpc.access.authenticator import Mode
from schedule_grpc.api.http.rpcs import RPCS
from schedule_grpc.api.http.server_routes import INFORMATION
from schedule_grpc.app.edges import STREAM_GRACE
from schedule_grpc.settings.config import Settings, load
from schedule_grpc.settings.sources import PREFIX, from_environment

ROOT = DEPLOY.parent
DOCUMENT = (ROOT / "docs" / "kubernetes.md").read_text()
VALUES = {
    "handlers": ["invoices"],
    "platform": {"key": "platform"},
    "allowedHosts": ["schedule.example"],
    "drain": {"delaySeconds": 60, "timeoutSeconds": 300},
}
MADE = {
    "base": lambda: kustomized(BASE),
    "example": lambda: kustomized(EXAMPLE),
    "chart": charted,
    "chart with values": lambda: charted(VALUES),
}
AFTER_THE_DRAIN = 10 + STREAM_GRACE + 2
"""Seconds that handlers which ignore their cancellation, open calls, and threads left behind may take."""


@pytest.fixture(params=MADE)
def manifests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Manifest, ...]:
    """Manifests as they are built in one way; the environment has no setting of this machine."""
    monkeypatch.chdir(tmp_path)
    return MADE[request.param]()


def settings_of(manifests: tuple[Manifest, ...], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings of a server in the one container."""
    for name, value in variables_of(container_of(manifests)).items():
        monkeypatch.setenv(name, value)
    return load({})


@pytest.mark.parametrize("kind", ["containers", "initContainers"])
def test_every_variable_is_known(manifests: tuple[Manifest, ...], kind: str, monkeypatch: pytest.MonkeyPatch):
    """As a setting or as an option of commands; one that a server does not know is ignored, and nobody notices."""
    container = container_of(manifests, kind)
    names = [each["name"] for each in container["env"]]
    assert len(set(names)) == len(names)
    settings = {name for name in names if name.startswith(PREFIX)} - variables_of_commands()
    assert "SCHEDULE_DATABASE" in settings
    for name in settings:
        monkeypatch.setenv(name, variables_of(container)[name])
        assert from_environment(Settings).values, name
        monkeypatch.delenv(name)
    assert set(names) - settings - variables_of_commands() <= {"POD_NAMESPACE"}


def test_a_variable_with_a_wrong_name_is_found(monkeypatch: pytest.MonkeyPatch):
    """The check above sees what a server ignores."""
    monkeypatch.setenv("SCHEDULE_DRAIN_DELAYS", "1s")
    assert not from_environment(Settings).values


@pytest.mark.parametrize("kind", ["containers", "initContainers"])
def test_every_container_runs_a_command_of_the_command_line(manifests: tuple[Manifest, ...], kind: str):
    """The image's entry point is schedule-grpc; a container gives arguments alone."""
    container = container_of(manifests, kind)
    assert "command" not in container
    check_command(container["args"])
    assert container["args"][0] == {"containers": "serve", "initContainers": "migrate"}[kind]


def test_callers_prove_who_they_are_over_tls(manifests: tuple[Manifest, ...], monkeypatch: pytest.MonkeyPatch):
    """What others reach asks for a key and has TLS, but for health; the socket is for this user's commands."""
    settings = settings_of(manifests, monkeypatch)
    assert (settings.auth.mode, settings.open_addresses, settings.insecure_bind) == (Mode.REQUIRED, (), False)
    socket = settings.grpc[0]
    assert socket.is_unix
    assert socket.mode == 0o600
    assert variables_of(container_of(manifests))["SCHEDULE_SERVER"] == socket.address
    for listener in (*settings.grpc[1:], *settings.http.address):
        assert listener.health_only or listener.tls_cert


def test_ports_are_those_that_the_server_listens_on(manifests: tuple[Manifest, ...], monkeypatch: pytest.MonkeyPatch):
    """By the names that services and probes use; probes and Prometheus come by the listener for health."""
    settings = settings_of(manifests, monkeypatch)
    container = container_of(manifests)
    ports = {each["containerPort"]: each["name"] for each in container["ports"]}
    https, health = settings.http.address
    listens = {each.address.rpartition(":")[2]: each for each in (*settings.grpc[1:], https, health)}
    assert {int(port) for port in listens} == set(ports)
    named = {name: listens[str(port)] for port, name in ports.items()}
    assert named["https"] is https
    assert named["health"] is health
    assert health.health_only
    assert all(container[each]["httpGet"]["port"] == "health" for each in PROBES)
    for service in (each for each in manifests if each["kind"] == "Service"):
        assert all(port["name"] == port["targetPort"] == ports[port["port"]] for port in service["spec"]["ports"])


PROBES = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
"""Path by probe: the process's life asks no database, or all servers would be restarted when it is away."""


def test_probes_ask_routes_that_are_there(manifests: tuple[Manifest, ...]):
    """By GET, which a listener for health answers."""
    container = container_of(manifests)
    for probe, path in PROBES.items():
        assert container[probe]["httpGet"]["path"] == path
        assert RPCS["GET", path] == RPCS["GET", "/health"]
    monitors = [each for each in manifests if each["kind"] == "ServiceMonitor"]
    assert all(("GET", each["spec"]["endpoints"][0]["path"]) in RPCS for each in monitors)
    assert INFORMATION


def test_every_path_lies_in_a_mount(manifests: tuple[Manifest, ...], monkeypatch: pytest.MonkeyPatch):
    """The root file system is read-only, and the image has no certificates."""
    settings = settings_of(manifests, monkeypatch)
    container = container_of(manifests)
    mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
    volumes = {each["name"]: each for each in pod_of(manifests)["volumes"]}
    assert mounts.keys() >= {"/var/lib/schedule-grpc", "/tmp"}  # noqa: S108 (the container's)
    assert set(mounts.values()) == set(volumes)
    for listener in (*settings.grpc, *settings.http.address):
        for path in (listener.tls_cert, listener.tls_key):
            if path is not None:
                volume = volumes[mounts[str(path.parent)]]
                assert volume["secret"]["defaultMode"] & 0o007 == 0
                assert path.name in safe_load_secret(volume["secret"]["secretName"])
        if listener.is_unix:
            parent = str(PurePosixPath(listener.address.removeprefix("unix:")).parent)
            assert "emptyDir" in volumes[mounts[parent]]
    if "--config" in container["args"]:
        file = PurePosixPath(container["args"][container["args"].index("--config") + 1])
        source = volumes[mounts[str(file.parent)]]["configMap"]["name"]
        assert file.name in only(manifests, "ConfigMap", source)["data"]


def safe_load_secret(name: str) -> dict[str, str]:
    """Return the keys of a secret of the template, with the words in place of their values."""
    templates = safe_load_all((DEPLOY / "kubernetes" / "secret.example.yaml").read_text())
    (found,) = (each["stringData"] for each in templates if each["metadata"]["name"] == name)
    keys: dict[str, str] = found
    return keys


def test_every_secret_is_in_the_template_and_holds_none():
    """Names and keys; a placeholder stands in the place of each password, key and certificate."""
    for name, key in SECRETS:
        assert "PASSWORD" in safe_load_secret(name)[key]
        Settings(database=safe_load_secret(name)[key])
    assert set(safe_load_secret(f"{NAME}-tls").values()) == {"CERTIFICATES", "KEY"}


def test_the_kubelet_waits_for_the_whole_drain(manifests: tuple[Manifest, ...], monkeypatch: pytest.MonkeyPatch):
    """Delay, drain, and what may follow it; then it kills."""
    settings = settings_of(manifests, monkeypatch)
    grace = timedelta(seconds=pod_of(manifests)["terminationGracePeriodSeconds"])
    longest = settings.drain_delay + settings.drain_timeout + timedelta(seconds=AFTER_THE_DRAIN)
    assert settings.drain_delay
    assert longest < grace <= longest + timedelta(seconds=15)


def test_http_is_reached_by_the_names_of_the_service(manifests: tuple[Manifest, ...], monkeypatch: pytest.MonkeyPatch):
    """Within its namespace, from another one, and by its whole name."""
    hosts = settings_of(manifests, monkeypatch).http.allowed_hosts
    assert hosts[:4] == [NAME, f"{NAME}.schedule", f"{NAME}.schedule.svc", f"{NAME}.schedule.svc.cluster.local"]


def test_no_file_of_a_pod_is_taken_for_a_database(manifests: tuple[Manifest, ...], monkeypatch: pytest.MonkeyPatch):
    """The default of the binding DB would be one in each pod, and gone with it."""
    bindings = settings_of(manifests, monkeypatch).bindings
    assert bindings in ({}, {"DB": SECRETS[NAME, "platform"], "QUEUE": "table://DB/queue_jobs"})


def test_the_chart_passes_on_what_its_values_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Handlers, hosts and the times of the drain."""
    monkeypatch.chdir(tmp_path)
    settings = settings_of(charted(VALUES), monkeypatch)
    assert settings.handlers == ["invoices"]
    assert settings.http.allowed_hosts[4:] == ["schedule.example"]
    assert (settings.drain_delay, settings.drain_timeout) == (timedelta(minutes=1), timedelta(minutes=5))


def test_the_example_declares_tasks_that_can_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Its schedule.toml is what the config map holds."""
    monkeypatch.chdir(tmp_path)
    data = next(each for each in kustomized(EXAMPLE) if each["kind"] == "ConfigMap")["data"]
    assert data["schedule.toml"] == (EXAMPLE / "schedule.toml").read_text()
    (task,) = load({}, file=EXAMPLE / "schedule.toml").registrations()
    assert task.definition.handler == "import-invoices"


def test_the_image_is_the_package_s_version():
    """Of the base, of the chart, and of the chart's own version."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)
    for manifests in (kustomized(BASE), charted()):
        for kind in ("containers", "initContainers"):
            assert container_of(manifests, kind)["image"] == f"schedule-grpc:{version}"


COMMANDS = {
    "docs/kubernetes.md": "\n".join(re.findall(r"```bash\n(.*?)```", DOCUMENT, re.DOTALL)),
    "NOTES.txt": rendered()["schedule-grpc/templates/NOTES.txt"],
}


@pytest.mark.parametrize("place", COMMANDS)
def test_every_documented_command_is_there(place: str):
    """With its options, as the command line reads them."""
    commands = list(commands_in(COMMANDS[place]))
    assert ["keys", "create", "root", "--grant", "admin@*", "--no-expiry"] in commands
    assert ["init"] in commands
    for command in commands:
        check_command(command)
