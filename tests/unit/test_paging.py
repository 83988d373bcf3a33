"""Page tokens: opaque, ours, and held to their question."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from support.rigs.rig import START

from schedule_grpc.domain.execution import ExecutionFilter, State
from schedule_grpc.domain.listing import FIRST_PLACE, TaskOrder, TaskPlace, TaskState
from schedule_grpc.domain.paging import MAX_PAGE_BYTES, ExecutionCursor, Page, TaskCursor, fitting
from schedule_grpc.domain.task import TaskFilter
from schedule_grpc.errors import InvalidArgument

ALL = ExecutionFilter()


def tampered(token: str, *place: Any) -> str:
    """Return a token of the same question with another place in it."""
    question, *_ = json.loads(base64.urlsafe_b64decode(token))
    return base64.urlsafe_b64encode(json.dumps([question, *place]).encode()).decode()


def tasks_token(name: str = "m", chosen: TaskFilter | None = None) -> str:
    """Return a token of a list of tasks."""
    return TaskCursor(place=TaskPlace(number=7, name=name)).write(chosen or TaskFilter())


def executions_token() -> str:
    """Return a token of the list of all executions."""
    return ExecutionCursor(position=(START, "exec_a")).write(None, ALL)


def test_without_a_token_the_list_begins():
    """And what has no place has no token."""
    assert TaskCursor.read(Page(), TaskFilter()) == TaskCursor(place=FIRST_PLACE)
    assert ExecutionCursor.read(Page(), None, ALL) == ExecutionCursor(position=None)
    assert ExecutionCursor().write(None, ALL) == ""


@pytest.mark.parametrize("name", ["a", "x" * 128, "A.b_c-9"])
def test_a_task_token_goes_round(name: str):
    """Only characters that need no escaping in a URL."""
    token = tasks_token(name)
    assert TaskCursor.read(Page(token=token), TaskFilter()).place == TaskPlace(number=7, name=name)
    assert token.strip("=").replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "instant",
    [
        START,
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1969, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
    ],
)
def test_an_execution_token_keeps_its_instant_to_the_microsecond(instant: datetime):
    """From before the epoch to the last instant there is."""
    cursor = ExecutionCursor(position=(instant, "exec_a"))
    assert ExecutionCursor.read(Page(token=cursor.write("t", ALL)), "t", ALL) == cursor


@pytest.mark.parametrize(
    "other",
    [
        TaskFilter(enabled=True),
        TaskFilter(enabled=False),
        TaskFilter(handler="h"),
        TaskFilter(name_prefix="h"),
        TaskFilter(category="h"),
    ],
)
def test_a_token_does_not_answer_with_other_filters(other: TaskFilter):
    """Each filter is part of the question; the same value in another field is another question."""
    for asked, given in ((TaskFilter(), other), (other, TaskFilter()), (other, TaskFilter(handler="x"))):
        with pytest.raises(InvalidArgument, match="page_token: is not a token of this list with these filters"):
            TaskCursor.read(Page(token=tasks_token(chosen=given)), asked)


@pytest.mark.parametrize(
    "other",
    [
        ExecutionFilter(states=frozenset({State.FAILED})),
        ExecutionFilter(start_time=START),
        ExecutionFilter(end_time=START),
    ],
)
def test_an_execution_token_does_not_answer_with_other_filters(other: ExecutionFilter):
    """Nor for another task."""
    with pytest.raises(InvalidArgument, match="page_token"):
        ExecutionCursor.read(Page(token=executions_token()), None, other)
    with pytest.raises(InvalidArgument, match="page_token"):
        ExecutionCursor.read(Page(token=executions_token()), "None", ALL)


def test_the_order_of_a_filters_states_is_no_part_of_the_question():
    """A set has none, and another server may have another."""
    states = list(State)
    token = ExecutionCursor(position=(START, "e")).write("t", ExecutionFilter(states=frozenset(states)))
    again = ExecutionFilter(states=frozenset(reversed(states)))
    assert ExecutionCursor.read(Page(token=token), "t", again).position == (START, "e")


def test_kinds_of_lists_do_not_mix():
    """A token of tasks is foreign to executions, and the other way round."""
    with pytest.raises(InvalidArgument, match="page_token"):
        ExecutionCursor.read(Page(token=tasks_token()), None, ALL)
    with pytest.raises(InvalidArgument, match="page_token"):
        TaskCursor.read(Page(token=executions_token()), TaskFilter())


@pytest.mark.parametrize(
    "place",
    [
        (10**30, "exec_a"),
        (-(10**30), "exec_a"),
        (2**63, "exec_a"),
        (1.5, "exec_a"),
        (True, "exec_a"),
        ("1", "exec_a"),
        (None, "exec_a"),
        (1, None),
        (1, 2),
        (1, "\ud800"),
        (1,),
        (1, "exec_a", 1),
        (),
        ([[1]], {}),
    ],
)
def test_a_tampered_place_is_refused_here_and_not_by_the_database(place: tuple[Any, ...]):
    """Wrong kinds, too many or too few parts, instants that do not exist, text that is none."""
    with pytest.raises(InvalidArgument, match="page_token"):
        ExecutionCursor.read(Page(token=tampered(executions_token(), *place)), None, ALL)


@pytest.mark.parametrize(
    "place", [(1,), (None,), ("a",), (1, "\ud800"), ("a", "b"), (2**63, "a"), (1, "a", 1), (True, "a"), ()]
)
def test_a_tampered_place_of_tasks_is_refused(place: tuple[Any, ...]):
    """It is a number that a column can hold, and a text."""
    with pytest.raises(InvalidArgument, match="page_token"):
        TaskCursor.read(Page(token=tampered(tasks_token(), *place)), TaskFilter())


def test_what_a_cut_or_changed_token_means_is_never_asked():
    """Any letter less or other: refused, or the very same place."""
    token = executions_token()
    for position in range(len(token)):
        for broken in (token[:position], token[:position] + "A" + token[position + 1 :]):
            try:
                found = ExecutionCursor.read(Page(token=broken), None, ALL)
            except InvalidArgument as error:
                assert error.violations[0].field == "page_token"  # noqa: PT017 (some changes hit the place itself)
            else:
                assert found.position is None or isinstance(found.position[0], datetime)


def test_deeply_nested_text_is_refused():
    """A token that would exhaust the parser."""
    token = base64.urlsafe_b64encode(b"[" * 100_000).decode()
    with pytest.raises(InvalidArgument, match="page_token"):
        TaskCursor.read(Page(token=token), TaskFilter())


@pytest.mark.parametrize("size", [-1, -(2**31)])
def test_a_negative_size_is_refused(size: int):
    """With the field's name."""
    with pytest.raises(InvalidArgument, match="page_size: must not be negative"):
        _ = Page(size=size).limit


@pytest.mark.parametrize(
    ("sizes", "shown"),
    [
        ([], 0),
        ([MAX_PAGE_BYTES], 1),
        ([MAX_PAGE_BYTES * 2, 1], 1),
        ([MAX_PAGE_BYTES - 1, 1, 1], 2),
        ([MAX_PAGE_BYTES // 3] * 10, 3),
        ([1] * 1000, 1000),
    ],
)
def test_a_page_has_what_fits_and_at_least_one_item(sizes: list[int], shown: int):
    """What follows is not even made."""
    items = iter(sizes)
    assert fitting(items, lambda size: size) == sizes[:shown]
    assert len(list(items)) == max(len(sizes) - shown - 1, 0)


def test_a_token_does_not_depend_on_the_order_of_a_set():
    """Another process has another one."""
    states = [TaskState.FAILING, TaskState.OVERDUE, TaskState.WAITING]
    tokens = {
        tasks_token(chosen=TaskFilter(states=frozenset(given), order=TaskOrder.LAST))
        for given in (states, states[::-1])
    }
    assert len(tokens) == 1
    assert tasks_token(chosen=TaskFilter(states=frozenset(states))) not in tokens
