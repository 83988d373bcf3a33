"""Certificates to callers: by exactly one SPIFFE id, or by a common name where a rule says so."""

import pytest

from schedule_grpc.access.certificates import CertificateIdentities, CertificateRule, PeerCertificate
from schedule_grpc.domain.access.grant import Grant, read_grants
from schedule_grpc.domain.access.scope import Scope

WORKLOAD = "spiffe://prod.example/ns/reports/sa/worker"
RUN = read_grants(["run@reports"])
READ = read_grants(["read@reports"])
BY_NAME = CertificateRule(common_name="reports", grants=RUN)


def by_id(spiffe: str, grants: tuple[Grant, ...] = RUN) -> CertificateRule:
    """Return a rule for an id."""
    return CertificateRule(spiffe=spiffe, grants=grants)


def with_uris(*uris: str) -> PeerCertificate:
    """Return a certificate with a common name for which there is a rule, too."""
    return PeerCertificate(uris, "reports")


def test_a_workload_is_known_by_its_id():
    """Its name is the id, its grants are the rule's."""
    caller = CertificateIdentities([by_id(WORKLOAD)]).caller(with_uris(WORKLOAD))
    assert caller is not None
    assert (caller.name, caller.grants) == (WORKLOAD, RUN)
    assert caller.may(Scope.RUN, "reports")
    assert not caller.reaches(Scope.RUN, "billing")


@pytest.mark.parametrize(
    "uris",
    [
        (WORKLOAD, "spiffe://prod.example/other"),
        (WORKLOAD, WORKLOAD),
        (WORKLOAD, "https://b.example/"),
        ("https://prod.example/ns/reports/sa/worker",),
        ("spiffe://staging.example/ns/reports/sa/worker",),
        ("spiffe://prod.example.evil.example/ns/reports/sa/worker",),
        ("spiffe://evil.prod.example/ns/reports/sa/worker",),
        ("spiffe://PROD.example/ns/reports/sa/worker",),
        ("SPIFFE://prod.example/ns/reports/sa/worker",),
        ("spiffe://prod.example:443/ns/reports/sa/worker",),
        ("spiffe://user@prod.example/ns/reports/sa/worker",),
        ("spiffe://prod.example/ns/reports/sa/worker/",),
        ("spiffe://prod.example/ns/reports/sa//worker",),
        ("spiffe://prod.example/ns/reports/sa/x/../worker",),
        ("spiffe://prod.example/ns/reports/sa/./worker",),
        ("spiffe://prod.example/ns/reports/sa/%77orker",),
        ("spiffe://prod.example/ns/reports/sa/worker?x=1",),
        ("spiffe://prod.example/ns/reports/sa/worker#x",),
        ("spiffe://prod.example/ns/reports/sa/worker\0",),
        ("spiffe://prod.example/ns/reports/sa/worker\n",),
        ("spiffe://prod.example/ns/reports/sa",),
        ("spiffe://prod.example",),
        ("",),
    ],
)
def test_anything_else_is_nobody(uris: tuple[str, ...]):
    """Two URIs, another trust domain, other spellings; the common name, which has a rule, does not help it either."""
    rules = [by_id(WORKLOAD), by_id("spiffe://prod.example/ns/reports/sa/*"), BY_NAME]
    assert CertificateIdentities(rules).caller(with_uris(*uris)) is None


def test_letters_count_in_either_case():
    """A path is compared to the letter."""
    capital = with_uris("spiffe://prod.example/ns/reports/sa/Worker")
    assert CertificateIdentities([by_id(WORKLOAD)]).caller(capital) is None


