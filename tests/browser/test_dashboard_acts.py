"""What a person does in the dashboard: run, change, switch off, delete, cancel; each page shows it without a reload."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.async_api import Locator, Page, expect
from support.callers.browsing import thorough
from support.callers.dashboard import Site, site
from support.patience import until

pytestmark = [pytest.mark.slow, pytest.mark.keyless]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with a dashboard."""
    with site(tmp_path_factory.mktemp("shop")) as made:
        yield made


async def mark(page: Page) -> None:
    """Leave a mark in a page that a reload would wipe out."""
    await page.evaluate("document.documentElement.dataset.marked = 'yes'")


async def check_marked(page: Page) -> None:
    """Check that a page was not loaded again since."""
    await expect(page.locator("html")).to_have_attribute("data-marked", "yes")


def dialog(page: Page) -> Locator:
    """Return the dialog that is open."""
    return page.locator("dialog[open]")


def refused(errors: list[str], status: int) -> None:
    """Forget that Chromium logged answers with a status; they were expected, nothing else was."""
    assert errors
    assert all(f"status of {status}" in each for each in errors), errors
    errors.clear()


async def test_run_now_changes_the_row(shop: Site, page: Page):
    """The row of the task shows the run, its end and its bar; the page is not loaded again."""
    await shop.register("nightly")
    await page.goto(shop.at("/tasks?q=nightly"))
    await mark(page)
    row = page.locator("#t-nightly")
    await expect(row).to_contain_text("never")
    await row.get_by_role("button", name="Run").click()
    await expect(page.locator(".toast")).to_contain_text("nightly started")
    await expect(row).to_contain_text("Succeeded")
    await expect(row.locator("run-strip")).to_have_attribute("aria-label", "last 1: 1 succeeded")
    await check_marked(page)
    assert len(await shop.history("nightly")) == 1


@thorough
async def test_another_programs_run_is_seen(shop: Site, page: Page):
    """A page that nobody touches shows what a program does."""
    await shop.register("watched")
    await page.goto(shop.at("/tasks/watched"))
    await mark(page)
    await expect(page.locator("#live")).to_have_attribute("data-state", "on")
    await shop.ran("watched")
    await expect(page.locator("#history-list tbody tr")).to_have_count(1)
    await expect(page.locator("#facts")).to_contain_text("1 succeeded")
    await shop.call("POST", "tasks/watched/disable", {"note": "until Monday"})
    await expect(page.locator("#task-head")).to_contain_text("disabled: until Monday")
    await check_marked(page)


async def test_run_with_a_payload(shop: Site, page: Page):
    """What is no JSON object is refused with its place and never sent; what is one runs, and its execution is shown."""
    await shop.register("paid", payload={"lines": 1}, policy={"payloadOverride": True})
    await page.goto(shop.at("/tasks/paid"))
    await page.get_by_role("button", name="Run with payload…").click()
    box = dialog(page).get_by_label("Payload of this run")
    await expect(box).to_have_value(json.dumps({"lines": 1}, indent=2))
    await box.fill('{\n  "lines": 1\n  "more": 2\n}')
    await expect(dialog(page).get_by_role("status")).to_contain_text("line 3, column 3: ")
    await dialog(page).get_by_role("button", name="Run", exact=True).click()
    await expect(dialog(page).get_by_role("alert")).to_contain_text("line 3, column 3: ")
    assert await shop.history("paid") == []
    await box.fill('{"lines": 2, "big": 9007199254740991}')
    await dialog(page).get_by_role("button", name="Run", exact=True).click()
    await page.wait_for_url("**/ui/executions/*")
    await expect(page.locator("#execution-head")).to_contain_text("Succeeded")
    await expect(page.locator("#payload")).to_contain_text("9007199254740991")
    await expect(page.locator("#log-lines li")).to_have_count(3)
    assert len(await shop.history("paid")) == 1


