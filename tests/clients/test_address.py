"""A server's address as people write it, and what they are told where nobody answers there."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread

import pytest

from schedule_grpc.client import Client, Tls
from schedule_grpc.client.address import target
from schedule_grpc.client.unreachable import in_words
from schedule_grpc.errors import Unavailable

CERTIFICATE = Path(__file__).parent / "tls" / "certificate.pem"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", "127.0.0.1:50051"),
        ("schedule.example", "schedule.example:50051"),
        ("schedule_api:1", "schedule_api:1"),
        (" localhost:1/ ", "localhost:1"),
        ("127.0.0.1:65535", "127.0.0.1:65535"),
        ("::1", "[::1]:50051"),
        ("[::1]", "[::1]:50051"),
        ("[::1]:1", "[::1]:1"),
        ("fe80::1%eth0", "[fe80::1%eth0]:50051"),
        ("bücher.example:1", "xn--bcher-kva.example:1"),
        ("http://127.0.0.1:1", "127.0.0.1:1"),
        ("HTTP://127.0.0.1/", "127.0.0.1:50051"),
        ("grpc://[::1]:1/", "[::1]:1"),
        ("tcp://db:1", "db:1"),
        ("dns:///schedule.example", "dns:///schedule.example:50051"),
        ("dns://10.0.0.53/schedule.example:1", "dns://10.0.0.53/schedule.example:1"),
        ("dns:localhost", "dns:localhost:50051"),
        ("ipv4:127.0.0.1,127.0.0.2:1", "ipv4:127.0.0.1:50051,127.0.0.2:1"),
        ("ipv6:[::1]", "ipv6:[::1]:50051"),
        ("unix:schedule.sock", "unix:schedule.sock"),
        ("unix:///run/schedule.sock", "unix:///run/schedule.sock"),
        ("unix-abstract:schedule", "unix-abstract:schedule"),
        ("xds:///schedule", "xds:///schedule"),
    ],
)
def test_an_address_is_understood_as_it_is_meant(address: str, expected: str):
    """With our port where none is named, and as a URL too."""
    assert target(address, encrypted=False) == expected


def test_a_url_that_is_encrypted_asks_for_tls():
    """Its own port is 443 for https, and ours for grpcs."""
    assert target("https://schedule.example", encrypted=True) == "schedule.example:443"
    assert target("grpcs://schedule.example", encrypted=True) == "schedule.example:50051"
    for scheme in ("https", "grpcs"):
        with pytest.raises(ValueError, match=rf"{scheme}://\.\.\. is encrypted: give tls=Tls\(\.\.\.\)"):
            target(f"{scheme}://127.0.0.1:1", encrypted=False)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("", "'' is not an address: write HOST:PORT, [IPV6]:PORT or unix:PATH"),
        ("50051", "'50051' names no host"),
        (":50051", "':50051' is not an address"),
        ("localhost:", "'localhost:' has no port from 1 to 65535 after its colon"),
        ("localhost:0", "has no port from 1 to 65535"),
        ("localhost:65536", "has no port from 1 to 65535"),
        ("localhost:-1", "has no port from 1 to 65535"),
        ("localhost:http", "has no port from 1 to 65535"),
        ("localhost:\u0661", "has no port from 1 to 65535"),
        ("[::1]1", "has no port from 1 to 65535"),
        ("[::1", "'…' is not an address"),
        ("[x]:1", "'[x]:1' is not an address"),
        ("::1:50051", "'…' is not an address"),
        ("a b:1", "'…' is not an address"),
        ("a\nb", r"'a\nb' is not an address"),
        ("a..b:1", "'a..b:1' is not an address"),
        ("localhost:1/tasks", "has no port from 1 to 65535"),
        ("user@localhost", "'…' is not an address"),
        ("ftp://localhost", "'ftp' is not a scheme of gRPC addresses"),
        ("postgresql://u:hunter2@db", "'postgresql' is not a scheme of gRPC addresses"),
        ("http://localhost:1/tasks", "http://... names more than a host and a port"),
        ("http://u:hunter2@localhost:1", "http://... names more than a host and a port"),
        ("http://", "'' is not an address"),
        ("ipv4:localhost:1", "'localhost:1' is not a numeric address"),
        ("unix:", "'unix:' has no port"),
    ],
)
def test_what_is_no_address_is_refused_before_anything_is_sent(address: str, reason: str):
    """In one line that shows the forms there are, and no password."""
    with pytest.raises(ValueError, match="write HOST:PORT") as caught:
        Client(address)
    assert reason in str(caught.value)
    assert str(caught.value).isprintable()
    assert "hunter2" not in str(caught.value)


@contextmanager
def listening(answer: bytes) -> Iterator[str]:
    """Within this context something listens that is no gRPC server: it answers so, and hangs up."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # the test is over
                return
            with connection:
                connection.sendall(answer)
                connection.recv(1024)

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = Thread(target=serve, daemon=True)
        thread.start()
        host, port = listener.getsockname()
        yield f"{host}:{port}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def reason(address: str, tls: Tls | None = None) -> str:
    """Return what a client says of an address."""
    with Client(address, tls=tls, attempts=1) as client, pytest.raises(Unavailable) as caught:
        client.list_handlers()
    return caught.value.message


def test_why_nobody_answers_is_told_in_plain_words(tmp_path: Path):
    """What listens there, or that nothing does; never gRPC's own words."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        free = f"127.0.0.1:{taken.getsockname()[1]}"
    assert reason(free).startswith("nothing listens there: is the server running")
    assert reason(f"unix:{tmp_path}/none.sock") == "there is no such socket: is the server running?"
    for other in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH\r\n"):
        with listening(other) as address:
            assert reason(address).startswith("something answers there, but not gRPC")
            assert reason(address, Tls(ca=CERTIFICATE)) == "it does not speak TLS there"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "failed to connect to all addresses; last error: UNAVAILABLE: ipv4:1.2.3.4:5: Socket closed",
            "it closes conn",
        ),
        ("errors resolving x:1: [field:hostname lookup error:address lookup failed for x:1: ...]", "there is no host"),
        ("Socket closed", "the connection was cut"),
        ("CANCELLED", "the connection was cut"),
        ("Cancelling all calls", "the connection was cut"),
        ("... getsockopt(SO_ERROR): Network is unreachable", "no network leads there"),
        ("... getsockopt(SO_ERROR): No route to host", "no network leads there"),
        ("... getsockopt(SO_ERROR): Connection timed out", "no answer in time"),
        ("Deadline Exceeded", "Deadline Exceeded: no answer in time"),
        (
            "... OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: self signed certificate: OK",
            "its certificate is not signed",
        ),
        ("... UNAUTHENTICATED: Hostname Verification Check failed.", "its certificate is for another name"),
        ("upstream is away\nsaid so: proxy", "upstream is away said so: proxy"),
    ],
)
def test_what_grpc_says_is_said_in_other_words(text: str, words: str):
    """One line for each; what nobody has met yet stays as it is."""
    assert in_words(text).startswith(words)
