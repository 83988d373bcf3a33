"""Who may see and do what: sessions, scopes, namespaces, and a port that changes nothing."""

from datetime import timedelta

import pytest
from support.callers.page_reader import HOST
from support.patience import until
from support.rigs.door import ROOT, Door, door_of
from support.rigs.rig import Rig

from schedule_grpc.access.sessions import Sessions
from schedule_grpc.api.ui.visit import FEED
from schedule_grpc.domain.access.browser_session import LASTS
from schedule_grpc.errors import DatabaseUnavailable


async def test_a_stranger_is_led_to_the_page_that_asks_for_a_key(door: Door):
    """Back to where it wanted to go; its scripts are told 401, and the page itself shows nothing of the service."""
    await door.rig.register("secret-task")
    await door.key("first", "read@default")
    stranger = door.reader()
    led = await stranger.get("/ui/tasks/secret-task?states=FAILED")
    assert led.status == 303
    assert led.headers["location"] == "../../ui/login?back=ui%2Ftasks%2Fsecret-task%3Fstates%3DFAILED"
    page = await stranger.follow(led, led.headers["location"])
    assert page.status == 200
    assert "secret-task" not in page.page.said
    assert "v17.4" not in page.page.said, "as GET /, the pages tell strangers no version"
    (form,) = page.page.named("form")
    assert form["data-back"] == "../ui/tasks/secret-task?states=FAILED"
    assert form["method"] == "post", "a key does not get into an address"
    assert [each for each in page.page.named("button") if each.get("type") == "submit" and "disabled" in each]
    assert (await stranger.get("/ui/tasks", x_part="main")).status == 401
    assert (await stranger.get("/tasks")).status == 401
    assert (await stranger.get("/", accept="text/html")).headers["location"] == "ui"
    for elsewhere in ("//evil.example", "ui/..//evil.example", "https://evil.example", "ui/\\evil.example"):
        (form,) = (await stranger.get(f"/ui/login?back={elsewhere}")).page.named("form")
        assert form["data-back"] == "../ui"


@pytest.mark.parametrize(
    ("scheme", "name", "ending"),
    [("https", "__Host-schedule", "; Secure"), ("http", "schedule-session", "SameSite=Strict")],
)
async def test_a_key_begins_a_session(door: Door, scheme: str, name: str, ending: str):
    """Its cookie is out of the reach of scripts, of other sites and, over TLS, of other hosts; it is not the key."""
    text = await door.key("people", "read@default")
    browser = door.reader(scheme)
    wrong = await browser.post("/ui/login", {"key": text[:-1] + "x"})
    assert (wrong.status, browser.cookies) == (401, {})
    answer = await browser.post("/ui/login", {"key": text})
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{name}=")
    assert "; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict" in cookie
    assert cookie.endswith(ending)
    assert text not in cookie
    page = await browser.get("/ui/tasks")
    assert page.status == 200
    assert "key:people" in page.page.said
    assert "v17.4" in page.page.said
    assert (await browser.post("/ui/logout")).status == 200
    assert (await browser.get("/ui/tasks")).status == 303


async def test_a_session_ends(door: Door):
    """After twelve hours, and with its key."""
    browser = await door.logged_in("read@default")
    assert (await browser.get("/ui/tasks")).status == 200
    await door.keys.revoke_key(ROOT, "people")
    assert (await browser.get("/ui/tasks")).status == 303
    again = await door.logged_in("read@default")
    await door.rig.clock.advance(LASTS - timedelta(minutes=1))
    assert (await again.get("/ui/tasks")).status == 200
    await door.rig.clock.advance(timedelta(minutes=2))
    assert (await again.get("/ui/tasks")).status == 303


async def test_a_session_survives_a_restart_and_ends_with_its_key(door: Door):
    """The server that comes after knows it, by the database; a rotated key's text ends its sessions as well."""
    browser = await door.logged_in("read@default")
    after = door_of(door.rig)
    await after.ring.refresh()
    again = after.reader()
    again.cookies = dict(browser.cookies)
    page = await again.get("/ui/tasks")
    assert page.status == 200
    assert "logout" in page.page.acts
    await after.keys.rotate_key(ROOT, "people", overlap=timedelta(0))
    assert (await again.get("/ui/tasks")).status == 303


