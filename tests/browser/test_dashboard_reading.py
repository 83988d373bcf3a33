"""How the dashboard reads: by keys alone, without scripts, on a narrow screen, in each zone and theme.

One server has a task for each state and reason, and one whose every text is hostile. With FAULTS=long every page of it
is looked at, else those with most in them.
"""

import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from typing import Any

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect
from support.callers.browsing import Browsing, thorough
from support.callers.dashboard import Site, site
from support.patience import until

pytestmark = [pytest.mark.slow, pytest.mark.keyless]

RTL = "\u202e\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627"
HOSTILE = (
    "\"><img src=x onerror=alert(1)><script>alert(2)</script>'}}{{7*7}}</textarea></title> javascript:3 \\u0000\x01"
    + RTL
)
LONG = "w" * 900 + "".join(f" {number}word" for number in range(400))
WORD = "x" * 3000
LINKED = "javascript:alert(4)"
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
"""What a theme can break: all else is the same in each."""
AXE = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """A server with tasks of all kinds, and the addresses of all its pages."""

    site: Site
    paths: tuple[str, ...]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with a dashboard."""
    with site(tmp_path_factory.mktemp("shop")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shelf(shop: Site) -> AsyncIterator[Shelf]:
    """The server, with a task of each kind."""
    override = {"payloadOverride": True, "retry": {"maxRetries": 0}}
    await shop.register("fine", schedule="30 2 * * *", timeZone="Europe/Berlin", description="Does it", policy=override)
    ran = await shop.ran("fine", {"lines": 3, "texts": ["a warning"]})
    await shop.register("failing", schedule="@hourly", handler="fail", policy=override)
    failed = await shop.ran("failing", {"words": "line 12 of 90 is bad"})
    await shop.register("off", schedule="@daily")
    await shop.call("POST", "tasks/off/disable", {"note": "until the migration is over"})
    await shop.register("unoffered", schedule="@daily", handler="nobody", allowUnknownHandler=True)
    await shop.register("long", handler="held", payload={"until": str(shop.folder / "never")})
    running = await shop.begin("long")
    texts = {"description": HOSTILE, "payload": {HOSTILE: HOSTILE, "link": LINKED, "word": WORD}}
    metadata = {"category": HOSTILE[:60], "managed_by": HOSTILE, "link": LINKED, HOSTILE: WORD}
    await shop.register("hostile", handler="fail", schedule="@daily", metadata=metadata, policy=override, **texts)
    hostile = await shop.ran("hostile", {"words": f"{HOSTILE} {WORD}", HOSTILE: LINKED})
    await shop.register("babbler", policy=override, description=f"{WORD} {LONG}"[:4000])
    babble = await shop.ran("babbler", {"texts": [HOSTILE, LONG, WORD, RTL], "progress": HOSTILE})
    await shop.call("POST", "tasks/hostile/disable", {"note": f"{HOSTILE} {WORD}"[:1000]})
    executions = [f"/executions/{each}" for each in (ran["id"], failed["id"], running, hostile["id"], babble["id"])]
    names = ("fine", "failing", "off", "hostile", "babbler")
    tasks = [f"/tasks/{name}" for name in names]
    fixed = ["", "/tasks", "/executions", "/failures", "/upcoming", "/handlers", "/system", "/tasks/new", "/nonsense"]
    more = ["/tasks/fine/edit", "/tasks/hostile/edit", "/tasks/failing/why", "/tasks/hostile/why", "/tasks?q=zzz"]
    if os.environ.get("FAULTS") == "long":
        yield Shelf(site=shop, paths=(*fixed, *tasks, *more, *executions))
    else:
        most = (
            "",
            "/tasks",
            "/tasks/hostile",
            "/tasks/hostile/edit",
            "/tasks/failing/why",
            "/upcoming",
            *executions[3:],
        )
        yield Shelf(site=shop, paths=most)


async def show(page: Page, shelf: Shelf, path: str, errors: list[str]) -> None:
    """Open a page; Chromium logs that one which is not there is 404."""
    await page.goto(shelf.site.at(path))
    await expect(page.locator("h1")).to_have_count(1)
    if path == "/nonsense":
        errors[:] = [error for error in errors if "status of 404" not in error]


async def test_hostile_texts_and_narrow_screens(shelf: Shelf, browsing: Browsing, page_errors: list[str]):
    """On 320 pixels no page moves sideways; no text of a task or a run becomes an element, an address or a script."""
    page = await browsing.page(viewport={"width": 320, "height": 640})
    shown, wide = 0, {}
    for path in shelf.paths:
        await show(page, shelf, path, page_errors)
        found: dict[str, Any] = await page.evaluate(LOOK)
        assert found["strange"] == [], path
        shown += found["hostile"]
        if found["width"] > 320:
            wide[path] = (found["width"], found["widest"])
    assert wide == {}
    assert shown >= 3


LOOK = """() => {
  const start = (each) => each.outerHTML.slice(0, 200);
  const planted = 'img, iframe, main script, [onerror], [style], [onclick]';
  const elsewhere = [...document.links].filter((link) => !/^https?:$/.test(link.protocol));
  const strange = [...document.querySelectorAll(planted), ...elsewhere].map(start);
  const right = (each) => Math.round(each.getBoundingClientRect().right);
  const moves = (each) => each.parentElement?.closest('.scroll, .code, .log-lines, .sr');
  const widest = [...document.body.querySelectorAll('*')].filter((each) => right(each) > 321 && !moves(each))
    .map((each) => `${each.localName}#${each.id}.${each.getAttribute('class')}: ${right(each)}`).slice(-3);
  const fields = [...document.querySelectorAll('input, textarea')].map((each) => each.value).join(' ');
  const hostile = (document.body.innerText + fields).includes('onerror=alert(1)');
  return { strange, width: document.documentElement.scrollWidth, widest, hostile };
}"""
"""What an open page has that it must not, how wide it is, and whether it shows a hostile text as a text."""


async def test_every_page_is_accessible(shelf: Shelf, browsing: Browsing, page_errors: list[str]):
    """axe finds no violation of WCAG 2.2 A and AA, on pages nor in dialogs; in the dark theme, none of its colours."""
    page = await browsing.page(color_scheme="light", reduced_motion="reduce")
    found: dict[str, Any] = {}

    async def look(place: str) -> None:
        for theme, options in (("light", AXE), ("dark", COLOURS)):
            await page.emulate_media(color_scheme=theme)
            found.update(_violations(f"{place}, {theme}", await Axe().run(page, options=options)))

    for path in shelf.paths:
        await show(page, shelf, path, page_errors)
        await look(path)
    await page.goto(shelf.site.at("/tasks"))
    for key in ("?", "/"):
        await opened_by(page, key)
        await look(f"/tasks, key {key}")
        await page.keyboard.press("Escape")
    await page.get_by_role("button", name="More for fine").click()
    await expect(page.get_by_role("menu")).to_be_visible()
    await look("/tasks, menu")
    await page.get_by_role("menuitem", name="Delete…").click()
    await expect(page.locator("dialog[open]")).to_be_visible()
    await look("/tasks, delete")
    assert found == {}


async def opened_by(page: Page, key: str) -> None:
    """Press a key until a dialog is open, as a reader does: one press was lost on a busy machine, why is not known."""

    async def is_open() -> bool:
        await page.keyboard.press(key)
        with suppress(AssertionError):
            await expect(page.locator("dialog[open]")).to_be_visible(timeout=10_000)
        return await page.locator("dialog[open]").count() == 1

    await until(is_open)


def _violations(path: str, results: Any) -> dict[str, Any]:
    seen = {
        rule["id"]: [node["html"][:160] + node["failureSummary"][:200] for node in rule["nodes"][:3]]
        for rule in results.response["violations"]
    }
    return {path: seen} if seen else {}


async def test_keys_of_charts_can_be_told_apart_where_the_system_forces_its_own_colours(
    shelf: Shelf, browsing: Browsing
):
    """Areas of one colour, the page's own, would be one picture, whatever is beside them."""
    page = await browsing.page(forced_colors="active")
    for path, number in (("", 3), ("/upcoming", 5)):
        await page.goto(shelf.site.at(path))
        assert await page.evaluate("matchMedia('(forced-colors: active)').matches")
        marks = page.locator("main .key i")
        boxes = [await mark.bounding_box() for mark in await marks.all()]
        inner = [{"x": ceil(box["x"]) + 1, "y": ceil(box["y"]) + 1, "width": 5, "height": 5} for box in boxes if box]
        pictures = {await page.screenshot(clip=clip) for clip in inner}
        assert len(inner) == len(pictures) == number, path


