"""Certificates and issuers as an operator writes them, and what is refused at the start."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from schedule_grpc.access.certificates import CertificateRule
from schedule_grpc.access.jwt_rules import JwtIssuer, KeySource, SubjectRule
from schedule_grpc.domain.access.grant import read_grants
from schedule_grpc.domain.json_input import table
from schedule_grpc.settings.identities import CertificateTables, JwtTables, SpiffeTexts

RUN, WORKER = read_grants(["run@reports"]), read_grants(["worker@reports", "read@reports"])


class Auth(BaseModel):
    """The part of a server's settings that is tested here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    certificates: CertificateTables = ()
    denied: SpiffeTexts = []
    jwt: JwtTables = ()


def auth(text: str) -> Auth:
    """Return the settings of a file."""
    return Auth(**table(text.encode()).get("auth", {}))


def test_certificates_as_they_are_written():
    """By a SPIFFE id or a common name; grants as a list, or with commas."""
    settings = auth("""
        [auth]
        denied = ["spiffe://prod.example/ns/reports/sa/stolen"]
        [[auth.certificates]]
        spiffe = "spiffe://prod.example/ns/reports/sa/*"
        grants = ["worker@reports", "read@reports"]
        [[auth.certificates]]
        common_name = "reports"
        grants = "run@reports"
    """)
    assert [each.rule() for each in settings.certificates] == [
        CertificateRule(spiffe="spiffe://prod.example/ns/reports/sa/*", grants=WORKER),
        CertificateRule(common_name="reports", grants=RUN),
    ]
    assert settings.denied == ["spiffe://prod.example/ns/reports/sa/stolen"]


ISSUER = """
    [[auth.jwt]]
    issuer = "https://kubernetes.default.svc.cluster.local"
    audience = "schedule"
"""
SUBJECTS = """
    [[auth.jwt.subjects]]
    sub = "system:serviceaccount:reports:*"
    grants = ["run@reports"]
"""
URL = 'jwks_url = "https://kubernetes.default.svc/openid/v1/jwks"'
RULE = SubjectRule(subject="system:serviceaccount:reports:*", grants=RUN)


