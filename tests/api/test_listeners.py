"""Listeners of a real server: TLS, client certificates, certificates that are renewed, unix sockets."""

import asyncio
import socket
import ssl
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from structlog.testing import capture_logs
from support.patience import AT_MOST, calling
from support.servers.authority import Authority, Pair
from support.servers.process import run

from schedule_grpc import app
from schedule_grpc.client import Tls
from schedule_grpc.errors import CannotStart, Unavailable
from schedule_grpc.runtime.clock import SystemClock
from schedule_grpc.settings.config import Settings


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that servers and clients trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another authority."""
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def signed(authority: Authority) -> Mapping[str, Pair]:
    """Certificates of the authority."""
    return {
        "server": authority.signed("server"),
        "renewed": authority.signed("renewed"),
        "client": authority.signed("client"),
        "expired": authority.signed("expired", days=-1),
    }


@pytest.fixture
def files(signed: Mapping[str, Pair], tmp_path: Path) -> Pair:
    """The server's certificate, in files of the test's own."""
    pair = Pair(certificate=tmp_path / "tls.crt", key=tmp_path / "tls.key")
    pair.put(signed["server"])
    return pair


@asynccontextmanager
async def listening(database: Path, **listeners: Any) -> AsyncIterator[app.Parts]:
    """Run a server with these listeners until HTTP answers, too."""
    settings = Settings(database=f"sqlite:///{database}", **({"grpc": "127.0.0.1:0", "http": "off"} | listeners))
    async with app.running(settings, clock=SystemClock()) as parts:
        if parts.http_answers is not None:
            await parts.http_answers
        yield parts


def encrypted(files: Pair, **more: object) -> dict[str, object]:
    """Return a listener's table."""
    return {"address": "127.0.0.1:0", "tls_cert": files.certificate, "tls_key": files.key, **more}


def names_of(address: str, authority: Authority) -> str:
    """Return the common name in the certificate that a server shows to one who connects now."""
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cafile=str(authority.ca))
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection((host, int(port)), timeout=AT_MOST) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        subject = connection.getpeercert()["subject"]  # type: ignore[index]
    return dict(part[0] for part in subject)["commonName"]


async def test_every_listener_serves_the_same(authority: Authority, files: Pair, database: Path, tmp_path: Path):
    """A port in the clear, a port with TLS, and a unix socket, of gRPC and of HTTP."""
    grpc_path, http_path = tmp_path / "grpc.sock", tmp_path / "http.sock"
    async with listening(
        database,
        grpc=["127.0.0.1:0", encrypted(files), f"unix:{grpc_path}"],
        http={"address": ["127.0.0.1:0", encrypted(files), {"address": f"unix:{http_path}", "socket_mode": "660"}]},
    ) as parts:
        plain, secured, on_file = (bound.address for bound in parts.addresses)
        assert on_file == f"unix:{grpc_path}"
        assert [bound.encrypted for bound in parts.addresses] == [False, True, False]
        async with calling(plain) as client:
            await client.register_task(name="task", schedule="@daily", handler="cleanup-expired-sessions")
        async with calling(secured, tls=Tls(ca=authority.ca)) as client:
            assert (await client.get_task("task")).name == "task"
        async with calling(on_file) as client:
            assert (await client.get_task("task")).name == "task"
        web, secured_web, web_on_file = parts.http_addresses
        trusting = ssl.create_default_context(cafile=str(authority.ca))
        through_file = httpx2.AsyncHTTPTransport(uds=str(http_path))
        async with httpx2.AsyncClient(timeout=AT_MOST, trust_env=False, verify=trusting) as asking:
            assert (await asking.get(f"http://{web}/tasks/task")).status_code == 200
            assert (await asking.get(f"https://{secured_web}/tasks/task")).status_code == 200
        async with httpx2.AsyncClient(timeout=AT_MOST, transport=through_file) as asking:
            assert (await asking.get("http://localhost/tasks/task")).status_code == 200
        assert web_on_file.path == str(http_path)
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (grpc_path, http_path)]
        assert modes == [0o600, 0o660]
    assert not grpc_path.exists()
    assert not http_path.exists()


