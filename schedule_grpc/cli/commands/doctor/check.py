"""A check of `doctor`: a finding about one subject, a verdict, and advice."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """The result of a check."""

    OK = "ok"
    WARN = "warn"
    """Nothing is broken, but it may surprise the operator."""
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding about one subject, its verdict, and advice."""

    verdict: Verdict
    subject: str
    finding: str
    advice: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the check's JSON."""
        return {"check": self.subject, "verdict": self.verdict.lower(), "told": self.finding, "advice": self.advice}


def ok(subject: str, finding: str) -> Check:
    """Return a check that found its subject in order."""
    return Check(Verdict.OK, subject, finding)


def warn(subject: str, finding: str, advice: str) -> Check:
    """Return a check whose finding may surprise the operator."""
    return Check(Verdict.WARN, subject, finding, advice)


def bad(subject: str, finding: str, advice: str) -> Check:
    """Return a check that found a fault."""
    return Check(Verdict.FAIL, subject, finding, advice)
