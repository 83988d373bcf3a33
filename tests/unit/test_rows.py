"""Rows that another program wrote, or that are damaged: what can be read is read, the rest is named and kept."""

import sqlite3
from contextlib import closing

import pytest
from support.rigs.rig import START

from schedule_grpc.domain.registration import registered
from schedule_grpc.domain.schedule import Unreadable
from schedule_grpc.domain.task import Task, TaskStats, define
from schedule_grpc.store.rows import task_of, task_parameters, task_read_again, tasks_in

DAMAGES = {
    "a zone that is not there": ("time_zone", "Moon/Tycho", "time_zone: 'Moon/Tycho' is not a time zone"),
    "a schedule of a newer program": ("schedule", "@fortnightly", "schedule: @fortnightly is not one of"),
    "a schedule that is empty": ("schedule", "", "schedule: it is empty"),
    "a policy that is not known": ("policy", '{"priority":5}', "policy: this program knows no 'priority'"),
    "a policy's value that is not known": (
        "policy",
        '{"overlap":"QUEUE"}',
        "policy.overlap: this program",
    ),
    "a policy's value of another kind": ("policy", '{"timeout_us":"5m"}', "policy.timeout: this program"),
    "a policy's number of another kind": ("policy", '{"max_retries":"5"}', "policy.retry.max_retries: this program"),
    "a policy's value out of bounds": ("policy", '{"timeout_us":-5}', "policy.timeout: must be between"),
    "a policy's time that does not exist": ("policy", '{"end_time_us":9e99}', "policy.window.end_time: this program"),
    "a policy that is no object": ("policy", "[]", "policy: the stored JSON is not an object"),
    "a policy that is cut": ("policy", '{"overlap":', "policy: the stored text is not JSON"),
    "a payload that is cut": ("payload", '{"a":', "payload: the stored text is not JSON"),
    "a payload that is no object": ("payload", "[1]", "payload: the stored JSON is not an object"),
    "a payload that is not finite": ("payload", '{"a":NaN}', "payload: the stored text is not JSON"),
    "a payload that is not Unicode": ("payload", '{"a":"\\ud800"}', "payload: the stored text is not JSON"),
    "a payload that is deep": (
        "payload",
        '{"a":' * 20_000 + "1" + "}" * 20_000,
        "payload: the stored text is not JSON",
    ),
    "metadata that are cut": ("metadata", "", "metadata: the stored text is not JSON"),
}


def _row(**damaged: str) -> dict[str, object]:
    definition = define(name="task", schedule="@hourly", handler="work", payload={"a": 1}, metadata={"category": "b"})
    task = registered(None, definition, enabled=None, now=START).after
    counts = dict.fromkeys(("success_count", "failure_count", "consecutive_failures"), 0)
    times = dict.fromkeys(("last_run_time", "last_success_time", "last_failure_time"))
    return task_parameters(task) | counts | times | damaged


def _read(**damaged: str) -> Task:
    return task_of(_row(**damaged))


@pytest.mark.parametrize(("column", "stored", "trouble"), DAMAGES.values(), ids=DAMAGES)
def test_a_part_that_cannot_be_read_is_named_and_kept(column: str, stored: str, trouble: str):
    """The task is whole otherwise, and is written as it was found."""
    task = _read(**{column: stored})
    assert task.trouble.startswith(trouble)
    assert (task.name, task.handler, task.stats) == ("task", "work", TaskStats())
    assert isinstance(task.schedule, Unreadable) is (column in ("schedule", "time_zone"))
    assert task.definition.can_run is isinstance(task.schedule, Unreadable)
    assert task_parameters(task)[column] == stored


def test_every_trouble_is_named():
    """Not the first one only."""
    task = _read(time_zone="Moon/Tycho", policy='{"overlap":"QUEUE","priority":5}', payload="")
    assert [trouble.field for trouble in task.definition.troubles] == [
        "time_zone",
        "payload",
        "policy.overlap",
        "policy",
    ]


def test_what_an_older_row_does_not_tell_has_its_default():
    """A policy was added since: that is no trouble."""
    assert _read(policy="{}").trouble == ""
    assert _read(policy="{}").policy == _read().policy


def test_a_row_that_is_read_again_is_the_same_task():
    """Until any of its columns differs."""
    row = _row()
    task = task_read_again(row)
    assert task_read_again(dict(row)) is task
    assert task == task_of(row)
    for column, value in (
        ("success_count", 1),
        ("note", "why"),
        ("enabled", 0),
        ("settled_time", 7),
    ):
        changed = row | {column: value}
        assert task_read_again(changed) == task_of(changed) != task


@pytest.mark.parametrize(("column", "stored"), [damage[:2] for damage in DAMAGES.values()], ids=DAMAGES)
def test_a_damaged_row_that_is_read_again_is_the_same_task(column: str, stored: str):
    """With its troubles."""
    row = _row(**{column: stored})
    assert task_read_again(row) is task_read_again(dict(row))
    assert task_read_again(row) == task_of(row)


ODD = (-1, 0, 7, 2**53, 2**53 + 1, 2**62, -(2**62), 1.5, "", "x", b"x", None)


def _from_database(found: list[dict[str, object]]) -> list[sqlite3.Row]:
    """Return rows as a driver does."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.row_factory = sqlite3.Row
        columns = ", ".join(f'? AS "{column}"' for column in found[0])
        return [connection.execute(f"SELECT {columns}", tuple(row.values())).fetchone() for row in found]


def test_rows_that_are_read_together_are_the_same_tasks():
    """Plain ones, which are read the short way, and damaged ones, whatever is damaged; in any order of columns."""
    odd = [_row(**{column: value}) for column in _row() for value in ODD if (column, value) != ("name", None)]
    every = [_row(), *(_row(**{column: stored}) for column, stored, _ in DAMAGES.values()), *odd]
    one_by_one = [task_of(row) for row in every]
    assert tasks_in(every) == one_by_one
    assert tasks_in(_from_database(every)) == one_by_one
    assert tasks_in(_from_database([dict(reversed(row.items())) for row in every])) == one_by_one
    assert tasks_in([]) == []
    assert 1 < sum(task.trouble == "" for task in one_by_one) < len(every)
