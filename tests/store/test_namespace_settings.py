"""The settings of namespaces: which handlers their tasks may name, who changes them, and when one is deleted."""

import asyncio
from collections.abc import Mapping
from typing import Any

import asyncpg
import pytest
from support.patience import until
from support.rigs.namespaces import reports, wanted
from support.rigs.rig import START, Rig, new_rig
from support.servers.postgres import Postgres
from support.witnesses.checker.reading import rows

from schedule_grpc import builtin
from schedule_grpc.domain.access.namespace import (
    DEFAULT_LIMITS,
    DEFAULT_NAMESPACE,
    NO_LIMITS,
    Limits,
    Namespace,
    namespace_violations,
)
from schedule_grpc.domain.execution import ExecutionFilter, State
from schedule_grpc.domain.paging import Page
from schedule_grpc.domain.registration import TaskUpdate
from schedule_grpc.domain.task import TaskFilter
from schedule_grpc.errors import (
    EtagMismatch,
    HandlerNotAllowed,
    InvalidArgument,
    NamespaceExists,
    NamespaceNotEmpty,
    NamespaceNotFound,
)
from schedule_grpc.service import Service

BUILTINS = frozenset({"http-request", "backup-database"})
ALLOWED: Mapping[tuple[str, ...], set[str]] = {
    ("*",): {"fate", "in-thread", "stubborn"},
    ("fate",): {"fate"},
    ("st*", "in-*"): {"stubborn", "in-thread"},
    ("*", "http-request"): {"fate", "in-thread", "stubborn", "http-request"},
    ("http-*",): set(),
    (): set(),
}
"""What tasks of a namespace with these patterns may name, of all that is offered."""


@pytest.mark.parametrize("patterns", ALLOWED)
async def test_a_namespace_says_which_handlers_its_tasks_may_name(rig: Rig, patterns: tuple[str, ...]):
    """Built-in ones outside the default namespace by their whole names only."""
    service = Service(store=rig.store, clock=rig.clock, hub=rig.hub, registry=rig.registry, builtins=BUILTINS)
    await service.create_namespace("reports", handlers=patterns)
    there = service.in_namespace("reports")
    names = {"fate", "in-thread", "stubborn", *BUILTINS}
    for name in names - ALLOWED[patterns]:
        with pytest.raises(HandlerNotAllowed, match=rf"namespace reports may not use the handler {name} \(allowed: "):
            await there.register(wanted(handler=name))
    for name in ALLOWED[patterns]:
        await there.register(wanted(name, handler=name))
    assert {each.name for each in await there.handlers()} == ALLOWED[patterns] - BUILTINS  # nobody offers those here
    assert (await service.register(wanted(handler="backup-database"))).handler == "backup-database"


async def test_a_refusal_names_all_that_is_needed_to_mend_it(rig: Rig):
    """Handler, namespace, patterns and task, in words and in details."""
    service = Service(store=rig.store, clock=rig.clock, hub=rig.hub, registry=rig.registry, builtins=BUILTINS)
    await service.create_namespace("reports", handlers=["reports.*", "*"])
    with pytest.raises(HandlerNotAllowed) as refused:
        await service.in_namespace("reports").register(wanted("nightly", handler="backup-database"))
    assert refused.value.message == (
        "Tasks of the namespace reports may not use the handler backup-database (allowed: *, reports.*; "
        "a built-in handler is allowed by its whole name only)"
    )
    assert refused.value.details == {
        "handler": "backup-database",
        "namespace": "reports",
        "handlers": "*, reports.*",
        "task": "nightly",
    }


async def test_tasks_that_are_there_outlive_their_permission(rig: Rig):
    """They run on; a change of the definition is refused, to another handler too, switching is not."""
    there = await reports(rig)
    await there.register(wanted())
    await rig.service.update_namespace("reports", handlers=["stubborn"])
    for ask in (
        there.register(wanted()),
        there.update(TaskUpdate(name="task", fields={"payload": {"n": 1}}, policy={})),
        there.update(TaskUpdate(name="task", fields={"handler": "in-thread"}, policy={})),
        rig.service.declare([wanted(namespace="reports")]),
    ):
        with pytest.raises(HandlerNotAllowed):
            await ask
    await there.disable("task")
    assert (await there.enable("task")).enabled
    await there.run_now("task", detach=True)
    await rig.tick()
    history = await there.history("task", ExecutionFilter(), Page())
    assert [each.state for each in history.executions] == [State.SUCCEEDED]
    assert (await there.update(TaskUpdate(name="task", fields={"handler": "stubborn"}, policy={}))).etag == "4"