@thorough
async def test_a_payload_that_the_server_refuses(shop: Site, page: Page, page_errors: list[str]):
    """The dialog stays, with what was written and the server's reason."""
    await shop.register("strict")
    await page.goto(shop.at("/tasks/strict"))
    await page.get_by_role("button", name="Run with payload…").click()
    text = json.dumps({"filler": "x" * 70_000})
    await dialog(page).get_by_label("Payload of this run").fill(text)
    await dialog(page).get_by_role("button", name="Run", exact=True).click()
    await expect(dialog(page).get_by_role("alert")).to_contain_text("payload")
    await expect(dialog(page).get_by_label("Payload of this run")).to_have_value(text)
    assert await shop.history("strict") == []
    refused(page_errors, 400)


async def test_an_edit_shows_what_changes_and_saves(shop: Site, page: Page):
    """The preview follows the schedule; the difference is shown before anything is stored."""
    await shop.register("edited", schedule="30 2 * * *", description="Old words")
    await page.goto(shop.at("/tasks/edited/edit"))
    await expect(page.locator("#preview")).to_contain_text("02:30")
    await page.get_by_label("Schedule").fill("45 3 * * *")
    await expect(page.locator("#preview li").first).to_contain_text("03:45")
    await page.get_by_label("Description").fill("New words")
    await page.get_by_role("button", name="Review changes…").click()
    await expect(dialog(page).locator(".diff")).to_contain_text("Old words")
    await expect(dialog(page).locator(".diff ins").first).to_contain_text("45 3 * * *")
    await expect(dialog(page)).to_contain_text("The next run moves from")
    assert (await shop.task("edited"))["schedule"] == "30 2 * * *"
    await dialog(page).get_by_role("button", name="Save").click()
    await page.wait_for_url("**/ui/tasks/edited")
    await expect(page.locator("#facts")).to_contain_text("45 3 * * *")
    assert (await shop.task("edited"))["description"] == "New words"


@thorough
async def test_an_edit_that_the_server_refuses(shop: Site, page: Page, page_errors: list[str]):
    """Each reason stands at its field."""
    await shop.register("typo")
    await page.goto(shop.at("/tasks/typo/edit"))
    await page.get_by_label("Schedule").fill("99 3 * * *")
    await expect(page.locator("#preview .error")).to_be_visible()
    await page.get_by_role("combobox", name="Handler").fill("nobody-offers-this")
    await page.get_by_role("button", name="Review changes…").click()
    await expect(page.locator('em[data-error="schedule"]')).not_to_be_empty()
    await expect(page.get_by_label("Schedule")).to_have_attribute("aria-invalid", "true")
    await expect(dialog(page)).to_have_count(0)
    refused(page_errors, 400)


@thorough
async def test_an_edit_of_what_somebody_else_changed(shop: Site, page: Page, page_errors: list[str]):
    """Saved in between: 409, and the next review says so and shows their version."""
    await shop.register("contested", description="First")
    await page.goto(shop.at("/tasks/contested/edit"))
    await page.get_by_label("Description").fill("Mine")
    await page.get_by_role("button", name="Review changes…").click()
    await expect(dialog(page).locator(".diff")).to_contain_text("First")
    await shop.call("PATCH", "tasks/contested", {"description": "Theirs"})
    await dialog(page).get_by_role("button", name="Save").click()
    await expect(dialog(page).get_by_role("alert")).to_contain_text("review again")
    assert (await shop.task("contested"))["description"] == "Theirs"
    await dialog(page).get_by_role("button", name="Back").click()
    await page.get_by_role("button", name="Review changes…").click()
    await expect(dialog(page)).to_contain_text("Somebody else has changed this task")
    await expect(dialog(page).locator(".diff del").first).to_contain_text("Theirs")
    await dialog(page).get_by_role("button", name="Save").click()
    await page.wait_for_url("**/ui/tasks/contested")
    assert (await shop.task("contested"))["description"] == "Mine"
    refused(page_errors, 409)


