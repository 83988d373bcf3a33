"""How much an execution keeps of the errors of its failed attempts: each one is bounded, and so are all together."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from schedule_grpc.domain.execution.values import FailedAttempt

MAX_ERRORS_BYTES = 256 * 1024
"""Of the errors of all failed attempts together. A hundred full ones would be 6 MiB, more than gRPC clients accept."""

CUT = "… (cut: the errors of all attempts are too long)"


def bounded(attempts: Sequence[FailedAttempt]) -> tuple[FailedAttempt, ...]:
    """Return the attempts with errors of at most `MAX_ERRORS_BYTES` together; the longest are cut to one length."""
    sizes = [len(attempt.error.encode()) for attempt in attempts]
    if sum(sizes) <= MAX_ERRORS_BYTES:
        return tuple(attempts)
    most = _share(sizes)
    return tuple(
        attempt if size <= most else replace(attempt, error=_cut(attempt.error, most))
        for attempt, size in zip(attempts, sizes, strict=True)
    )


def _share(sizes: Iterable[int]) -> int:
    """Return the length to which the longest are cut so that all fit; what the shorter ones leave is theirs."""
    left, ordered = MAX_ERRORS_BYTES, sorted(sizes)
    for number, size in enumerate(ordered):
        share = left // (len(ordered) - number)
        if size > share:
            return share
        left -= size
    return MAX_ERRORS_BYTES


def _cut(error: str, most: int) -> str:
    return error.encode()[: most - len(CUT.encode())].decode("utf-8", "ignore") + CUT
