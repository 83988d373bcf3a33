"""What operators count on: names, labels, and that they follow what really happens."""

import asyncio
from datetime import timedelta

from support.rigs.every_metric import every_metric
from support.rigs.rig import START, Rig

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.execution import HandBack
from schedule_grpc.domain.registration import Registration
from schedule_grpc.domain.retry import RetryPolicy
from schedule_grpc.domain.task import Policy
from schedule_grpc.events import Event, TaskChanged
from schedule_grpc.metrics import Bounds, Metrics, exposition


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """Return a sample; of a task of the namespace ``default`` unless another is named."""
    namespace = {"namespace": DEFAULT_NAMESPACE} if "task" in labels else {}
    return metrics.registry.get_sample_value(name, namespace | labels)


async def test_executions_are_counted_by_task_state_and_trigger(rig: Rig):
    """With their duration; a retry counts as a failed attempt, not as an execution."""
    metrics = Metrics()
    await rig.register("task", "@hourly", payload={"fate": "fail-at-first", "times": 1})
    with rig.hub.listening(metrics.notice):
        await rig.skip(3600)
        assert value(metrics, "schedule_queue_depth") == 1
        await rig.skip(2)
    ended = {"task": "task", "state": "SUCCEEDED", "trigger": "SCHEDULE"}
    assert value(metrics, "schedule_executions_total", **ended) == 1
    assert value(metrics, "schedule_attempts_failed_total", task="task", kind="ERROR") == 1
    assert value(metrics, "schedule_execution_duration_seconds_sum", handler="fate") == 2
    assert value(metrics, "schedule_queue_depth") == value(metrics, "schedule_executions_running") == 0


async def test_lateness_is_from_the_scheduled_time_to_the_first_start(rig: Rig):
    """Once for each execution that stands for an occurrence."""
    metrics = Metrics()
    await rig.register("task", "@hourly", payload={"fate": "fail-at-first", "times": 1})
    with rig.hub.listening(metrics.notice):
        await rig.skip(3607)
        await rig.skip(2)
        await rig.service.run_now("task", detach=True)
        await rig.tick()
    assert value(metrics, "schedule_lateness_seconds_count") == 1
    assert value(metrics, "schedule_lateness_seconds_sum") == 7


async def test_a_backfill_is_not_late(rig: Rig):
    """Or the occurrences of last year would drown those that were."""
    metrics = Metrics()
    await rig.register("task", "@hourly")
    with rig.hub.listening(metrics.notice):
        await rig.service.backfill("task", START - timedelta(days=2), START - timedelta(days=1))
        await rig.tick()
    ended = {"task": "task", "state": "SUCCEEDED", "trigger": "BACKFILL"}
    assert value(metrics, "schedule_executions_total", **ended) == 24
    assert value(metrics, "schedule_lateness_seconds_count") == 0


async def test_what_never_ran_is_counted_and_has_no_duration(rig: Rig):
    """Skipped by its gate, cancelled while it waited."""
    metrics = Metrics()
    await rig.register("task", "@manual")
    with rig.hub.listening(metrics.notice):
        first = await rig.service.run_now("task", detach=True)
        await rig.service.run_now("task", detach=True)
        assert value(metrics, "schedule_queue_depth") == 1
        await rig.service.cancel(first.id)
    for state in ("SKIPPED", "CANCELLED"):
        assert value(metrics, "schedule_executions_total", task="task", state=state, trigger="MANUAL") == 1
    assert value(metrics, "schedule_execution_duration_seconds_count", handler="fate") is None
    assert value(metrics, "schedule_queue_depth") == 0


async def test_a_lost_lease_is_counted(rig: Rig, gate):
    """Once, where it is taken from its owner."""
    metrics = Metrics()
    gate("g")
    await rig.register(
        "task", "@manual", payload={"gate": "g"}, policy=Policy(retry=RetryPolicy(max_backoff=timedelta(0)))
    )
    await rig.service.run_now("task", detach=True)
    await rig.engine.tick()
    metrics.begin(await rig.store.count_open())
    with rig.hub.listening(metrics.notice):
        assert value(metrics, "schedule_executions_running") == 1
        await rig.engine.recover()
    assert value(metrics, "schedule_leases_rescued_total") == 1
    assert value(metrics, "schedule_executions_running") == 0
    assert value(metrics, "schedule_queue_depth") == 1
    gate("g").opened.set()
    await rig.engine.idle()


async def test_covered_occurrences_are_counted(rig: Rig):
    """Each that a later one's row stands for, once."""
    metrics = Metrics()
    await rig.register("task", "@hourly")
    with rig.hub.listening(metrics.notice):
        rig.clock.set_wall(rig.clock.now() + timedelta(hours=5))
        await rig.tick()
    assert value(metrics, "schedule_occurrences_covered_total") == 4


