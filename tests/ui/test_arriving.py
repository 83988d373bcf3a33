"""Links of other sites, as of a mail, whose requests carry no cookie at first."""

from urllib.parse import urljoin

import pytest
from support.callers.page_reader import Read, Reader
from support.rigs.door import ROOT, Door

FROM_ELSEWHERE = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
FROM_HERE = FROM_ELSEWHERE | {"sec_fetch_site": "same-origin"}


async def led_on(browser: Reader, path: str, headers: dict[str, str]) -> list[Read]:
    """Return what a browser is shown that goes to a page: it follows redirects, and pages that ask by themselves.

    Cookies go only with requests of our own pages. A page that asks for another one is one of ours.
    """
    shown, cookies = [], browser.cookies
    while True:
        browser.cookies = cookies if headers is FROM_HERE else {}
        shown.append(await browser.get(path, **headers))
        browser.cookies = cookies
        refreshes = [each for each in shown[-1].page.named("meta") if each.get("http-equiv") == "refresh"]
        if "location" in shown[-1].headers:
            path = urljoin(path, shown[-1].headers["location"])
        elif refreshes:
            headers, path = FROM_HERE, urljoin(path, str(refreshes[0]["content"]).removeprefix("0; url="))
        else:
            return shown
        assert len(shown) < 10, "a loop"


@pytest.mark.parametrize("prefix", ["", "/ops/schedule"])
async def test_a_link_of_another_site_leads_to_its_page(door: Door, prefix: str):
    """Its request has no cookie: a page of ours asks again, which has it. Without a session one is asked for a key."""
    await door.rig.register("task")
    browser, stranger = await door.logged_in("read@default"), door.reader()
    for reader in (browser, stranger):
        reader.prefix = prefix
    path = f"{prefix}/ui/tasks/task?states=FAILED"
    *_, page = await led_on(browser, path, FROM_ELSEWHERE)
    assert (page.path, page.status) == (path, 200)
    assert "key:people" in page.page.said
    *before, page = await led_on(stranger, path, FROM_ELSEWHERE)
    assert [each.status for each in before] == [303, 200]
    assert "task" not in before[-1].page.said
    (form,) = page.page.named("form")
    assert form["data-back"] == "../ui/tasks/task?states=FAILED"
    assert len(await led_on(stranger, path, FROM_HERE)) == 2, "who comes from a page of ours is not sent around"


async def test_who_comes_from_another_site_with_a_session_that_is_over_is_asked_for_a_key(door: Door):
    """Once: neither a cookie without a session nor one whose key was revoked leads in a circle."""
    browser = await door.logged_in("read@default")
    await door.keys.revoke_key(ROOT, "people")
    for cookies in (browser.cookies, {"schedule-session": "a" * 43}):
        browser.cookies = cookies
        *_, page = await led_on(browser, "/ui/tasks", FROM_ELSEWHERE)
        assert "Log in" in page.page.said


async def test_a_browser_that_always_says_another_site_is_led_in_no_circle(door: Door):
    """Whatever it says, it is sent around once."""
    browser = await door.logged_in("read@default")
    for cookies in ({}, browser.cookies):
        browser.cookies = cookies
        page = await browser.get("/ui/login?back=ui/tasks&again=true", **FROM_ELSEWHERE)
        assert (page.status, page.headers.get("location")) == ((303, "../ui/tasks") if cookies else (200, None))
    framed = await browser.get("/ui/login?back=ui/tasks", **FROM_ELSEWHERE | {"sec_fetch_dest": "iframe"})
    assert "Log in" in framed.page.said


@pytest.mark.parametrize(
    "back", ["//evil.example", "https://evil.example", "ui/%252e%252e/x", "ui/..//x", "ui/\\evil.example", "uix", "/x"]
)
async def test_a_page_that_asks_again_leads_to_pages_of_ours_only(door: Door, back: str):
    """As the form does: an address of another site, or of another program on the host, is the first page."""
    browser = await door.logged_in("read@default")
    *_, page = await led_on(browser, f"/ui/login?back={back}", FROM_ELSEWHERE)
    assert (page.path, page.status) == ("/ui", 200)
    led = await browser.get(f"/ui/login?back={back}&again=true", **FROM_HERE)
    assert led.headers["location"] == "../ui"
