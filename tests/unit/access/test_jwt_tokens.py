"""Tokens of an issuer: who is proven and until when, and everything that proves nothing."""

import base64
import hashlib
import hmac
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from support.servers.issuer import (
    AUDIENCE,
    NAME,
    SUBJECT,
    SigningIssuer,
    encoded,
    issuing,
    kept_key,
    new_key,
    public_jwk,
    signed,
)

from schedule_grpc.access.jwt_claims import TokenRefused, checked_claims
from schedule_grpc.access.jwt_rules import ALGORITHMS, JwtIssuer, KeySource, SubjectRule
from schedule_grpc.access.jwt_tokens import LONGEST_TOKEN, JwtIssuers, _read
from schedule_grpc.domain.access.grant import read_grants
from schedule_grpc.errors import ConfigurationError
from schedule_grpc.testing import FakeClock

NOW = datetime(2026, 1, 31, 10, 0, 0, tzinfo=UTC)
BEGAN = int(NOW.timestamp())
RUN = read_grants(["run@reports"])
RULES = (SubjectRule(subject="system:serviceaccount:reports:*", grants=RUN),)
LEEWAY, LIFETIME = 60, 3600


@pytest.fixture
async def issuer() -> AsyncIterator[SigningIssuer]:
    """An issuer that publishes its key."""
    async with issuing(NOW) as running:
        yield running


@pytest.fixture
async def accepted(issuer: SigningIssuer) -> AsyncIterator[JwtIssuers]:
    """Issuers as a server has them that accepts tokens of this one."""
    issuers = accepting(issuer)
    yield issuers
    await issuers.aclose()


def accepting(issuer: SigningIssuer, **options: Any) -> JwtIssuers:
    """Return issuers that accept tokens of this one."""
    whole = {"name": NAME, "audience": AUDIENCE, "keys": KeySource(url=issuer.url), "subjects": RULES} | options
    return JwtIssuers([JwtIssuer(**whole)], FakeClock(NOW))


async def test_a_token_proves_its_subject_until_its_end(accepted: JwtIssuers, issuer: SigningIssuer):
    """With the grants of the rules for it; the end has the leeway, as long as the token is accepted."""
    proven = await accepted.caller(issuer.token())
    assert proven is not None
    assert (proven.caller.name, proven.caller.grants) == (f"jwt:{SUBJECT}", RUN)
    assert proven.until == NOW + timedelta(seconds=600 + LEEWAY)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_every_algorithm_that_can_be_configured_works(algorithm: str, issuer: SigningIssuer):
    """And none that is not configured."""
    key = new_key(algorithm)
    issuer.publish(public_jwk(key, "first"))
    token = signed(issuer.claims(), key, algorithm)
    assert await accepting(issuer, algorithms=(algorithm,)).caller(token) is not None
    other = "ES256" if algorithm != "ES256" else "RS256"
    assert await accepting(issuer, algorithms=(other,)).caller(token) is None