async def test_an_attempt_that_is_handed_back_is_no_failure(rig: Rig, gate):
    """Though one before it has failed: that has been counted already."""
    metrics = Metrics()
    await rig.register("task", "@manual", payload={"fate": "fail-at-first", "times": 1})
    execution = await rig.service.run_now("task", detach=True)
    with rig.hub.listening(metrics.notice):
        await rig.tick()
        await rig.clock.advance(2)
        (claim,) = await rig.claim("another")
        await rig.store.record(
            [HandBack(execution_id=execution.id, lease_token=claim.lease_token, time=rig.clock.now())]
        )
        await rig.tick()
    assert value(metrics, "schedule_attempts_failed_total", task="task", kind="ERROR") == 1
    assert value(metrics, "schedule_attempts_handed_back_total") == 1


async def test_an_abandoned_attempt_is_counted(rig: Rig, gate):
    """Once it is given up."""
    metrics = Metrics()
    gate("g")
    await rig.register("task", "@manual", handler="stubborn", payload={"gate": "g"})
    await rig.service.run_now("task", detach=True)
    with rig.hub.listening(metrics.notice):
        await rig.engine.tick()
        await gate("g").came.wait()
        await rig.until_done(asyncio.create_task(rig.engine.idle()))
    assert value(metrics, "schedule_attempts_abandoned_total") == 1
    gate("g").opened.set()


def test_hooks_write_the_series_of_their_names():
    """Where there is no event; health is asked at each scrape."""
    healthy = True
    metrics = every_metric(healthy=lambda: healthy)
    assert value(metrics, "schedule_healthy") == 1
    healthy = False
    text = exposition(metrics.registry).decode()
    for line in (
        'schedule_rpcs_total{code="NOT_FOUND",method="GetTask"} 1.0',
        'schedule_http_requests_total{method="GET",route="/tasks/{name}",status="404"} 1.0',
        "schedule_loop_lag_seconds 0.25",
        "schedule_commit_batch_size_sum 3.0",
        "schedule_commit_seconds_sum 0.002",
        'schedule_database_errors_total{operation="read"} 0.0',
        'schedule_database_errors_total{operation="write"} 1.0',
        "schedule_log_lines_dropped_total 7.0",
        'schedule_log_lines_total{outcome="kept"} 3.0',
        'schedule_log_lines_total{outcome="dropped"} 2.0',
        "schedule_workers_lapsed_total 1.0",
        'schedule_auth_would_refuse_total{method="GetTask"} 1.0',
        'schedule_quota_refused_total{namespace="reports",quota="max_tasks"} 1.0',
        'schedule_key_expires_seconds{key="ci",namespace="a"} 60.0',
        'schedule_key_expires_seconds{key="ci",namespace="b"} 5.0',
        "schedule_retention_age_seconds 600.0",
        "schedule_due_oldest_seconds 2.0",
        "schedule_queue_oldest_seconds 90.0",
        'schedule_handler_missing_seconds{handler="absent",namespace="default"} 90.0',
        'schedule_conditions{key="overdue",namespace="default",task="task"} 1.0',
        'schedule_workers{namespace="*"} 2.0',
        'schedule_worker_slots{namespace="*"} 20.0',
        "schedule_healthy 0.0",
    ):
        assert f"\n{line}\n" in text
    assert "_created" not in text


async def test_a_batch_counts_as_its_events_do_one_by_one(rig: Rig, gate):
    """Whatever is in it: starts, failures, retries, skipped ones, ends of several tasks, and what was covered."""
    one_by_one, batch = Metrics(), Metrics()
    told: list[Event] = []
    with rig.hub.listening(told.extend):
        await rig.register("task", "@hourly", payload={"fate": "fail-at-first", "times": 1})
        await rig.register("another", "@hourly", payload={"fate": "reject"})
        rig.clock.set_wall(rig.clock.now() + timedelta(hours=3))
        await rig.tick()
        await rig.skip(2)
        gate("g")
        await rig.register("held", "@manual", payload={"gate": "g"})
        for _ in range(3):
            await rig.service.run_now("held", detach=True)
        await rig.engine.tick()
        await rig.engine.recover()
        gate("g").opened.set()
        await rig.tick()
    batch.notice(told)
    for event in told:
        one_by_one.notice([event])
    assert samples(batch) == samples(one_by_one)
    states = ("SUCCEEDED", "FAILED", "SKIPPED")
    assert {labels["state"] for name, labels, _ in samples(batch) if name == "schedule_executions_total"} == {*states}


