"""Every page, of every state of the service: it is there, complete, plain HTML, and within its bounds."""

import html
import json
import re
from collections.abc import Callable
from datetime import timedelta
from html.parser import HTMLParser

from support.callers.page_reader import Read, Reader
from support.rigs.rig import Rig

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>{{ 7*7 }}</textarea>\ud7ff javascript:alert(3)'
FIXED = ["", "/tasks", "/tasks/new", "/executions", "/failures", "/upcoming", "/handlers", "/system"]
MOST_BYTES = 70_000


def check_plain(read: Read) -> None:
    """Check that a page has nothing inline, nothing from elsewhere, one heading, no id twice."""
    page = read.page
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)
        if tag == "script":
            assert attributes.get("src"), "a script stands in the page"
        assert tag not in ("style", "iframe", "object", "embed", "base")
        if "id" in attributes:
            assert attributes["id"], tag
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)), sorted(each for each in ids if ids.count(each) > 1)
    assert not [link for link in page.links if re.match(r"[a-z]+:|//|/", link)], "an address is absolute"
    assert len(list(page.named("h1"))) == 1
    assert len(list(page.named("main"))) == 1


class Parts(HTMLParser):
    """Finds the children of elements whose children the script compares one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []
        self._open: list[bool] = [False]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element if it is such a child."""
        if self._open[-1]:
            self.found.append(dict(attrs))
        if tag not in ("input", "br", "meta", "link"):
            self._open.append("data-parts" in dict(attrs))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element without content."""
        if self._open[-1]:
            self.found.append(dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        self._open.pop()


def compared(read: Read) -> list[dict[str, str | None]]:
    """Return the attributes of the elements of a page that the script compares."""
    parts = Parts()
    parts.feed(read.text)
    assert len(parts.found) > 0
    return parts.found


async def test_the_pages_of_an_empty_service(pages: Reader):
    """They are there, and say that there is nothing yet."""
    for path in FIXED:
        read = await pages.get(f"/ui{path}")
        assert read.status == 200, (path, read.text)
        assert read.headers["content-type"] == "text/html; charset=utf-8"
        check_plain(read)


async def test_the_pages_of_tasks_that_ran_in_every_way(rig: Rig, pages: Reader):
    """Each page is complete, within its bounds, and every part has what the script needs to compare it."""
    await every_way(rig)
    of_task = ["/tasks/task", "/tasks/task/edit", "/tasks/task/why", "/tasks/new?copy=task"]
    runs = [each for name in ("task", "failing", "gone") for each in await rig.history(name)]
    for path in [*FIXED, *of_task, *(f"/executions/{each.id}" for each in runs)]:
        read = await pages.get(f"/ui{path}")
        assert read.status == 200, (path, read.text)
        check_plain(read)
        assert len(read.content) < MOST_BYTES
        for attributes in compared(read):
            assert attributes.get("id"), (path, attributes)
            assert "data-v" in attributes or "data-parts" in attributes, (path, attributes)
    gone = await pages.get("/ui/tasks/gone")
    assert (gone.status, gone.headers["location"]) == (303, "../../ui/executions?task=gone")
    assert "deleted" in (await pages.follow(gone, gone.headers["location"])).page.said


async def every_way(rig: Rig) -> None:
    """Let tasks run in every way."""
    await rig.register("task", "@hourly", description="Does it", metadata={"category": "reports"})
    await rig.skip(3600)
    await rig.run_now("task")
    failing = {"fate": "raise", "error": "line 12 of 90 is bad"}
    await rig.register("failing", "*/5 * * * *", payload=failing, policy={"retry.max_retries": 0})
    await rig.skip(300)
    await rig.register("gone", "@daily")
    await rig.run_now("gone")
    await rig.service.delete("gone")
    await rig.register("off", "@daily")
    await rig.service.disable("off", note="until the migration is over")
    await rig.register("nobody", "@daily", "not-offered", allow_unknown_handler=True)
    await rig.skip(2 * 3600)


async def test_hostile_texts_stay_texts(rig: Rig, pages: Reader):
    """Wherever a text of a task or an execution is shown, it is text."""
    await rig.register(
        "hostile",
        "@manual",
        payload={"fate": "raise", "error": HOSTILE},
        description=HOSTILE,
        metadata={"category": HOSTILE, HOSTILE: HOSTILE, "managed_by": HOSTILE},
        policy={"retry.max_retries": 0},
    )
    execution = await rig.run_now("hostile", payload={"fate": "raise", "error": HOSTILE, HOSTILE: 1})
    await rig.service.disable("hostile", note=HOSTILE)
    shown = 0
    for path in [*FIXED, "/tasks/hostile", "/tasks/hostile/edit", f"/executions/{execution.id}", "/failures"]:
        read = await pages.get(f"/ui{path}")
        assert read.status == 200, read.text
        check_plain(read)
        assert not list(read.page.named("img")), path
        shown += "onerror=alert(1)" in read.page.said
        assert "{{ 7*7 }}" in read.page.said or "49" not in read.page.said
    assert shown >= 4


async def test_what_an_address_asks_is_checked(pages: Reader):
    """A refusal is a page, with the field and the reason, and the question is a text in it."""
    for path, field in [
        ("/tasks?state=nonsense", "state"),
        ("/tasks?sort=<b>", "sort"),
        ("/executions?states=nonsense", "states"),
        ("/executions?from=yesterday", "from"),
        ("/tasks?colour=red", "colour"),
        ("/upcoming?hours=0", "hours"),
        ("/tasks?after=nonsense", "page"),
    ]:
        read = await pages.get(f"/ui{path}")
        assert read.status == 400, path
        check_plain(read)
        assert field in read.page.said.lower()


async def test_what_is_not_there_is_a_page(pages: Reader):
    """Of a task, of an execution, of any path below."""
    for path in ["/tasks/none", "/tasks/none/edit", "/executions/none", "/nonsense", "/tasks/a/b/c"]:
        read = await pages.get(f"/ui{path}")
        assert read.status == 404, path
        assert read.headers["content-type"] == "text/html; charset=utf-8"
        check_plain(read)


async def test_the_history_of_a_filter(rig: Rig, pages: Reader):
    """A state, a task, and how long ago."""
    await every_way(rig)
    read = await pages.get("/ui/executions?states=FAILED")
    assert "failing" in read.page.said
    rows = [attributes for attributes in read.page.named("tr") if attributes.get("data-v")]
    failed = [each for each in await rig.history("failing") if each.state.value == "FAILED"]
    assert len(rows) == len(failed) > 0
    assert "No executions" in (await pages.get("/ui/executions?states=FAILED&to=-30d")).page.said
    (row,) = [each for each in (await pages.get("/ui/tasks?state=disabled")).page.named("tr") if each.get("data-task")]
    assert row["data-task"] == "off"
    assert "No task matches" in (await pages.get("/ui/tasks?q=zzz")).page.said


async def test_lists_have_pages(rig: Rig, pages: Reader):
    """Fifty rows, and the way to the next ones keeps the filter."""
    for number in range(60):
        await rig.register(f"many-{number:02}", "@daily")
    read = await pages.get("/ui/tasks?q=many")
    assert len([1 for each in read.page.named("tr") if each.get("data-task")]) == 50
    assert len(read.content) < MOST_BYTES
    (further,) = [each["href"] for each in read.page.named("a") if each.get("rel") == "next"]
    second = await pages.follow(read, str(further))
    assert len([1 for each in second.page.named("tr") if each.get("data-task")]) == 10
    assert not [each for each in second.page.named("a") if each.get("rel") == "next"]


async def test_a_part_is_the_page_without_its_shell(rig: Rig, pages: Reader):
    """Asked for again it is 304; once something changed, only what differs has another version."""
    await rig.register("task")
    part = await pages.get("/ui/tasks", x_part="main")
    assert part.text.lstrip().startswith("<main")
    assert (await pages.get("/ui/tasks", x_part="main", if_none_match=part.headers["etag"])).status == 304
    await rig.clock.advance(timedelta(seconds=5))
    assert (await pages.get("/ui/tasks", x_part="main", if_none_match=part.headers["etag"])).status == 304
    await rig.run_now("task")
    again = await pages.get("/ui/tasks", x_part="main", if_none_match=part.headers["etag"])
    assert again.status == 200
    pages_seen = (part.page, again.page)
    versions = [
        {str(each["id"]): each["data-v"] for _, each in seen.elements if "data-v" in each} for seen in pages_seen
    ]
    differing = {name for name in versions[1] if versions[0].get(name) != versions[1][name]}
    assert differing == {"t-task"}


async def test_the_form_of_a_task_with_a_large_payload(rig: Rig, pages: Reader):
    """It has all of it, however long it is with line breaks: what was cut could not be saved."""
    payload = {"rows": [[number] for number in range(9000)]}
    await rig.register("task", payload=payload)
    (shown,) = re.findall(
        r'<textarea name="payload"[^>]*>(.*?)</textarea>', (await pages.get("/ui/tasks/task/edit")).text, re.DOTALL
    )
    assert json.loads(html.unescape(shown)) == payload


async def test_the_health_of_the_server_is_on_every_page(rig: Rig, pages_with: Callable[..., Reader]):
    """With its reasons where it is not healthy, and hidden where it is."""
    for troubles in ((), ("the database does not answer", "no lease for 12 s")):
        reader = pages_with(troubles=troubles)
        for path in FIXED:
            read = await reader.get(f"/ui{path}")
            (line,) = [each for each in read.page.named("p") if each.get("id") == "health"]
            assert ("hidden" in line) == (not troubles), path
            assert "; ".join(troubles) in read.page.said
            assert 'id="health"' not in (await reader.get(f"/ui{path}", x_part="main")).text
    rig.service.drain()


async def test_an_hour_of_the_map_leads_to_its_runs(rig: Rig, pages: Reader):
    """Those of that hour alone, with the filter kept; an hour that is out of reach is refused."""
    await rig.register("early", "30 3 * * *", metadata={"category": "reports"})
    await rig.register("late", "15,45 20 * * *", metadata={"category": "reports"})
    await rig.register("other", "15 20 * * *")
    read = await pages.get("/ui/upcoming?category=reports")
    links = [each for each in read.page.named("a") if each.get("class") == "cell"]
    counts = sorted(str(each["aria-label"]).partition(": ")[2] for each in links)
    assert counts == ["1 in this hour", "2 in this hour"]
    (of_late,) = [each for each in links if "2 in this hour" in str(each["aria-label"])]
    chosen = await pages.follow(read, str(of_late["href"]))
    check_plain(chosen)
    rows = [str(each["id"]) for each in chosen.page.named("li") if str(each.get("id", "")).startswith("d-")]
    assert [row[-13:-5] for row in rows] == ["20:15:00", "20:45:00"]
    assert "other" not in chosen.page.said
    (current,) = [each for each in chosen.page.named("a") if each.get("class") == "cell" and "aria-current" in each]
    assert current["aria-label"] == of_late["aria-label"]
    assert (await pages.get("/ui/upcoming?at=2001-01-01T00:00Z")).status == 400


async def test_handlers_say_how_long_their_executions_took(rig: Rig, pages: Reader, monkeypatch):
    """The time of 95 of 100, and of how many; if not all of a day are looked at, since when."""
    await rig.register("task", "@manual")
    assert not re.search(r"\bms of\b", (await pages.get("/ui/handlers")).page.said)
    for _ in range(3):
        await rig.service.run_now("task", detach=True)
        await rig.tick()
    await rig.clock.advance(61)
    said = (await pages.get("/ui/handlers")).page.said
    assert re.search(r"\b\d+ ms of 3\b", said), said
    assert "of those recorded within 24 hours." in said
    monkeypatch.setattr("schedule_grpc.service.summary.MOST_DURATIONS", 2)
    await rig.clock.advance(61)
    read = await pages.get("/ui/handlers")
    assert "of which the newest" in read.page.said
    assert re.search(r"\b\d+ ms of 2\b", read.page.said)
    check_plain(read)
