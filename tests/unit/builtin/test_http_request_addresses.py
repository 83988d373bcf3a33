"""Where http-request goes and where not: private addresses by name, by odd spellings, by the DNS."""

import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from support.rigs.builtin_handler import attempt, context
from support.servers.http_server import HttpServer, http_server, response

from schedule_grpc.builtin.http_request.addresses import Refused, kind_of, read_url, resolve
from schedule_grpc.builtin.http_request.handler import http_request
from schedule_grpc.builtin.http_request.settings import HttpSettings
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.errors import ConfigurationError
from schedule_grpc.handlers import Fate

HANDLER = "http-request"
TLS = Path(__file__).parents[2] / "clients" / "tls"
HERE = "127.0.0.1"


class Names:
    """A DNS whose answers a test decides: one after the other for each name, the last one stays."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self.answers = {name.replace("_", "."): list(given) for name, given in answers.items()}
        self.asked: list[str] = []

    async def resolve(self, host: str, _port: int) -> Sequence[str]:
        """Return the next answer."""
        self.asked.append(host)
        if host not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answers = self.answers[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture
async def origin() -> AsyncIterator[HttpServer]:
    """A server on this machine that nobody may reach by accident."""
    async with http_server() as running:
        running.answer("/", response(body=b"inside"))
        yield running


async def call(settings: HttpSettings, url: str, **payload: Any) -> Fate:
    """Return what becomes of an attempt that calls a URL."""
    return await attempt(http_request, context(HANDLER, {"url": url} | payload, HTTP=settings))


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("8.8.8.8", "public"),
        ("2606:4700::1111", "public"),
        ("::ffff:8.8.8.8", "public"),
        ("64:ff9b::8.8.8.8", "public"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::127.0.0.1", "loopback"),
        ("64:ff9b::7f00:1", "loopback"),
        ("10.0.0.1", "private"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "private"),
        ("fd12:3456::1", "private"),
        ("::ffff:10.0.0.1", "private"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("169.254.169.254", "metadata"),
        ("::ffff:169.254.169.254", "metadata"),
        ("64:ff9b::a9fe:a9fe", "metadata"),
        ("169.254.170.2", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("168.63.129.16", "metadata"),
        ("100.100.100.200", "metadata"),
        ("0.0.0.0", "unspecified"),  # noqa: S104 (nobody listens there)
        ("::", "unspecified"),
        ("::ffff:0.0.0.0", "unspecified"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.250", "multicast"),
        ("ff02::1", "multicast"),
        ("0.1.2.3", "reserved"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("192.0.0.192", "reserved"),
        ("192.0.2.1", "reserved"),
        ("192.88.99.1", "reserved"),
        ("198.18.0.1", "reserved"),
        ("198.51.100.1", "reserved"),
        ("203.0.113.1", "reserved"),
        ("2001:db8::1", "reserved"),
        ("2002:7f00:1::", "reserved"),
        ("2002:808:808::", "reserved"),
        ("2001:0:7f00:1::", "reserved"),
        ("64:ff9b:1::1", "reserved"),
        ("fec0::1", "reserved"),
        ("100::1", "reserved"),
    ],
)
def test_what_an_address_is(address: str, kind: str):
    """Public only where nothing says otherwise, by whatever way it leads there."""
    assert kind_of(ip_address(address)) == kind


@pytest.mark.parametrize(
    "url",
    [
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://0X7F.0x1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.0.01/",
        "http://127.0.0.1./",
        "http://localhost./",
        "http://1.2.3.4.5/",
        "http://256.0.0.1/",
        "http://[::1%25lo]/",
        "http://[fe80::1%eth0]/",
        "http://%31%32%37.0.0.1/",
        "http://①②⑦.0.0.1/",
        "http://127。0。0。1/",
        "http://user@example.com/",
        "http://user:password@example.com/",
        "http://@example.com/",
        "http://example.com:80@127.0.0.1/",
        "http://example.com\\@127.0.0.1/",
        "http://127.0.0.1\\.example.com/",
        "http://exa mple.com/",
        "http://example.com/\r\nHost: x",
        "http://example.com\t/",
        " http://example.com/",
        "http://example.com/\u2028",
        "http:///path",
        "http://",
        "//example.com/",
        "example.com",
        "",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_x",
        "http+unix://socket/",
        "javascript:alert(1)",
        "http://example.com:0/",
        "http://example.com:65536/",
        "http://example.com:99999999999/",
        "http://example.com:x/",
        "http://[::1/",
        "http://[127.0.0.1]/",
    ],
)
async def test_an_odd_spelling_is_refused(url: str):
    """Before any name is asked for, by the one reading of the URL that is used for the request too."""
    names = Names()
    settings = HttpSettings(allow_hosts=["*"], allow_private_hosts=["localhost", HERE], resolver=names.resolve)
    fate = await call(settings, url)
    assert fate.kind is FailureKind.REJECTED
    assert fate.error is not None
    assert fate.error.startswith("payload.url: ")
    assert names.asked == []


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("HTTP://EXAMPLE.com", "example.com", 80),
        ("https://example.com/#fragment", "example.com", 443),
        ("http://bücher.example:8080/", "xn--bcher-kva.example", 8080),
        ("http://[0:0::0001]:81/", "::1", 81),
        ("http://[::ffff:127.0.0.1]/", "::ffff:127.0.0.1", 80),
        ("http://[::ffff:7f00:1]/", "::ffff:127.0.0.1", 80),
        ("http://127.0.0.1/", "127.0.0.1", 80),
        ("http://1.example/", "1.example", 80),
    ],
)
def test_how_a_url_is_read(url: str, host: str, port: int):
    """Names in lower case and ASCII, addresses in their usual form."""
    target = read_url(url)
    assert (target.host, target.port) == (host, port)
    assert target.url.fragment == ""


@pytest.mark.parametrize(
    ("allowed", "url", "may"),
    [
        ("example.com", "http://example.com/", True),
        ("Example.COM", "https://example.com:8443/", True),
        ("example.com", "http://www.example.com/", False),
        ("example.com", "http://example.com.evil.test/", False),
        ("example.com", "http://evilexample.com/", False),
        ("*.example.com", "http://a.b.example.com/", True),
        ("*.example.com", "http://example.com/", False),
        ("*.example.com", "http://evilexample.com/", False),
        ("example.com:8443", "https://example.com:8443/", True),
        ("example.com:443", "https://example.com/", True),
        ("example.com:443", "http://example.com/", False),
        ("bücher.example", "http://xn--bcher-kva.example/", True),
        ("faß.example", "http://fass.example/", False),
        ("8.8.8.8", "http://8.8.8.8/", True),
        ("[2606:4700:0::1111]:80", "http://[2606:4700::1111]/", True),
        ("2606:4700::1111", "http://[2606:4700::1111]:81/", True),
        ("*", "http://anything.test/", True),
    ],
)
async def test_who_is_allowed(allowed: str, url: str, may: bool):
    """A host, what is below it, one of its ports, an address, or everybody."""

    async def public(_host: str, _port: int) -> Sequence[str]:
        return ["8.8.8.8"]

    settings = HttpSettings(allow_hosts=[allowed], resolver=public)
    if may:
        assert await (await settings.within("default")).addresses(read_url(url))
    else:
        with pytest.raises(Refused, match=r"is not in .http_request. allow_hosts"):
            await (await settings.within("default")).addresses(read_url(url))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*.",
        "a.*.b",
        "*example.com",
        "http://example.com",
        "example.com/x",
        "a@b",
        "127.1",
        "a:b",
        "a:0",
        "x y",
        "a.",
        "①.1",
    ],
)
def test_an_allow_list_that_cannot_be_read(text: str):
    """The server does not start; nothing is guessed."""
    for field in ("allow_hosts", "allow_private_hosts"):
        with pytest.raises(ConfigurationError, match=f"^http_request.{field}: .* is not a host such as"):
            HttpSettings(**{field: [text]})


def test_every_private_host_cannot_be_allowed():
    """They are named one by one."""
    with pytest.raises(ConfigurationError, match="would open every private address"):
        HttpSettings(allow_private_hosts=["*"])


async def test_nothing_is_allowed_by_default(origin: HttpServer):
    """Neither this machine nor the internet."""
    for url in (f"http://{HERE}:{origin.port}/", "https://example.com/"):
        fate = await call(HttpSettings(), url)
        assert fate.kind is FailureKind.REJECTED
        assert fate.error is not None
        assert fate.error.endswith(" is not in [http_request] allow_hosts")
    assert origin.connections == 0


@pytest.mark.parametrize(
    "address", [HERE, "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "224.0.0.1", "0.0.0.1"]
)
async def test_a_name_of_a_private_address_is_refused(origin: HttpServer, address: str):
    """Whoever owns an allowed name decides where it leads, and must not lead us inside; nor may the address itself."""
    names = Names(evil_test=[["8.8.8.8", address]])
    settings = HttpSettings(allow_hosts=["*"], resolver=names.resolve)
    fate = await call(settings, f"http://evil.test:{origin.port}/")
    assert fate.kind is FailureKind.REJECTED
    assert fate.error is not None
    assert f" evil.test has the address {address}, which is " in fate.error
    shown = f"[{address}]" if ":" in address else address
    assert (await call(settings, f"http://{shown}:{origin.port}/")).kind is FailureKind.REJECTED
    assert origin.connections == 0


async def test_localhost_by_this_machine_s_own_names(origin: HttpServer):
    """Without a DNS of the test: the system's resolver finds loopback addresses, and they are refused."""
    assert set(await resolve("localhost", 80)) <= {HERE, "::1"}
    fate = await call(HttpSettings(allow_hosts=["*"]), f"http://localhost:{origin.port}/")
    assert fate.kind is FailureKind.REJECTED
    allowed = await call(HttpSettings(allow_private_hosts=["localhost"]), f"http://localhost:{origin.port}/")
    assert (allowed.kind, allowed.result["body"]) == (None, "inside")
    assert origin.seen[0].headers["host"] == f"localhost:{origin.port}"