async def test_who_speaks_otherwise_gets_no_answer(authority: Authority, stranger: Authority, files: Pair, database):
    """Plain calls to TLS, TLS to a plain port, and a client that trusts another authority."""
    async with listening(database, grpc=["127.0.0.1:0", encrypted(files)], http=[encrypted(files)]) as parts:
        plain, secured = (bound.address for bound in parts.addresses)
        for address, tls in ((secured, None), (plain, Tls(ca=authority.ca)), (secured, Tls(ca=stranger.ca))):
            async with calling(address, tls=tls, attempts=1, patience=0) as client:
                with pytest.raises(Unavailable):
                    await client.list_handlers()
        async with httpx2.AsyncClient(timeout=AT_MOST, trust_env=False) as asking:
            with pytest.raises(httpx2.TransportError):
                await asking.get(f"http://{parts.http_addresses[0]}/tasks")
        async with calling(secured, tls=Tls(ca=authority.ca)) as client:
            await client.list_handlers()


async def test_only_clients_of_a_known_authority_come_in(
    authority: Authority, stranger: Authority, signed: Mapping[str, Pair], files: Pair, database: Path
):
    """None, a stranger's, and one that has expired are refused, over gRPC and HTTP."""
    table = encrypted(files, client_ca=authority.ca)
    clients = {"client": signed["client"], "stranger": stranger.signed("stranger"), "expired": signed["expired"]}
    async with listening(database, grpc=table, http=[table]) as parts:
        answered = []
        for name, pair in {"none": None, **clients}.items():
            shown = {} if pair is None else {"certificate": pair.certificate, "key": pair.key}
            tls = Tls(ca=authority.ca, **shown)  # type: ignore[arg-type]
            async with calling(parts.address, tls=tls, attempts=1, patience=0) as client:
                try:
                    await client.list_handlers()
                except Unavailable:
                    pass
                else:
                    answered.append(f"{name} by gRPC")
            context = ssl.create_default_context(cafile=str(authority.ca))
            if pair is not None:
                context.load_cert_chain(pair.certificate, pair.key)
            async with httpx2.AsyncClient(timeout=AT_MOST, trust_env=False, verify=context) as asking:
                try:
                    await asking.get(f"https://{parts.http_address}/tasks")
                except httpx2.TransportError:
                    pass
                else:
                    answered.append(f"{name} by HTTP")
        assert answered == ["client by gRPC", "client by HTTP"]
        own = signed["client"]
        shows = "--tls-ca", str(authority.ca), "--tls-cert", str(own.certificate), "--tls-key", str(own.key)
        listed = await asyncio.to_thread(
            run, "tasks", "list", "--server", parts.address, *shows, folder=database.parent
        )
        assert (listed.returncode, listed.stdout) == (0, "No tasks.\n")


async def test_a_renewed_certificate_is_shown_to_the_next_who_connects(
    authority: Authority, signed: Mapping[str, Pair], files: Pair, database: Path
):
    """Connections that are open go on; half a renewal is logged and not used."""
    async with listening(database, grpc=encrypted(files), http=[encrypted(files)]) as parts:
        places = [parts.address, str(parts.http_address)]
        async with calling(parts.address, tls=Tls(ca=authority.ca)) as client:
            await client.list_handlers()
            before = [await asyncio.to_thread(names_of, place, authority) for place in places]
            files.certificate.write_bytes(signed["renewed"].certificate.read_bytes())
            with capture_logs() as lines:
                half = [await asyncio.to_thread(names_of, place, authority) for place in places]
            files.put(signed["renewed"])
            after = [await asyncio.to_thread(names_of, place, authority) for place in places]
            await client.list_handlers()
    assert (before, half, after) == (["server"] * 2, ["server"] * 2, ["renewed"] * 2)
    assert {line["event"] for line in lines} == {"tls.not_reloaded"}


