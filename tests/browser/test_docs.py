"""The page of the HTTP API works in a browser, under the policy that it is sent with."""

from collections.abc import Iterator

import pytest
from playwright.async_api import Page, expect
from support.machine.wall_clock import quiet
from support.patience import AT_MOST
from support.servers.process import serving

pytestmark = [pytest.mark.slow, pytest.mark.keyless]


@pytest.fixture(scope="module", params=["", "/ops/schedule"])
def address(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server with the built-in tasks, which is below a prefix or not."""
    folder, prefix = tmp_path_factory.mktemp("server"), request.param
    variables = quiet() | {"SCHEDULE_HTTP__PATH_PREFIX": prefix}
    with serving(folder, "--http", "127.0.0.1:0", "--init", handlers=None, **variables) as running:
        yield f"http://{running.http_address}{prefix}"


async def test_the_page_shows_and_tries_a_call(address: str, page: Page):
    """Each route is shown, and "Execute" asks the server that serves the page."""
    expect.set_options(timeout=AT_MOST * 1000)
    await page.goto(f"{address}/docs")
    operation = page.locator(".opblock", has=page.locator('[data-path="/tasks/{name}"]')).filter(has_text="GET").first
    await operation.click()
    await operation.get_by_role("button", name="Try it out").click()
    await operation.get_by_placeholder("name", exact=True).fill("check-rate-limits")
    await operation.get_by_role("button", name="Execute").click()
    await expect(operation.locator(".live-responses-table .microlight").first).to_contain_text('"check-rate-limits"')


async def test_a_page_logs_its_errors(page: Page, page_errors: list[str]):
    """The fixture `page` hears of an exception and of console.error, so a page that fails fails its test."""
    await page.set_content("<script>console.error('said'); throw new Error('thrown')</script>")
    assert page_errors == ["said", "thrown"]
    page_errors.clear()
