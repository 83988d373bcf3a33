"""Findings about one subject, each with a verdict and advice: what `doctor` and the pages say of a task."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """The result of a check."""

    OK = "ok"
    WARN = "warn"
    """Nothing is broken, but it may surprise the operator."""
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding about one subject, its verdict, and advice."""

    verdict: Verdict
    subject: str
    finding: str
    advice: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the check's JSON."""
        return {"check": self.subject, "verdict": self.verdict.lower(), "told": self.finding, "advice": self.advice}


def ok(subject: str, finding: str) -> Finding:
    """Return a check that found its subject in order."""
    return Finding(Verdict.OK, subject, finding)


def warn(subject: str, finding: str, advice: str) -> Finding:
    """Return a check whose finding may surprise the operator."""
    return Finding(Verdict.WARN, subject, finding, advice)


def bad(subject: str, finding: str, advice: str) -> Finding:
    """Return a check that found a fault."""
    return Finding(Verdict.FAIL, subject, finding, advice)