async def test_settings_are_read_again_within_a_second(rig: Rig):
    """Another server changed them; on this one a change is heeded at once."""
    there = await reports(rig)
    elsewhere = Service(store=rig.store, clock=rig.clock, hub=rig.hub, registry=rig.registry)
    await there.register(wanted("a"))
    await elsewhere.update_namespace("reports", handlers=[])
    await there.register(wanted("b"))
    await rig.clock.advance(1)
    with pytest.raises(HandlerNotAllowed):
        await there.register(wanted("c"))
    await rig.service.update_namespace("reports", handlers=["fate"])
    await there.register(wanted("c"))


async def test_runs_and_registrations_read_no_settings_each(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """Once a second, for registrations only."""
    read: list[str] = []
    real = rig.store.find_namespace

    async def reading(name: str) -> Namespace | None:
        read.append(name)
        return await real(name)

    monkeypatch.setattr(rig.store, "find_namespace", reading)
    there = await reports(rig)
    for name in ("a", "b", "c"):
        await there.register(wanted(name))
        await there.run_now(name, detach=True)
    assert read == ["reports"]
    await rig.tick()


async def test_a_namespace_is_read_as_it_was_written(rig: Rig):
    """With the defaults, with settings of its own, and after changes; the etag follows."""
    created = await rig.service.create_namespace("reports")
    assert created == Namespace(name="reports", create_time=START, handlers=("*",), limits=DEFAULT_LIMITS)
    assert await rig.service.get_namespace("reports") == created
    limits = Limits(max_tasks=7, max_streams=None, running_share=1.0)
    changed = await rig.service.update_namespace("reports", handlers=["b", "a.*", "b"], limits=limits, etag="1")
    assert (changed.handlers, changed.limits, changed.etag) == (("a.*", "b"), limits, "2")
    assert await rig.service.get_namespace("reports") == changed
    assert await rig.service.update_namespace("reports", handlers=["a.*", "b"]) == changed
    found = await rig.service.get_namespace(DEFAULT_NAMESPACE)
    assert (found.handlers, found.limits, found.etag) == (("*",), NO_LIMITS, "1")


async def test_settings_are_compared_and_set(rig: Rig):
    """An etag that is old is refused; of two writers of one version the second writes nothing."""
    await rig.service.create_namespace("reports")
    before = await rig.service.get_namespace("reports")
    await rig.service.update_namespace("reports", handlers=["a"])
    for ask in (
        rig.service.update_namespace("reports", handlers=["b"], etag="1"),
        rig.service.delete_namespace("reports", etag="1"),
    ):
        with pytest.raises(EtagMismatch, match=r"^Namespace reports has changed: its etag is 2, not 1$"):
            await ask
    assert not await rig.store.update_namespace(before, before)
    assert not await rig.store.delete_namespace(before)
    with pytest.raises(NamespaceExists):
        await rig.service.create_namespace("reports")
    assert (await rig.service.get_namespace("reports")).handlers == ("a",)


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        ({"name": "Reports"}, ["name"]),
        ({"name": ""}, ["name"]),
        ({"name": "a" * 64}, ["name"]),
        ({"handlers": ["*a"]}, ["handlers[0]"]),
        ({"handlers": ["a", "a b", "a**", ""]}, ["handlers[1]", "handlers[2]", "handlers[3]"]),
        ({"handlers": ["a"] * 101}, ["handlers"]),
        ({"limits": Limits(max_tasks=-1, running_share=0)}, ["limits.max_tasks", "limits.running_share"]),
        (
            {"limits": Limits(runs_per_minute=2**31, running_share=1.5)},
            ["limits.runs_per_minute", "limits.running_share"],
        ),
    ],
)
async def test_settings_that_are_wrong_are_named(rig: Rig, settings: dict[str, Any], fields: list[str]):
    """Each by its field; nothing is created or changed."""
    with pytest.raises(InvalidArgument) as refused:
        await rig.service.create_namespace(**{"name": "reports"} | settings)
    assert [each.field for each in refused.value.violations] == fields
    if "name" not in settings:
        before = await rig.service.create_namespace("reports")
        with pytest.raises(InvalidArgument):
            await rig.service.update_namespace("reports", **settings)
        assert await rig.service.get_namespace("reports") == before


def test_names_of_namespaces():
    """Small letters, digits and hyphens, a letter first, at most 63."""
    for good in ("a", "default", "a-1", "a" * 63):
        assert not list(namespace_violations("namespace", good))
    for bad in ("", "1a", "-a", "A", "a_b", "a.b", "a/b", "ü", "a" * 64, "a\n"):
        assert [each.field for each in namespace_violations("namespace", bad)] == ["namespace"]


