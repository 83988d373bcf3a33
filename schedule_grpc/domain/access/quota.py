"""The refusal of a call whose namespace has reached a limit."""

from datetime import timedelta

from schedule_grpc.errors import ResourceExhausted

LEAST_SHOWN = 0.1
"""Seconds."""


class QuotaExceeded(ResourceExhausted):
    """A limit of the namespace is reached; ``details`` name the ``namespace``, the ``quota`` and its ``limit``."""

    code = "QUOTA_EXCEEDED"

    def __init__(self, namespace: str, quota: str, limit: int, *, retry_after: timedelta | None = None) -> None:
        soon = "" if retry_after is None else f"; try again in {max(retry_after.total_seconds(), LEAST_SHOWN):.1f} s"
        super().__init__(
            f"The namespace {namespace} has reached its limit: {quota} is {limit}{soon}",
            details={"namespace": namespace, "quota": quota, "limit": str(limit)},
        )
        self.retry_after = retry_after
