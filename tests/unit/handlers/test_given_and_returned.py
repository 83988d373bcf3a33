"""What a handler is given is its own, and what it returns is what it was at that moment."""

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest
import structlog
from support.rigs.rig import START

from schedule_grpc.domain.registration import registered
from schedule_grpc.domain.task import define
from schedule_grpc.handlers import Fate, Offer, TaskContext, perform
from schedule_grpc.testing import FakeClock

TIMEOUT = timedelta(seconds=29)
PAYLOAD = {"a": [1, {"b": 2}]}
METADATA = {"owner": {"team": "x"}, "tags": ["t"]}


def given_to_handlers() -> TaskContext:
    """Return what attempts are made of."""
    definition = define(name="t", schedule="@daily", handler="h", payload=PAYLOAD, metadata=METADATA)
    return TaskContext(
        task=registered(None, definition, enabled=None, now=START).after,
        execution_id="exec_t_1_a",
        attempt=1,
        scheduled_time=None,
        deadline=START + TIMEOUT,
        payload=definition.payload,
        env=object(),  # type: ignore[arg-type]
        clock=FakeClock(START),
        log=structlog.get_logger(),
    )


def performing(function: Any, context: TaskContext) -> "asyncio.Task[Fate]":
    """Perform a function in the background."""
    offer = Offer(name="h", description="", function=function, is_async=asyncio.iscoroutinefunction(function))
    stop = asyncio.get_running_loop().create_future()
    return asyncio.create_task(perform(offer, context, timeout=TIMEOUT, stop=stop))


def meddle(ctx: TaskContext) -> Any:
    """Change everything that can be reached, and tell what was there before."""
    definition = ctx.task.definition
    seen = [dict(ctx.payload), dict(definition.payload), dict(definition.metadata)]
    told = repr(seen)
    ctx.payload.pop("a").append(object())  # type: ignore[attr-defined]
    definition.payload["a"][1]["b"] = START  # type: ignore[index]
    definition.metadata["owner"]["team"] = object()
    definition.metadata["cursor"] = 5  # type: ignore[index]
    return told


async def meddle_on_the_loop(ctx: TaskContext) -> Any:
    """Do so on the loop."""
    return meddle(ctx)


@pytest.mark.parametrize("handler", [meddle, meddle_on_the_loop])
async def test_each_attempt_sees_what_was_registered(handler):
    """Whatever the attempt before it changed, in a thread or on the loop; each may change what it was given."""
    context = given_to_handlers()
    results = [(await performing(handler, context)).result for _ in range(2)]
    assert results == [repr([PAYLOAD, PAYLOAD, METADATA])] * 2
    assert (context.payload, context.task.definition.metadata) == (PAYLOAD, METADATA)


async def test_what_is_given_is_plain():
    """Dicts and lists, as JSON libraries and isinstance want them."""
    kinds = []

    async def function(ctx: TaskContext) -> None:
        for value in (ctx.payload, ctx.task.definition.payload, ctx.task.definition.metadata):
            kinds.extend([type(value), *(type(each) for each in value.values())])

    await performing(function, given_to_handlers())
    assert set(kinds) == {dict, list}


async def test_a_result_is_what_it_was_when_it_was_returned():
    """A callback that runs right after the handler changes nothing of it, nor makes a failure of it."""

    async def function(_: TaskContext) -> dict[str, Any]:
        result = {"rows": [1]}
        asyncio.get_running_loop().call_soon(result["rows"].append, object())
        return result

    fate = await performing(function, given_to_handlers())
    assert (fate.error, fate.result) == (None, {"rows": [1]})


async def test_a_threads_result_is_what_it_was_when_it_was_returned():
    """Another thread changes it once the handler has ended, before the loop, which is blocked, hears of that."""
    result: dict[str, Any] = {"rows": [1]}
    changed = threading.Event()

    def change_after(handler: threading.Thread) -> None:
        handler.join(10)
        result["rows"] = object()
        changed.set()

    def function(_: TaskContext) -> dict[str, Any]:
        threading.Thread(target=change_after, args=(threading.current_thread(),), daemon=True).start()
        return result

    attempt = performing(function, given_to_handlers())
    await asyncio.sleep(0)
    assert changed.wait(10)  # blocks the loop on purpose
    fate = await attempt
    assert (fate.error, fate.result) == (None, {"rows": [1]})
