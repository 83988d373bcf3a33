"""A generated client of the contract in Chromium; and a page of another site, whose requests change nothing."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import httpx2
import pytest
from playwright.async_api import Page, Request
from prometheus_client.parser import text_string_to_metric_families
from support.callers.tour import ERROR, is_whole
from support.machine.node import made, needs_node, run
from support.machine.wall_clock import quiet
from support.patience import AT_MOST, until
from support.servers.file_site import file_site
from support.servers.process import Server, serving

SERVICE = "/schedule.v1.ScheduleService/"
READS = {"ListTasks", "GetTask", "GetTaskHistory"}

pytestmark = [pytest.mark.slow, pytest.mark.keyless]


@dataclass(frozen=True, slots=True)
class Scene:
    """A server, and two sites with the same page: the server allows the first one's origin."""

    server: Server
    folder: Path
    allowed: str
    other: str


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The page of examples/fetch-client at two sites, and a server."""
    folder = made("fetch-client", tmp_path_factory.mktemp("page"))
    run("npm", "run", "build", folder=folder)
    place = tmp_path_factory.mktemp("server")
    with file_site(folder) as allowed, file_site(folder) as other:
        origin = f"http://127.0.0.1:{allowed}"
        (place / "schedule.toml").write_text(f'[http]\nallowed_origins = ["{origin}"]\n')
        with serving(place, "--http", "127.0.0.1:0", "--init", handlers=None, **quiet()) as server:
            yield Scene(server, folder, origin, f"http://localhost:{other}")


@needs_node
@pytest.mark.parametrize("protocol", ["connect", "get", "grpc-web"])
@pytest.mark.parametrize("origin", ["its own", "another"])
async def test_the_page_of_the_example(
    scene: Scene,
    page: Page,
    page_errors: list[str],
    protocol: str,
    origin: str,
    record_property: Callable[[str, object], None],
):
    """All calls and a stream, where a proxy serves the page at the server's origin, and at an allowed origin."""
    called: list[tuple[str, str]] = []
    page.on("request", lambda request: called.append((request.method, _rpc(request))))
    server = f"http://{scene.server.http_address}"
    name = f"chromium-{protocol}-{origin.replace(' ', '-')}"
    asked = {"protocol": protocol, "name": name}
    if origin == "its own":
        await page.route(f"{server}/app/**", lambda route: route.fulfill(path=scene.folder / _file(route.request)))
        await page.goto(f"{server}/app/page.html?{urlencode(asked)}")
    else:
        await page.goto(f"{scene.allowed}/page.html?{urlencode(asked | {'server': server})}")
    answers = json.loads(await _text(page))
    assert answers.pop("error") == ERROR
    chosen = {"connect": "Connect", "get": "Connect with GET", "grpc-web": "gRPC-Web"}[protocol]
    is_whole(answers, f"connect-es in Chromium, {chosen}, {origin} origin", name, record_property)
    by_get = {rpc for method, rpc in called if method == "GET" and rpc}
    assert by_get == (READS if protocol == "get" else set())
    refused = 0 if protocol == "grpc-web" else 1  # by Connect, NOT_FOUND is 404, of which Chromium tells
    assert ["404" in error for error in page_errors] == [True] * refused
    page_errors.clear()


def _file(request: Request) -> str:
    return request.url.partition("/app/")[2].partition("?")[0]


def _rpc(request: Request) -> str:
    return request.url.partition(SERVICE)[2].partition("?")[0]


async def _text(page: Page) -> str:
    shown = page.locator("#answers:not(:empty)")
    await shown.wait_for(timeout=AT_MOST * 1000)
    return await shown.inner_text()


@needs_node
async def test_the_page_at_an_origin_that_is_not_allowed(scene: Scene, page: Page, page_errors: list[str]):
    """Its calls fail in the browser, and the server has not registered its task."""
    server = f"http://{scene.server.http_address}"
    await page.goto(f"{scene.other}/page.html?{urlencode({'server': server, 'name': 'intruder'})}")
    assert await _text(page) == "ConnectError: [unknown] Failed to fetch"
    assert any("blocked by CORS policy" in error for error in page_errors)
    page_errors.clear()
    async with httpx2.AsyncClient(base_url=server, timeout=AT_MOST, trust_env=False) as web:
        assert (await web.get("/tasks/intruder")).status_code == 404


FORGED = """
async ([url, message]) => {
  const form = 'application/x-www-form-urlencoded'
  const send = (body, options) => fetch(url, { method: 'POST', mode: 'no-cors', body, ...options }).catch(() => {})
  await send(message, { headers: { 'content-type': form } })
  await send(message, { headers: { 'content-type': form }, referrerPolicy: 'no-referrer' })
  await send(new Blob([message]))
  await send(message)
  navigator.sendBeacon(url, new Blob([message], { type: form }))
  const frame = document.createElement('iframe')
  frame.name = 'hidden'
  const made = document.createElement('form')
  Object.assign(made, { method: 'POST', enctype: 'text/plain', action: url, target: 'hidden' })
  const field = document.createElement('input')
  Object.assign(field, { name: message.slice(0, -2) + ', "note": "', value: '"}' })
  made.append(field)
  document.body.append(frame, made)
  made.submit()
  const image = new Image()
  await new Promise((resolve) => {
    image.onerror = resolve
    image.src = `${url}?encoding=json&message=${encodeURIComponent(message)}`
  })
}
"""
"""Everything that a page can send to another site without a preflight."""
FORGED_POSTS = 6


async def _refused(web: httpx2.AsyncClient) -> Counter[tuple[str, str]]:
    """Return how many requests the server has answered before it handed them to a route, by method and status."""
    families = text_string_to_metric_families((await web.get("/metrics")).text)
    return Counter(
        {
            (sample.labels["method"], sample.labels["status"]): int(sample.value)
            for family in families
            for sample in family.samples
            if sample.name == "schedule_http_requests_total" and sample.labels["route"] == "other"
        }
    )


async def test_what_a_page_of_another_site_sends_changes_nothing(scene: Scene, page: Page, page_errors: list[str]):
    """All of it comes, and is refused; the same bytes from a program are a call."""
    server = f"http://{scene.server.http_address}"
    url = f"{server}{SERVICE}DisableTask"
    message = '{"name": "check-rate-limits"}'
    async with httpx2.AsyncClient(base_url=server, timeout=AT_MOST, trust_env=False) as web:

        async def is_enabled() -> bool:
            query = {"encoding": "json", "message": message}
            task = (await web.get(f"{SERVICE}GetTask", params=query)).json()
            return bool(task.get("enabled", False))

        before = await _refused(web)
        await page.goto(f"{scene.other}/page.html?server=about:blank")
        await page.evaluate(FORGED, [url, message])

        async def all_came() -> Counter[tuple[str, str]] | None:
            came = await _refused(web) - before
            return came if came.total() == FORGED_POSTS + 1 else None

        assert await until(all_came) == {("POST", "403"): FORGED_POSTS, ("GET", "405"): 1}
        assert await is_enabled()
        form = {"content-type": "application/x-www-form-urlencoded"}
        assert (await web.post(url, content=message, headers=form)).json()["name"] == "check-rate-limits"
        assert not await is_enabled()
    page_errors.clear()
