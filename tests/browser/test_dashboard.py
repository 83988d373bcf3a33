"""What only scripts do on the pages of the dashboard, in a browser, under the policy that they are sent with."""

from collections.abc import Iterator

import httpx2
import pytest
from playwright.async_api import Page, expect
from support.callers.browsing import thorough
from support.machine.wall_clock import quiet
from support.patience import AT_MOST
from support.servers.process import Server, serving

pytestmark = [pytest.mark.slow, pytest.mark.keyless, thorough]
FAILING = 21
ONCE = {"retry": {"maxRetries": 0}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with tasks that have failed, more than are run again without a number that is typed."""
    expect.set_options(timeout=AT_MOST * 1000)
    with serving(tmp_path_factory.mktemp("server"), "--http", "127.0.0.1:0", **quiet()) as running:
        with httpx2.Client(base_url=f"http://{running.http_address}", timeout=AT_MOST) as client:
            for number in range(FAILING):
                task = {"name": f"failing-{number:02}", "schedule": "@manual", "handler": "fail", "policy": ONCE}
                client.post("/tasks", json=task).raise_for_status()
                client.post(f"/tasks/{task['name']}/run", params={"wait": "true"}, json={})
            client.post("/tasks", json={"name": "half-hourly", "schedule": "*/30 * * * *", "handler": "steps"})
        yield running


async def runs_of(server: Server, name: str) -> int:
    """Return how often a task has run."""
    async with httpx2.AsyncClient(base_url=f"http://{server.http_address}", timeout=AT_MOST) as client:
        found = await client.get(f"/tasks/{name}/history")
    return len(found.raise_for_status().json()["history"])


async def test_failed_tasks_run_again_once_their_number_is_typed(server: Server, page: Page):
    """The dialog names them and how many they are; without a word of the reader nothing runs."""
    await page.goto(f"http://{server.http_address}/ui/failures")
    again = page.get_by_role("button", name="Run these tasks again")
    await again.click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text(f"Run {FAILING} tasks again")
    await expect(dialog).to_contain_text("and 13 more")
    await expect(dialog.get_by_role("button", name="Run")).to_be_disabled()
    await dialog.get_by_role("button", name="Back").click()
    assert await runs_of(server, "failing-00") == 1
    await again.click()
    await dialog.get_by_role("textbox").fill(str(FAILING))
    await dialog.get_by_role("button", name="Run").click()
    await expect(dialog).to_contain_text(f"{FAILING} done")
    await dialog.get_by_role("button", name="Close").click()
    assert await runs_of(server, "failing-00") == 2


async def test_keys_move_over_the_map_of_what_comes(server: Server, page: Page):
    """The map is one stop of the tabulator key; arrows go by hours and by days, and Enter lists the runs."""
    await page.goto(f"http://{server.http_address}/ui/upcoming?hours=72")
    stop = page.locator('#map .cell[tabindex="0"]')
    await expect(stop).to_have_count(1)
    await stop.focus()
    await page.keyboard.press("ArrowRight")
    cells = page.locator("#map .cell")
    await expect(cells.nth(1)).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await expect(cells.nth(25)).to_be_focused()
    await page.keyboard.press("Enter")
    due = page.locator("#due")
    await expect(due.get_by_role("link", name="half-hourly")).to_have_count(2)
    await expect(page.locator("#map .cell[aria-current]")).to_have_count(1)


async def test_scripts_of_one_purpose_are_loaded_when_they_are_wanted(server: Server, page: Page):
    """The palette by its key; the bar for many tasks where there are tasks to tick; the form by its page."""
    await page.goto(f"http://{server.http_address}/ui/tasks")
    await page.locator('input[data-pick="failing-03"]').check()
    await expect(page.locator("#bulk")).to_contain_text("1 selected")
    await page.locator('input[data-pick="failing-03"]').blur()
    await page.keyboard.press("Control+k")
    await page.get_by_role("dialog").locator("input").fill("half-hourly")
    await expect(page.get_by_role("dialog")).to_contain_text("half-hourly")
    await page.goto(f"http://{server.http_address}/ui/tasks/half-hourly/edit")
    await expect(page.locator(".preview li").first).to_be_visible()
