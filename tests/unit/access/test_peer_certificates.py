"""The names in a client's certificate, as real handshakes give them: gRPC's and Python's TLS say the same of it."""

import asyncio
import ssl
from typing import Any

import grpc
import pytest
from support.servers.authority import Authority, Pair

from schedule_grpc.access.certificates import PeerCertificate

WORKLOAD = "spiffe://prod.example/ns/reports/sa/worker"
PEERS = {
    "a workload": (f"URI:{WORKLOAD}", "/CN=x", PeerCertificate((WORKLOAD,), "x")),
    "two URIs": (
        f"URI:{WORKLOAD},URI:spiffe://prod.example/admin",
        "/CN=x",
        PeerCertificate((WORKLOAD, "spiffe://prod.example/admin"), "x"),
    ),
    "one URI twice": (f"URI:{WORKLOAD},URI:{WORKLOAD}", "/CN=x", PeerCertificate((WORKLOAD, WORKLOAD), "x")),
    "names of other kinds": (
        f"DNS:a.example,email:a@b.example,IP:127.0.0.1,URI:{WORKLOAD}",
        "/CN=x",
        PeerCertificate((WORKLOAD,), "x"),
    ),
    "a DNS name that is spelt as an id": (f"DNS:{WORKLOAD}", "/CN=x", PeerCertificate((), "x")),
    "an e-mail address that is spelt as an id": (f"email:{WORKLOAD}", "/CN=x", PeerCertificate((), "x")),
    "no alternative name": ("", "/O=Team/CN=reports worker", PeerCertificate((), "reports worker")),
    "no common name": (f"URI:{WORKLOAD}", "/O=Team", PeerCertificate((WORKLOAD,), "")),
    "no subject at all": (f"URI:{WORKLOAD}", "/", PeerCertificate((WORKLOAD,), "")),
    "an empty certificate": ("", "/", PeerCertificate((), "")),
    "two common names": ("", "/CN=admin/CN=reports", PeerCertificate((), "")),
    "two common names as one part": ("", "/CN=admin+CN=reports", PeerCertificate((), "")),
    "a common name that looks like two": ("", "/CN=admin,CN=reports", PeerCertificate((), "admin,CN=reports")),
    "another part that looks like a name": ("", r"/O=a,CN=admin\\/CN=reports", PeerCertificate((), "reports")),
    "letters of elsewhere": ("", "/CN=zürich", PeerCertificate((), "zürich")),
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority for all tests here."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Pair:
    """The server's certificate."""
    return authority.signed("server")


async def seen_by_grpc(authority: Authority, server: Pair, client: Pair) -> PeerCertificate | None:
    """Return what a server of gRPC sees of a client."""
    seen: list[Any] = []

    async def answer(_: bytes, context: grpc.aio.ServicerContext) -> bytes:
        seen.append(context.auth_context())
        return b""

    running = grpc.aio.server()
    handlers = {"Call": grpc.unary_unary_rpc_method_handler(answer)}
    running.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", handlers),))
    ca = authority.ca.read_bytes()
    pairs = [(server.key.read_bytes(), server.certificate.read_bytes())]
    credentials = grpc.ssl_server_credentials(pairs, ca, require_client_auth=True)
    port = running.add_secure_port("localhost:0", credentials)
    await running.start()
    own = grpc.ssl_channel_credentials(ca, client.key.read_bytes(), client.certificate.read_bytes())
    async with grpc.aio.secure_channel(f"localhost:{port}", own) as channel:
        await channel.unary_unary("/test/Call")(b"")
    await running.stop(None)
    return PeerCertificate.of_grpc(seen[0])


async def seen_by_python(authority: Authority, server: Pair, client: Pair) -> PeerCertificate | None:
    """Return what a server of asyncio sees of a client."""
    seen: list[Any] = []

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("ssl_object").getpeercert())
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate, server.key)
    context.load_verify_locations(authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    own = ssl.create_default_context(cafile=authority.ca)
    own.load_cert_chain(client.certificate, client.key)
    async with await asyncio.start_server(answer, "localhost", 0, ssl=context) as running:
        port = running.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("localhost", port, ssl=own)
        await reader.read()
        writer.close()
    return PeerCertificate.of_python(seen[0])


@pytest.mark.parametrize("peer", PEERS)
async def test_both_servers_read_a_certificate_alike(peer: str, authority: Authority, server: Pair):
    """URIs are URIs only, all of them in order; a common name is one only if there is one."""
    names, subject, expected = PEERS[peer]
    client = authority.signed(f"client-{list(PEERS).index(peer)}", names=names, subject=subject)
    assert await seen_by_grpc(authority, server, client) == expected
    assert await seen_by_python(authority, server, client) == expected


def test_a_connection_without_a_certificate_has_none():
    """Plaintext, a unix socket, TLS that does not ask; and one that was not checked."""
    assert PeerCertificate.of_grpc({}) is None
    assert PeerCertificate.of_grpc({"transport_security_type": [b"ssl"]}) is None
    assert PeerCertificate.of_python(None) is None
    assert PeerCertificate.of_python({}) is None