def samples(metrics: Metrics) -> list[tuple[str, dict[str, str], float]]:
    """Return all samples but the times at which series began, and those of this process."""
    return sorted(
        (
            (sample.name, sample.labels, sample.value)
            for family in metrics.registry.collect()
            for sample in family.samples
            if not sample.name.endswith("_created") and not sample.name.startswith(("process_", "python_"))
        ),
        key=repr,
    )


async def test_a_tasks_series_go_with_it(rig: Rig, gate):
    """What still runs then is counted among the others; a new task of that name begins anew."""
    metrics = Metrics()
    gate("g")
    with rig.hub.listening(metrics.notice_deleted, with_peers=True), rig.hub.listening(metrics.notice):
        await rig.register("task", "@hourly", payload={"fate": "fail-at-first", "times": 1})
        await rig.skip(3600)
        await rig.skip(2)
        await rig.register("task", "@hourly", payload={"gate": "g"})
        await rig.service.run_now("task", detach=True)
        await rig.engine.tick()
        assert 'task="task"' in exposition(metrics.registry).decode()
        await rig.service.delete("task")
        gate("g").opened.set()
        await rig.engine.idle()
        assert 'task="task"' not in exposition(metrics.registry).decode()
        ended = {"state": "SUCCEEDED", "trigger": "MANUAL"}
        assert value(metrics, "schedule_executions_total", task="(other)", **ended) == 1
        await rig.register("task", "@manual")
        await rig.service.run_now("task", detach=True)
        await rig.tick()
        assert value(metrics, "schedule_executions_total", task="task", **ended) == 1


async def test_series_of_two_namespaces_are_apart(rig: Rig):
    """Tasks of one name count by themselves, and one's deletion leaves the other's series."""
    metrics = Metrics()
    ended = {"task": "task", "state": "SUCCEEDED", "trigger": "MANUAL"}
    await rig.service.create_namespace("reports")
    there = rig.service.in_namespace("reports")
    with rig.hub.listening(metrics.notice_deleted, with_peers=True), rig.hub.listening(metrics.notice):
        task = await rig.register("task", "@manual")
        await there.register(Registration(definition=task.definition))
        for service in (rig.service, there, there):
            await service.run_now("task", detach=True)
            await rig.tick()
        counted = [
            value(metrics, "schedule_executions_total", namespace=each, **ended) for each in ("default", "reports")
        ]
        assert counted == [1, 2]
        await there.delete("task")
        counted = [
            value(metrics, "schedule_executions_total", namespace=each, **ended) for each in ("default", "reports")
        ]
        assert counted == [1, None]


async def test_series_do_not_grow_beyond_a_number_of_tasks(rig: Rig):
    """The rest is counted together; one that goes makes room for another."""
    metrics = Metrics(Bounds(tasks=2))
    ended = {"state": "SUCCEEDED", "trigger": "MANUAL"}
    with rig.hub.listening(metrics.notice_deleted, with_peers=True), rig.hub.listening(metrics.notice):
        for name in ("a", "b", "c", "d"):
            await rig.register(name, "@manual")
            await rig.service.run_now(name, detach=True)
            await rig.tick()
        assert value(metrics, "schedule_executions_total", task="(other)", **ended) == 2
        await rig.service.delete("a")
        await rig.service.run_now("d", detach=True)
        await rig.tick()
    counted = {each: value(metrics, "schedule_executions_total", task=each, **ended) for each in ("a", "b", "c", "d")}
    assert counted == {"a": None, "b": 1, "c": None, "d": 1}


async def test_a_task_that_another_server_deleted_has_no_series_either(rig: Rig):
    """It is told by its name and uid."""
    metrics = Metrics()
    with rig.hub.listening(metrics.notice_deleted, with_peers=True), rig.hub.listening(metrics.notice):
        task = await rig.register("task", "@manual")
        await rig.service.run_now("task", detach=True)
        await rig.tick()
        rig.hub.relay([TaskChanged(namespace=DEFAULT_NAMESPACE, name="task")])
        assert 'task="task"' in exposition(metrics.registry).decode()
        rig.hub.relay([TaskChanged(namespace=DEFAULT_NAMESPACE, name="task", deleted_uid=task.uid)])
        assert 'task="task"' not in exposition(metrics.registry).decode()


def test_a_method_that_nobody_knows_is_counted_among_the_others():
    """Callers may write anything there."""
    metrics = Metrics()
    for method in ("BREW", "UNSUBSCRIBE", "GET"):
        metrics.answered_http(method, "other", 405)
    counted = {"route": "other", "status": "405"}
    assert value(metrics, "schedule_http_requests_total", method="(other)", **counted) == 2
    assert value(metrics, "schedule_http_requests_total", method="GET", **counted) == 1