@pytest.mark.parametrize(
    ("uri", "known"),
    [
        ("spiffe://prod.example/ns/reports/sa/a", True),
        ("spiffe://prod.example/ns/reports/sa/a.b-c_d", True),
        ("spiffe://prod.example/ns/reports/sa/*", False),
        ("spiffe://prod.example/ns/reports/sa/a/b", False),
        ("spiffe://prod.example/ns/reports/sa/", False),
        ("spiffe://prod.example/ns/reports/sa", False),
        ("spiffe://prod.example/ns/reports/sax", False),
        ("spiffe://prod.example/ns/billing/sa/a", False),
        ("spiffe://other.example/ns/reports/sa/a", False),
    ],
)
def test_a_star_is_one_whole_segment_at_the_end(uri: str, known: bool):
    """Neither none, nor two, nor a part of one."""
    identities = CertificateIdentities([by_id("spiffe://prod.example/ns/reports/sa/*")])
    assert (identities.caller(with_uris(uri)) is not None) == known


def test_grants_of_all_rules_add_up():
    """In whatever order the rules stand; each grant once."""
    rules = [by_id(WORKLOAD, READ), by_id("spiffe://prod.example/ns/reports/sa/*", RUN + READ), by_id(WORKLOAD, READ)]
    for each in (rules, rules[::-1]):
        caller = CertificateIdentities(each).caller(with_uris(WORKLOAD))
        assert caller is not None
        assert sorted(caller.grants) == sorted(RUN + READ)


@pytest.mark.parametrize("denied", [WORKLOAD, "spiffe://prod.example/ns/reports/sa/*"])
def test_who_is_denied_is_nobody_whatever_the_rules_say(denied: str):
    """A certificate that was stolen, until it has ended; others are not touched."""
    rules = [
        by_id(WORKLOAD),
        by_id("spiffe://prod.example/ns/*"),
        by_id("spiffe://prod.example/ns/reports/sa/*"),
        BY_NAME,
    ]
    identities = CertificateIdentities(rules, [denied])
    assert identities.caller(with_uris(WORKLOAD)) is None
    assert identities.caller(with_uris("spiffe://prod.example/ns/billing")) is not None


def test_a_common_name_counts_only_where_a_rule_says_so():
    """And only exactly."""
    identities = CertificateIdentities([by_id(WORKLOAD), BY_NAME])
    caller = identities.caller(PeerCertificate((), "reports"))
    assert caller is not None
    assert (caller.name, caller.grants) == ("cn:reports", RUN)
    for name in ("Reports", "reports ", "reports\0", "", WORKLOAD, "*"):
        assert identities.caller(PeerCertificate((), name)) is None
    assert CertificateIdentities([by_id(WORKLOAD)]).caller(PeerCertificate((), "reports")) is None


def test_without_rules_nobody_is_known():
    """A certificate that an authority signed is not enough."""
    assert CertificateIdentities().caller(with_uris(WORKLOAD)) is None
    assert CertificateIdentities().caller(PeerCertificate((), "")) is None


@pytest.mark.parametrize(
    "rule",
    [
        CertificateRule(grants=RUN),
        CertificateRule(spiffe=WORKLOAD, common_name="reports", grants=RUN),
        by_id("spiffe://*/ns/reports"),
        by_id("spiffe://prod.example/*/reports"),
        by_id("spiffe://prod.example/ns/rep*"),
        by_id("spiffe://prod.example"),
        by_id("spiffe://prod.example/ns/../admin"),
        by_id("spiffe://prod.example/" + "a" * 2048),
        by_id("https://prod.example/ns"),
        CertificateRule(common_name="a\nb", grants=RUN),
        CertificateRule(common_name=" a", grants=RUN),
        CertificateRule(common_name="a" * 65, grants=RUN),
    ],
)
def test_rules_that_cannot_be_are_refused(rule: CertificateRule):
    """At the start."""
    with pytest.raises(ValueError, match=r"is not a SPIFFE id|is not a common name|either spiffe or common_name"):
        CertificateIdentities([rule])


def test_what_is_denied_must_be_an_id():
    """A text that matches nothing would deny nobody, unnoticed."""
    with pytest.raises(ValueError, match="is not a SPIFFE id"):
        CertificateIdentities([], ["prod.example/ns"])
