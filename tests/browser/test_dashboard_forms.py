"""What a person writes in the dashboard: a payload in fields, JSON with its mistakes, a change of a handler."""

import json
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from playwright.async_api import Locator, Page, expect
from support.callers.browsing import thorough
from support.callers.dashboard import Site, site
from support.patience import AT_MOST, until

from schedule_grpc.pb import worker_pb2 as pb
from schedule_grpc.pb.worker_pb2_grpc import WorkerServiceStub

pytestmark = [pytest.mark.slow, pytest.mark.keyless]

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
SCHEMA = {
    "type": "object",
    "required": ["day", "rows"],
    "properties": {
        "day": {"type": "string", "format": "date", "title": "Day"},
        "rows": {"type": "integer", "minimum": 1, "maximum": 100, "description": "How many"},
        "mode": {"type": "string", "enum": ["fast", HOSTILE[:40]], "default": "fast"},
        "dry": {"type": "boolean", "title": HOSTILE, "description": HOSTILE},
        "since": {"type": "string", "format": "date-time"},
        HOSTILE: {"type": "string", "default": HOSTILE},
    },
}
PAYLOAD = {"day": "2026-01-31", "rows": 5, "dry": False, "nested": {"share": 1e-7, "of": [1, 2]}, "elements": "kept"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with a dashboard."""
    with site(tmp_path_factory.mktemp("shop")) as made:
        yield made


async def offered(shop: Site, **schemas: Any) -> None:
    """Let a worker offer handlers with schemas. It runs nothing: runs wait."""
    handlers = [pb.OfferedHandler(name=name, payload_schema_json=json.dumps(each)) for name, each in schemas.items()]
    request = pb.RegisterWorkerRequest(name="shelf", protocol=1, slots=1, handlers=handlers)
    request.lease.FromSeconds(60)
    async with grpc.aio.insecure_channel(shop.server.address) as channel:
        await WorkerServiceStub(channel).RegisterWorker(request, timeout=AT_MOST)


async def opened(shop: Site, page: Page, name: str) -> Locator:
    """Open the dialog that runs a task with a payload."""
    await page.goto(shop.at(f"/tasks/{name}"))
    await page.get_by_role("button", name="Run with payload…").click()
    dialog = page.locator("dialog[open]")
    await expect(dialog).to_be_visible()
    return dialog


async def given(shop: Site, page: Page) -> Any:
    """Return the payload of the execution that the page went to."""
    await page.wait_for_url("**/ui/executions/*")
    return (await shop.execution(page.url.rpartition("/")[2]))["payload"]


async def test_a_flat_schema_makes_fields(shop: Site, page: Page):
    """They show the task's payload, the browser checks them, and what they do not show stays in the payload."""
    await offered(shop, flat=SCHEMA)
    await shop.register("shown", handler="flat", payload=PAYLOAD)
    dialog = await opened(shop, page, "shown")
    await expect(dialog.locator("textarea")).to_have_count(0)
    await expect(dialog.get_by_label("Day")).to_have_value("2026-01-31")
    await expect(dialog.locator("label", has_text="How many").locator("input")).to_have_value("5")
    await expect(dialog).to_contain_text("required · How many · 1 to 100")
    await expect(dialog).to_contain_text("Also in the payload, and kept: elements, nested")
    rows = dialog.locator("label", has_text="How many").locator("input")
    for wrong in ("101", "1.5", ""):
        await rows.fill(wrong)
        await dialog.get_by_role("button", name="Run", exact=True).click()
        await expect(dialog.locator("input:invalid")).to_have_count(1)
    await rows.fill("7")
    await dialog.locator("label", has_text="since").locator("input").fill("2026-01-31")
    await dialog.get_by_role("button", name="Run", exact=True).click()
    await expect(dialog.locator("input:invalid")).to_have_count(1)
    assert await shop.history("shown") == []
    await dialog.locator("label", has_text="since").locator("input").fill("2026-01-31T10:00:00+02:00")
    await dialog.locator("label", has_text="default fast").locator("select").select_option("fast")
    await dialog.get_by_role("button", name="Run", exact=True).click()
    assert await given(shop, page) == PAYLOAD | {"rows": 7, "since": "2026-01-31T10:00:00+02:00", "mode": "fast"}


async def test_texts_of_a_schema_stay_texts(shop: Site, page: Page):
    """A title, a description, a default, a choice and a key that would be markup; the policy has nothing to block."""
    await offered(shop, hostile=SCHEMA)
    await shop.register("hostile", handler="hostile", payload=PAYLOAD)
    dialog = await opened(shop, page, "hostile")
    await expect(dialog.get_by_text(HOSTILE, exact=True).first).to_be_visible()
    assert await dialog.locator("img, script").count() == 0
    await dialog.locator("label", has_text="dry").locator("select").select_option("true")
    await dialog.locator("label", has_text="default fast").locator("select").select_option(HOSTILE[:40])
    await dialog.locator("label", has_text=f"default {HOSTILE}").locator("input").fill(f"'{HOSTILE}\\")
    await dialog.get_by_role("button", name="Run", exact=True).click()
    assert await given(shop, page) == PAYLOAD | {"dry": True, "mode": HOSTILE[:40], HOSTILE: f"'{HOSTILE}\\"}


async def test_as_json_and_back(shop: Site, page: Page):
    """Nothing is lost on the way; what no field can show keeps the text, and says why."""
    await offered(shop, both=SCHEMA)
    await shop.register("both", handler="both", payload=PAYLOAD)
    dialog = await opened(shop, page, "both")
    await dialog.locator("label", has_text="How many").locator("input").fill("8")
    await dialog.get_by_role("button", name="As JSON").click()
    text = dialog.get_by_label("Payload of this run")
    assert json.loads(await text.input_value()) == PAYLOAD | {"rows": 8}
    assert '"share": 1e-07' in await text.input_value()
    for written, why in (
        ('{\n "rows": "many"}', "rows has a value that its field cannot show"),
        ('{"mode": "slow"}', "mode has a value that its field cannot show"),
        ('{"since": null}', "since has a value that its field cannot show"),
        ('{\n "rows": }', "line 2, column 10: here should be a value"),
    ):
        await text.fill(written)
        await dialog.get_by_role("button", name="As fields").click()
        await expect(dialog.get_by_role("status")).to_contain_text(why)
        await expect(text).to_have_value(written)
    await text.fill('{"rows": 9, "day": "2026-02-01", "large": 9007199254740991, "spelled": "\\u00e4", "tiny": 1.50}')
    await dialog.get_by_role("button", name="As fields").click()
    await expect(dialog.get_by_label("Day")).to_have_value("2026-02-01")
    await dialog.get_by_label("Day").fill("2026-02-02")
    await dialog.get_by_role("button", name="As JSON").click()
    assert '"spelled": "\\u00e4",\n  "tiny": 1.50' in await text.input_value()
    await dialog.get_by_role("button", name="As fields").click()
    await dialog.get_by_role("button", name="Run", exact=True).click()
    wanted = {"rows": 9, "day": "2026-02-02", "large": 9007199254740991, "spelled": "ä", "tiny": 1.5}
    assert await given(shop, page) == wanted


@thorough
async def test_a_payload_that_no_field_shows_is_json_at_once(shop: Site, page: Page):
    """The task's payload is shown as it is, with the reason; a schema that is not flat has no other way."""
    nested = {"type": "object", "properties": {"nested": {"type": "object"}}}
    await offered(shop, unlike=SCHEMA, nested=nested)
    await shop.register("unlike", handler="unlike", payload={"rows": [5]})
    dialog = await opened(shop, page, "unlike")
    await expect(dialog.get_by_role("status")).to_contain_text("rows has a value that its field cannot show")
    assert json.loads(await dialog.get_by_label("Payload of this run").input_value()) == {"rows": [5]}
    await shop.register("nested", handler="nested", payload={"rows": 5})
    dialog = await opened(shop, page, "nested")
    await expect(dialog.get_by_label("Payload of this run")).to_be_visible()
    await expect(dialog.get_by_role("button", name="As fields")).to_have_count(0)


async def test_wrong_json_is_told_by_its_place(shop: Site, page: Page):
    """While one writes, and when one sends it; in the payload and in the metadata."""
    await shop.register("written", payload={"a": 1}, metadata={"b": 2})
    await page.goto(shop.at("/tasks/written/edit"))
    await page.locator("summary", has_text="Metadata").click()
    for name, wrong, told in (
        ("payload", '{\n  "a": 1,\n  "a": 2\n}', 'line 3, column 3: the key "a" is there twice'),
        ("payload", '{\n  "a": [1, 2,]\n}', "line 2, column 14: here should be a value"),
        ("metadata", '{"é😀": tru}', "line 1, column 8: here should be a value"),
        ("metadata", "[]", "line 1, column 1: here should be a {"),
        ("metadata", '{\n"b": 2\n', "line 3, column 1: the text ends, but a comma or } is missing"),
    ):
        box, error = page.locator(f"[name={name}]"), page.locator(f"em[data-error={name}]")
        before = await box.input_value()
        await box.fill(wrong)
        await expect(error).to_contain_text(told)
        await expect(box).to_have_attribute("aria-invalid", "true")
        await page.get_by_role("button", name="Review changes…").click()
        await expect(error).to_contain_text(told)
        await expect(page.locator("dialog[open]")).to_have_count(0)
        await box.fill(before)
        await expect(error).to_be_empty()


async def test_a_change_says_what_it_means_for_what_has_not_ended(shop: Site, page: Page):
    """What waits changes handler, what runs keeps it; saved, it is so."""
    until_file = shop.folder / "go"
    await shop.register("moved", handler="held", payload={"until": str(until_file)}, policy={"overlap": "BUFFER_ONE"})
    running = await shop.begin("moved")

    async def runs() -> bool:
        return (await shop.execution(running))["state"] == "RUNNING"

    await until(runs)
    waiting = await shop.begin("moved")
    await page.goto(shop.at("/tasks/moved/edit"))
    await page.get_by_label("Description").fill("Only words")
    await page.get_by_role("button", name="Review changes…").click()
    dialog = page.locator("dialog[open]")
    await expect(dialog.locator(".diff")).to_contain_text("Only words")
    await expect(dialog).not_to_contain_text("execution")
    await dialog.get_by_role("button", name="Back").click()
    await page.get_by_role("combobox", name="Handler").fill("report")
    await page.locator("[name=payload]").fill("{}")
    await page.get_by_role("button", name="Review changes…").click()
    await expect(dialog).to_contain_text("1 pending execution changes handler, to report.")
    await expect(dialog).to_contain_text("1 running execution keeps the handler held, for retries too.")
    also = "New payload: also for 1 pending execution and retries of 1 running execution."
    await expect(dialog).to_contain_text(also)
    await dialog.get_by_role("button", name="Save").click()
    await page.wait_for_url("**/ui/tasks/moved")
    assert [(await shop.execution(each))["handler"] for each in (running, waiting)] == ["held", "report"]
    until_file.touch()
    assert [(await shop.ended(each))["state"] for each in (running, waiting)] == ["SUCCEEDED", "SUCCEEDED"]
