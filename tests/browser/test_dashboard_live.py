"""Pages that stay open: many tabs on one stream behind a proxy, a server that dies and comes back, one that stops."""

import asyncio
from collections.abc import Iterator

import pytest
from playwright.async_api import Page, expect
from support.callers.browsing import Browsing, thorough
from support.callers.dashboard import Site, site
from support.machine.wall_clock import quiet
from support.patience import until
from support.servers.prefix_proxy import PrefixProxy
from support.servers.process import serving

pytestmark = [pytest.mark.slow, pytest.mark.keyless]
TABS = 9
"""More than the six connections that a browser opens to one server by HTTP/1.1."""
FEED = "/ui/feed"
PREFIX = "/ops/schedule"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with a dashboard."""
    with site(tmp_path_factory.mktemp("shop")) as made:
        yield made


async def live(page: Page) -> None:
    """Wait until a page says that it is live."""
    await expect(page.locator("#live")).to_have_attribute("data-state", "on")


async def test_nine_tabs_below_a_prefix_have_one_stream(shop: Site, browsing: Browsing):
    """All are live at once, the server sees one stream, each shows a run; once all are closed the server sees none.

    Every page's links, scripts, calls and stream stay below the prefix, and a change made there comes through.
    """
    await shop.register("shared")
    async with PrefixProxy(str(shop.server.http_address), PREFIX).open() as proxy:
        context = await browsing.context()
        tabs = [await context.new_page() for _ in range(TABS)]
        for tab in tabs:
            await tab.goto(f"http://{proxy.address}{PREFIX}/ui/tasks/shared")
        for tab in tabs:
            await live(tab)
        assert proxy.held[FEED] == 1
        await tabs[0].bring_to_front()
        await tabs[0].get_by_role("button", name="Run now").click()
        for tab in tabs:
            await tab.bring_to_front()
            await expect(tab.locator("#facts")).to_contain_text("1 succeeded")
        assert (proxy.asked[FEED], proxy.strays) == (1, [])
        await tabs[0].get_by_role("link", name="Tasks", exact=True).click()
        await tabs[0].locator("#t-shared a.row-link").click()
        await tabs[0].wait_for_url(f"http://{proxy.address}{PREFIX}/ui/tasks/shared")
        for tab in tabs:
            await tab.close()
        await until(lambda: _is_true(proxy.held[FEED] == 0))
        assert proxy.strays == []


async def _is_true(value: bool) -> bool:
    return value


@thorough
async def test_a_server_that_is_killed_and_started_again(
    tmp_path_factory: pytest.TempPathFactory, page: Page, page_errors: list[str]
):
    """The page keeps what it shows and says since when it is not live; then it is live again and shows the news."""
    folder = tmp_path_factory.mktemp("killed")
    with site(folder) as before:
        await before.register("survivor")
        await page.goto(before.at("/tasks"))
        await live(page)
        before.server.kill()
        await expect(page.locator("#live")).to_have_attribute("data-state", "lost")
        await expect(page.locator("#live")).to_contain_text("not live since")
        await expect(page.locator("#t-survivor")).to_be_visible()
        await page.locator("#t-survivor").get_by_role("button", name="Run").click()
        await expect(page.locator(".toast.bad")).to_contain_text("cannot be reached")
        with serving(folder, "--http", str(before.server.http_address), **quiet()):
            await before.register("newcomer")
            await live(page)
            await expect(page.locator("#t-newcomer")).to_be_visible()
            await expect(page.locator("main")).not_to_have_class("stale")
            await page.goto("about:blank")
    assert page_errors
    assert all("ERR_" in error for error in page_errors), page_errors
    page_errors.clear()


async def test_a_server_that_stops_does_not_wait_for_tabs(
    tmp_path_factory: pytest.TempPathFactory, browsing: Browsing, page_errors: list[str]
):
    """Asked to stop with many tabs open it ends their stream, and by itself, in good order."""
    with site(tmp_path_factory.mktemp("stopping")) as shop:
        contexts = [await browsing.context() for _ in range(3)]
        tabs = [await context.new_page() for context in contexts for _ in range(3)]
        for tab in tabs:
            await tab.goto(shop.at("/tasks"))
        for tab in tabs:
            await live(tab)
        code, errors = await asyncio.to_thread(shop.server.terminate)
        assert code == 0, errors
        for tab in tabs:
            await expect(tab.locator("#live")).to_have_attribute("data-state", "lost")
            await tab.goto("about:blank")
    assert all("ERR_" in error for error in page_errors), page_errors
    page_errors.clear()


@thorough
async def test_a_paused_page_stands_still(shop: Site, page: Page):
    """The key r keeps the page as it is; again, and it shows what happened meanwhile."""
    await shop.register("still")
    await page.goto(shop.at("/tasks/still"))
    await live(page)
    await page.keyboard.press("r")
    await expect(page.locator("#live")).to_have_attribute("data-state", "paused")
    await shop.ran("still")
    await expect(page.locator("#facts")).to_contain_text("0 succeeded")
    await page.keyboard.press("r")
    await expect(page.locator("#facts")).to_contain_text("1 succeeded")


@thorough
async def test_what_is_in_use_is_not_replaced(shop: Site, page: Page):
    """A filter that somebody writes into, a ticked row and an open dialog outlast what happens around them."""
    await shop.register("used")
    await shop.register("used-too")
    await page.goto(shop.at("/tasks?q=used"))
    await live(page)
    await page.get_by_label("Select used", exact=True).check()
    box = page.get_by_role("searchbox")
    await box.fill("half a wo")
    await shop.ran("used")
    await expect(page.locator("#t-used")).to_contain_text("Succeeded")
    await expect(box).to_have_value("half a wo")
    await expect(box).to_be_focused()
    await expect(page.get_by_label("Select used", exact=True)).to_be_checked()
    await expect(page.locator("#bulk")).to_contain_text("1 selected")
    await page.locator("#bulk").get_by_role("button", name="Disable…").click()
    await shop.ran("used-too")
    await expect(page.locator("#t-used-too")).to_contain_text("Succeeded")
    await expect(page.locator("dialog[open]")).to_contain_text("Disable 1 task")
