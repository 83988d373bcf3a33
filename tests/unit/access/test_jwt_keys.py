"""The keys of an issuer: when they are fetched, how carefully, and which are used."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from structlog.testing import capture_logs
from support.servers.authority import Authority
from support.servers.http_server import http_server, response
from support.servers.issuer import AUDIENCE, NAME, SigningIssuer, issuing, kept_key, new_key, public_jwk, signed

from schedule_grpc.access.jwks import MOST_BYTES, SECONDS
from schedule_grpc.access.jwt_keys import FETCHED_AGAIN_AFTER, OLD_AFTER, TRIED_AGAIN_AFTER, read_keys
from schedule_grpc.access.jwt_rules import JwtIssuer, KeySource, SubjectRule
from schedule_grpc.access.jwt_tokens import JwtIssuers
from schedule_grpc.domain.access.grant import read_grants
from schedule_grpc.testing import FakeClock

NOW = datetime(2026, 1, 31, 10, 0, 0, tzinfo=UTC)
RULES = (SubjectRule(subject="system:serviceaccount:reports:*", grants=read_grants(["run@reports"])),)


class Server:
    """What a server has: issuers that it accepts, and its clock."""

    def __init__(self, issuer: SigningIssuer, **source: Any) -> None:
        self.clock = FakeClock(NOW)
        keys = KeySource(**(source or {"url": issuer.url}))
        self.issuers = JwtIssuers(
            [JwtIssuer(name=NAME, audience=AUDIENCE, keys=keys, subjects=RULES, algorithms=("RS256", "ES256"))],
            self.clock,
        )
        self.issuer = issuer

    async def accepts(self, key: Any = None, key_id: str = "first") -> bool:
        """Return whether a token that a key signed is accepted."""
        self.issuer.now = self.clock.now()
        token = signed(self.issuer.claims(), key or self.issuer.key, kid=key_id)
        return await self.issuers.caller(token) is not None


@pytest.fixture
async def issuer() -> AsyncIterator[SigningIssuer]:
    """An issuer that publishes its key."""
    async with issuing(NOW) as running:
        yield running


@pytest.fixture
async def server(issuer: SigningIssuer) -> AsyncIterator[Server]:
    """A server that accepts its tokens."""
    made = Server(issuer)
    yield made
    await made.issuers.aclose()


# -- when they are fetched


async def test_keys_are_fetched_once_for_all(server: Server):
    """By the first token, for which the others wait."""
    assert server.issuer.requests == 0
    assert all(await asyncio.gather(*(server.accepts() for _ in range(20))))
    assert server.issuer.requests == 1


async def test_an_unknown_key_is_asked_for_once_a_minute(server: Server):
    """However many tokens name one; tokens of known keys do not wait for it."""
    assert await server.accepts()
    await server.clock.advance(FETCHED_AGAIN_AFTER)
    unknown = [server.accepts(kept_key(1), f"guess-{number}") for number in range(50)]
    assert not any(await asyncio.gather(*unknown))
    assert server.issuer.requests == 2
    await server.clock.advance(FETCHED_AGAIN_AFTER - 1)
    assert not await server.accepts(kept_key(1), "another")
    assert server.issuer.requests == 2
    assert await server.accepts()


async def test_a_new_key_is_found_after_a_minute_at_most(server: Server):
    """The former one goes on while the issuer publishes it."""
    assert await server.accepts()
    server.issuer.publish(public_jwk(server.issuer.key, "first"), public_jwk(kept_key(1), "second"))
    assert not await server.accepts(kept_key(1), "second")
    await server.clock.advance(FETCHED_AGAIN_AFTER)
    assert await server.accepts(kept_key(1), "second")
    assert await server.accepts()
    assert server.issuer.requests == 2


async def test_known_keys_do_not_wait_for_a_request(server: Server):
    """While one for an unknown key is not answered."""
    assert await server.accepts()
    asked, answered = asyncio.Event(), asyncio.Event()

    async def slowly(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await answered.wait()
        writer.write(response("503 Unavailable"))

    server.issuer.server.answer("/keys", slowly)
    await server.clock.advance(FETCHED_AGAIN_AFTER)
    unknown = asyncio.create_task(server.accepts(kept_key(1), "second"))
    await asked.wait()
    assert await server.accepts()
    assert not unknown.done()
    answered.set()
    assert not await unknown


async def test_a_caller_that_leaves_ends_no_request(server: Server):
    """Others wait for the same one."""
    asked, answered = asyncio.Event(), asyncio.Event()
    keys = json.dumps({"keys": [public_jwk(server.issuer.key, "first")]}).encode()

    async def slowly(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await answered.wait()
        writer.write(response(body=keys))

    server.issuer.server.answer("/keys", slowly)
    leaves, stays = asyncio.create_task(server.accepts()), asyncio.create_task(server.accepts())
    await asked.wait()
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    answered.set()
    assert await stays
    assert server.issuer.requests == 1


async def test_a_withdrawn_key_is_not_used_for_long(server: Server):
    """Keys in use are fetched again after a while, beside the calls."""
    assert await server.accepts()
    server.issuer.publish(public_jwk(kept_key(1), "second"))
    await server.clock.advance(OLD_AFTER)
    assert await server.accepts()  # begins the request, and does not wait for it
    await server.issuers._keys[NAME]._fetching  # type: ignore[misc]
    assert not await server.accepts()
    assert await server.accepts(kept_key(1), "second")


async def test_an_empty_set_withdraws_all(server: Server):
    """The log says that there is none."""
    assert await server.accepts()
    server.issuer.server.answer("/keys", response(body=b'{"keys": []}'))
    await server.clock.advance(FETCHED_AGAIN_AFTER)
    with capture_logs() as lines:
        assert not await server.accepts(kept_key(1), "second")
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["jwt.no_usable_key"]
    assert not await server.accepts()


WRONG = {
    "an error": response("500 Oops", body=b'{"keys": []}'),
    "a redirect": response("302 Found", location="/other"),
    "no JSON": response(body=b"<html>"),
    "a list": response(body=b"[]"),
    "keys that are no list": response(body=b'{"keys": {}}'),
    "nested deeply": response(body=b"[" * 100_000),
    "too large": response(body=b'{"keys": [' + b" " * MOST_BYTES + b"]}"),
    "nothing": b"",
    "no HTTP": b"220 mail.example ESMTP\r\n",
}


@pytest.mark.parametrize("answer", WRONG)
async def test_while_the_issuer_does_not_say_its_keys_are_kept(answer: str, server: Server):
    """The log says why; nothing else is asked."""
    assert await server.accepts()
    server.issuer.server.answer("/keys", WRONG[answer])
    server.issuer.server.answer("/other", response(body=b'{"keys": []}'))
    await server.clock.advance(FETCHED_AGAIN_AFTER)
    with capture_logs() as lines:
        assert not await server.accepts(kept_key(1), "second")
        assert await server.accepts()
    (line,) = [line for line in lines if line["log_level"] == "warning"]
    assert (line["event"], line["issuer"], line["kept"]) == ("jwt.keys_not_fetched", NAME, 1)
    assert [seen.path for seen in server.issuer.server.seen] == ["/keys", "/keys"]


async def test_an_issuer_that_does_not_answer_is_given_up(server: Server):
    """After some seconds."""
    asked = asyncio.Event()

    async def never(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()

    server.issuer.server.answer("/keys", never)
    waiting = asyncio.create_task(server.accepts())
    await asked.wait()
    with capture_logs() as lines:
        await server.clock.advance(SECONDS)
        assert not await waiting
    assert "no answer within 10 s" in next(line["error"] for line in lines if line["log_level"] == "warning")


async def test_an_issuer_that_starts_after_the_server_is_found_soon(server: Server):
    """While there is no key at all, it is asked more often."""
    server.issuer.server.answer("/keys", response("503 Unavailable"))
    assert not await server.accepts()
    server.issuer.publish()
    assert not await server.accepts()
    await server.clock.advance(TRIED_AGAIN_AFTER)
    assert await server.accepts()
    assert server.issuer.requests == 2


# -- how


async def test_keys_come_over_tls_from_whom_the_authorities_know(tmp_path: Path):
    """Without the authority's file the certificate is not accepted, and the request is not sent."""
    authority = Authority(tmp_path)
    pair = authority.signed("issuer")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    async with http_server(tls=context) as web:
        issuer = SigningIssuer(web, NOW, kept_key(0))
        issuer.publish()
        url = f"https://localhost:{web.port}/keys"
        with capture_logs() as lines:
            assert not await Server(issuer, url=url).accepts()
        assert "CERTIFICATE_VERIFY_FAILED" in next(line["error"] for line in lines if line["log_level"] == "warning")
        assert issuer.requests == 0
        assert await Server(issuer, url=url, ca_file=authority.ca).accepts()
        assert [seen.server_name for seen in web.seen] == ["localhost"]