@thorough
async def test_a_new_task(shop: Site, page: Page):
    """The form makes one, after it has shown when it runs first."""
    await page.goto(shop.at("/tasks/new"))
    await page.get_by_label("Name", exact=True).fill("made-here")
    await page.get_by_role("combobox", name="Handler").fill("report")
    await page.get_by_label("Schedule").fill("@daily")
    await page.get_by_role("button", name="Review and create…").click()
    await expect(dialog(page)).to_contain_text("It runs first")
    assert not await shop.is_there("made-here")
    await dialog(page).get_by_role("button", name="Create", exact=True).click()
    await page.wait_for_url("**/ui/tasks/made-here")
    assert (await shop.task("made-here"))["schedule"] == "@daily"


async def test_delete_asks_for_the_name(shop: Site, page: Page):
    """Another name deletes nothing, nor does Escape; the name itself does, and the list no longer has it."""
    await shop.register("doomed")
    await page.goto(shop.at("/tasks/doomed"))
    for typed in ("doome", "doomed"):
        await page.get_by_role("button", name="More for doomed").click()
        await page.get_by_role("menuitem", name="Delete…").click()
        button = dialog(page).get_by_role("button", name="Delete", exact=True)
        await dialog(page).get_by_label("Type doomed to confirm").fill(typed)
        if typed == "doomed":
            await expect(button).to_be_enabled()
            await button.click()
        else:
            await expect(button).to_be_disabled()
            await dialog(page).get_by_label("Type doomed to confirm").press("Enter")
            await page.keyboard.press("Escape")
            await expect(dialog(page)).to_have_count(0)
            assert await shop.is_there("doomed")
    await page.wait_for_url("**/ui/tasks")
    await expect(page.locator("#t-doomed")).to_have_count(0)
    assert not await shop.is_there("doomed")


@thorough
async def test_disable_with_a_note_and_enable(shop: Site, page: Page):
    """The note is shown and kept; a disabled task cannot be run here."""
    await shop.register("paused", schedule="@daily")
    await page.goto(shop.at("/tasks/paused"))
    await page.get_by_role("button", name="Disable…").click()
    await dialog(page).get_by_label("Note (why, until when)").fill("until the migration is over")
    await dialog(page).get_by_role("button", name="Disable", exact=True).click()
    await expect(page.locator("#task-head")).to_contain_text("disabled: until the migration is over")
    await expect(page.get_by_role("button", name="Run now")).to_be_disabled()
    assert not (await shop.task("paused"))["enabled"]
    await page.get_by_role("button", name="Enable", exact=True).click()
    await expect(page.locator("#task-head")).to_contain_text("enabled")
    await expect(page.get_by_role("button", name="Run now")).to_be_enabled()
    assert (await shop.task("paused"))["enabled"]


async def test_bulk_over_a_filter(shop: Site, page: Page):
    """All 60 that match, of which a page shows 50, are disabled with a note once their number is typed; no other is."""
    await shop.register("other")
    tasks = [{"name": f"bulk-{number:02}", "schedule": "@daily", "handler": "report"} for number in range(60)]
    for task in tasks:
        await shop.call("POST", "tasks", task)
    await page.goto(shop.at("/tasks?q=bulk-"))
    await expect(page.locator("#tasks-body tr")).to_have_count(50)
    await page.get_by_label("Select all on this page").check()
    await expect(page.locator("#bulk")).to_contain_text("50 selected")
    await page.get_by_label("all that match this filter").check()
    await page.locator("#bulk").get_by_role("button", name="Disable…").click()
    await dialog(page).get_by_label("Note (why, until when)").fill("maintenance")
    await dialog(page).get_by_label("Type 60 to confirm").fill("60")
    await dialog(page).get_by_role("button", name="Disable", exact=True).click()
    await expect(dialog(page).get_by_role("status")).to_have_text("60 done")
    await dialog(page).get_by_role("button", name="Close").click()
    await expect(page.locator("#tasks-body tr.off")).to_have_count(50)
    found = (await shop.call("GET", "tasks", pageSize="1000"))["tasks"]
    assert {task["name"] for task in found if not task["enabled"]} >= {task["name"] for task in tasks}
    assert (await shop.task("other"))["enabled"]
    assert (await shop.task("bulk-59"))["note"] == "maintenance"


