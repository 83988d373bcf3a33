"""compose.yaml: what it says fits together, lets nobody in who was not meant, and starts: here as plain processes."""

import json
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from support.deployment import DEPLOY, compose, dockerfile, in_seconds, mapped
from support.patience import AT_MOST, calling
from support.servers.authority import Authority
from support.servers.launched import COMMAND, environment
from support.servers.postgres import Postgres
from support.servers.process import Server, start_as_written

from schedule_grpc.access.authenticator import Mode
from schedule_grpc.client import Tls
from schedule_grpc.settings.config import Settings, addresses, load

FILE = compose({"POSTGRES_PASSWORD": "s3cret", "TLS_CERT": "/etc/tls/tls.crt", "TLS_KEY": "/etc/tls/tls.key"})
SERVICES: dict[str, Any] = FILE["services"]
SERVERS = ("api", "engine")
ENGINES = 2
"""Of the three that the file starts: enough to be several."""


def settings_of(service: str, patch: pytest.MonkeyPatch) -> Settings:
    """Return the settings of a service, as its environment and its command give them."""
    for name, value in SERVICES[service]["environment"].items():
        patch.setenv(name, value)
    command = SERVICES[service]["command"]
    return load({"engine": "--no-engine" not in command, "api": "--no-api" not in command})


# -- what stands there


