"""Which handler and which payload an execution takes when its task is changed before it has ended."""

import asyncio
from typing import Any

from support.rigs.rig import Rig

from schedule_grpc.domain.registration import TaskUpdate
from schedule_grpc.handlers import TaskContext, handler


async def test_a_change_while_one_runs_and_one_waits(rig: Rig):
    """What waits takes the new handler and payload; what runs keeps its handler for its retry, not its payload."""
    seen: list[tuple[str, Any]] = []
    go = asyncio.Event()

    @handler("old")
    async def old(ctx: TaskContext) -> None:
        seen.append(("old", ctx.payload["n"]))
        if ctx.attempt == 1:
            await go.wait()
            raise ValueError("again")

    @handler("new")
    async def new(ctx: TaskContext) -> None:
        seen.append(("new", ctx.payload["n"]))

    await rig.register("other", "@manual", new)
    await rig.register("task", "@manual", old, payload={"n": 1}, policy={"overlap": "BUFFER_ONE"})
    running = await rig.service.run_now("task", detach=True)
    waiting = await rig.service.run_now("task", detach=True)
    await rig.tick(wait=False)
    await rig.service.update(TaskUpdate(name="task", fields={"handler": "new", "payload": {"n": 2}}, policy={}))
    found = {each.id: each.handler for each in await rig.history()}
    assert found == {running.id: "old", waiting.id: "new"}
    go.set()
    for _ in range(5):
        await rig.skip(20)
    assert seen == [("old", 1), ("old", 2), ("new", 2)]