ACCEPTED: dict[str, dict[str, Any]] = {
    "several audiences": {"aud": ["other", AUDIENCE]},
    "a time with a fraction": {"exp": BEGAN + 1.5},
    "valid since before": {"nbf": BEGAN - 10},
    "over, within the leeway": {"iat": BEGAN - 100, "exp": BEGAN - LEEWAY + 1},
    "from a clock that is fast, within the leeway": {"iat": BEGAN + LEEWAY, "nbf": BEGAN + LEEWAY},
    "of the longest lifetime": {"exp": BEGAN + LIFETIME},
    "claims that nobody knows": {"kubernetes.io": {"namespace": "reports"}, "crit": ["exp"]},
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no end": ({"exp": None}, "no time exp"),
    "no beginning": ({"iat": None}, "no time iat"),
    "no audience": ({"aud": None}, "another audience"),
    "no subject": ({"sub": None}, "no subject"),
    "no issuer": ({"iss": None}, "issuer (iss) is not configured"),
    "another issuer": ({"iss": NAME + "/"}, "issuer (iss) is not configured"),
    "a list of issuers": ({"iss": [NAME]}, "issuer (iss) is not configured"),
    "another audience": ({"aud": "schedule2"}, "another audience"),
    "audiences without ours": ({"aud": ["a", "b"]}, "another audience"),
    "no audience in the list": ({"aud": []}, "another audience"),
    "an audience within an object": ({"aud": {AUDIENCE: 1}}, "another audience"),
    "an audience within a text": ({"aud": f"x {AUDIENCE}"}, "another audience"),
    "over, beyond the leeway": ({"iat": BEGAN - 100, "exp": BEGAN - LEEWAY}, "has expired"),
    "from the future": ({"iat": BEGAN + LEEWAY + 1}, "not valid yet"),
    "valid in the future": ({"nbf": BEGAN + LEEWAY + 1}, "not valid yet"),
    "a lifetime too long": ({"exp": BEGAN + LIFETIME + 1}, "longer than max_lifetime"),
    "a lifetime of years, at its end": ({"iat": BEGAN - 10**8, "exp": BEGAN + 60}, "longer than max_lifetime"),
    "an end as text": ({"exp": str(BEGAN + 60)}, "no time exp"),
    "an end that is true": ({"exp": True}, "no time exp"),
    "an end that is no number": ({"exp": float("nan")}, "no time exp"),
    "an end that never comes": ({"exp": float("inf")}, "no time exp"),
    "an end of four thousand digits": ({"exp": 10**4000}, "no time exp"),
    "a beginning before time": ({"iat": -1}, "no time iat"),
    "a beginning within a list": ({"nbf": [BEGAN]}, "no time nbf"),
    "a subject without a rule": ({"sub": "system:serviceaccount:billing:worker"}, "no rule"),
    "a rule's beginning alone": ({"sub": "system:serviceaccount:reports:"}, "no rule"),
    "the rule itself, but a letter": ({"sub": "System:serviceaccount:reports:worker"}, "no rule"),
    "an empty subject": ({"sub": ""}, "no subject"),
    "a number as subject": ({"sub": 7}, "no subject"),
    "a subject of two lines": ({"sub": SUBJECT + "\n"}, "no subject"),
    "a subject with an escape": ({"sub": SUBJECT + "\x1b[2J"}, "no subject"),
    "a subject that turns the text": ({"sub": SUBJECT + "\u202e"}, "no subject"),
    "a subject that is too long": ({"sub": SUBJECT.ljust(256, "x")}, "no subject"),
}


@pytest.mark.parametrize("changes", ACCEPTED)
async def test_claims_that_are_in_order(changes: str, accepted: JwtIssuers, issuer: SigningIssuer):
    """At the edges of what is allowed."""
    assert await accepted.caller(issuer.token(**ACCEPTED[changes])) is not None


@pytest.mark.parametrize("changes", REFUSED)
async def test_claims_that_are_not(changes: str, accepted: JwtIssuers, issuer: SigningIssuer):
    """Although the issuer signed them; the reason is in the log, with nothing of the token."""
    claims, reason = REFUSED[changes]
    token = issuer.token(**claims)
    with capture_logs() as lines:
        assert await accepted.caller(token) is None
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("jwt.refused", "debug")
    assert reason in line["reason"]
    assert token not in repr(lines)


async def test_time_is_ours(issuer: SigningIssuer):
    """A token that has expired by the machine's clock, and not by the service's; and the other way round."""
    clock = FakeClock(NOW)
    accepted = JwtIssuers(
        [JwtIssuer(name=NAME, audience=AUDIENCE, keys=KeySource(url=issuer.url), subjects=RULES)], clock
    )
    assert datetime.now(UTC) > NOW
    assert await accepted.caller(issuer.token()) is not None
    clock.set_wall(NOW + timedelta(seconds=600 + LEEWAY))
    assert await accepted.caller(issuer.token()) is None


# -- tokens that the issuer did not sign so


def by_hand(header: object, claims: object, signature: bytes = b"") -> str:
    """Return a token of these parts."""
    return f"{encoded(header)}.{encoded(claims)}.{encoded(signature)}"


def hmac_token(issuer: SigningIssuer, secret: bytes) -> str:
    """Return a token of HS256 whose secret is something that everybody knows."""
    begin = f"{encoded({'alg': 'HS256', 'kid': 'first'})}.{encoded(issuer.claims())}"
    return f"{begin}.{encoded(hmac.new(secret, begin.encode(), hashlib.sha256).digest())}"


def pem(issuer: SigningIssuer) -> bytes:
    """Return the public key as a file."""
    return issuer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def with_header(**changes: Any) -> Callable[[SigningIssuer], str]:
    """Return a maker of tokens that are signed well, with this in their header."""
    return lambda issuer: signed(issuer.claims(), issuer.key, **changes)


def with_parts(**changes: Any) -> Callable[[SigningIssuer], str]:
    """Return a maker of tokens whose header was changed after they were signed."""

    def made(issuer: SigningIssuer) -> str:
        _, claims, signature = issuer.token().split(".")
        return f"{encoded({'alg': 'RS256', 'kid': 'first'} | changes)}.{claims}.{signature}"

    return made


def raised_claims(issuer: SigningIssuer) -> str:
    """Return a token whose subject was changed after it was signed."""
    header, _, signature = issuer.token().split(".")
    return f"{header}.{encoded(issuer.claims(sub=SUBJECT + '2'))}.{signature}"


