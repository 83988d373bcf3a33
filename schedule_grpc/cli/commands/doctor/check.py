"""A check of `doctor`: a finding about one subject, a verdict, and advice."""

from schedule_grpc.domain.finding import Finding as Check
from schedule_grpc.domain.finding import Verdict, bad, ok, warn

__all__ = ["Check", "Verdict", "bad", "ok", "warn"]