@pytest.mark.parametrize("address", ["169.254.1.1", "[fe80::1]", "[::ffff:169.254.1.1]", "224.0.0.1", "[::]"])
async def test_an_address_that_has_no_keys_is_not_asked(address: str, issuer: SigningIssuer):
    """Link-local ones, a cloud's metadata among them, whoever wrote the URL."""
    with capture_logs() as lines:
        assert not await Server(issuer, url=f"http://{address}/keys").accepts()
    assert "and that is not allowed" in next(line["error"] for line in lines if line["log_level"] == "warning")


async def test_a_token_is_sent_where_the_issuer_asks_for_one(issuer: SigningIssuer, tmp_path: Path):
    """As Kubernetes does; read anew each time, and never logged."""
    file = tmp_path / "token"
    file.write_text("first.s3cret\n")
    server = Server(issuer, url=issuer.url, token_file=file)
    assert await server.accepts()
    file.write_text("second.s3cret\n")
    issuer.server.answer("/keys", response("401 second.s3cret"))
    await server.clock.advance(FETCHED_AGAIN_AFTER)
    with capture_logs() as lines:
        assert not await server.accepts(kept_key(1), "second")
    assert [seen.headers["authorization"] for seen in issuer.server.seen] == [
        "Bearer first.s3cret",
        "Bearer second.s3cret",
    ]
    assert "s3cret" not in repr(lines)


