"""Who is spoken to, and who learns the token: TLS against a real server, addresses by a table.

``tls/certificate.pem`` signs itself, for the name schedule.test, until 2126; it serves as authority, as the server's
certificate and as a client's. Made by: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes
-keyout key.pem -out certificate.pem -days 36500 -subj /CN=schedule.test -addext subjectAltName=DNS:schedule.test
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from schedule_grpc import errors
from schedule_grpc.client import Tls
from schedule_grpc.client.channel import is_loopback
from schedule_grpc.pb import schedule_pb2 as pb

CERTIFICATE = Path(__file__).parent / "tls" / "certificate.pem"
KEY = Path(__file__).parent / "tls" / "key.pem"
NAME = "schedule.test"
HANDLERS = pb.ListHandlersResponse()


@pytest.fixture
def encrypted(scripted) -> Iterator[Callable[..., str]]:
    """Start a server that answers over TLS only; return its address."""
    with ExitStack() as ended:
        threads = ended.enter_context(ThreadPoolExecutor(4))

        def start(*, asks_for_certificates: bool = False) -> str:
            server = grpc.server(threads, handlers=[scripted])
            credentials = grpc.ssl_server_credentials(
                [(KEY.read_bytes(), CERTIFICATE.read_bytes())],
                root_certificates=CERTIFICATE.read_bytes() if asks_for_certificates else None,
                require_client_auth=asks_for_certificates,
            )
            port = server.add_secure_port("127.0.0.1:0", credentials)
            server.start()
            ended.callback(lambda: server.stop(0).wait())
            return f"127.0.0.1:{port}"

        scripted.answer("ListHandlers", HANDLERS)
        yield start


@pytest.mark.parametrize("ca", [CERTIFICATE, str(CERTIFICATE), CERTIFICATE.read_bytes()], ids=["path", "text", "bytes"])
async def test_a_server_is_known_by_its_certificate(ca: Any, asker, encrypted):
    """Given as a path or as bytes, with the name that stands in it."""
    client = asker(encrypted(), tls=Tls(ca=ca, server_name=NAME))
    assert await asker.ask(client, "list_handlers") == ()


@pytest.mark.parametrize("tls", [None, Tls(), Tls(ca=CERTIFICATE), Tls(ca=CERTIFICATE, server_name="another.test")])
async def test_a_server_that_is_not_known_gets_no_request(tls: Tls | None, asker, encrypted, scripted):
    """No encryption, another authority, or another name: nothing arrives."""
    with pytest.raises(errors.Unavailable):
        await asker.ask(asker(encrypted(), tls=tls, attempts=1), "list_handlers")
    assert scripted.seen == []


async def test_a_server_can_know_its_clients_by_their_certificates(asker, encrypted, scripted):
    """With certificate and key the call arrives, without them it does not."""
    address = encrypted(asks_for_certificates=True)
    known = asker(address, tls=Tls(ca=CERTIFICATE, certificate=CERTIFICATE, key=KEY, server_name=NAME))
    assert await asker.ask(known, "list_handlers") == ()
    unknown = asker(address, tls=Tls(ca=CERTIFICATE, server_name=NAME), attempts=1)
    with pytest.raises(errors.Unavailable):
        await asker.ask(unknown, "list_handlers")
    assert len(scripted.seen) == 1


def test_half_an_identity_is_refused(asker):
    """A certificate without its key, or a key without its certificate, was meant otherwise."""
    for tls in (Tls(certificate=CERTIFICATE), Tls(key=KEY)):
        with pytest.raises(ValueError, match="certificate and key belong together"):
            asker("127.0.0.1:1", tls=tls)


def test_what_is_not_pem_is_refused(asker, tmp_path: Path):
    """At once, by its name, and not as a server that cannot be reached; so is a file that is not there."""
    (tmp_path / "der").write_bytes(b"\x30\x82")
    with pytest.raises(ValueError, match="ca is not PEM"):
        asker("127.0.0.1:1", tls=Tls(ca=tmp_path / "der"))
    with pytest.raises(FileNotFoundError):
        asker("127.0.0.1:1", tls=Tls(ca=tmp_path / "nothing"))


def test_a_key_is_not_shown():
    """In a log, say."""
    assert "PRIVATE" not in repr(Tls(certificate=CERTIFICATE, key=KEY.read_bytes()))


# -- tokens


async def test_a_token_is_sent_with_every_call(asker, scripted):
    """As a bearer token; without one there is no such header."""
    scripted.answer("ListHandlers", HANDLERS)
    scripted.answer("WatchExecutions", lambda _: iter(()))
    client = asker(scripted.address, token="s3cret", patience=0)
    await asker.ask(client, "list_handlers")
    await asker.ask(client, "watch_executions")
    assert [seen.metadata["authorization"] for seen in scripted.seen] == ["Bearer s3cret"] * 2
    await asker.ask(asker(scripted.address), "list_handlers")
    assert "authorization" not in scripted.seen[-1].metadata


async def test_a_token_goes_to_other_machines_over_tls_only(asker):
    """Without it everybody on the way could read it; the error does not tell it either."""
    with pytest.raises(ValueError, match=r"a token is not sent to schedule\.example:443 without TLS") as caught:
        asker("schedule.example:443", token="s3cret")
    assert "s3cret" not in str(caught.value)
    asker("schedule.example:443", token="s3cret", tls=Tls())


@pytest.mark.parametrize("token", ["", "two words", "line\n", "ümlaut"])
async def test_a_token_that_no_header_may_have_is_refused(token: str, asker):
    """An empty one too: it was forgotten somewhere."""
    with pytest.raises(ValueError, match="a token consists of printable ASCII characters without blanks"):
        asker("127.0.0.1:1", token=token)


async def test_calls_of_this_machine_go_through_no_proxy(asker, scripted, monkeypatch):
    """A proxy that the environment names would get the token in the clear; nobody answers there."""
    for name in ("grpc_proxy", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    scripted.answer("ListHandlers", HANDLERS)
    assert await asker.ask(asker(scripted.address, token="s3cret", attempts=1), "list_handlers") == ()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:50051", True),
        ("127.0.0.1", True),
        ("127.8.8.8:1", True),
        ("localhost:50051", True),
        ("LOCALHOST", True),
        ("[::1]:50051", True),
        ("::1", True),
        ("dns:localhost:1", True),
        ("dns:///localhost:1", True),
        ("ipv4:127.0.0.1:1", True),
        ("ipv4:127.0.0.1:1,127.0.0.2:1", True),
        ("ipv6:[::1]:1", True),
        ("unix:/run/schedule.sock", True),
        ("unix:schedule.sock", True),
        ("unix-abstract:schedule", True),
        ("", False),
        ("0.0.0.0:50051", False),
        ("[::]:50051", False),
        ("10.0.0.1:50051", False),
        ("128.0.0.1:1", False),
        ("schedule.example:443", False),
        ("localhost.example:443", False),
        ("127.0.0.1.example:443", False),
        ("localhost@schedule.example:443", False),
        ("dns://10.0.0.53/localhost:1", False),
        ("dns:schedule.example:443", False),
        ("ipv4:127.0.0.1:1,10.0.0.1:1", False),
        ("ipv6:[2001:db8::1]:1", False),
        ("xds:///localhost:1", False),
        ("vsock:2:1", False),
    ],
)
def test_an_address_is_on_this_machine_only_where_that_is_sure(address: str, expected: bool):
    """Names that gRPC may understand otherwise are not."""
    assert is_loopback(address) is expected