def test_an_issuer_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With the defaults that the page of operations names; paths are made absolute."""
    (issuer,) = auth(ISSUER + URL + SUBJECTS).jwt
    assert issuer.opened() == JwtIssuer(
        name="https://kubernetes.default.svc.cluster.local",
        audience="schedule",
        keys=KeySource(url="https://kubernetes.default.svc/openid/v1/jwks"),
        subjects=(RULE,),
        algorithms=("RS256", "ES256"),
        leeway=timedelta(seconds=60),
        max_lifetime=timedelta(hours=1),
    )
    monkeypatch.chdir(tmp_path)
    more = 'ca_file = "ca.crt"\njwks_token_file = "/t"\nalgorithms = "ES384"\nleeway = "0s"\nmax_lifetime = "24h"\n'
    (issuer,) = auth(ISSUER + URL + "\n" + more + SUBJECTS).jwt
    opened = issuer.absolute().opened()
    assert (opened.keys.ca_file, opened.keys.token_file) == (tmp_path / "ca.crt", Path("/t"))
    assert (opened.algorithms, opened.leeway, opened.max_lifetime) == (("ES384",), timedelta(0), timedelta(days=1))
    (issuer,) = auth(ISSUER + 'jwks_file = "keys.json"' + SUBJECTS).jwt
    assert issuer.absolute().opened().keys == KeySource(file=tmp_path / "keys.json")


WRONG: dict[str, tuple[str, str]] = {
    "no name of a certificate": (
        '[[auth.certificates]]\ngrants = ["run@reports"]',
        "names either spiffe or common_name",
    ),
    "two names": (
        '[[auth.certificates]]\nspiffe = "spiffe://a.b/c"\ncommon_name = "x"\ngrants = ["run@reports"]',
        "names either spiffe or common_name",
    ),
    "no id": ('[[auth.certificates]]\nspiffe = "*"\ngrants = ["run@reports"]', "'*' is not a SPIFFE id"),
    "no grants": ('[[auth.certificates]]\ncommon_name = "x"\ngrants = []', "names no grant such as run@reports"),
    "no such grant": ('[[auth.certificates]]\ncommon_name = "x"\ngrants = ["run"]', "'run' is not SCOPE@NAMESPACE"),
    "denied without an id": ('[auth]\ndenied = ["x"]', "'x' is not a SPIFFE id"),
    "no audience": (ISSUER.replace("audience", "#") + URL + SUBJECTS, "Field required"),
    "an empty audience": (ISSUER.replace('"schedule"', '""') + URL + SUBJECTS, "is not 1 to 500 printable characters"),
    "no subjects": (ISSUER + URL, "Field required"),
    "an empty list of subjects": (ISSUER + URL + "\nsubjects = []", "at least 1 item"),
    "no keys": (ISSUER + SUBJECTS, "names either jwks_url or jwks_file"),
    "two places of keys": (ISSUER + URL + '\njwks_file = "a"' + SUBJECTS, "names either jwks_url or jwks_file"),
    "an authority for a file": (ISSUER + 'jwks_file = "a"\nca_file = "b"' + SUBJECTS, "are for jwks_url"),
    "alg none": (ISSUER + URL + '\nalgorithms = ["none"]' + SUBJECTS, "'none' is none of RS256"),
    "a shared secret": (ISSUER + URL + '\nalgorithms = ["RS256", "HS256"]' + SUBJECTS, "'HS256' is none of RS256"),
    "no algorithm": (ISSUER + URL + "\nalgorithms = []" + SUBJECTS, "at least 1 item"),
    "a leeway of a day": (ISSUER + URL + '\nleeway = "1d"' + SUBJECTS, "1d is not from 0s to 5m"),
    "a lifetime of a year": (ISSUER + URL + '\nmax_lifetime = "365d"' + SUBJECTS, "365d is not from 1s to 7d"),
    "no lifetime": (ISSUER + URL + '\nmax_lifetime = "0s"' + SUBJECTS, "0s is not from 1s to 7d"),
    "everybody": (ISSUER + URL + SUBJECTS.replace("system:serviceaccount:reports:*", "*"), "'*' is not a subject"),
    "a part of a name": (ISSUER + URL + SUBJECTS.replace("reports:*", "rep*"), "is not a subject"),
    "a star within": (ISSUER + URL + SUBJECTS.replace("reports:*", "*:worker"), "is not a subject"),
    "an issuer twice": ((ISSUER + URL + SUBJECTS) * 2, "is there twice: give it one table"),
    "an unknown key": (ISSUER + URL + "\njwks = 1" + SUBJECTS, "Extra inputs are not permitted"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_is_refused(wrong: str):
    """With the reason."""
    text, reason = WRONG[wrong]
    with pytest.raises(ValidationError) as caught:
        auth(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("url", "accepted"),
    [
        ("https://issuer.example/keys", True),
        ("https://10.0.0.1:6443/openid/v1/jwks", True),
        ("https://login.example/keys?policy=a", True),
        ("http://127.0.0.1:8080/keys", True),
        ("http://localhost/keys", True),
        ("http://[::1]:8080/keys", True),
        ("http://issuer.example/keys", False),
        ("http://10.0.0.1/keys", False),
        ("http://127.0.0.1.evil.example/keys", False),
        ("http://localhost.evil.example/keys", False),
        ("http://127.0.0.1@evil.example/keys", False),
        ("http://127.0.0.1,evil.example/keys", False),
        ("http://127.0.0.1\\@evil.example/keys", False),
        ("http://127.0.0.1#@evil.example/keys", False),
        ("https://user:hunter22@issuer.example/keys", False),
        ("file:///etc/keys", False),
        ("ftp://issuer.example/keys", False),
        ("issuer.example/keys", False),
        ("https://", False),
        ("https:///keys", False),
        ("https://issuer.example/a b", False),
        ("https://issuer.example/\n", False),
        ("https://issuer.exämple/", False),
    ],
)
def test_keys_come_over_https(url: str, accepted: bool):
    """Over http only from this machine; an error shows no password."""
    table: dict[str, Any] = {
        "issuer": "a", "audience": "b", "jwks_url": url, "subjects": [{"sub": "s", "grants": ["run@reports"]}]
    }  # fmt: skip
    if accepted:
        assert Auth(jwt=(table,)).jwt[0].opened().keys.url == url
        return
    with pytest.raises(ValidationError) as caught:
        Auth(jwt=(table,))
    (error,) = caught.value.errors(include_input=False)
    assert "hunter" not in error["msg"]
