"""Previews of schedules between our values and the contract's messages."""

from schedule_grpc.domain.schedule import Preview, parse
from schedule_grpc.formats.protobuf.values import instant_from, instant_to
from schedule_grpc.pb import schedule_pb2 as pb


def preview_to(preview: Preview) -> pb.PreviewScheduleResponse:
    """Return a preview's message."""
    return pb.PreviewScheduleResponse(
        description=preview.schedule.description,
        cron=preview.schedule.cron or "",
        next_run_times=[instant_to(instant) for instant in preview.times],
        notes=preview.notes,
    )


def preview_from(message: pb.PreviewScheduleResponse, *, schedule: str, time_zone: str) -> Preview:
    """Return the preview of a server's message, for the schedule of the request."""
    return Preview(
        schedule=parse(schedule, time_zone or "UTC"),
        times=tuple(instant_from(each) for each in message.next_run_times),
        notes=tuple(message.notes),
    )
