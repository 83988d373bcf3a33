"""Which traces are sampled. The decision about an execution's trace is the same in every process and at every time."""

from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, TraceIdRatioBased

from schedule_grpc.telemetry.ids import ExecutionTrace


class Sampling:
    """A share of the traces, chosen by their ids."""

    def __init__(self, ratio: float, *, follows_callers: bool) -> None:
        """Take the share of traces that begin here.

        Args:
            ratio: From 0 to 1.
            follows_callers: Whether a caller that has decided about its trace decides.
        """
        self.follows_callers = follows_callers
        self._by_id = TraceIdRatioBased(ratio)
        self._bound = self._by_id.bound

    def samples(self, trace_id: int) -> bool:
        """Decide about a trace that begins here, as OpenTelemetry's own sampler does."""
        return (trace_id & TraceIdRatioBased.TRACE_ID_LIMIT) < self._bound

    def samples_execution(self, trace: ExecutionTrace) -> bool:
        """Decide about the spans of an execution."""
        if trace.parent is not None and self.follows_callers:
            return trace.parent.sampled
        return self.samples(trace.trace_id)

    def sampler(self) -> Sampler:
        """Return the same for the spans of OpenTelemetry's SDK."""
        return ParentBased(self._by_id) if self.follows_callers else self._by_id
