"""The number of tasks of a namespace: what is beyond it is refused whole, whatever servers register at once."""

import asyncio

import pytest
from support.rigs.namespaces import listed, wanted
from support.rigs.quotas import limited, refused
from support.rigs.rig import START, Rig, new_rig
from support.servers.postgres import Postgres

from schedule_grpc.domain.access.quota import QuotaExceeded
from schedule_grpc.domain.registration import fresh_task
from schedule_grpc.service import Service
from schedule_grpc.store.operations.tasks import register_tasks


async def test_a_namespace_has_no_more_tasks_than_it_may(rig: Rig):
    """Tasks that are there are registered again and changed; a deleted one leaves its place to another."""
    there = await limited(rig, max_tasks=2)
    for name in ("one", "two"):
        await there.register(wanted(name))
    error = await refused(rig, there.register(wanted("three")), "max_tasks")
    assert str(error) == "The namespace reports has reached its limit: max_tasks is 2"
    assert (error.code, error.status, error.retry_after) == ("QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED", None)
    await there.register(wanted("one"))
    await there.register(wanted("two", description="changed"))
    await rig.register("three", "@manual")
    await there.delete("one")
    await there.register(wanted("three"))
    assert await listed(there) == ["three", "two"]


async def test_of_a_batch_all_or_none(rig: Rig):
    """Whether some of its tasks are there already, or would change: that is another write."""
    there = await limited(rig, max_tasks=2)
    await there.register(wanted("one"))
    for description in ("", "changed"):
        batch = [wanted("one", description=description), wanted("two"), wanted("three")]
        await refused(rig, there.register_all(batch), "max_tasks")
    await refused(rig, there.declare([wanted(name, namespace="reports") for name in ("two", "three")]), "max_tasks")
    await there.register_all([wanted("one", description="changed"), wanted("two")])
    assert await listed(there) == ["one", "two"]


async def test_calls_at_once_get_the_places_that_there_are(rig: Rig):
    """They share a write, and each has its own answer; those of other namespaces are none of its business."""
    there = await limited(rig, max_tasks=5)
    calls = [there.register(wanted(f"task-{number}")) for number in range(20)]
    others = [rig.service.register(wanted(f"task-{number}")) for number in range(10)]
    answers = await asyncio.gather(*calls, *others, return_exceptions=True)
    refusals = [each for each in answers if isinstance(each, QuotaExceeded)]
    assert len(refusals) == 15
    created = {each.name for each in answers[:20] if not isinstance(each, BaseException)}
    assert sorted(created) == await listed(there)
    assert len(created) == 5
    assert len(await listed(rig.service)) == 10


@pytest.mark.parametrize("changing", [False, True], ids=["at once", "as read"])
async def test_two_servers_at_once_are_exact(postgres: Postgres, postgres_database: str, changing: bool):
    """Each counts in the write that creates, while it holds the namespace."""
    url = postgres.url(postgres_database)
    async with new_rig(url) as one, new_rig(url) as two:
        await limited(one, max_tasks=7)
        servers = [rig.service.in_namespace("reports") for rig in (one, two)]
        if changing:
            await servers[0].register(wanted("first"))

        async def fill(server: Service, which: str) -> int:
            done = 0
            for number in range(10):
                batch = [wanted(f"{which}-{number}")]
                if changing:
                    batch.append(wanted("first", description=f"{which}-{number}"))
                try:
                    await server.register_all(batch)
                    done += 1
                except QuotaExceeded:
                    await asyncio.sleep(0)
            return done

        done = await asyncio.gather(*(fill(server, which) for server, which in zip(servers, "ab", strict=True)))
        assert sum(done) == 7 - changing
        assert len(await listed(servers[0])) == 7


async def test_a_limit_that_sinks_removes_nothing(rig: Rig):
    """Then nothing is created until there are fewer; None lets everything in again."""
    there = await limited(rig, max_tasks=None)
    for name in ("one", "two", "three"):
        await there.register(wanted(name))
    await rig.service.update_namespace("reports", limits={"max_tasks": 1})
    await refused(rig, there.register(wanted("four")), "max_tasks")
    await there.register(wanted("one", description="changed"))
    assert len(await listed(there)) == 3
    await rig.service.update_namespace("reports", limits={"max_tasks": None})
    await there.register(wanted("four"))


def test_a_namespace_without_the_limit_costs_nothing():
    """Neither does a limited one if nothing is created: one look for the names, and one write."""
    fresh = fresh_task(wanted("task"), START)
    asked = []
    operation = register_tasks([[fresh]], limited={"reports"})
    statement = next(operation)
    while True:
        asked.append(statement[0])
        try:
            statement = operation.send([{"uid": fresh.task.uid}] if len(asked) > 1 else [])
        except StopIteration:
            break
    assert len(asked) == 2
