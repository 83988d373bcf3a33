"""Log lines and progress of executions between our values and the contract's messages."""

from collections.abc import Iterable

from schedule_grpc.domain.execution.log_lines import KeptLog, LogLine, Progress
from schedule_grpc.domain.paging import fitting
from schedule_grpc.formats.protobuf.values import instant_from, instant_to
from schedule_grpc.pb import schedule_pb2 as pb


def log_to(log: KeptLog) -> pb.Execution.Log:
    """Return a log's message: the newest lines, as many as fit into one answer; the others count as dropped."""
    newest = fitting(lines_to(reversed(log.lines)), pb.Execution.LogLine.ByteSize)
    return pb.Execution.Log(lines=reversed(newest), dropped_count=log.dropped + len(log.lines) - len(newest))


def log_from(message: pb.Execution.Log) -> KeptLog:
    """Return the log of a server's message."""
    return KeptLog(lines=tuple(map(line_from, message.lines)), dropped=message.dropped_count)


def lines_to(lines: Iterable[tuple[int, LogLine]]) -> Iterable[pb.Execution.LogLine]:
    """Yield the messages of lines, each with the number of its attempt."""
    for attempt, line in lines:
        yield pb.Execution.LogLine(
            attempt=attempt,
            sequence=line.sequence,
            log_time=instant_to(line.time),
            level=line.level,
            text=line.text,
        )


def line_from(message: pb.Execution.LogLine) -> tuple[int, LogLine]:
    """Return the line of a server's message, and the number of its attempt."""
    line = LogLine(
        sequence=message.sequence, time=instant_from(message.log_time), level=message.level, text=message.text
    )
    return message.attempt, line


def progress_to(progress: Progress) -> pb.Execution.Progress:
    """Return a progress' message."""
    return pb.Execution.Progress(
        fraction=progress.fraction,
        text=progress.text,
        report_time=instant_to(progress.report_time),
        attempt=progress.attempt,
    )


def progress_from(message: pb.Execution.Progress, execution_id: str) -> Progress:
    """Return the progress of a server's message."""
    return Progress(
        execution_id=execution_id,
        attempt=message.attempt,
        fraction=message.fraction,
        text=message.text,
        report_time=instant_from(message.report_time),
    )
