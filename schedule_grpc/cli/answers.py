"""Answers, as JSON for programs or as text for people."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from schedule_grpc.cli import tables
from schedule_grpc.cli.connection import Caller
from schedule_grpc.cli.print_json import print_json
from schedule_grpc.domain.execution import Backfill, Execution
from schedule_grpc.domain.task import Task
from schedule_grpc.formats import json_answers as as_json

T = TypeVar("T")


def show(call: Caller, value: T, *, json: Callable[[T], Any], people: Callable[[T], None]) -> None:
    """Print a value: as JSON if the command has --json, else for people."""
    if call.as_json:
        print_json(json(value))
    else:
        people(value)


def show_task(call: Caller, task: Task) -> None:
    """Print one task; for people also whether its handler is offered."""
    show(call, task, json=as_json.task_json, people=tables.print_task)


def show_tasks(call: Caller, tasks: Sequence[Task], *, none: str) -> None:
    """Print tasks, or the sentence ``none`` if there are none."""
    if not tasks and not call.as_json:
        print(none)
        return
    show(call, tasks, json=lambda each: list(map(as_json.task_json, each)), people=tables.print_tasks)


def show_execution(call: Caller, execution: Execution) -> None:
    """Print one execution."""
    show(call, execution, json=as_json.execution_json, people=tables.print_execution)


def show_executions(call: Caller, executions: Sequence[Execution], *, none: str) -> None:
    """Print executions, or the sentence ``none`` if there are none."""
    if not executions and not call.as_json:
        print(none)
        return
    show(call, executions, json=lambda each: list(map(as_json.execution_json, each)), people=tables.print_executions)


def show_backfill(call: Caller, recorded: Backfill) -> None:
    """Print the executions that a backfill recorded, and how many existed."""
    count, existing = len(recorded.executions), recorded.existing_count
    if call.as_json:
        executions = [as_json.execution_json(execution) for execution in recorded.executions]
        print_json({"count": count, "existingCount": existing, "executions": executions})
        return
    if count:
        tables.print_executions(recorded.executions)
    print(f"{count} recorded, to run one by one; {existing} were there already")