async def test_the_dashboard_by_keys_alone(shelf: Shelf, page: Page):
    """From Now to a task, to its execution and back, searching and reading the help, without a pointer."""
    await page.goto(shelf.site.at())
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("main")).to_be_focused()
    await page.keyboard.press("g")
    await page.keyboard.press("t")
    await page.wait_for_url("**/ui/tasks")
    rows = page.locator("#tasks-body tr")
    for key, chosen in [("j", 0), ("j", 1), ("k", 0)]:
        await page.keyboard.press(key)
        await expect(rows.nth(chosen)).to_have_class(re.compile(r"\bhere\b"))
        await expect(rows.nth(chosen).locator("a").first).to_be_focused()
    await page.keyboard.press("x")
    await expect(page.locator("#bulk")).to_contain_text("1 selected")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/ui/tasks/babbler")
    await page.keyboard.press("?")
    await expect(page.locator("dialog[open]")).to_contain_text("next and previous row")
    await page.keyboard.press("Escape")
    await expect(page.locator("dialog[open]")).to_have_count(0)
    await page.keyboard.press("/")
    await expect(page.get_by_role("combobox", name="Task, page or command")).to_be_focused()
    await page.keyboard.type("fin")
    await expect(page.locator("dialog[open]").get_by_role("option").first).to_contain_text("fine")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/ui/tasks/fine")
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/ui/executions/*")
    await page.keyboard.press("Control+k")
    await expect(page.locator("dialog[open]")).to_be_visible()
    await page.keyboard.press("Escape")
    for key, address in [("u", "upcoming"), ("f", "failures"), ("h", "handlers"), ("s", "system"), ("e", "executions")]:
        await page.keyboard.press("g")
        await page.keyboard.press(key)
        await page.wait_for_url(f"**/ui/{address}")