def of_a_stranger(**header: Any) -> Callable[[SigningIssuer], str]:
    """Return a maker of tokens that somebody else signed, who says so in the header."""

    def made(issuer: SigningIssuer) -> str:
        key = kept_key(1)
        known = {"jwk": public_jwk(key, "first")} if header.pop("brings_its_key", False) else {}
        return signed(issuer.claims(), key, **known, **header)

    return made


def with_a_known_extension(issuer: SigningIssuer) -> str:
    """Return a token that is signed well, with an extension that PyJWT knows."""
    header = {"alg": "RS256", "kid": "first", "b64": True, "crit": ["b64"]}
    begin = f"{encoded(header)}.{encoded(issuer.claims())}"
    return f"{begin}.{encoded(issuer.key.sign(begin.encode(), PKCS1v15(), SHA256()))}"


FORGED: dict[str, Callable[[SigningIssuer], str]] = {
    "alg none": lambda issuer: by_hand({"alg": "none", "kid": "first"}, issuer.claims()),
    "alg none with a signature": with_parts(alg="none"),
    "alg None": with_parts(alg="None"),
    "no alg": with_parts(alg=None),
    "a list of algs": with_parts(alg=["RS256"]),
    "HS256 with the public key as PEM": lambda issuer: hmac_token(issuer, pem(issuer)),
    "HS256 with the public key as JSON": lambda issuer: hmac_token(
        issuer, json.dumps(public_jwk(issuer.key, "first")).encode()
    ),
    "HS256 with an empty secret": lambda issuer: hmac_token(issuer, b""),
    "PS256 by an RS256 key": lambda issuer: signed(issuer.claims(), issuer.key, "PS256"),
    "RS512, which is not configured": lambda issuer: signed(issuer.claims(), issuer.key, "RS512"),
    "ES256 with an RSA key's id": lambda issuer: signed(issuer.claims(), new_key("ES256"), "ES256"),
    "another alg in the header than signed": with_parts(alg="RS384"),
    "a changed subject": raised_claims,
    "a signature cut off": lambda issuer: issuer.token().rpartition(".")[0] + ".",
    "a signature of zeros": lambda issuer: issuer.token().rpartition(".")[0] + "." + encoded(bytes(256)),
    "a stranger's signature": of_a_stranger(),
    "a stranger's signature, who brings the key": of_a_stranger(brings_its_key=True),
    "a stranger's signature, who says where the key is": of_a_stranger(jku="https://evil.example/keys"),
    "a key id that is a path": with_header(kid="../../../dev/null"),
    "no key id": with_parts(kid=None),
    "a number as key id": with_parts(kid=1),
    "a critical extension": with_header(crit=["exp"], exp=1),
    "a critical extension that PyJWT knows": with_a_known_extension,
    "a payload that is not encoded": with_parts(b64=False, crit=["b64"]),
    "claims that are a list": lambda issuer: signed([issuer.claims()], issuer.key),
    "claims that are no JSON": lambda issuer: signed(b"\xff{", issuer.key),
    "claims nested deeply": lambda issuer: signed(b"[" * 8000 + b"]" * 4000, issuer.key),
    "a header that is a list": lambda issuer: by_hand([1], issuer.claims(), b"x"),
    "a header nested deeply": lambda issuer: by_hand(b"[" * 8000, issuer.claims(), b"x"),
    "two parts": lambda issuer: issuer.token().rpartition(".")[0],
    "four parts": lambda issuer: issuer.token() + ".x",
    "a blank": lambda issuer: issuer.token() + " ",
    "a line break": lambda issuer: issuer.token() + "\n",
    "padding": lambda issuer: issuer.token() + "==",
    "nothing": lambda _: "",
    "dots": lambda _: "..",
    "a key of the service": lambda _: "sgk_abcdefgh_" + "x" * 49,
}


@pytest.mark.parametrize("forgery", FORGED)
async def test_what_the_issuer_did_not_sign_proves_nothing(forgery: str, accepted: JwtIssuers, issuer: SigningIssuer):
    """Whatever it says of itself; the token beside it is good."""
    assert await accepted.caller(issuer.token()) is not None
    assert await accepted.caller(FORGED[forgery](issuer)) is None
    assert [seen.path for seen in issuer.server.seen] == ["/keys"]


