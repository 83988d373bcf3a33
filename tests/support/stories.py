"""Tests that mostly wait, begun together: each is collected, chosen and reported as any other.

A story has a folder of its own and whatever it starts in it; what else it takes are fixtures of the session. They go on
while one of them is awaited, and stand still while any other test runs; so they come first. What a test takes is not
its story's time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from support.witnesses.checker import Acknowledged, check

Story: TypeAlias = Callable[..., Awaitable[None]]
Begun: TypeAlias = Mapping[Story, Awaitable[None]]


def story(told: Story) -> Callable[..., Any]:
    """Make a test of a function of a folder: the test awaits the end of what the fixture ``stories`` has begun."""

    @pytest.mark.asyncio(loop_scope="session")
    async def test(stories: Begun) -> None:
        await stories[told]

    for name in ("__name__", "__qualname__", "__doc__", "__module__"):
        setattr(test, name, getattr(told, name))
    test.story = told  # type: ignore[attr-defined]
    return test


def story_of(item: pytest.Item) -> Story | None:
    """Return what a test awaits, None for a test that is no story."""
    return getattr(getattr(item, "function", None), "story", None)


async def checked(
    place: Path | str, told: Acknowledged | None = None, *, at_rest: bool = False, set_back: bool = False
) -> list[str]:
    """Return every broken promise that the checker finds, while the other stories go on."""
    return await asyncio.to_thread(check, place, told, at_rest=at_rest, set_back=set_back)
