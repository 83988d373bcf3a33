"""One function per rpc about executions."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

from schedule_grpc.client import responses
from schedule_grpc.client.call import Call, Pages, Run
from schedule_grpc.client.responses import RunResult
from schedule_grpc.client.values import given, instant, state_numbers, struct
from schedule_grpc.domain.execution import Backfill, Execution, ExecutionFilter, ExecutionPage, State
from schedule_grpc.events import WatchEvent
from schedule_grpc.formats import protobuf
from schedule_grpc.formats.protobuf import request_of
from schedule_grpc.pb import schedule_pb2 as pb


def run_task_now(
    name: str, *, payload: Mapping[str, Any] | None = None, detach: bool = False, request_id: str = ""
) -> Run[RunResult]:
    """Run a task now and wait for its end, over all attempts, however long that takes; detached, do not wait.

    If the server restarts meanwhile, the client waits for the same execution again, if it reaches the server within its
    ``patience``. ``payload`` replaces the task's for this run. The same ``request_id`` gives the same execution;
    without one a random one is sent, so that a call that is tried again runs the task once.

    Raises:
        TaskNotFound: if no task has that name.
        TaskDisabled: if the task is disabled.
        NoWorker: if no server took the execution within 30 s.
        Unavailable: if the server is gone for longer than that; the execution goes on all the same.
    """
    fields: dict[str, Any] = {
        "name": name,
        "payload": None if payload is None else struct("payload", payload),
        "request_id": request_id or uuid4().hex,
    }
    start, end = (
        Call(
            rpc="RunTaskNow",
            request=request_of(pb.RunTaskNowRequest, **fields, detach=detached),
            read=responses.run_result,
            waits=not detached,
        )
        for detached in (True, False)
    )
    return Run(start=start, end=None if detach else end, is_over=responses.is_over)


def trigger_cron(cron: str) -> Call[tuple[Execution, ...]]:
    """Run, now, every enabled task whose schedule means the same cron expression; return the recorded executions.

    ``* * * * *`` runs every enabled task. The call is never repeated by itself: if its fate is unknown, look at the
    executions.

    Raises:
        InvalidArgument: if the text is not, and does not mean, a cron expression.
    """
    return Call(rpc="TriggerCron", request=request_of(pb.TriggerCronRequest, cron=cron), read=responses.executions)


def backfill_task(name: str, *, start_time: datetime, end_time: datetime) -> Call[Backfill]:
    """Record executions for the past occurrences in [start_time, end_time), at most 1,000; they run one by one.

    Occurrences that already have an execution are counted, not run again.

    Raises:
        TaskNotFound: if no task has that name.
        TaskDisabled: if the task is disabled.
        InvalidArgument: if a time is invalid, or too many occurrences lie between the two.
    """
    request = request_of(
        pb.BackfillTaskRequest,
        name=name,
        start_time=instant("start_time", start_time),
        end_time=instant("end_time", end_time),
    )
    return Call(rpc="BackfillTask", request=request, read=protobuf.backfill_from)


def get_task_history(
    name: str, chosen: ExecutionFilter | None = None, *, page_size: int = 0, page_token: str = ""
) -> Call[ExecutionPage]:
    """Return one page of a task's executions, newest first; an empty page for a name that no task has or had."""
    request = request_of(
        pb.GetTaskHistoryRequest, name=name, page_size=page_size, page_token=page_token, **_filter(chosen)
    )
    return Call(rpc="GetTaskHistory", request=request, read=protobuf.execution_page_from)


def task_history(name: str, chosen: ExecutionFilter | None = None, *, page_size: int = 0) -> Pages[Execution]:
    """Iterate over all executions of a task, newest first; pages are fetched as they are needed."""
    return Pages(
        page=lambda token: get_task_history(name, chosen, page_size=page_size, page_token=token),
        items=responses.executions_of,
    )


def list_executions(
    chosen: ExecutionFilter | None = None, *, page_size: int = 0, page_token: str = ""
) -> Call[ExecutionPage]:
    """Return one page of the executions of all tasks, newest first; 100 of them if ``page_size`` is 0."""
    request = request_of(pb.ListExecutionsRequest, page_size=page_size, page_token=page_token, **_filter(chosen))
    return Call(rpc="ListExecutions", request=request, read=protobuf.execution_page_from)


def executions(chosen: ExecutionFilter | None = None, *, page_size: int = 0) -> Pages[Execution]:
    """Iterate over the executions of all tasks, newest first; pages are fetched as they are needed."""
    return Pages(
        page=lambda token: list_executions(chosen, page_size=page_size, page_token=token), items=responses.executions_of
    )


def get_execution(execution_id: str, *, log_lines: int = 0) -> Call[Execution]:
    """Return one execution, with its ``progress``.

    With ``log_lines``, at most 1,000, it has as many of its newest lines in ``log``, over all attempts; None there:
    the caller may not read them, for which the scope ``read`` is needed.

    Raises:
        ExecutionNotFound: if the history does not hold it, or no longer does.
        InvalidArgument: if ``log_lines`` is not between 0 and 1,000.
    """
    request = request_of(pb.GetExecutionRequest, id=execution_id, log_lines=log_lines)
    return Call(rpc="GetExecution", request=request, read=protobuf.execution_from)


def cancel_execution(execution_id: str, *, note: str = "") -> Call[Execution]:
    """Cancel an execution and return it: a waiting one ends CANCELLED at once, a running one is asked to stop.

    Raises:
        ExecutionNotFound: if the history does not hold it, or no longer does.
    """
    request = request_of(pb.CancelExecutionRequest, id=execution_id, note=note)
    return Call(rpc="CancelExecution", request=request, read=protobuf.execution_from)


def watch_executions(
    task_name: str = "", states: Iterable[State] = (), *, execution_id: str = "", log_lines: bool = False
) -> Call[WatchEvent | None]:
    """Watch executions from now on: their transitions, the progress of handlers, and the number of lost events.

    Args:
        task_name: Only executions of this task; of all tasks if it is empty.
        states: Only changes to these states, and progress and lines if RUNNING is among them; everything if it is
            empty.
        execution_id: Only the execution with this id; all if it is empty.
        log_lines: Also lines that handlers log, as `Logged`, of tasks whose content the caller may read. Lines that
            reach another server are not among them.

    The watch is an iterator and a context manager; leaving the context, or ``close()``, ends it. It yields every event
    from its beginning on: the blocking client's has begun when it is returned, the async client's when its context is
    entered. If the server restarts and the client reaches it within its ``patience``, the watch goes on and yields
    ``Lost(count=0)``: events of the time between are lost. Events are hints: read the execution to be sure.
    """
    request = request_of(
        pb.WatchExecutionsRequest,
        task_name=task_name,
        states=state_numbers(states),
        execution_id=execution_id,
        log_lines=log_lines,
    )
    return Call(rpc="WatchExecutions", request=request, read=protobuf.event_from, waits=True)


def _filter(chosen: ExecutionFilter | None) -> dict[str, Any]:
    criteria = given(ExecutionFilter, "chosen", chosen) or ExecutionFilter()
    return {
        "states": state_numbers(criteria.states),
        "start_time": instant("start_time", criteria.start_time),
        "end_time": instant("end_time", criteria.end_time),
    }
