"""The end of a session under open pages: none shows anything again, in whichever tab somebody logs out."""

import asyncio
from collections.abc import Iterator

import pytest
from playwright.async_api import Page, Route, expect
from support.callers.browsing import Browsing
from support.callers.dashboard import FIRST_KEY, Site, keyed_site, log_in

pytestmark = [pytest.mark.slow, pytest.mark.keyless]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server that asks for keys; the test's own program has the first one, which may do everything."""
    with keyed_site(tmp_path_factory.mktemp("shop")) as made:
        yield made


async def logged_in(shop: Site, page: Page) -> None:
    """Log in on a page, and wait until it is live."""
    await page.goto(shop.at("/tasks"))
    await log_in(page, (shop.folder / FIRST_KEY).read_text().strip())
    await expect(page.locator("#live")).to_have_attribute("data-state", "on")


async def test_other_tabs_leave_their_pages_too(shop: Site, browsing: Browsing, page_errors: list[str]):
    """At once, although nothing happens of which a tick would tell them; and lead back to where they were."""
    await shop.register("guarded")
    context = await browsing.context()
    first, other = await context.new_page(), await context.new_page()
    await logged_in(shop, first)
    await other.goto(shop.at("/tasks/guarded"))
    await expect(other.locator("#live")).to_have_attribute("data-state", "on")
    await first.bring_to_front()
    await first.get_by_role("button", name="Log out").click()
    for page in (first, other):
        await page.wait_for_url("**/ui/login**", timeout=20_000)
        await expect(page.locator("main")).not_to_contain_text("guarded")
    assert "back=ui%2Ftasks%2Fguarded" in other.url
    # A tab that asks for its part between the end of the session and the leaving of the page is refused.
    assert all("status of 401" in error for error in page_errors), page_errors
    page_errors.clear()


async def test_an_answer_that_comes_after_the_logout_is_not_shown(shop: Site, browsing: Browsing):
    """Its request was under way when somebody logged out; the page is empty until the login is there."""
    page = await (await browsing.context()).new_page()
    await logged_in(shop, page)
    is_held, come = asyncio.Event(), asyncio.Event()

    async def late(route: Route) -> None:
        if "x-part" not in route.request.headers:
            await route.continue_()
            return
        answer = await route.fetch()
        is_held.set()
        await come.wait()
        await route.fulfill(response=answer)

    await page.route("**/ui/tasks", late)
    await page.route("**/ui/login", lambda route: route.fulfill(status=204))  # with which a browser stays where it is
    await shop.register("newcomer")
    await is_held.wait()
    await page.get_by_role("button", name="Log out").click()
    await expect(page.locator("main")).to_be_empty(timeout=20_000)
    async with page.expect_event("requestfinished", lambda request: "x-part" in request.headers):
        come.set()
    await asyncio.sleep(0.5)  # it would be shown by now
    await expect(page.locator("main")).to_be_empty()
    await expect(page.locator("main")).not_to_have_class("stale")
    await page.unroute_all()
    await page.goto(shop.at("/tasks"))
    await expect(page.locator("h1")).to_have_text("Log in")


async def test_a_logout_that_fails_is_said(shop: Site, browsing: Browsing, page_errors: list[str]):
    """The page stays as it is and goes on: who believes that the session is over leaves it to others."""
    page = await (await browsing.context()).new_page()
    await logged_in(shop, page)
    await page.route("**/ui/logout", lambda route: route.fulfill(status=503, json={"error": "the database is away"}))
    await page.get_by_role("button", name="Log out").click()
    await expect(page.locator(".toast.bad")).to_contain_text("the database is away")
    await shop.register("later")
    await expect(page.locator("#t-later")).to_be_visible()
    assert all("status of 503" in error for error in page_errors), page_errors
    page_errors.clear()