async def test_a_second_answer_of_the_dns_changes_nothing(origin: HttpServer):
    """Rebinding: the name is asked once, and the connection goes to the very address that was looked at."""
    names = Names(rebind_test=[[HERE], ["169.254.169.254"]])
    settings = HttpSettings(allow_private_hosts=["rebind.test"], resolver=names.resolve)
    fate = await call(settings, f"http://rebind.test:{origin.port}/")
    assert fate.result["body"] == "inside"
    assert names.asked == ["rebind.test"]
    assert origin.seen[0].headers["host"] == f"rebind.test:{origin.port}"
    again = await call(settings, f"http://rebind.test:{origin.port}/")
    assert again.kind is FailureKind.REJECTED
    assert again.error is not None
    assert "which is metadata" in again.error


async def test_the_next_address_is_tried(origin: HttpServer):
    """Where nobody listens at the first ones."""
    names = Names(many_test=[["127.0.0.2", "::1", HERE]])
    settings = HttpSettings(allow_private_hosts=["many.test"], resolver=names.resolve)
    assert (await call(settings, f"http://many.test:{origin.port}/")).result["body"] == "inside"
    assert origin.connections == 1


async def test_a_request_that_was_sent_is_not_sent_to_the_next_address(origin: HttpServer):
    """Only connecting is tried again: what was sent may have been done."""
    origin.answer("/", b"")
    names = Names(many_test=[[HERE, HERE]])
    settings = HttpSettings(allow_private_hosts=["many.test"], resolver=names.resolve)
    assert (await call(settings, f"http://many.test:{origin.port}/")).kind is FailureKind.ERROR
    assert len(origin.seen) == 1