def test_what_is_named_is_there():
    """Networks, volumes, secrets and files, each declared once and used."""
    named = {
        kind: {name for service in SERVICES.values() for name in service.get(kind, ())}
        for kind in ("networks", "secrets")
    }
    assert named == {kind: set(FILE[kind]) for kind in named}
    mounts = [mount.split(":") for service in SERVICES.values() for mount in service.get("volumes", ())]
    assert {source for source, *_ in mounts if not source.startswith(".")} == set(FILE["volumes"])
    assert all((DEPLOY / source).is_file() for source, *_ in mounts if source.startswith("."))
    build = SERVICES["api"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == DEPLOY / "Dockerfile"
    for service in SERVICES.values():
        assert set(service.get("depends_on", ())) <= set(SERVICES)


@pytest.mark.parametrize("missing", ["POSTGRES_PASSWORD", "TLS_CERT", "TLS_KEY"])
def test_a_variable_that_is_missing_is_told(missing: str):
    """With what it is for; nothing starts with an empty one."""
    given = {"POSTGRES_PASSWORD": "x", "TLS_CERT": "x", "TLS_KEY": "x"} | {missing: ""}
    with pytest.raises(KeyError, match=rf"{missing}: \w+"):
        compose(given)


@pytest.mark.parametrize("service", SERVERS)
def test_servers_have_the_time_that_they_take_to_stop(service: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Before Docker kills them: the delay, the work, and 17 s that may follow."""
    monkeypatch.chdir(tmp_path)
    settings = settings_of(service, monkeypatch)
    takes = settings.drain_delay + settings.drain_timeout
    assert in_seconds(SERVICES[service]["stop_grace_period"]) >= takes.total_seconds() + 17


def test_only_who_shows_a_key_over_tls_is_let_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Ports are published to this machine only; health is asked on the container's loopback."""
    monkeypatch.chdir(tmp_path)
    api, engine, postgres = (SERVICES[name] for name in ("api", "engine", "postgres"))
    settings = settings_of("api", monkeypatch)
    assert (settings.auth.mode, settings.insecure_bind, settings.open_addresses) == (Mode.REQUIRED, False, ())
    listeners = (*settings.grpc, *settings.http.address)
    assert [each.address for each in listeners] == [
        "unix:/tmp/grpc.sock",
        "0.0.0.0:50051",
        "127.0.0.1:8787",
        "0.0.0.0:8443",
    ]
    for each in (listeners[1], listeners[3]):
        assert [each.tls_cert, each.tls_key] == [Path("/run/secrets") / name for name in api["secrets"]]
    assert listeners[0].socket_mode == "600"
    assert api["environment"]["SCHEDULE_SERVER"] == listeners[0].address
    assert settings.http.allowed_hosts == ["api"]
    assert api["ports"] == ["127.0.0.1:50051:50051", "127.0.0.1:8443:8443"]
    assert "insecure" not in (DEPLOY / "compose.yaml").read_text().lower()
    assert "ports" not in engine
    assert "ports" not in postgres
    assert "callers" not in engine["networks"] + postgres["networks"]
    assert FILE["networks"]["inside"]["internal"]


def test_engines_listen_on_their_loopback_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Where their health is asked."""
    monkeypatch.chdir(tmp_path)
    settings = settings_of("engine", monkeypatch)
    assert (settings.auth.mode, settings.open_addresses) == (Mode.REQUIRED, ())
    assert (addresses(settings.grpc), addresses(settings.http.address)) == ("127.0.0.1:50051", "127.0.0.1:8787")


def test_places_that_are_written_are_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The file system is read-only, but for what is mounted: the working directory of the image, and /tmp."""
    monkeypatch.chdir(tmp_path)
    (home,) = next(each.words for each in dockerfile()[-1] if each.name == "WORKDIR")
    for name in SERVERS:
        service = SERVICES[name]
        mounted = {mount.split(":")[1] for mount in service.get("volumes", ())} | set(service["tmpfs"])
        assert service["read_only"] is True
        assert {"/tmp", home} <= mounted  # noqa: S108


def test_the_images_pg_dump_is_not_older_than_the_server():
    """pg_dump would refuse every backup."""
    client = re.search(r"postgresql-client-(\d+)", (DEPLOY / "Dockerfile").read_text())
    server = re.fullmatch(r"postgres:(\d+)", SERVICES["postgres"]["image"])
    assert client is not None
    assert server is not None
    assert int(client[1]) >= int(server[1])


# -- what starts


@dataclass(frozen=True)
class Started:
    """The servers of the file, and what their containers would have."""

    api: Server
    engines: tuple[Server, ...]
    variables: Mapping[str, str]
    """Of the container of ``api``."""
    authority: Authority
    folder: Path

    @property
    def ports(self) -> tuple[int, int]:
        """The ports for callers: of gRPC, of HTTP."""
        grpc = re.search(r"0\.0\.0\.0:(\d+) \(TLS\)$", self.api.greeting.splitlines()[0])
        http = re.search(r"https://0\.0\.0\.0:(\d+)", self.api.greeting)
        assert grpc is not None
        assert http is not None
        return int(grpc[1]), int(http[1])

    def executed(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the command line in the container of ``api``."""
        return subprocess.run(
            [COMMAND, *arguments],
            cwd=self.folder,
            env=environment(**self.variables),
            capture_output=True,
            text=True,
            check=True,
            timeout=AT_MOST,
        )


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> Iterator[Postgres]:
    """The service ``postgres``, as its image makes it of its variables and of what is mounted for its first start."""
    service = SERVICES["postgres"]
    given = service["environment"]
    user, name = given["POSTGRES_USER"], given["POSTGRES_DB"]
    postgres.psql(f"CREATE ROLE {user} LOGIN SUPERUSER PASSWORD '{given['POSTGRES_PASSWORD']}'", "postgres")
    postgres.psql(f"CREATE DATABASE {name} OWNER {user}", "postgres")
    before = set(postgres.psql("SELECT datname FROM pg_database", "postgres").split())
    for mount in service["volumes"]:
        source, target, *_ = mount.split(":")
        if target.startswith("/docker-entrypoint-initdb.d/"):
            command = [postgres.bin / "psql", postgres.url(name, user), "-qvON_ERROR_STOP=1", "-f", DEPLOY / source]
            subprocess.run(command, check=True)
    yield postgres
    made = set(postgres.psql("SELECT datname FROM pg_database", "postgres").split()) - before
    for each in (*made, name):
        postgres.psql(f"DROP DATABASE {each} WITH (FORCE)", "postgres")
    postgres.psql(f"DROP ROLE {user}", "postgres")


@pytest.fixture(scope="module")
def started(database: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """The servers, each in a folder and with variables of its own; ports are free ones."""
    secrets = tmp_path_factory.mktemp("secrets")
    authority = Authority(tmp_path_factory.mktemp("authority"))
    pair = authority.signed("api", names="DNS:localhost,DNS:api")
    for name, path in zip(SERVICES["api"]["secrets"], (pair.certificate, pair.key), strict=True):
        shutil.copy(path, secrets / name)  # with its mode

    def start(service: str, folder: Path) -> tuple[Server, Mapping[str, str]]:
        places = {
            "/tmp/": f"{folder}/",  # noqa: S108
            "/run/secrets/": f"{secrets}/",
            ":50051": ":0",
            ":8443": ":0",
            ":8787": ":0",
            "@postgres/schedule": f"@/schedule?host={database.folder}",
            "@postgres/platform": f"@/platform?host={database.folder}",
        }
        written = {name: mapped(value, places) for name, value in SERVICES[service]["environment"].items()}
        if service == "engine":  # it has no setting of an address: two of them are in one place here
            written |= {"SCHEDULE_GRPC": "127.0.0.1:0", "SCHEDULE_HTTP": "127.0.0.1:0"}
        # The image's pg_dump is not older than the server.
        path = f"{database.bin}:{environment()['PATH']}"
        return start_as_written(folder, *SERVICES[service]["command"], PATH=path, **written), written

    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("api")
        api, variables = start("api", folder)
        stack.callback(api.end)
        engines = []
        for _ in range(ENGINES):
            engine, _ = start("engine", tmp_path_factory.mktemp("engine"))
            stack.callback(engine.end)
            engines.append(engine)
        yield Started(api, tuple(engines), variables, authority, folder)
        codes = [server.terminate()[0] for server in (api, *engines)]
    assert codes == [0] * (1 + ENGINES)


@pytest.fixture(scope="module")
def token(started: Started) -> str:
    """A key, made as the head of the file says: by the socket within the container, without a key."""
    made = started.executed("keys", "create", "reports-ci", "--grant", "write@default")
    return made.stdout.strip().splitlines()[-1]


def test_the_health_check_of_the_database_succeeds(database: Postgres):
    """As a shell runs it in its container."""
    kind, command = SERVICES["postgres"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    shell = {"PATH": str(database.bin), "PGHOST": str(database.folder)}
    subprocess.run(["/bin/sh", "-c", command], env=shell, check=True, stdout=subprocess.DEVNULL)


def test_the_health_check_of_the_image_succeeds_in_every_server(started: Started):
    """It is asked on the loopback of each container."""
    check = next(each for each in dockerfile()[-1] if each.name == "HEALTHCHECK")
    command = json.loads(check.text.partition(" CMD ")[2])
    for server in (started.api, *started.engines):
        subprocess.run([mapped(each, {"127.0.0.1:8787": str(server.http_address)}) for each in command], check=True)


async def test_what_is_asked_of_api_runs_in_an_engine(started: Started, token: str):
    """A built-in task that `--init` registered, over TLS and with a key; the platform's tables are made by it."""
    port, _ = started.ports
    async with calling(f"localhost:{port}", tls=Tls(ca=started.authority.ca), token=token) as client:
        names = {task.name async for task in client.tasks()}
        cleaned = await client.run_task_now("cleanup-expired-sessions")
        kept = await client.run_task_now("backup-database")
    assert "health-check-services" in names
    assert (cleaned.success, cleaned.execution.result["message"]) == (True, "Deleted 0 expired sessions")
    assert (kept.success, kept.execution.error) == (True, None)
    assert Path(kept.execution.result["file"]).is_file()


def test_callers_of_http_reach_api_by_its_name(started: Started, token: str):
    """Which other containers use; another name is refused, and so is a caller without a key."""
    _, port = started.ports
    verify = ssl.create_default_context(cafile=started.authority.ca)
    with httpx2.Client(base_url=f"https://localhost:{port}", verify=verify, trust_env=False, timeout=AT_MOST) as web:
        key = {"authorization": f"Bearer {token}"}
        assert web.get("/tasks", headers=key | {"host": "api:8443"}).status_code == 200
        assert web.get("/tasks", headers=key | {"host": "other:8443"}).status_code == 403
        assert web.get("/tasks", headers={"host": "api:8443"}).status_code == 401
        assert web.get("/readyz", headers={"host": "10.0.0.7:8443"}).status_code == 200


def test_the_file_is_one_that_yaml_reads_to_its_end():
    """One document, without a key that stands twice."""
    (node,) = yaml.compose_all((DEPLOY / "compose.yaml").read_text())
    assert isinstance(node, yaml.MappingNode)
    stack = [node]
    while stack:
        mapping = stack.pop()
        keys = [key.value for key, _ in mapping.value]
        assert len(keys) == len(set(keys)), keys
        stack += [value for _, value in mapping.value if isinstance(value, yaml.MappingNode)]
