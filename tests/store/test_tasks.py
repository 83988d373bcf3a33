"""What the store promises of tasks, on a real file."""

import pytest
from msgspec.structs import replace
from support.rigs.rig import Rig, at

from schedule_grpc.domain.paging import Page
from schedule_grpc.domain.planning import plan
from schedule_grpc.domain.registration import Registration, TaskChange, registered
from schedule_grpc.domain.task import Handler, TaskFilter, define
from schedule_grpc.errors import EtagMismatch, HandlerNotFound, InvalidArgument, TaskNotFound


async def names(rig: Rig, page: Page | None = None, **chosen) -> list[str]:
    """Return the names that a list shows."""
    found = await rig.service.list_tasks(TaskFilter(**chosen), page or Page())
    return [task.name for task in found.tasks]


async def test_a_task_is_read_as_it_was_written(rig: Rig):
    """Everything of a definition survives the file."""
    written = await rig.register(
        "a.b-c_D9",
        "0 9 * * 1-5",
        time_zone="Europe/Berlin",
        payload={"n": 1.5, "deep": [{"x": None}], "text": "ü'\"\n"},
        metadata={"category": "c", "description": "from metadata"},
    )
    assert await rig.service.get_task("a.b-c_D9") == written


async def test_lists_are_ordered_by_name_and_filtered(rig: Rig):
    """Names come in byte order; filters combine."""
    for name, category in (("b", "x"), ("a", "x"), ("B", "y"), ("b2", "y"), ("_z".strip("_"), "")):
        await rig.register(name, metadata={"category": category} if category else {})
    await rig.service.disable("b")
    assert await names(rig) == ["B", "a", "b", "b2", "z"]
    assert await names(rig, name_prefix="b") == ["b", "b2"]
    assert await names(rig, category="x") == ["a", "b"]
    assert await names(rig, category="x", enabled=True) == ["a"]
    assert await names(rig, handler="none") == []


@pytest.mark.slow
async def test_pages_cover_every_task_once(rig: Rig):
    """1,100 tasks in pages of 500: three pages, each name once; page_size above 1,000 gives 1,000."""
    for number in range(1100):
        await rig.register(f"t{number:04}")
    token, seen = "", []
    for expected in (500, 500, 100):
        page = await rig.service.list_tasks(TaskFilter(), Page(size=500, token=token))
        assert len(page.tasks) == expected
        seen += [task.name for task in page.tasks]
        token = page.next_page_token
    assert token == ""
    assert seen == sorted(f"t{number:04}" for number in range(1100))
    assert len((await rig.service.list_tasks(TaskFilter(), Page(size=2**31 - 1))).tasks) == 1000


async def test_a_token_of_another_question_is_refused(rig: Rig):
    """A page token belongs to its filters."""
    await rig.register("a")
    await rig.register("b")
    token = (await rig.service.list_tasks(TaskFilter(), Page(size=1))).next_page_token
    with pytest.raises(InvalidArgument, match="page_token"):
        await rig.service.list_tasks(TaskFilter(name_prefix="a"), Page(size=1, token=token))


async def test_a_change_of_an_overtaken_task_is_not_written(rig: Rig):
    """Compare and set: a change made from an old reading is refused whole, its settlement included."""
    before = await rig.register()
    await rig.register(metadata={"by": "another"})
    after = replace(before, revision=2)
    await rig.clock.advance(7200)
    change = TaskChange(before=before, after=after, settlement=plan(before, rig.clock.now()))
    assert await rig.store.change_tasks([change], now=rig.clock.now()) is False
    assert await rig.history() == ()


async def test_two_creations_of_one_name_make_one_task(rig: Rig):
    """The second insert finds the name taken."""
    now = rig.clock.now()
    definition = define(name="task", schedule="@daily", handler="fate")
    first, second = (registered(None, definition, enabled=None, now=now) for _ in range(2))
    assert await rig.store.change_tasks([first], now=now) is True
    assert await rig.store.change_tasks([second], now=now) is False