async def test_a_name_without_an_address_is_retried():
    """The DNS may know it later."""
    for answers in ({}, {"no_test": [[]]}):
        settings = HttpSettings(allow_hosts=["no.test"], resolver=Names(**answers).resolve)
        fate = await call(settings, "http://no.test/")
        assert fate.kind is FailureKind.ERROR
        assert fate.error is not None
        assert fate.error.startswith("GET http://no.test/: no.test has no address")


async def test_link_local_and_metadata_need_their_own_address(origin: HttpServer):
    """A host that may be private is not thereby a cloud's metadata; an address that is named is meant."""
    names = Names(inside_test=[["169.254.169.254"]])
    settings = HttpSettings(allow_private_hosts=["inside.test"], resolver=names.resolve)
    with pytest.raises(Refused, match="which is metadata"):
        await (await settings.within("default")).addresses(read_url("http://inside.test/"))
    named = HttpSettings(allow_private_hosts=["169.254.169.254"])
    assert await (await named.within("default")).addresses(read_url("http://169.254.169.254/")) == ["169.254.169.254"]


@pytest.fixture
async def secure() -> AsyncIterator[HttpServer]:
    """A server whose certificate is for schedule.test."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")
    async with http_server(tls=tls) as running:
        running.answer("/", response(body=b"secure"))
        yield running


async def test_tls_is_told_and_checks_the_name(secure: HttpServer):
    """Connected to an address, the server is told the name, and its certificate must be for the name."""
    names = Names(schedule_test=[[HERE]], other_test=[[HERE]])
    settings = HttpSettings(
        allow_private_hosts=["*.test", HERE], ca_file=TLS / "certificate.pem", resolver=names.resolve
    )
    fate = await call(settings, f"https://schedule.test:{secure.port}/")
    assert fate.result["body"] == "secure"
    [seen] = secure.seen
    assert seen.server_name == "schedule.test"
    assert seen.headers["host"] == f"schedule.test:{secure.port}"
    for host in ("other.test", HERE):
        wrong = await call(settings, f"https://{host}:{secure.port}/")
        assert wrong.kind is FailureKind.ERROR
        assert wrong.error is not None
        assert "certificate verify failed" in wrong.error


async def test_a_certificate_of_nobody_we_know(secure: HttpServer):
    """Its authority is not among this machine's, and SSL_CERT_FILE is not asked."""
    settings = HttpSettings(allow_private_hosts=["schedule.test"], resolver=Names(schedule_test=[[HERE]]).resolve)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(TLS / "certificate.pem"))
        fate = await call(settings, f"https://schedule.test:{secure.port}/")
    assert fate.error is not None
    assert "certificate verify failed" in fate.error
    assert secure.seen == []


async def test_an_authorities_file_that_is_not_there(secure: HttpServer):
    """No retry would help."""
    settings = HttpSettings(allow_private_hosts=[HERE], ca_file="/nowhere.pem")
    fate = await call(settings, f"https://{HERE}:{secure.port}/")
    assert fate.kind is FailureKind.REJECTED
    assert fate.error is not None
    assert fate.error.startswith("http_request.ca_file: /nowhere.pem: ")
