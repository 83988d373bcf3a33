"""A scrape costs no more for 10,000 tasks than for 1,000, and tells nothing wrong of those that it does not name."""

import random
from collections import Counter as Count
from dataclasses import dataclass, field

import pytest
from support.rigs.every_metric import ended, every_metric

from schedule_grpc.domain.census import Census, Waiting, WorkerCount
from schedule_grpc.domain.execution import State
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.events import TaskChanged
from schedule_grpc.metrics import OTHER, Bounds, Metrics, exposition
from schedule_grpc.settings.metrics import MetricsOptions

ENDS = "schedule_executions_total"
Place = tuple[str, str]


def samples(metrics: Metrics, name: str) -> list[tuple[dict[str, str], float]]:
    """Return the labels and values of a name's samples."""
    found = (sample for family in metrics.registry.collect() for sample in family.samples)
    return [(sample.labels, sample.value) for sample in found if sample.name == name]


def by_task(metrics: Metrics) -> dict[Place, float]:
    """Return how many executions ended, by namespace and task."""
    summed: Count[Place] = Count()
    for labels, value in samples(metrics, ENDS):
        summed[labels["namespace"], labels["task"]] += value
    return dict(summed)


def lines(metrics: Metrics) -> list[str]:
    """Return the series of a scrape, a line each."""
    return [line for line in exposition(metrics.registry).decode().splitlines() if not line.startswith("#")]


def test_ten_thousand_tasks_cost_what_a_thousand_cost():
    """Of as many handlers in as many namespaces, each with a refusal; and no execution is left out of the counts."""
    small, large = every_metric(), every_metric()
    for metrics, number in ((small, 1_000), (large, 10_000)):
        for each in range(number):
            names = {"namespace": f"namespace-{each:05d}", "handler": f"handler-{each:05d}"}
            metrics.notice([ended(f"task-{each:05d}", **names)])
            metrics.quota_refused(names["namespace"], "max_tasks")
        assert sum(value for _, value in samples(metrics, ENDS)) == number + 2
        took = samples(metrics, "schedule_execution_duration_seconds_count")
        assert (len(took), sum(value for _, value in took)) == (101, number + 2)
        refused = samples(metrics, "schedule_quota_refused_total")
        assert (len(refused), sum(value for _, value in refused)) == (101, number + 1)
    assert len(lines(large)) <= len(lines(small)) + 100 + 1  # what tasks of a namespace share, and those of all others
    assert len(lines(large)) < 3_000
    assert len(exposition(large.registry)) < 350_000


def test_each_end_of_a_task_beyond_the_bound_is_counted_in_its_namespace():
    """Up to as many namespaces as are named; then in one for all."""
    metrics = Metrics(Bounds(tasks=1, namespaces=2))
    for namespace in ("a", "a", "b", "c", "d", "b"):
        metrics.notice([ended(f"task-{namespace}", namespace=namespace)])
    metrics.notice([ended("further", namespace="a")])
    assert by_task(metrics) == {("a", "task-a"): 2, ("b", OTHER): 2, ("c", OTHER): 1, (OTHER, OTHER): 2}


@pytest.mark.parametrize("bounds", [Bounds(tasks=0, handlers=0, namespaces=0), Bounds(tasks=1, handlers=1)])
def test_no_bound_is_too_small(bounds: Bounds):
    """With none of its own, everything is counted together."""
    metrics = every_metric(bounds)
    metrics.notice([ended("another", handler="another")])
    assert sum(value for _, value in samples(metrics, ENDS)) == 3


def test_the_newer_of_two_tasks_of_one_name_has_the_series():
    """Whether the notice of the older one's deletion comes late, or never; it takes nothing from the newer one."""
    metrics = Metrics()
    metrics.notice([ended("task", "1"), ended("task", "1")])
    metrics.notice([ended("task", "2")])
    assert by_task(metrics) == {("default", "task"): 1}
    metrics.notice([ended("task", "1")])
    assert by_task(metrics) == {("default", "task"): 1, ("default", OTHER): 1}
    metrics.notice_deleted([TaskChanged(namespace="default", name="task", deleted_uid="1")])
    metrics.notice([ended("task", "2")])
    assert by_task(metrics) == {("default", "task"): 2, ("default", OTHER): 1}


def test_an_end_of_a_deleted_task_names_nobody():
    """Whether its name was given to a newer task, of which this server knows alone, or to none."""
    metrics = Metrics()
    metrics.notice([ended("task", "2"), ended("task", "1"), ended("task", "2")])
    assert by_task(metrics) == {("default", "task"): 2, ("default", OTHER): 1}
    metrics.notice_deleted([TaskChanged(namespace="default", name="unseen", deleted_uid="3")])
    metrics.notice([ended("unseen", "3")])
    assert by_task(metrics) == {("default", "task"): 2, ("default", OTHER): 2}


def test_all_series_of_a_deleted_task_go():
    """Of each state, trigger and kind of failure."""
    metrics = Metrics()
    metrics.notice([ended("task"), ended("task", state=State.FAILED, kind=FailureKind.TIMEOUT), ended("kept")])
    metrics.notice_deleted([TaskChanged(namespace="default", name="task", deleted_uid="uid-default-task")])
    assert [line for line in lines(metrics) if 'task="task"' in line] == []
    assert by_task(metrics) == {("default", "kept"): 1}


def test_a_deleted_namespace_leaves_nothing_and_makes_room():
    """What its tasks shared, and what was refused in it."""
    metrics = Metrics(Bounds(tasks=0, namespaces=1))
    metrics.notice([ended("task", namespace="gone")])
    metrics.quota_refused("gone", "max_tasks")
    metrics.quota_refused("gone", "max_streams")
    assert metrics.known_namespaces == ("gone",)
    metrics.forget(namespaces=["gone", "never-there"])
    assert [line for line in lines(metrics) if "gone" in line] == []
    metrics.notice([ended("task", namespace="next")])
    assert by_task(metrics) == {("next", OTHER): 1}


