"""What a client does with words that only a newer server knows."""

import pytest

from schedule_grpc.errors import ScheduleError
from schedule_grpc.formats.protobuf import event_from, execution_from
from schedule_grpc.pb import schedule_pb2 as pb


@pytest.mark.parametrize(
    ("message", "what"),
    [
        (pb.Execution(state=99, trigger=1), "state"),  # type: ignore[arg-type]
        (pb.Execution(state=1, trigger=99), "trigger"),  # type: ignore[arg-type]
        (
            pb.Execution(state=1, trigger=1, failed_attempts=[pb.Execution.FailedAttempt(failure_kind=99)]),
            "kind of failure",
        ),  # type: ignore[arg-type]
    ],
)
def test_an_unknown_word_is_an_error_of_ours(message: pb.Execution, what: str):
    """It says what the matter is, and is no KeyError."""
    with pytest.raises(ScheduleError, match=f"a {what} that this client does not know"):
        execution_from(message)


def test_an_unknown_reason_and_an_unknown_event_are_let_be():
    """Nothing depends on them."""
    assert execution_from(pb.Execution(state=1, trigger=1, reason=99)).reason is None  # type: ignore[arg-type]
    assert event_from(pb.WatchExecutionsResponse()) is None
