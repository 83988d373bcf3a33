"""Main parts of pages that many tabs ask for after the same tick."""

import asyncio

import pytest
from support.callers.page_reader import Read, Reader
from support.rigs.rig import Rig

from schedule_grpc.api.ui import visit
from schedule_grpc.api.ui.dashboard import PARTS_KEPT_FOR

TICK = "epoch:1"


@pytest.fixture
def pages(pages: Reader) -> Reader:
    """A reader whose clock stands still while a page is made."""
    pages.until_done = None
    return pages


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The templates that were rendered, in order."""
    names: list[str] = []
    render = visit.render

    def counting(template: str, **values: object) -> bytes:
        names.append(template)
        return render(template, **values)

    monkeypatch.setattr(visit, "render", counting)
    return names


async def part(reader: Reader, path: str = "/ui/tasks", **headers: str) -> Read:
    """Return the main part of a page, as a tab asks for it after a tick."""
    read = await reader.get(path, **{"x_part": "main", "x_tick": TICK, **headers})
    assert read.status in (200, 304), read.text
    return read


async def test_twenty_tabs_cost_one_rendering(rig: Rig, pages: Reader, rendered: list[str]):
    """All get the same, each in the encoding that it takes, and 304 if it has it already."""
    await rig.register("task")
    async with pages.listening("/ui/feed"):
        reads = await asyncio.gather(*(part(pages) for _ in range(20)))
        assert {read.content for read in reads} == {reads[0].content}
        packed = await part(pages, accept_encoding="gzip")
        assert (packed.headers["content-encoding"], packed.content) == ("gzip", reads[0].content)
        assert (await part(pages, if_none_match=reads[0].headers["etag"])).status == 304
    assert rendered == ["tasks.html"]


async def test_a_part_is_kept_for_a_tick_and_a_second(rig: Rig, pages: Reader, rendered: list[str]):
    """Another tick, another question, a path that counts other segments, and time each cost a rendering."""
    async with pages.listening("/ui/feed"):
        await part(pages)
        for path, tick in [("/ui/tasks", "epoch:2"), ("/ui/tasks?q=a", TICK), ("/ui/tasks/", TICK)]:
            await part(pages, path, x_tick=tick)
        assert len(rendered) == 4
        await rig.clock.advance(PARTS_KEPT_FOR)
        await part(pages)
        assert len(rendered) == 5


async def test_a_change_of_the_viewers_own_is_shown_at_once(rig: Rig, pages: Reader):
    """A request that names no tick is answered anew, and so is each where no tab listens."""
    async with pages.listening("/ui/feed"):
        await part(pages)
        await rig.register("own")
        assert "own" not in (await part(pages)).page.said
        assert "own" in (await pages.get("/ui/tasks", x_part="main")).page.said
    await rig.register("later")
    assert "later" in (await part(pages)).page.said


async def test_a_refusal_is_not_kept(rig: Rig, pages: Reader):
    """A task that is registered a moment later is there."""
    async with pages.listening("/ui/feed"):
        assert (await pages.get("/ui/tasks/task", x_part="main", x_tick=TICK)).status == 404
        await rig.register("task")
        await part(pages, "/ui/tasks/task")