async def test_a_firing_of_an_overtaken_task_is_dropped(rig: Rig):
    """Two firings of the same reading: one moves the task, the other does nothing."""
    task = await rig.register()
    await rig.clock.advance(3600)
    now = rig.clock.now()
    firing, again = plan(task, now), plan(task, now)
    assert len((await rig.store.fire([firing, again], now=now)).executions) == 1
    assert (await rig.store.fire([again], now=now)).executions == ()
    assert len(await rig.history()) == 1


async def test_an_occurrence_has_one_row_even_if_the_schedule_names_it_again(rig: Rig):
    """A clock set back and a changed schedule bring the same instant up again: it is not recorded twice."""
    await rig.register(schedule="0 11 * * *")
    await rig.skip(3600)
    rig.clock.set_wall(at("2026-01-31T10:30"))
    await rig.register(schedule="0 11,12 * * *")
    await rig.skip(1800)
    assert len(await rig.history()) == 1


async def test_a_changed_handler_reaches_what_waits(rig: Rig):
    """PENDING rows are run by the new handler."""
    await rig.register("task", "@manual", handler="nobody", allow_unknown_handler=True)
    await rig.service.run_now("task", detach=True)
    await rig.register("task", "@manual")
    await rig.tick()
    (execution,) = await rig.history()
    assert (execution.handler, execution.state.value) == ("fate", "SUCCEEDED")


async def test_an_unknown_handler_is_refused_with_the_names_there_are(rig: Rig):
    """The error lists the handlers; one that was offered once is accepted."""
    with pytest.raises(
        HandlerNotFound, match=r"Task handler not found: nobody \(handlers: fate, in-thread, stubborn\)"
    ):
        await rig.register(handler="nobody")
    await rig.store.offer_handlers([Handler(name="nobody")], now=rig.clock.now())
    await rig.register(handler="nobody")
    offered = {handler.name: handler.offered for handler in await rig.service.handlers()}
    assert offered == {"fate": True, "in-thread": True, "nobody": False, "stubborn": True}


async def test_etags_guard_changes(rig: Rig):
    """Every change makes a new etag; an old one is refused; firing changes none."""
    first = await rig.register()
    await rig.skip(3600)
    assert (await rig.service.get_task("task")).etag == first.etag
    second = await rig.service.disable("task", etag=first.etag)
    assert second.etag != first.etag
    with pytest.raises(EtagMismatch):
        await rig.service.enable("task", etag=first.etag)
    with pytest.raises(EtagMismatch):
        await rig.register("new", etag="1")


async def test_validate_only_stores_nothing(rig: Rig):
    """The answer is as if; afterwards there is no such task."""
    task = await rig.register(validate_only=True)
    assert task.next_run_time == at("2026-01-31T11:00")
    with pytest.raises(TaskNotFound):
        await rig.service.get_task("task")


async def test_a_once_in_the_past_is_refused_when_new_and_kept_when_unchanged(rig: Rig):
    """An instant that has passed cannot be registered, but a registered one may be registered again."""
    with pytest.raises(InvalidArgument, match="lies in the past"):
        await rig.register("late", "2026-01-31T09:59:59Z")
    kept = await rig.register("kept", "2026-01-31T10:01:00Z")
    await rig.skip(120)
    again = await rig.register("kept", "2026-01-31T10:01:00Z")
    assert again.uid == kept.uid
    assert again.next_run_time is None


async def test_default_tasks_are_registered_once_and_never_touched(rig: Rig):
    """The second call registers nothing, and a changed built-in stays as it was changed."""
    rig.service._defaults = (define(name="built-in", schedule="@daily", handler="fate"),)
    (registered,) = await rig.service.initialize_defaults()
    assert registered.name == "built-in"
    changed = await rig.service.register(
        Registration(definition=define(name="built-in", schedule="@weekly", handler="fate"))
    )
    assert await rig.service.initialize_defaults() == ()
    assert await rig.service.get_task("built-in") == changed