async def test_a_large_token_is_not_read(accepted: JwtIssuers, issuer: SigningIssuer):
    """Up to 16 KiB it is."""
    room = LONGEST_TOKEN - len(issuer.token(filler=""))
    assert await accepted.caller(issuer.token(filler="x" * (room * 3 // 4 - 3))) is not None
    assert len(issuer.token(filler="x" * (room * 3 // 4 + 3))) > LONGEST_TOKEN
    assert await accepted.caller(issuer.token(filler="x" * (room * 3 // 4 + 3))) is None


async def test_no_token_holds_up_the_others(accepted: JwtIssuers, issuer: SigningIssuer):
    """The longest ones, good and bad: each takes a few milliseconds of the event loop at most."""
    assert await accepted.caller(issuer.token()) is not None
    filler = "x" * 11_000
    longest = [
        issuer.token(filler=filler),
        raised_claims(issuer).rpartition(".")[0] + "." + "A" * 14_000,
        by_hand({"alg": "RS256", "kid": "first", "x": filler}, issuer.claims(), b"x"),
        signed(b'{"iss": "' + NAME.encode() + b'", "x": ' + b"[" * 10_000, issuer.key),
        signed(b'{"iss": "' + NAME.encode() + b'", "exp": ' + b"9" * 11_000, issuer.key),
        "x" * 10_000_000,
        "." * 10_000_000,
        base64.urlsafe_b64encode(bytes(12_000)).decode() + ".x.x",
    ]
    for token in longest:
        took = []
        for _ in range(5):
            began = time.perf_counter()
            await accepted.caller(token)
            took.append(time.perf_counter() - began)
        assert min(took) < 0.02


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
NEAR = st.sampled_from([NAME, AUDIENCE, SUBJECT, [AUDIENCE], BEGAN, BEGAN + 600, BEGAN - 61.5, 10**400]) | JSON
CLAIMS = st.dictionaries(st.sampled_from(["iss", "aud", "sub", "iat", "exp", "nbf", "other"]), NEAR)


@given(CLAIMS)
def test_claims_of_any_kind_are_judged(claims: dict[str, Any]):
    """What is accepted is for us, from this issuer, valid now and not for too long."""
    issuer = JwtIssuer(name=NAME, audience=AUDIENCE, keys=KeySource(), subjects=RULES)
    try:
        accepted = checked_claims(claims, issuer, NOW)
    except TokenRefused:
        return
    assert (claims["iss"], accepted.subject) == (NAME, claims["sub"])
    assert claims["aud"] == AUDIENCE or AUDIENCE in claims["aud"]
    assert max(claims["iat"], claims.get("nbf", 0)) <= BEGAN + LEEWAY
    assert claims["exp"] - claims["iat"] <= LIFETIME
    assert NOW < accepted.until <= NOW + timedelta(seconds=LIFETIME + 2 * LEEWAY)


@given(st.text(alphabet="eyJ.0-_=", max_size=50) | st.builds(".".join, st.lists(st.builds(encoded, JSON), max_size=4)))
def test_texts_of_any_kind_are_read(text: str):
    """They are tokens, or refused."""
    try:
        header, claims = _read(text)
    except TokenRefused:
        return
    assert isinstance(header, dict)
    assert isinstance(claims, dict)


def test_without_the_extra_the_server_does_not_start(monkeypatch: pytest.MonkeyPatch):
    """It would refuse every token instead."""
    issuer = JwtIssuer(name=NAME, audience=AUDIENCE, keys=KeySource(), subjects=RULES)
    for module in ("jwt", "jwt.algorithms"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=r"auth\.jwt needs an extra: pip install 'schedule-grpc\[jwt\]'"):
        JwtIssuers([issuer], FakeClock(NOW))
    assert JwtIssuers([], FakeClock(NOW)) is not None


async def test_issuers_are_told_apart(issuer: SigningIssuer):
    """One's key signs nothing for the other one, even under its name."""
    async with issuing(NOW, key=1) as second:
        both = JwtIssuers(
            [
                JwtIssuer(name=NAME, audience=AUDIENCE, keys=KeySource(url=issuer.url), subjects=RULES),
                JwtIssuer(name="second", audience="other", keys=KeySource(url=second.url), subjects=RULES),
            ],
            FakeClock(NOW),
        )
        assert await both.caller(second.token(iss="second", aud="other")) is not None
        assert await both.caller(issuer.token()) is not None
        assert await both.caller(second.token()) is None
        assert await both.caller(issuer.token(iss="second", aud="other")) is None
        assert await both.caller(second.token(iss="second")) is None


async def test_grants_of_all_rules_for_a_subject_add_up(issuer: SigningIssuer):
    """Each once."""
    read = read_grants(["read@reports"])
    rules = (*RULES, SubjectRule(subject=SUBJECT, grants=read + RUN), SubjectRule(subject="other", grants=read))
    proven = await accepting(issuer, subjects=rules).caller(issuer.token())
    assert proven is not None
    assert proven.caller.grants == RUN + read
