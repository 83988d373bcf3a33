"""A change that another caller overtook."""

from collections.abc import Awaitable, Callable

import pytest

from schedule_grpc.errors import TaskNotFound, Unavailable
from schedule_grpc.service.overtaken import TRIES, Overtaken, retried_when_overtaken


def overtaken_for(times: int) -> tuple[Callable[[str], Awaitable[str]], list[str]]:
    """Return a method that others overtake so many times, and its calls."""
    calls: list[str] = []

    @retried_when_overtaken
    async def change(name: str) -> str:
        calls.append(name)
        if len(calls) <= times:
            raise Overtaken(name)
        return name

    return change, calls


@pytest.mark.parametrize("times", [0, 1, TRIES - 1])
async def test_an_overtaken_change_is_computed_again(times: int) -> None:
    """Until nobody overtakes it, with the arguments of the first call."""
    change, calls = overtaken_for(times)
    assert await change("a") == "a"
    assert calls == ["a"] * (times + 1)


async def test_a_change_that_is_always_overtaken_is_unavailable() -> None:
    """The caller may try again."""
    change, calls = overtaken_for(TRIES)
    with pytest.raises(Unavailable, match=r"^Task a kept changing while it was being changed; try again$"):
        await change("a")
    assert len(calls) == TRIES


async def test_other_errors_of_a_change_are_raised_at_once() -> None:
    """Trying again would not help."""

    @retried_when_overtaken
    async def change() -> None:
        raise TaskNotFound("a")

    with pytest.raises(TaskNotFound):
        await change()
