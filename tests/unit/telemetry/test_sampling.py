"""Which traces are sampled."""

import random

from opentelemetry import context as contexts
from opentelemetry.sdk.trace.sampling import Decision

from schedule_grpc.telemetry.sampling import Sampling


def test_the_sdk_decides_the_same():
    """Spans of ours and of the SDK in one trace are sampled together, or not."""
    numbers = random.Random(7)  # noqa: S311
    for ratio in (0.0, 0.01, 0.5, 1.0):
        sampling = Sampling(ratio, follows_callers=True)
        taken = 0
        for _ in range(2000):
            trace_id = numbers.getrandbits(128)
            theirs = sampling.sampler().should_sample(contexts.Context(), trace_id, "name").decision
            assert sampling.samples(trace_id) is (theirs is Decision.RECORD_AND_SAMPLE)
            taken += sampling.samples(trace_id)
        assert abs(taken / 2000 - ratio) < 0.05
