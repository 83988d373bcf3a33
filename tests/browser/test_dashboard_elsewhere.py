"""The dashboard and pages of other sites: one that shows it in a frame, one that links to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Page, expect
from support.callers.browsing import Browsing
from support.callers.dashboard import FIRST_KEY, keyed_site, log_in, site
from support.patience import until
from support.servers.file_site import file_site

pytestmark = [pytest.mark.slow, pytest.mark.keyless]


@dataclass(frozen=True, kw_only=True, slots=True)
class Elsewhere:
    """Pages of a foreign site: for cookies `localhost` is another one than the server's `127.0.0.1`."""

    folder: Path
    port: int

    @property
    def origin(self) -> str:
        """The site's origin."""
        return f"http://localhost:{self.port}"

    def page(self, name: str, body: str) -> str:
        """Write a page; return its address."""
        (self.folder / name).write_text(f'<!doctype html><link rel="icon" href="data:,">{body}')
        return f"{self.origin}/{name}"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    """A foreign site."""
    folder = tmp_path_factory.mktemp("elsewhere")
    with file_site(folder) as port:
        yield Elsewhere(folder=folder, port=port)


@pytest.mark.parametrize("is_listed", [True, False])
async def test_a_page_that_shows_the_dashboard_in_a_frame(
    elsewhere: Elsewhere, tmp_path: Path, page: Page, page_errors: list[str], is_listed: bool
):
    """If its site is listed the dashboard works there, live and with its buttons; else the frame stays empty."""
    sites = elsewhere.origin if is_listed else "https://wiki.example"
    with site(tmp_path, SCHEDULE_UI__FRAME_ANCESTORS=sites) as shop:
        await shop.register("framed")
        await page.goto(elsewhere.page("frame.html", f'<h1>A wiki</h1><iframe src="{shop.at("/tasks")}"></iframe>'))
        frame = page.frame_locator("iframe")
        if is_listed:
            await expect(frame.locator("#live")).to_have_attribute("data-state", "on")
            await frame.locator("#t-framed").get_by_role("button", name="Run").click()
            await expect(frame.locator("#t-framed")).to_contain_text("Succeeded")
        else:
            await until(lambda: _is_true(bool(page_errors)))
            assert all("frame-ancestors" in error for error in page_errors), page_errors
            await expect(frame.locator("#t-framed")).to_have_count(0)
            page_errors.clear()
        await page.goto("about:blank")


async def _is_true(value: bool) -> bool:
    return value


@pytest.mark.parametrize("prefix", ["", "/ops/schedule"])
async def test_a_link_of_another_site_leads_to_its_page(
    elsewhere: Elsewhere, tmp_path: Path, browsing: Browsing, prefix: str
):
    """Who has a session sees the page that the link names, as from a mail; who has none logs in, and then sees it."""
    with keyed_site(tmp_path, SCHEDULE_HTTP__PATH_PREFIX=prefix) as shop:
        target = f"http://{shop.server.http_address}{prefix}/ui/tasks?q=linked"
        mail = elsewhere.page("mail.html", f'<h1>A mail</h1><a href="{target}">A task fails</a>')
        page = await browsing.page()
        for has_session in (False, True):
            asked: list[str] = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            await page.goto(mail)
            await page.get_by_role("link").click()
            if not has_session:
                await log_in(page, (tmp_path / FIRST_KEY).read_text().strip())
            await expect(page.locator("h1")).to_have_text("Tasks")
            assert page.url == target
            assert len([url for url in asked if url.partition("?")[0].endswith("/ui/login")]) <= 3, "no loop"
        await page.go_back()
        await expect(page.locator("h1")).to_have_text("A mail")
