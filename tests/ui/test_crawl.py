"""Every link of every page leads somewhere, below whatever prefix a proxy publishes the server."""

import re
from collections import deque
from urllib.parse import urljoin, urlsplit

import pytest
from prometheus_client import CollectorRegistry
from support.callers.page_reader import HOST, Reader
from support.rigs.rig import Rig

from schedule_grpc.api.http import Access, Guard, application
from schedule_grpc.api.ui.links import Links
from schedule_grpc.api.ui.render import FOLDER


@pytest.mark.parametrize(
    ("prefix", "strips", "start"),
    [("", True, "/ui/"), ("/a/b", True, "/a/b/ui"), ("/a/b", False, "/a/b/ui")],
    ids=["alone", "a proxy strips", "the server strips"],
)
async def test_all_links_lead_somewhere(rig: Rig, pages_with, prefix: str, strips: bool, start: str):
    """From the first page on, with a trailing slash or below a prefix, nothing is refused and nothing leaves."""
    await rig.register("task", "@hourly", metadata={"category": "reports"})
    await rig.register("failing", "@hourly", payload={"fate": "raise"}, policy={"retry.max_retries": 0})
    await rig.skip(3600)
    pages: Reader = pages_with(path_prefix="" if strips else prefix)
    pages.prefix = prefix
    waiting, seen = deque([start]), set()
    while waiting:
        path = waiting.popleft()
        if path in seen:
            continue
        seen.add(path)
        read = await pages.get(path)
        assert read.status == 200, (path, read.text[:300])
        if not read.headers["content-type"].startswith("text/html"):
            continue
        for link in read.page.links:
            further = urljoin(path, link).partition("#")[0]
            assert urlsplit(further).path.startswith(f"{prefix}/"), (path, link)
            if not further.endswith("/metrics"):
                waiting.append(further)
    rig.service.drain()
    pages_seen = {urlsplit(path).path.removeprefix(prefix).rstrip("/") for path in seen}
    assert {
        "/ui",
        "/ui/tasks",
        "/ui/tasks/task",
        "/ui/tasks/task/edit",
        "/ui/tasks/task/why",
        "/ui/system",
    } <= pages_seen
    assert any(path.startswith("/ui/executions/exec_") for path in pages_seen)
    assert any(path.startswith("/ui/static/") for path in pages_seen)


@pytest.mark.parametrize(
    ("path", "root"),
    [("/ui", "./"), ("/ui/", "../"), ("/ui/tasks/a", "../../"), ("/ui/tasks/a%2Fb", "../../")],
)
def test_a_page_climbs_as_many_segments_as_its_path_has(path: str, root: str):
    """As the browser counts them: an escaped slash is none."""
    links = Links.of({"raw_path": path.encode(), "path": path})
    assert links.root == root
    base = f"http://host/prefix{path}"
    assert urljoin(base, links.to("tasks")) == "http://host/prefix/ui/tasks"


def test_links_keep_the_namespace_and_escape_names():
    """Whatever a name has in it, it stays one segment."""
    links = Links(root="../", namespace="reports", version="v")
    assert links.to("tasks", "a/b c?", after="x&y") == "../ui/tasks/a%2Fb%20c%3F?after=x%26y&namespace=reports"
    assert links.api("tasks", q="") == "../tasks?namespace=reports"
    assert links.static("app.css") == "../ui/static/v/app.css"


async def test_the_root_leads_a_browser_to_the_pages(pages: Reader):
    """A program gets the JSON that it knows, whatever it accepts besides."""
    led = await pages.get("/", accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert (led.status, led.headers["location"]) == (303, "ui")
    for accept in ("*/*", "application/json", "application/json, text/html"):
        assert (await pages.get("/", accept=accept)).json["service"] == "schedule"


async def test_files_are_kept_for_good_and_only_of_this_version(pages: Reader):
    """Their path changes with their content; a script's own policy lets it open the feed."""
    read = await pages.get("/ui")
    for link in [link for link in read.page.links if "/static/" in link]:
        file = await pages.follow(read, link)
        assert file.status == 200
        assert "immutable" in file.headers["cache-control"]
        assert "connect-src 'self'" in file.headers["content-security-policy"]
        packed = await pages.get(file.path, accept_encoding="gzip")
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.content == file.content
    assert (await pages.get("/ui/static/other/app.css")).status == 404
    assert (await pages.get(urljoin("/ui", read.page.links[0]).replace("icon.svg", "..%2Fpages.py"))).status == 404


async def test_the_policy_of_a_page(pages: Reader):
    """Nothing inline, nothing from elsewhere, no frame; and no page is stored."""
    headers = (await pages.get("/ui/tasks")).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"


async def test_sites_may_show_pages_in_a_frame(rig: Rig, pages_with):
    """Those that the settings list, and pages only: neither the documentation, nor JSON, nor a worker's script."""
    sites = ("https://ops.example", "https://wiki.example:8443")
    pages: Reader = pages_with(sites=sites)
    for path in ("/ui", "/ui/tasks", "/ui/tasks/nothing", "/ui/nothing"):
        headers = (await pages.get(path)).headers
        assert headers["content-security-policy"].endswith(f"; frame-ancestors {' '.join(sites)}"), path
        assert "default-src 'none'; script-src 'self';" in headers["content-security-policy"]
        assert "x-frame-options" not in headers, path
    script = next(link for link in (await pages.get("/ui")).page.links if link.endswith("main.js"))
    for path in ("/docs", "/tasks", "/", urljoin("/ui", script), "/nothing"):
        headers = (await pages.get(path)).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert headers["x-frame-options"] == "DENY", path
    rig.service.drain()


async def test_a_server_without_pages(rig: Rig):
    """It has none, and its root is what it was for everybody."""
    app = application(rig.service, registry=CollectorRegistry(), troubles=list, unready=list, clock=rig.clock)
    access = Access(hosts=frozenset({HOST}))
    reader = Reader(app=Guard(app, access=access, clock=rig.clock, answered=lambda *_: None), until_done=rig.until_done)
    assert (await reader.get("/", accept="text/html")).json["service"] == "schedule"
    assert (await reader.get("/ui")).status == 404


def test_no_template_trusts_a_text():
    """None marks a value as safe, and none turns escaping off."""
    for path in FOLDER.glob("*.html"):
        assert not re.search(r"\|\s*safe|autoescape|Markup", path.read_text()), path.name