@thorough
async def test_single_keys_can_be_switched_off(shelf: Shelf, page: Page):
    """As WCAG 2.1.4 asks; the choice is kept, and the help can be opened all the same."""
    await page.goto(shelf.site.at("/tasks"))
    await page.keyboard.press("?")
    await page.get_by_label("single letters act").uncheck()
    await page.keyboard.press("Escape")
    await page.reload()
    await page.keyboard.press("/")
    await page.keyboard.press("j")
    await expect(page.locator("tr.here")).to_have_count(0)
    await page.keyboard.press("?")
    await expect(page.get_by_label("single letters act")).not_to_be_checked()


@thorough
async def test_a_reader_without_scripts(shelf: Shelf, browsing: Browsing, page_errors: list[str]):
    """Each page is whole and readable, its filters work, and it says what needs scripts."""
    page = await browsing.page(java_script_enabled=False)
    for path in shelf.paths:
        await show(page, shelf, path, page_errors)
        await expect(page.locator(".noscript")).to_contain_text("everything can be read")
    await page.goto(shelf.site.at("/tasks"))
    await page.get_by_role("combobox", name="state").select_option("failing")
    await page.get_by_role("button", name="Filter").click()
    await expect(page.locator("#tasks-body tr")).to_have_count(2)
    await page.locator("#t-failing a.row-link").click()
    await page.locator("#runs tr a").first.click()
    await expect(page.locator("#error")).to_contain_text("line 12 of 90 is bad")
    assert re.search(r"\d\d:\d\d:\d\d", await page.locator("#facts").inner_text())


@thorough
async def test_zones(shelf: Shelf, browsing: Browsing):
    """UTC, the browser's, the task's: chosen by the list or a key, kept over pages; the zone stands beside the time."""
    page = await browsing.page(timezone_id="Asia/Kolkata")
    await page.goto(shelf.site.at("/tasks?q=fine"))
    due = page.locator("#t-fine .under time").first
    await expect(due).to_contain_text("01:30:00 UTC")
    await page.get_by_label("times").select_option("local")
    await expect(due).to_contain_text("07:00:00 GMT+5:30")
    await page.get_by_label("times").select_option("task")
    await expect(due).to_contain_text("02:30:00 CET")
    await page.reload()
    await expect(due).to_contain_text("02:30:00 CET")
    await expect(page.get_by_label("times")).to_have_value("task")
    await page.locator("h1").click()
    await page.keyboard.press("z")
    await expect(due).to_contain_text("01:30:00 UTC")


@thorough
async def test_a_theme_is_kept(shelf: Shelf, browsing: Browsing):
    """The system's holds until another is chosen; that one is there before anything is painted, on every page."""
    page = await browsing.page(color_scheme="dark")
    await page.goto(shelf.site.at("/tasks"))
    background = "getComputedStyle(document.documentElement).backgroundColor"
    dark = await page.evaluate(background)
    await page.get_by_role("button", name="Theme").click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "light")
    light = await page.evaluate(background)
    assert light != dark
    await page.goto(shelf.site.at("/executions"), wait_until="commit")
    await expect(page.locator("html")).to_have_attribute("data-theme", "light")
    assert await page.evaluate(background) == light
    await page.locator("h1").click()
    await page.keyboard.press("t")
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await page.keyboard.press("t")
    await expect(page.locator("html")).not_to_have_attribute("data-theme", re.compile(".*"))