async def test_namespaces_are_listed_by_name_in_pages(rig: Rig):
    """Each once; a token of another list is refused."""
    for name in ("b", "a", "zoo", "c"):
        await rig.service.create_namespace(name)
    seen, token = [], ""
    while True:
        page = await rig.service.list_namespaces(Page(size=2, token=token))
        seen.append([each.name for each in page.namespaces])
        token = page.next_page_token
        if not token:
            break
    assert seen == [["a", "b"], ["c", "default"], ["zoo"]]
    await rig.register("one", "@manual")
    await rig.register("two", "@manual")
    foreign = (await rig.service.list_tasks(TaskFilter(), Page(size=1))).next_page_token
    with pytest.raises(InvalidArgument):
        await rig.service.list_namespaces(Page(token=foreign))


async def test_only_an_empty_namespace_is_deleted(rig: Rig):
    """Not with tasks, not while history of deleted ones is kept, and never the default one."""
    there = await reports(rig)
    await there.register(wanted())
    with pytest.raises(NamespaceNotEmpty, match="has tasks"):
        await rig.service.delete_namespace("reports")
    await there.run_now("task", detach=True)
    await rig.tick()
    await there.delete("task")
    with pytest.raises(NamespaceNotEmpty, match="history of deleted tasks"):
        await rig.service.delete_namespace("reports")
    await rig.clock.advance(40 * 86_400)
    await rig.engine.prune()
    await rig.service.delete_namespace("reports")
    with pytest.raises(NamespaceNotFound):
        await rig.service.get_namespace("reports")
    with pytest.raises(NamespaceNotFound):
        await there.register(wanted())
    with pytest.raises(NamespaceNotEmpty, match="cannot be deleted"):
        await rig.service.delete_namespace(DEFAULT_NAMESPACE)


async def test_a_namespace_that_goes_takes_no_new_task_with_it(rig: Rig):
    """Another server deleted it while this one still knew it: the registration is refused, and nothing is written."""
    there = await reports(rig)
    await there.handlers()
    elsewhere = Service(store=rig.store, clock=rig.clock, hub=rig.hub, registry=rig.registry)
    await elsewhere.delete_namespace("reports")
    for ask in (there.register(wanted()), there.register_all([wanted("a"), wanted("b")])):
        with pytest.raises(NamespaceNotFound):
            await ask
    assert rows(rig.place, "SELECT * FROM scheduled_tasks") == []


async def test_settings_that_cannot_be_read_allow_nothing(rig: Rig):
    """Patterns allow no handler then; a limit has its default."""
    for number, (handlers, limits) in enumerate(
        (("[", "{"), ("{}", "[]"), ("[1]", '{"max_tasks": -1, "max_streams": 5}'))
    ):
        name = f"n{number}"
        await rig.service.create_namespace(name)
        await rig.store._database.write(lambda h=handlers, w=limits, n=name: _written(h, w, n))
        found = await rig.service.get_namespace(name)
        assert found.handlers == ()
        assert found.limits == (Limits(max_streams=5) if number == 2 else DEFAULT_LIMITS)


def _written(handlers: str, limits: str, name: str) -> Any:
    yield f"UPDATE namespaces SET handlers = '{handlers}', limits = '{limits}' WHERE name = '{name}'", {}


async def test_built_in_names_are_those_of_the_built_in_handlers():
    """All that a server runs by itself, with the definitions that it registers."""
    from schedule_grpc.app import _builtin_names  # noqa: PLC0415 (what it loads)

    assert {each.handler for each in builtin.default_definitions()} | {"http-request"} == _builtin_names()


async def waits(connection: asyncpg.Connection) -> None:
    """Return once a statement waits for what another transaction holds."""

    async def waiting() -> bool:
        return bool(await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))

    await until(waiting)


async def test_a_deletion_waits_for_a_registration_under_way(postgres: Postgres):
    """And finds what it registered; the other way round the registration waits, and finds no namespace."""
    with postgres.database() as url:
        other, third = await asyncpg.connect(url), await asyncpg.connect(url)
        async with new_rig(url) as rig:
            there = await reports(rig)
            task = await there.register(wanted())
            await there.delete("task")
            async with other.transaction():
                await other.execute("SELECT FROM namespaces WHERE name = 'reports' FOR KEY SHARE")
                await other.execute("UPDATE scheduled_tasks SET delete_time = NULL WHERE uid = $1", task.uid)
                deleting = asyncio.create_task(rig.service.delete_namespace("reports"))
                await waits(third)
            with pytest.raises(NamespaceNotEmpty, match="has tasks"):
                await deleting
            async with other.transaction():
                await other.execute("DELETE FROM namespaces WHERE name = 'reports'")
                registering = asyncio.create_task(there.register(wanted("new")))
                await waits(third)
            with pytest.raises(NamespaceNotFound):
                await registering
            assert not await other.fetch("SELECT FROM scheduled_tasks WHERE name = 'new'")
        await other.close()
        await third.close()
