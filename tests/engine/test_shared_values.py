"""What handlers and callers within the process hold of the service's values: none of them can change another's."""

import json

import pytest
from support.rigs.rig import FATES, Rig

from schedule_grpc.domain.execution import State
from schedule_grpc.domain.registration import TaskUpdate
from schedule_grpc.domain.retry import RetryPolicy
from schedule_grpc.domain.task import Policy
from schedule_grpc.events import Transition

PAYLOAD = {"fate": "meddle", "a": [1, 2]}
METADATA = {"team": {"name": "x"}}


def meddle(ctx):
    """Tell what is there, then change it, then fail."""
    told = json.dumps([ctx.payload, ctx.task.definition.metadata])
    ctx.payload.clear()
    ctx.task.definition.payload["when"] = ctx.now()
    ctx.task.definition.metadata["team"]["name"] = ctx.now()
    raise ValueError(told)


@pytest.fixture(autouse=True)
def offered(monkeypatch):
    """The rig's handler meddles where its payload says so."""
    monkeypatch.setitem(FATES, "meddle", meddle)


async def test_a_handler_that_changes_what_it_was_given_changes_nothing_else(rig: Rig):
    """Not what its retries see, nor what callers are shown, nor what an update of another field writes."""
    once_more = Policy(retry=RetryPolicy(max_retries=1))
    await rig.register(schedule="@manual", payload=PAYLOAD, metadata=METADATA, policy=once_more)
    for payload in (None, PAYLOAD | {"own": [3]}):
        execution = await rig.service.run_now("task", payload=payload, detach=True)
        await rig.tick()
        await rig.skip(1)
        ended = await rig.service.execution(execution.id)
        seen = [json.loads(attempt.error.removeprefix("ValueError: ")) for attempt in ended.failed_attempts]
        assert seen == [[payload or PAYLOAD, METADATA]] * 2
        assert ended.payload == payload
    await rig.service.update(TaskUpdate(name="task", fields={"description": "new"}, policy={}))
    task = await rig.service.get_task("task")
    assert (task.definition.payload, task.definition.metadata) == (PAYLOAD, METADATA)


async def test_a_watcher_sees_what_was_sent(rig: Rig):
    """The event that tells of the start holds the payload, whatever the handler makes of its own."""
    await rig.register(schedule="@manual")
    with rig.service.watching() as watch:
        await rig.service.run_now("task", payload=PAYLOAD, detach=True)
        await rig.tick()
        rig.hub.close()
        told = [event async for event in watch]
    payloads = [event.execution.payload for event in told if isinstance(event, Transition)]
    assert payloads == [PAYLOAD] * 3  # recorded, begun, failed


async def test_callers_within_the_process_share_what_cannot_be_changed(rig: Rig):
    """A task, an execution and an event are values: whoever writes into one is told, and nobody sees it."""
    await rig.register(schedule="@manual", payload={"a": [1]}, metadata=METADATA)
    execution = await rig.service.run_now("task", payload={"b": [2]}, detach=True)
    await rig.tick()
    ended = await rig.service.execution(execution.id)
    task = await rig.service.get_task("task")
    assert ended.state is State.SUCCEEDED
    for value in (task.definition.payload["a"], task.definition.metadata["team"], ended.payload["b"], ended.result):
        with pytest.raises(TypeError, match="read-only"):
            value.clear()
    assert (await rig.service.get_task("task")).definition == task.definition
