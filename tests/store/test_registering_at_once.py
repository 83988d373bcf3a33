"""Tasks that are registered in one write, without a look before it: the same rows, and the same is told."""

from typing import Any

import pytest
from support.rigs.begin_scene import left_behind, told_by
from support.rigs.rig import Rig

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.registration import FreshTask, Registration, fresh_task
from schedule_grpc.domain.task import Task, define
from schedule_grpc.errors import EtagMismatch, InvalidArgument, SchedulePassed
from schedule_grpc.events import TaskChanged


def wanted(name: str, schedule: str = "@hourly", **more: Any) -> Registration:
    """Return a registration."""
    asked = {key: more.pop(key) for key in ("enabled", "etag") if key in more}
    return Registration(definition=define(name=name, schedule=schedule, handler="fate", **more), **asked)


def fresh(rig: Rig, *registrations: Registration) -> list[FreshTask]:
    """Return registrations as new tasks."""
    return [fresh_task(each, rig.clock.now()) for each in registrations]


async def registered_with_a_look(rig: Rig, monkeypatch: pytest.MonkeyPatch, registration: Registration) -> Task:
    """Register by the way that looks first, computes, and writes what is still as it was."""

    async def none_at_once(calls, *, limited):
        return (None,) * len(calls)

    with monkeypatch.context() as patched:
        patched.setattr(rig.store, "register_tasks", none_at_once)
        return await rig.service.register(registration)


@pytest.mark.parametrize("enabled", [None, True, False])
@pytest.mark.parametrize(
    "more",
    [{}, {"schedule": "30 4 * * 1-5", "time_zone": "Europe/Berlin"}, {"schedule": "@manual", "payload": {"a": 1}}],
)
async def test_at_once_is_with_a_look(rig: Rig, monkeypatch: pytest.MonkeyPatch, enabled: Any, more: Any):
    """New, the same again, and changed."""
    told, heard = told_by(rig), []
    changed = {"description": "changed"}
    for given in (more, more, more | changed, more):
        other = await registered_with_a_look(rig, monkeypatch, wanted("two-step", enabled=enabled, **given))
        by_a_look, told[:] = len(told), []
        one = await rig.service.register(wanted("one-step", enabled=enabled, **given))
        heard.append((by_a_look, len(told)))
        told.clear()
        assert left_behind(rig, "one-step") == left_behind(rig, "two-step")
        assert one.revision == other.revision
        assert one == await rig.service.get_task("one-step")
    assert heard == [(1, 1), (0, 0), (1, 1), (1, 1)]


async def test_calls_that_come_together_are_answered_each_for_itself(rig: Rig):
    """New ones, one that is there as it is wanted, one that would change a task: that one is left out."""
    same, other = await rig.register("same"), await rig.register("other")
    new = fresh(rig, wanted("new"))
    told = told_by(rig)
    calls = [new, fresh(rig, wanted("same")), fresh(rig, wanted("other", "@daily"))]
    assert await rig.store.register_tasks(calls) == ((new[0].task,), (same,), None)
    assert told == [TaskChanged(namespace=DEFAULT_NAMESPACE, name="new")]
    assert await rig.service.get_task("other") == other


async def test_of_a_call_all_or_none(rig: Rig):
    """What it would create is not created where it would change another."""
    await rig.register("other")
    call = fresh(rig, wanted("new"), wanted("other", "@daily"), wanted("newer"))
    assert await rig.store.register_tasks([call]) == (None,)
    assert await rig.store.find_tasks([(DEFAULT_NAMESPACE, "new"), (DEFAULT_NAMESPACE, "newer")]) == {}


async def test_one_name_wanted_by_two_calls_at_once(rig: Rig):
    """The first creates it; the second finds it as it wants it, or is left out."""
    calls = [fresh(rig, wanted("task")), fresh(rig, wanted("task")), fresh(rig, wanted("task", "@daily"))]
    (first,), (second,), third = await rig.store.register_tasks(calls)
    assert first == second == calls[0][0].task
    assert third is None
    assert await rig.service.get_task("task") == first


async def test_what_is_refused_is_refused_as_ever(rig: Rig):
    """By what the task is; nothing is written."""
    past = "2020-01-01T00:00:00Z"
    with pytest.raises(SchedulePassed):
        await rig.service.register(wanted("task", past))
    with pytest.raises(EtagMismatch):
        await rig.service.register(wanted("task", etag="1"))
    with pytest.raises(InvalidArgument) as refused:
        await rig.service.register_all([wanted("a"), wanted("b", past)])
    assert [each.field for each in refused.value.violations] == ["requests[1].schedule"]
    assert await rig.store.find_tasks([(DEFAULT_NAMESPACE, name) for name in ("task", "a", "b")]) == {}
