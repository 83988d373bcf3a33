"""Calls that show a namespace at a glance, what comes, and why a task ran or did not."""

from datetime import datetime

from schedule_grpc.client.call import Call
from schedule_grpc.client.values import instant
from schedule_grpc.domain.explanation import Explanation
from schedule_grpc.domain.summary import Summary
from schedule_grpc.domain.upcoming import Upcoming
from schedule_grpc.formats import protobuf
from schedule_grpc.formats.protobuf import request_of
from schedule_grpc.pb import schedule_pb2 as pb


def get_summary() -> Call[Summary]:
    """Return what fails, runs, waits, has ended and comes next, as it was at most a second ago."""
    return Call(rpc="GetSummary", request=pb.GetSummaryRequest(), read=protobuf.summary_from)


def get_upcoming_runs(*, hours: int = 24, handler: str = "", category: str = "") -> Call[Upcoming]:
    """Return the occurrences of enabled tasks within the next hours (1 to 168), whatever their jitter.

    Raises:
        InvalidArgument: if there are too many hours, or more than 100,000 tasks.
    """
    request = request_of(pb.GetUpcomingRunsRequest, hours=hours, handler=handler, category=category)
    return Call(rpc="GetUpcomingRuns", request=request, read=protobuf.upcoming_from)


def explain_task(
    name: str, *, at: datetime | None = None, start_time: datetime | None = None, end_time: datetime | None = None
) -> Call[Explanation]:
    """Return what became of a task's occurrences in a range, by default the last 24 hours, or in the minute ``at``.

    Raises:
        TaskNotFound: if no task has that name, and none whose history is kept.
        InvalidArgument: if an instant and a range are given, or the range ends before it begins.
    """
    request = request_of(
        pb.ExplainTaskRequest,
        name=name,
        at_time=instant("at", at),
        start_time=instant("start_time", start_time),
        end_time=instant("end_time", end_time),
    )
    return Call(rpc="ExplainTask", request=request, read=protobuf.explanation_from)
