"""The author of a change: the caller of the service, by the rpc that it called."""

from schedule_grpc.domain.access.audit import Author
from schedule_grpc.domain.access.permit import Permit
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.tracing import present_span


class Authored:
    """A part of the Service that changes something."""

    _permit: Permit
    _clock: Clock

    def _author(self, method: str) -> Author:
        """Return the call under way as the author of what it changes; ``method`` is the name of its rpc."""
        span = present_span()
        traceparent = None if span is None else span.traceparent
        return Author(caller=self._permit.caller, method=method, time=self._clock.now(), traceparent=traceparent)