def test_a_census_is_bounded_too():
    """What waits longest for a handler, the conditions, and the workers by namespace."""
    metrics = Metrics(Bounds(tasks=2, handlers=2, namespaces=2))
    metrics.note_census(
        Census(
            waiting=[Waiting(namespace="n", handler=f"h{k}", seconds=k, is_offered=k % 2 == 0) for k in range(10)],
            conditions=[("n", f"t{k}", "overdue") for k in range(5)],
            workers=[WorkerCount(namespace=f"n{k}", workers=1, slots=k) for k in range(4)],
        )
    )
    missing = {labels["handler"]: value for labels, value in samples(metrics, "schedule_handler_missing_seconds")}
    assert missing == {"h9": 9, "h7": 7, OTHER: 5}
    assert samples(metrics, "schedule_queue_oldest_seconds") == [({}, 9)]
    assert [value for _, value in samples(metrics, "schedule_conditions")] == [1, 1, 3]
    slots = {labels["namespace"]: value for labels, value in samples(metrics, "schedule_worker_slots")}
    assert slots == {"n3": 3, "n2": 2, OTHER: 1}


def test_keys_that_expire_later_have_no_series():
    """The hundred that do so first are told."""
    metrics = Metrics()
    metrics.report_keys(lambda: {("default", f"key-{k:04d}"): float(k) for k in range(1000, 0, -1)})
    assert [value for _, value in samples(metrics, "schedule_key_expires_seconds")] == list(range(1, 101))


def test_the_bounds_of_the_settings_are_those_of_the_metrics():
    """Both have the defaults that the documents name."""
    options = MetricsOptions()
    told = Bounds(tasks=options.max_tasks, handlers=options.max_handlers, namespaces=options.max_namespaces)
    assert told == Bounds()


@dataclass
class World:
    """Tasks that are registered, run, deleted and registered anew, while notices are late, twice, or lost."""

    choose: random.Random
    metrics: Metrics
    living: dict[Place, str] = field(default_factory=dict)
    """Uids by namespace and name."""
    deleted: list[tuple[Place, str]] = field(default_factory=list)
    """In the order of their deletion."""
    unnoticed: list[tuple[Place, str]] = field(default_factory=list)
    numbers: int = 0
    ends_of: Count[str] = field(default_factory=Count)
    """Numbers of ends by uid."""

    def step(self) -> None:
        """Do one thing."""
        self.choose.choice([self.run, self.run, self.run, self.run_late, self.delete, self.notice, self.reconcile])()

    def run(self) -> None:
        """Let a task end an execution; one of its name is registered if there is none."""
        place = self.choose.choice("abc"), self.choose.choice("uvwxyz")
        if place not in self.living:
            self.numbers += 1
            self.living[place] = f"{self.numbers:06d}"
        self.end(place, self.living[place])

    def run_late(self) -> None:
        """Let an execution end whose task is deleted."""
        if self.deleted:
            self.end(*self.choose.choice(self.deleted[-5:]))

    def end(self, place: Place, uid: str) -> None:
        """Count an end."""
        self.ends_of[uid] += 1
        self.metrics.notice([ended(place[1], uid, namespace=place[0])])

    def delete(self) -> None:
        """Delete a task."""
        if self.living:
            place = self.choose.choice(sorted(self.living))
            gone = place, self.living.pop(place)
            self.deleted.append(gone)
            self.unnoticed.append(gone)

    def notice(self) -> None:
        """Hear of a deletion, of any that was not heard of; or of one again; or never."""
        if self.unnoticed:
            (namespace, name), uid = self.unnoticed.pop(self.choose.randrange(len(self.unnoticed)))
            if self.choose.random() < 0.8:
                change = TaskChanged(namespace=namespace, name=name, deleted_uid=uid)
                self.metrics.notice_deleted([change] * self.choose.choice([1, 2]))

    def reconcile(self) -> None:
        """Look which tasks are gone, as is done once a minute."""
        if self.choose.random() < 0.2:
            self.metrics.forget(tasks=set(self.metrics.known_tasks) - set(self.living.values()))
            self.unnoticed.clear()
            named = {place for place in by_task(self.metrics) if place[1] != OTHER}
            assert named <= set(self.living)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_the_counts_hold(seed: int):
    """At most so many tasks are named, nothing is counted twice, `(other)` never goes back, and no own series shrinks.

    A task's series may end, and one of a newer task of its name begin at 0.
    """
    bounds = Bounds(tasks=6, namespaces=2)
    world = World(random.Random(seed), Metrics(bounds))  # noqa: S311 (the test's own chance)
    before: dict[Place, float] = {}
    owners_before: dict[Place, str] = {}
    for _ in range(300):
        world.step()
        now = by_task(world.metrics)
        assert len([place for place in now if place[1] != OTHER]) <= bounds.tasks
        assert len({place for place in now if place[1] == OTHER}) <= bounds.namespaces + 1
        assert sum(now.values()) <= world.ends_of.total()
        shared = {place: value for place, value in before.items() if place[1] == OTHER}
        assert all(now.get(place, 0) >= value for place, value in shared.items())
        owners = {series.key: series.uid for series in world.metrics._tasks._named.values()}
        assert all(now[place] <= world.ends_of[uid] for place, uid in owners.items())
        assert all(now[place] >= before[place] for place, uid in owners.items() if owners_before.get(place) == uid)
        owners_before = owners
        before = now
