"""Who may do what in the dashboard: logging in with a key, what scopes draw, and a port that takes no changes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.async_api import expect
from support.callers.browsing import Browsing, thorough
from support.callers.dashboard import Site, keyed_site, log_in, site
from support.patience import AT_MOST

pytestmark = [pytest.mark.slow, pytest.mark.keyless]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server that asks for keys; the test's own program has the first one, which may do everything."""
    with keyed_site(tmp_path_factory.mktemp("shop")) as made:
        yield made


async def key(shop: Site, name: str, *grants: str) -> str:
    """Make a key; return its text."""
    found: str = (await shop.call("POST", "keys", {"name": name, "grants": list(grants)}))["text"]
    return found


async def test_logging_in_and_out(shop: Site, browsing: Browsing, page_errors: list[str]):
    """A stranger is led to the login and back; scripts cannot read the session; logging out ends it."""
    await shop.register("guarded")
    page = await browsing.page()
    await page.goto(shop.at("/tasks?q=guarded"))
    await page.wait_for_url("**/ui/login?**")
    await log_in(page, "sgk_nothing_of_the_kind")
    await expect(page.get_by_role("alert")).to_have_text("This key is not accepted")
    assert all("status of 401" in error for error in page_errors), page_errors
    page_errors.clear()
    await log_in(page, await key(shop, "person", "write@default"))
    await page.wait_for_url("**/ui/tasks?q=guarded")
    await expect(page.locator(".who")).to_have_text("key:person")
    assert await page.evaluate("document.cookie") == ""
    assert await page.evaluate("JSON.stringify(localStorage) + JSON.stringify(sessionStorage)") == "{}{}"
    await expect(page.locator("#live")).to_have_attribute("data-state", "on")
    await page.locator("#t-guarded").get_by_role("button", name="Run").click()
    await expect(page.locator("#t-guarded")).to_contain_text("Succeeded")
    await page.get_by_role("button", name="Log out").click()
    await page.wait_for_url(re.compile("/ui/login"))
    # A page that asks for its part between the end of the session and the leaving of the page is refused.
    page_errors[:] = [error for error in page_errors if "status of 401" not in error]
    await page.goto(shop.at("/tasks"))
    await page.wait_for_url("**/ui/login?**")


async def test_what_scopes_draw(shop: Site, browsing: Browsing):
    """A reader sees no button, one who may run sees no editing, and what is not drawn is refused by the server too."""
    await shop.register("drawn")
    drawn: dict[str, set[str]] = {}
    for scope in ("observe", "read", "run", "write"):
        page = await browsing.page()
        await page.goto(shop.at("/tasks/drawn"))
        text = await key(shop, f"only-{scope}", f"{scope}@default")
        await log_in(page, text)
        await expect(page.locator("h1")).to_have_text("drawn")
        drawn[scope] = set(await page.locator("main button:visible, #task-head a").all_inner_texts())
        async with httpx2.AsyncClient(
            base_url=f"http://{shop.server.http_address}", headers={"authorization": f"Bearer {text}"}, timeout=AT_MOST
        ) as web:
            ran = await web.post("tasks/drawn/run")
            changed = await web.patch("tasks/drawn", json={"description": scope})
        assert (ran.is_success, changed.is_success) == (scope in ("run", "write"), scope == "write")
    acts = {scope: {word.strip() for word in words} & {"Run now", "Disable…", "Edit"} for scope, words in drawn.items()}
    assert acts == {
        "observe": set(),
        "read": set(),
        "run": {"Run now", "Disable…"},
        "write": {"Run now", "Disable…", "Edit"},
    }


@thorough
async def test_a_namespace_is_chosen(shop: Site, browsing: Browsing):
    """Who may see two switches between them, and every link stays in the one that is chosen."""
    await shop.call("POST", "schedule.v1.AccessService/CreateNamespace", {"name": "second"})
    await shop.register("here-only")
    page = await browsing.page()
    await page.goto(shop.at("/tasks"))
    await log_in(page, await key(shop, "both", "write@default", "write@second"))
    await expect(page.locator("#t-here-only")).to_be_visible()
    await page.get_by_label("namespace").select_option("second")
    await page.wait_for_url("**/ui?namespace=second")
    await page.get_by_role("link", name="Tasks", exact=True).click()
    await page.wait_for_url("**/ui/tasks?namespace=second")
    await expect(page.locator("#t-here-only")).to_have_count(0)


@thorough
async def test_a_revoked_key_ends_its_session(shop: Site, browsing: Browsing):
    """The next page asks for a key again."""
    text = await key(shop, "leaver", "read@default")
    page = await browsing.page()
    await page.goto(shop.at("/tasks"))
    await log_in(page, text)
    await expect(page.locator("h1")).to_have_text("Tasks")
    await shop.call("DELETE", "keys/leaver")
    await page.goto(shop.at("/executions"))
    await page.wait_for_url("**/ui/login?**")


@thorough
async def test_a_port_that_takes_no_changes(tmp_path: Path, browsing: Browsing):
    """It says so, draws nothing that would change, and refuses what a page sends all the same."""
    with site(tmp_path) as before:
        await before.register("kept")
        before.server.terminate()
    with site(tmp_path, SCHEDULE_HTTP__CHANGES="false") as shop:
        page = await browsing.page()
        for path in ("", "/tasks", "/tasks/kept", "/system"):
            await page.goto(shop.at(path))
            await expect(page.locator(".status")).to_contain_text("read-only")
            await expect(page.locator("main [data-act], main input[type=checkbox], main .btn.primary")).to_have_count(0)
        answer: dict[str, Any] = (await shop.web.post("tasks/kept/run")).json()
        assert answer["error"]
        assert (await shop.web.post("tasks/kept/run")).status_code == 403
        assert await shop.history("kept") == []
