"""Callers that are known by their certificates and by issuers' tokens, over both edges of a whole server."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs
from support.machine.wall_clock import QuietClock
from support.patience import AT_MOST, calling
from support.servers.authority import Authority, Pair
from support.servers.issuer import SigningIssuer, issuing
from support.servers.live import Live, serving

from schedule_grpc import errors
from schedule_grpc.client import AsyncClient, Tls

SPIFFE = "spiffe://prod.example/ns/reports/sa/worker"
RULES = [
    {"spiffe": "spiffe://prod.example/ns/reports/sa/*", "grants": ["write@default"]},
    {"common_name": "billing.internal", "grants": ["observe@default"]},
]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that the server trusts."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pairs(authority: Authority) -> dict[str, Pair]:
    """Certificates of the authority."""
    return {
        "server": authority.signed("server"),
        "worker": authority.signed("worker", names=f"URI:{SPIFFE}"),
        "stolen": authority.signed("stolen", names="URI:spiffe://prod.example/ns/reports/sa/stolen"),
        "billing": authority.signed("billing.internal"),
        "nobody": authority.signed("nobody"),
        "elsewhere": authority.signed("elsewhere", names="URI:spiffe://test.example/ns/reports/sa/worker"),
        "twofold": authority.signed("twofold", names=f"URI:{SPIFFE},URI:spiffe://prod.example/ns/reports/sa/b"),
    }


@asynccontextmanager
async def by_certificate(
    database: Path, authority: Authority, pairs: dict[str, Pair], **auth: Any
) -> AsyncIterator[Live]:
    """Run a server whose listeners ask for certificates, with a socket for the operator."""
    listener = {
        "address": "127.0.0.1:0",
        "tls_cert": pairs["server"].certificate,
        "tls_key": pairs["server"].key,
        "client_ca": authority.ca,
    }
    socket = f"unix:{database.parent}/operator.sock"
    told = {"certificates": RULES, "denied": ["spiffe://prod.example/ns/reports/sa/stolen"]}
    async with serving(database, grpc=[socket, listener], http={"address": [listener]}, auth=told | auth) as live:
        yield live


def holder(live: Live, authority: Authority, pair: Pair, **options: Any) -> AsyncClient:
    """Return a client with a certificate."""
    address = live.parts.addresses[1].address.replace("127.0.0.1", "localhost")
    return calling(address, tls=Tls(ca=authority.ca, certificate=pair.certificate, key=pair.key), **options)


async def test_a_certificate_says_who_calls_and_its_rule_what_it_may(database: Path, authority: Authority, pairs):
    """Without a key; one that is denied, of another domain, of two ids or without a rule is a stranger's."""
    async with by_certificate(database, authority, pairs) as live:
        names = {}
        for name, pair in pairs.items():
            async with holder(live, authority, pair) as client:
                try:
                    names[name] = (await client.who_am_i()).name
                except errors.Unauthenticated:
                    names[name] = ""
        assert names == {
            **dict.fromkeys(("server", "stolen", "nobody", "elsewhere", "twofold"), ""),
            "worker": SPIFFE,
            "billing": "cn:billing.internal",
        }
        async with holder(live, authority, pairs["worker"]) as worker:
            task = await worker.register_task(name="task", schedule="@manual", handler="steps")
            assert task.changed_by == SPIFFE
        async with holder(live, authority, pairs["billing"]) as billing:
            assert (await billing.get_task("task")).name == "task"
            with pytest.raises(errors.PermissionDenied):
                await billing.run_task_now("task")


async def test_a_key_comes_before_a_certificate_and_a_wrong_one_is_wrong(database: Path, authority: Authority, pairs):
    """Two proofs do not add up."""
    async with by_certificate(database, authority, pairs) as live:
        async with calling(live.parts.address) as operator:
            text = (await operator.create_key("ci", ["observe@default"])).text
        async with holder(live, authority, pairs["worker"], token=text) as both:
            assert (await both.who_am_i()).name == "key:ci"
        async with holder(live, authority, pairs["worker"], token="wrong") as wrong:
            with pytest.raises(errors.Unauthenticated):
                await wrong.who_am_i()


async def test_certificates_count_over_http_as_well(database: Path, authority: Authority, pairs):
    """By the same rules."""
    async with by_certificate(database, authority, pairs) as live:
        address = f"https://{live.parts.http_address}"
        for name, status in (("worker", 200), ("billing", 200), ("stolen", 401), ("nobody", 401)):
            pair = pairs[name]
            context = ssl.create_default_context(cafile=str(authority.ca))
            context.load_cert_chain(pair.certificate, pair.key)
            async with httpx2.AsyncClient(base_url=address, timeout=AT_MOST, trust_env=False, verify=context) as client:
                answer = await client.get("/whoami")
                assert (name, answer.status_code) == (name, status)
                if status == 200:
                    assert answer.json()["caller"]["name"] in (SPIFFE, "cn:billing.internal")


# -- tokens


@asynccontextmanager
async def by_token(database: Path, issuer: SigningIssuer, **settings: Any) -> AsyncIterator[Live]:
    """Run a server that accepts an issuer's tokens."""
    told = {
        "issuer": issuer.claims()["iss"],
        "audience": issuer.claims()["aud"],
        "jwks_url": issuer.url,
        "subjects": [{"sub": issuer.claims()["sub"], "grants": ["write@default"]}],
    }
    async with serving(database, http="127.0.0.1:0", auth={"jwt": [told]}, **settings) as live:
        yield live


async def test_an_issuers_token_is_accepted_over_both_edges(database: Path):
    """As the subject that it names; without one the caller is a stranger, for the server requires proof now."""
    async with issuing(QuietClock().now()) as issuer, by_token(database, issuer) as live:
        token, subject = issuer.token(), issuer.claims()["sub"]
        async with calling(live.parts.address, token=token) as client:
            assert (await client.who_am_i()).name == f"jwt:{subject}"
            assert (await client.register_task(name="a", schedule="@manual", handler="steps")).changed_by == (
                f"jwt:{subject}"
            )
        with pytest.raises(errors.Unauthenticated):
            await live.client.list_tasks()
        address = f"http://{live.parts.http_address}"
        async with httpx2.AsyncClient(base_url=address, timeout=AT_MOST, trust_env=False) as http:
            answer = await http.get("/whoami", headers={"authorization": f"Bearer {token}"})
            assert answer.json()["caller"]["name"] == f"jwt:{subject}"
            wrong = await http.get("/whoami", headers={"authorization": f"Bearer {issuer.token(aud='other')}"})
            assert (wrong.status_code, wrong.json()["error"]) == (401, "Authentication required")


async def test_no_token_stands_in_the_log(database: Path):
    """Neither one that is accepted nor one that is not."""
    async with issuing(QuietClock().now()) as issuer, by_token(database, issuer) as live:
        good, wrong = issuer.token(), issuer.token(aud="other")
        with capture_logs() as lines:
            for token in (good, wrong):
                async with calling(live.parts.address, token=token) as client:
                    try:
                        await client.who_am_i()
                    except errors.Unauthenticated:
                        assert token is wrong
        text = repr(lines)
        assert "auth.denied" in text
        for token in (good, wrong):
            assert token not in text
            assert token.split(".")[2] not in text