async def test_a_socket_that_a_dead_server_left_is_replaced(database: Path, tmp_path: Path):
    """Nobody answers there any more."""
    paths = [tmp_path / "grpc.sock", tmp_path / "http.sock"]
    for path in paths:
        with closing(socket.socket(socket.AF_UNIX)) as left:
            left.bind(str(path))
            left.listen()
    async with (
        listening(database, grpc=f"unix:{paths[0]}", http=f"unix:{paths[1]}") as parts,
        calling(parts.address) as client,
    ):
        await client.list_handlers()


@pytest.mark.parametrize("key", ["grpc", "http"])
async def test_a_place_that_is_taken_is_left_alone(key: str, database: Path, tmp_path: Path):
    """Another server that answers, and a file that is no socket; neither is harmed."""
    path, file = tmp_path / "taken.sock", tmp_path / "notes.txt"
    file.write_text("mine")
    with closing(socket.socket(socket.AF_UNIX)) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(CannotStart, match=rf"^{key}: cannot listen on unix:.*taken\.sock: another server listens"):
            async with listening(database, **{key: f"unix:{path}"}):
                pass
        with pytest.raises(CannotStart, match=rf"^{key}: cannot listen on unix:.*notes\.txt: .*is not a socket"):
            async with listening(database, **{key: f"unix:{file}"}):
                pass
        with closing(socket.socket(socket.AF_UNIX)) as caller:
            caller.connect(str(path))
    assert file.read_text() == "mine"


async def test_certificates_that_cannot_be_used_keep_the_server_from_starting(files: Pair, database: Path):
    """The setting, the address and the file are named."""
    files.key.unlink()
    for key in ("grpc", "http"):
        reason = rf"^{key}: 127\.0\.0\.1:0: .*tls\.key: No such file"
        with pytest.raises(CannotStart, match=reason):
            async with listening(database, **{key: [encrypted(files)]}):
                pass


async def test_a_stream_goes_on_over_tls(authority: Authority, files: Pair, database: Path):
    """Watching is the longest call."""
    async with listening(database, grpc=encrypted(files)) as parts:
        credentials = grpc.ssl_channel_credentials(authority.ca.read_bytes())
        async with grpc.aio.secure_channel(parts.address, credentials) as channel:
            watch = channel.unary_stream("/schedule.v1.ScheduleService/WatchExecutions")(b"")
            await watch.initial_metadata()
            watch.cancel()


async def test_a_listener_of_health_serves_nothing_else(database: Path):
    """To everybody who reaches it, on a server that requires proof: supervisors and Prometheus have no key."""
    health = {"address": "127.0.0.1:0", "serves": "health"}
    told = {"grpc": ["127.0.0.1:0", health], "http": {"address": ["127.0.0.1:0", health]}}
    async with listening(database, auth={"mode": "required"}, **told) as parts:
        async with grpc.aio.insecure_channel(parts.addresses[1].address) as channel:
            check = channel.unary_unary("/grpc.health.v1.Health/Check")
            assert await check(b"", timeout=AT_MOST)
            for method in ("/schedule.v1.ScheduleService/ListTasks", "/schedule.v1.AccessService/WhoAmI"):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await channel.unary_unary(method)(b"", timeout=AT_MOST)
                assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        statuses = {}
        for number, bound in enumerate(parts.http_addresses):
            base = f"http://{bound.address}"
            async with httpx2.AsyncClient(base_url=base, timeout=AT_MOST, trust_env=False) as client:
                for path in ("/health", "/metrics", "/tasks", "/", "/docs", "/whoami"):
                    answer = await client.get(path)
                    statuses[number, path] = answer.status_code
                page = await client.get("/ui")
                assert (page.status_code, "<html" in page.text) == ((404, False) if number == 1 else (303, False))
                reasons = (await client.get("/health")).json().get("reasons")
                assert bool(reasons) is (number == 1), "its engine does not run: told to those who may observe"
        assert [statuses[0, path] for path in ("/health", "/metrics", "/tasks", "/", "/docs", "/whoami")] == [
            *(503, 401, 401, 401, 401, 401)
        ]
        assert [statuses[1, path] for path in ("/health", "/metrics", "/tasks", "/", "/docs", "/whoami")] == [
            *(503, 200, 404, 404, 404, 404)
        ]