async def test_no_session_is_begun_that_is_not_written(door: Door, monkeypatch: pytest.MonkeyPatch):
    """While the database does not answer, nobody logs in, and who logs out is told that it may not be out."""

    async def away(_: object) -> None:
        raise DatabaseUnavailable("away")

    browser = await door.logged_in("read@default")
    held = dict(browser.cookies)
    text = await door.key("other", "read@default")
    with monkeypatch.context() as patch:
        patch.setattr(door.rig.store, "begin_browser_session", away)
        patch.setattr(door.rig.store, "end_browser_sessions", away)
        stranger = door.reader()
        refused = await stranger.post("/ui/login", {"key": text})
        assert (refused.status, stranger.cookies) == (503, {})
        assert (await browser.post("/ui/logout")).status == 503
    assert browser.cookies == held
    assert (await browser.post("/ui/logout")).status == 200
    browser.cookies = held
    assert (await browser.get("/ui/tasks")).status == 303


async def test_a_session_changes_nothing_for_another_site(door: Door):
    """Nor where the browser does not say which page asks; a call with a key of its own needs no such word."""
    await door.rig.register("task")
    browser = await door.logged_in("write@default")
    path = "/tasks/task/disable"
    kind = {"content-type": "application/json"}
    other_scheme = {"origin": f"http://{HOST}", "sec-fetch-site": "cross-site"}
    for headers in ({}, {"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, other_scheme):
        assert (await browser.ask("POST", path, headers=kind | headers, body=b"{}")).status == 403
    assert (await browser.ask("POST", path, headers=kind | {"sec-fetch-site": "same-origin"}, body=b"{}")).status == 200
    program = door.reader()
    bearer = {"authorization": f"Bearer {await door.key('program', 'write@default')}"}
    assert (await program.ask("POST", "/tasks/task/enable", headers=kind | bearer, body=b"{}")).status == 200


async def test_a_session_is_handed_no_key(door: Door):
    """A cookie that somebody found is good for twelve hours; a key that it made would be for good."""
    browser = await door.logged_in("admin@*")
    for path, body in (("/keys", {"name": "more", "grants": ["admin@*"]}), ("/keys/people/rotate", {})):
        refused = await browser.post(path, body)
        assert (refused.status, "show the key itself" in refused.json["error"]) == (400, True), refused.text
    assert [key["name"] for key in (await browser.get("/keys")).json["keys"]] == ["people"]
    bearer = {"authorization": f"Bearer {await door.key('program', 'admin@*')}"}
    assert (await door.reader().post("/keys", {"name": "more", "grants": ["read@a"]}, **bearer)).status == 200


async def test_a_session_is_not_for_rpcs(door: Door):
    """Connect and gRPC-Web know keys alone: no page of ours calls them."""
    browser = await door.logged_in("write@default")
    assert (await browser.get("/tasks")).status == 200
    assert (await browser.post("/schedule.v1.ScheduleService/ListTasks", {})).status == 401


@pytest.mark.parametrize(
    ("grant", "acts"),
    [
        ("observe@default", set()),
        ("read@default", set()),
        ("run@default", {"run", "run-with", "disable", "menu"}),
        ("write@default", {"run", "run-with", "disable", "menu"}),
    ],
)
async def test_a_page_offers_what_its_viewer_may(door: Door, grant: str, acts: set[str]):
    """And the routes refuse the rest, whatever is drawn."""
    await door.rig.register("task", payload={"token": "in-the-payload"})
    browser = await door.logged_in(grant)
    page = (await browser.get("/ui/tasks/task")).page
    assert page.acts - {"logout"} == acts
    links = [link for link in page.links if link.endswith("/edit")]
    assert bool(links) == grant.startswith("write")
    assert ("in-the-payload" in page.said) == (not grant.startswith("observe"))
    ran = await browser.post("/tasks/task/run?wait=false")
    assert ran.status == (202 if acts else 403)
    assert (await browser.post("/tasks", {"name": "new", "schedule": "@daily", "handler": "fate"})).status == (
        200 if grant.startswith("write") else 403
    )
    assert "sqlite" not in (await browser.get("/ui/system")).page.said


async def test_a_page_shows_the_tasks_that_its_viewer_may_see(door: Door):
    """By the beginnings of their names; the others are not there."""
    await door.rig.register("mine-a")
    await door.rig.register("theirs")
    browser = await door.logged_in("run@default/mine-")
    assert [
        each["data-task"] for each in (await browser.get("/ui/tasks")).page.named("tr") if each.get("data-task")
    ] == ["mine-a"]
    assert (await browser.get("/ui/tasks/theirs")).status == 404
    for path in ("", "/executions", "/failures", "/upcoming", "/handlers", "/system"):
        read = await browser.get(f"/ui{path}")
        assert read.status == 200, read.text
        assert "theirs" not in read.text


async def test_a_viewer_switches_between_its_namespaces(door: Door):
    """Every link of a page keeps the namespace; one that the key does not name is refused, as a page."""
    await door.rig.service.create_namespace("reports")
    browser = await door.logged_in("read@default", "read@reports")
    read = await browser.get("/ui/tasks?namespace=reports")
    assert read.status == 200
    assert "default reports" in read.page.said
    pages = [link for link in read.page.links if "/static/" not in link and not link.startswith("#")]
    assert all("namespace=reports" in link or link.endswith("tasks") for link in pages), pages
    assert (await browser.get("/ui/tasks?namespace=secret")).status == 403


async def test_a_port_that_changes_nothing(rig: Rig, pages_with):
    """Every change is refused there, and none is offered."""
    await rig.register("task")
    reader = pages_with(changes=False)
    for path, body in [
        ("/tasks/task/run", None),
        ("/tasks/task/disable", {}),
        ("/init", None),
        ("/tasks", {"name": "x"}),
    ]:
        assert (await reader.post(path, body)).status == 403, path
    assert (await reader.get("/__scheduled?cron=%40hourly")).status == 403
    assert (await reader.ask("DELETE", "/tasks/task")).status == 403
    for path in ("/tasks", "/tasks/task", "/executions", ""):
        page = (await reader.get(f"/ui{path}")).page
        assert not page.acts, path
        assert "read-only" in page.said
    rig.service.drain()


async def test_a_session_is_known_by_its_own_name(door: Door):
    """A cookie without the prefix, which a host beside this one can set, begins nobody's session over TLS."""
    browser = await door.logged_in("read@default", scheme="https")
    (text,) = browser.cookies.values()
    assert (await browser.get("/tasks")).status == 200
    browser.cookies = {"schedule-session": text}
    assert (await browser.get("/tasks")).status == 401
    crowd = "; ".join(f"schedule-session={letter * 43}" for letter in "abcdefgh")
    headers = {"cookie": f"{crowd}; __Host-schedule={text}"}
    assert (await door.reader("https").ask("GET", "/tasks", headers=headers)).status == 200


@pytest.mark.parametrize("other", ['grafana={"a":1}', "a=b c", "n[m]=1", "a=é", 'q="open', "=", "schedule-session=old"])
async def test_cookies_of_other_programs_on_the_host(rig: Rig, other: str):
    """Browsers send them along, whatever their form: ports of a host share their cookies."""
    sessions = Sessions(rig.store, rig.clock)
    cookie = (await sessions.begin(b"digest", secure=False)).partition(";")[0]
    for header in (f"{other}; {cookie}", f"{cookie}; {other}", f"{cookie};{other}"):
        assert await sessions.session_in([header]) is not None


async def test_viewers_of_different_rights_share_no_part(door: Door):
    """What was rendered for one caller a moment ago is not what another one is answered with."""
    await door.rig.register("mine-a", payload={"token": "in-the-payload"})
    await door.rig.register("theirs")
    all_of_it, some = await door.logged_in("read@default"), await door.reader_with_key("other", "observe@default/mine-")
    for each in (all_of_it, some):
        each.until_done = None  # what was rendered is kept as long as the clock stands still
    async with all_of_it.listening("/ui/feed"):
        for path, hidden in [("/ui/tasks", "theirs"), ("/ui/tasks/mine-a", "in-the-payload")]:
            for reader, sees in [(all_of_it, True), (some, False), (all_of_it, True)]:
                read = await reader.get(path, x_part="main", x_tick="epoch:1")
                assert read.status == 200
                assert (hidden in read.text) == sees, path


async def test_the_reasons_of_bad_health_are_for_those_who_operate(door: Door):
    """A key of one namespace is shown none, as /health shows it none."""
    door.troubles.append("the database does not answer")
    operator, user = await door.logged_in("observe@*"), await door.reader_with_key("user", "observe@default")
    assert "does not answer" in (await operator.get("/ui/tasks")).page.said
    assert "does not answer" not in (await user.get("/ui/tasks")).text
    assert "does not answer" not in (await user.get("/health")).text


async def test_a_stream_ends_after_its_session(door: Door):
    """Within seconds: its browser has left, or is told to log in."""
    browser, other = await door.logged_in("read@default"), await door.reader_with_key("other", "read@default")
    feed = getattr(door.guard._app.state, FEED)
    for each in (browser, other):
        each.until_done = None
    async with browser.listening("/ui/feed"), other.listening("/ui/feed"):
        await door.rig.skip(60)
        assert feed.stream_count == 2
        await browser.post("/ui/logout")

        async def one_has_ended() -> bool:
            await door.rig.skip(15)
            return feed.stream_count == 1

        await until(one_has_ended)
        await door.rig.skip(60)
        assert feed.stream_count == 1