@pytest.mark.parametrize("content", [b"", b"two words", b"a\nb", b"\xff", b"x" * 20_000])
async def test_a_file_that_has_no_token_is_not_sent(content: bytes, issuer: SigningIssuer, tmp_path: Path):
    """The log says which file."""
    (tmp_path / "token").write_bytes(content)
    with capture_logs() as lines:
        assert not await Server(issuer, url=issuer.url, token_file=tmp_path / "token").accepts()
    assert str(tmp_path / "token") in next(line["error"] for line in lines if line["log_level"] == "warning")
    assert issuer.requests == 0


async def test_keys_may_be_in_a_file(issuer: SigningIssuer, tmp_path: Path):
    """Read again as a URL is asked again; one that is missing or too large is not read."""
    file = tmp_path / "keys.json"
    server = Server(issuer, file=file)
    with capture_logs() as lines:
        assert not await server.accepts()
    assert "No such file" in next(line["error"] for line in lines if line["log_level"] == "warning")
    await server.clock.advance(TRIED_AGAIN_AFTER)
    file.write_text(json.dumps({"keys": [public_jwk(issuer.key, "first")]}))
    assert await server.accepts()
    file.write_text(" " * (MOST_BYTES + 1))
    await server.clock.advance(FETCHED_AGAIN_AFTER)
    assert not await server.accepts(kept_key(1), "second")
    assert await server.accepts()
    assert issuer.requests == 0


# -- which are used


def read(*entries: object, algorithms: tuple[str, ...] = ("RS256", "ES256")) -> set[tuple[str, str]]:
    """Return the ids and algorithms of the keys that are used of a set."""
    return set(read_keys(json.dumps({"keys": entries}).encode(), algorithms))


def test_each_key_is_for_the_algorithms_that_fit_it():
    """By its type, its curve, and what it says of itself."""
    key, curve = kept_key(0), new_key("ES256")
    every = ("RS256", "RS512", "PS256", "ES256", "ES384")
    assert read(public_jwk(key, "a"), public_jwk(curve, "b"), algorithms=every) == {
        *(("a", "RS256"), ("a", "RS512"), ("a", "PS256"), ("b", "ES256"))
    }
    assert read(public_jwk(key, "a", alg="RS512"), algorithms=every) == {("a", "RS512")}
    assert read(public_jwk(key, "a", use="sig", key_ops=["verify"])) == {("a", "RS256")}


def test_what_is_no_key_for_signatures_is_left_out():
    """The others of the set are used."""
    key = kept_key(0)
    whole = public_jwk(key, "a")
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 (weak on purpose)
    wrong = [
        {**whole, "use": "enc"},
        {**whole, "key_ops": ["encrypt"]},
        {**whole, "key_ops": "verify"},
        {**whole, "alg": "HS256"},
        {**whole, "alg": "none"},
        {**whole, "kid": 7},
        {name: value for name, value in whole.items() if name != "kid"},
        {**whole, "kty": "oct", "k": "AAAA"},
        {**whole, "kty": "EC"},
        {**whole, "n": "!!!"},
        {**whole, "n": 7},
        {**whole, "n": ""},
        {**whole, "e": "AA"},
        {**whole, "e": "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB"},
        {name: value for name, value in whole.items() if name != "n"},
        public_jwk(weak, "weak"),
        {**public_jwk(new_key("ES256"), "b"), "x": "AAAA"},
        {**public_jwk(new_key("ES256"), "b"), "y": public_jwk(new_key("ES256"), "b")["y"]},
        public_jwk(new_key("ES384"), "c"),
        {"kty": "oct", "k": "AAAA", "kid": "o", "alg": "HS256"},
        "text",
        None,
    ]
    for each in wrong:
        assert read(each, public_jwk(key, "good")) == {("good", "RS256")}


def test_of_two_keys_of_one_id_the_first_is_used():
    """And of a set without end the first hundred."""
    keys = [public_jwk(kept_key(number), "a") for number in (0, 1)]
    found = read_keys(json.dumps({"keys": keys}).encode(), ("RS256",))
    assert found["a", "RS256"].public_numbers() == kept_key(0).public_key().public_numbers()  # type: ignore[union-attr]
    many = [{**keys[0], "kid": str(number)} for number in range(150)]
    assert len(read(*many)) == 100


def test_a_private_key_that_was_published_is_read_as_a_public_one():
    """Its other parts are not looked at."""
    entry = {**RSAAlgorithm.to_jwk(kept_key(0), as_dict=True), "kid": "a", "key_ops": ["sign", "verify"]}
    found = read_keys(json.dumps({"keys": [entry]}).encode(), ("RS256",))
    assert isinstance(found["a", "RS256"], rsa.RSAPublicKey)
