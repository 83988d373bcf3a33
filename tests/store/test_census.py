"""What is counted for metrics now and then, on both databases."""

from datetime import timedelta

import pytest
from support.patience import until
from support.rigs.rig import START, Rig
from support.rigs.worker_rows import worker_there

from schedule_grpc.app.measuring import forget_gone
from schedule_grpc.domain.census import Census, Waiting, WorkerCount
from schedule_grpc.domain.execution import HandBack
from schedule_grpc.domain.policy import Overlap
from schedule_grpc.domain.registration import Registration
from schedule_grpc.domain.task import Policy
from schedule_grpc.events import Hub
from schedule_grpc.metrics import OTHER, Bounds, Metrics
from schedule_grpc.store import open_store

HOUR = timedelta(hours=1)


async def counted(rig: Rig, *own: str) -> Census:
    """Return a census as a server takes it that offers these handlers."""
    return await rig.store.census(now=rig.clock.now(), own=frozenset(own))


async def test_nothing_waits_in_an_empty_database(rig: Rig):
    """Nor where all is done, and what comes next is in the future."""
    assert await counted(rig) == Census()
    await rig.register("task", "@hourly")
    await rig.advance(HOUR.total_seconds())
    assert await counted(rig) == Census()


async def test_a_task_that_no_server_fires_is_overdue(rig: Rig):
    """From its time on; what it fires then has no wait."""
    await rig.register("task", "@hourly")
    rig.clock.set_wall(START + HOUR + timedelta(seconds=90))
    assert (await counted(rig)).overdue == 90
    await rig.tick()
    assert (await counted(rig)).overdue == 0


async def test_what_waits_is_told_by_its_handler(rig: Rig):
    """How long the first of them could have started; and whether a server or a worker offers it."""
    await rig.register("task", "@manual", policy=Policy(overlap=Overlap.ALLOW_ALL))
    for _ in range(3):
        await rig.service.run_now("task", detach=True)
        rig.clock.set_wall(rig.clock.now() + timedelta(seconds=10))
    waits = Waiting(namespace="default", handler="fate", seconds=30, is_offered=False)
    assert (await counted(rig)).waiting == (waits,)
    offered = Waiting(namespace="default", handler="fate", seconds=30, is_offered=True)
    assert (await counted(rig, "fate")).waiting == (offered,)
    await worker_there(rig.store, "w", rig.clock.now(), "fate", namespace="reports")
    assert (await counted(rig)).waiting == (waits,)
    await worker_there(rig.store, "v", rig.clock.now(), "fate", namespace="*")
    assert (await counted(rig)).waiting == (offered,)
    await rig.tick()


async def test_what_waits_for_its_time_is_not_told(rig: Rig):
    """A retry before the end of its backoff."""
    await rig.register("task", "@manual", payload={"fate": "fail-at-first", "times": 1})
    execution = await rig.service.run_now("task", detach=True)
    (claim,) = await rig.claim("another")
    await rig.store.record([HandBack(execution_id=execution.id, lease_token=claim.lease_token, time=rig.clock.now())])
    await rig.tick()
    assert [each.state.value for each in await rig.history()] == ["PENDING"]
    assert (await counted(rig)).waiting == ()
    await rig.advance(60)


async def test_conditions_are_told_while_they_hold(rig: Rig):
    """By their keys, whether or not an alert was sent."""
    await rig.register("task", "@manual", payload={"fate": "reject"}, policy=Policy(alert_after=1))
    await rig.service.run_now("task", detach=True)
    await rig.tick()
    assert (await counted(rig)).conditions == (("default", "task", "failing"),)
    await rig.register("task", "@manual", payload={}, policy=Policy(alert_after=1))
    await rig.service.run_now("task", detach=True)
    await rig.tick()
    assert (await counted(rig)).conditions == ()


async def test_workers_are_counted_by_namespace(rig: Rig):
    """Those that take attempts: not one that stops, has ended, or did not renew its lease."""
    for session in ("a", "b"):
        await worker_there(rig.store, session, START, "x", namespace="reports")
    await worker_there(rig.store, "c", START, "x", namespace="*")
    await worker_there(rig.store, "d", START, "x", draining=True)
    await worker_there(rig.store, "e", START, "x", ended=timedelta(seconds=1))
    await worker_there(rig.store, "f", START, "x", seen=HOUR)
    assert set((await counted(rig)).workers) == {
        WorkerCount(namespace="reports", workers=2, slots=8),
        WorkerCount(namespace="*", workers=1, slots=4),
    }


async def test_series_go_though_no_notice_of_a_deletion_came(rig: Rig):
    """Of tasks, and of namespaces; those of what is still there stay."""
    metrics = Metrics(Bounds(tasks=2))
    await rig.service.create_namespace("reports")
    there = rig.service.in_namespace("reports")
    with rig.hub.listening(metrics.notice):  # and not `notice_deleted`
        task = await rig.register("gone", "@manual")
        await rig.register("kept", "@manual")
        await there.register(Registration(definition=task.definition))
        for service, name in ((rig.service, "gone"), (rig.service, "kept"), (there, "gone")):
            await service.run_now(name, detach=True)
            await rig.tick()
    assert shown(metrics) == {("default", "gone"), ("default", "kept"), ("reports", OTHER)}
    await rig.service.delete("gone")
    await there.delete("gone")
    await forget_gone(rig.store, metrics)
    assert shown(metrics) == {("default", "kept"), ("reports", OTHER)}
    await rig.advance(40 * 24 * 3600)
    await rig.engine.prune()
    await rig.service.delete_namespace("reports")
    await forget_gone(rig.store, metrics)
    assert shown(metrics) == {("default", "kept")}


async def test_series_go_with_a_deletion_on_another_server(rig: Rig):
    """By its notice: nothing is read again. Notices come once the other server listens, so it is deleted until then."""
    if not rig.store.is_shared:
        pytest.skip("a file has one server")
    metrics, hub = Metrics(), Hub()
    with rig.hub.listening(metrics.notice):
        await rig.register("gone", "@manual")
        await rig.service.run_now("gone", detach=True)
        await rig.tick()
    assert shown(metrics) == {("default", "gone")}
    other = await open_store(rig.place, hub)
    with hub.listening(metrics.notice_deleted, with_peers=True):

        async def no_series() -> bool:
            await rig.service.delete("gone")
            await rig.register("gone", "@manual")
            return shown(metrics) == set()

        await until(no_series)
    await other.close()


def shown(metrics: Metrics) -> set[tuple[str, str]]:
    """Return the namespaces and tasks of executions that ended."""
    samples = [sample for family in metrics.registry.collect() for sample in family.samples]
    return {
        (each.labels["namespace"], each.labels["task"]) for each in samples if each.name == "schedule_executions_total"
    }