@thorough
async def test_cancel_one_that_runs(shop: Site, page: Page):
    """The page of the execution says who asked and why, and that it was canceled, without a reload."""
    await shop.register("long", handler="held", payload={"until": str(shop.folder / "never")})
    running = await shop.begin("long")
    await page.goto(shop.at(f"/executions/{running}"))
    await expect(page.locator("#execution-head")).to_contain_text("Running")
    await mark(page)
    await page.get_by_role("button", name="Cancel…").click()
    await dialog(page).get_by_label("Reason").fill("wrong month")
    await dialog(page).get_by_role("button", name="Cancel it").click()
    await expect(page.locator("#execution-head")).to_contain_text("Cancelled")
    await expect(page.locator("#facts")).to_contain_text("wrong month")
    await expect(page.get_by_role("button", name="Cancel…")).to_have_count(0)
    await check_marked(page)
    assert (await shop.ended(running))["state"] == "CANCELLED"


@thorough
async def test_logs_follow(shop: Site, page: Page):
    """Lines come while it runs, in their order, each once; level and text filter what is shown; progress is shown."""
    await shop.register(
        "talker", policy={"payloadOverride": True, "timeoutMs": int(timedelta(hours=1).total_seconds()) * 1000}
    )
    go = shop.folder / "go"
    texts = ["first warning", "<b>bold</b>"]
    running = await shop.begin("talker", {"lines": 3, "texts": texts, "until": str(go), "progress": "sorting rows"})
    await page.goto(shop.at(f"/executions/{running}"))
    lines = page.locator("#log-lines li")
    await expect(lines).to_have_count(5)
    await expect(page.locator("#progress")).to_contain_text("sorting rows")
    await mark(page)
    go.touch()
    await expect(lines).to_have_count(6)
    await expect(lines.last).to_contain_text("report.sorted")
    await expect(lines.nth(4)).to_contain_text("<b>bold</b>")
    await page.locator('[data-log="level"]').select_option("warning")
    await expect(page.locator("#log-lines li:visible")).to_have_count(2)
    await page.locator('[data-log="find"]').fill("bold")
    await expect(page.locator("#log-lines li:visible")).to_have_count(1)
    await expect(page.locator("#execution-head")).to_contain_text("Succeeded")
    await check_marked(page)


@thorough
async def test_a_script_that_cannot_be_loaded(shop: Site, page: Page, page_errors: list[str]):
    """A button that needs it says so, and works once the script is there again."""
    await shop.register("late", schedule="@daily")
    await page.goto(shop.at("/tasks/late"))
    await page.route("**/asks.js", lambda route: route.fulfill(status=503))
    await page.get_by_role("button", name="Disable…").click()
    await expect(page.locator(".toast")).to_contain_text("Reload the page")
    await expect(dialog(page)).to_have_count(0)
    await page.unroute("**/asks.js")
    await page.get_by_role("button", name="Disable…").click()
    await expect(dialog(page)).to_be_visible()
    refused(page_errors, 503)


@thorough
async def test_a_double_click_runs_once(shop: Site, page: Page):
    """Of a button whose call takes longer than the second click."""
    await shop.register("twice")
    await page.goto(shop.at("/tasks/twice"))
    await page.get_by_role("button", name="Run now").dblclick()
    await expect(page.locator("#history-list tbody tr").first).to_contain_text("Succeeded")

    async def came() -> bool:
        return bool(await shop.history("twice"))

    await until(came)
    await expect(page.locator(".toast")).to_have_count(1)
    assert len(await shop.history("twice")) == 1
