"""The outcome to report for what became of an attempt."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

from schedule_grpc.domain.canonical_json import encode
from schedule_grpc.domain.condition import Condition
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.formats.protobuf import duration_to
from schedule_grpc.handlers import Fate
from schedule_grpc.handlers.perform import TIMEOUT_ERROR, cut
from schedule_grpc.pb import schedule_pb2
from schedule_grpc.pb import worker_pb2 as pb
from schedule_grpc.worker.held import Why

MOST_CONDITIONS_BYTES = 512 * 1024
"""Of the conditions of one attempt: with result and error they fit into one call."""

Outcome = pb.Update.Outcome
_KINDS = schedule_pb2.Execution.FailureKind
_SENT_KINDS = {
    FailureKind.ERROR: _KINDS.ERROR,
    FailureKind.TIMEOUT: _KINDS.TIMEOUT,
    FailureKind.REJECTED: _KINDS.REJECTED,
}


def outcome_of(fate: Fate, why: Why | None, conditions: Iterable[Condition]) -> pb.Update.Outcome | None:
    """Return the outcome of a fate; None if the end of the lease decides.

    Args:
        fate: What became of the attempt.
        why: Why its handler was asked to stop; None if it was not.
        conditions: What the handler reported.
    """
    if not fate.begun:
        return released(began=False)
    if fate.abandoned and why is Why.SHUTDOWN:
        return None  # it may run for as long as this process: another worker must not begin before
    if fate.stopped and why is not Why.TIMEOUT:
        return released(began=True, duration=fate.duration)
    outcome = Outcome(duration=duration_to(fate.duration), conditions=_sent(conditions))
    result = "" if fate.result is None else encode(fate.result)
    if fate.stopped:
        outcome.failed.CopyFrom(Outcome.Failed(error=TIMEOUT_ERROR, failure_kind=_KINDS.TIMEOUT))
    elif fate.kind is None:
        outcome.succeeded.CopyFrom(Outcome.Succeeded(result_json=result))
    else:
        kind = _SENT_KINDS.get(fate.kind, _KINDS.ERROR)
        outcome.failed.CopyFrom(
            Outcome.Failed(error=fate.error or "", failure_kind=kind, result_json=result, abandoned=fate.abandoned)
        )
    return outcome


def released(*, began: bool, duration: timedelta = timedelta(0)) -> pb.Update.Outcome:
    """Return the outcome of an attempt that another worker shall run."""
    return Outcome(released=Outcome.Released(began=began), duration=duration_to(duration))


def failed(error: str, like: pb.Update.Outcome | None = None) -> pb.Update.Outcome:
    """Return the outcome of an attempt whose own one cannot be made or was not accepted; ``like`` is that one."""
    outcome = Outcome(failed=Outcome.Failed(error=cut(error), failure_kind=_KINDS.ERROR))
    if like is not None:
        outcome.duration.CopyFrom(like.duration)
    return outcome


def _sent(conditions: Iterable[Condition]) -> Iterator[pb.Update.Condition]:
    """Yield conditions as messages, in their order; of more than a call can carry the newest, one for each key."""
    made = [pb.Update.Condition(key=each.key, title=each.title, body=each.body, over=each.over) for each in conditions]
    if sum(each.ByteSize() for each in made) > MOST_CONDITIONS_BYTES:
        made = list({each.key: each for each in made}.values())
    room = MOST_CONDITIONS_BYTES
    fitting: list[pb.Update.Condition] = []
    for each in reversed(made):
        room -= each.ByteSize()
        if room < 0:
            break
        fitting.append(each)
    yield from reversed(fitting)
