"""Sessions of browsers: every server of a database knows them, for as long as they last and no longer."""

import asyncio
import secrets
from datetime import timedelta

import pytest
from support.rigs.rig import Rig, new_rig
from support.servers.postgres import Postgres
from support.witnesses.checker.reading import rows

from schedule_grpc.access.key_ring import KNOWN_FOR
from schedule_grpc.access.sessions import FRESH_FOR, MOST_READ, MOST_WAITING, Sessions
from schedule_grpc.domain.access.browser_session import LASTS, MOST_OF_A_KEY, BrowserSession
from schedule_grpc.engine.retention import Janitor
from schedule_grpc.errors import DatabaseUnavailable, Unavailable
from schedule_grpc.store import browser_session_store

KEY, OTHER = b"k" * 32, b"o" * 32


async def begun(sessions: Sessions, key: bytes = KEY) -> str:
    """Begin a session; return the cookie."""
    return (await sessions.begin(key, secure=True)).partition(";")[0]


async def test_a_session_is_found_by_its_cookie_alone(rig: Rig):
    """What is stored is no cookie; other cookies beside it do not hide it."""
    cookie = await begun(Sessions(rig.store, rig.clock))
    text = cookie.partition("=")[2]
    sessions = Sessions(rig.store, rig.clock)
    found = await sessions.session_in(["nonsense; =; a", "other=1", f"x=y; {cookie}"])
    assert found is not None
    assert (found.key_digest, found.expire_time) == (KEY, rig.clock.now() + LASTS)
    (row,) = rows(rig.place, "SELECT * FROM browser_sessions")
    assert text not in str(dict(row))
    for wrong in (f"{cookie}x", cookie[:-1], f"__Host-schedule={row['digest']}", f"__Host-schedule={'A' * 43}"):
        assert await sessions.session_in([wrong]) is None


async def test_no_more_sessions_of_a_key_than_there_may_be(rig: Rig):
    """One more ends its oldest, at once also where that was just used; another key's stay."""
    sessions = Sessions(rig.store, rig.clock)
    others = await begun(sessions, OTHER)
    cookies = []
    for _ in range(MOST_OF_A_KEY):
        cookies.append(await begun(sessions))
        await rig.clock.advance(0.001)
    assert await sessions.session_in([cookies[0]]) is not None
    cookies.append(await begun(sessions))
    assert await sessions.session_in([cookies[0]]) is None
    for cookie in (cookies[1], cookies[-1], others):
        assert await sessions.session_in([cookie]) is not None


async def test_expired_sessions_leave_the_database(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """With a round of retention, a few at a time."""
    monkeypatch.setattr(browser_session_store, "REMOVED_AT_ONCE", 2)
    sessions = Sessions(rig.store, rig.clock)
    for _ in range(5):
        await begun(sessions)
    await rig.clock.advance(timedelta(minutes=1))
    lasting = await begun(sessions)
    await rig.clock.advance(LASTS - timedelta(minutes=1))
    await Janitor(store=rig.store, clock=rig.clock).go_round()
    assert len(rows(rig.place, "SELECT digest FROM browser_sessions")) == 1
    assert await sessions.session_in([lasting]) is not None


async def test_what_ends_while_it_is_read_is_not_kept(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """A read that began before its browser logged out answers that request, and no later one."""
    cookie = await begun(Sessions(rig.store, rig.clock))
    sessions = Sessions(rig.store, rig.clock)
    find, read, going_on = rig.store.find_browser_session, asyncio.Event(), asyncio.Event()

    async def slow(digest: bytes) -> BrowserSession | None:
        found = await find(digest)
        read.set()
        await going_on.wait()
        return found

    monkeypatch.setattr(rig.store, "find_browser_session", slow)
    under_way = asyncio.create_task(sessions.session_in([cookie]))
    await read.wait()
    monkeypatch.setattr(rig.store, "find_browser_session", find)
    assert (await sessions.end([cookie], secure=True)).startswith("__Host-schedule=;")
    going_on.set()
    assert await under_way is not None
    assert await sessions.session_in([cookie]) is None


async def test_who_logs_out_of_nothing_writes_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """The call is open to strangers, and a write waits for all others."""

    async def away(_: object) -> None:
        raise DatabaseUnavailable("away")

    sessions = Sessions(rig.store, rig.clock)
    held = await begun(sessions)
    monkeypatch.setattr(rig.store, "end_browser_sessions", away)
    for cookies in ([], ["other=1"], [f"schedule-session={secrets.token_urlsafe(32)}"]):
        assert (await sessions.end(cookies, secure=False)).startswith("schedule-session=; Path=/; Max-Age=0")
    with pytest.raises(DatabaseUnavailable):
        await sessions.end([held], secure=True)
    assert await sessions.session_in([held]) is not None


async def test_random_cookies_take_little_of_the_database(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """Two are read at once, some wait, the others are refused; a session that is known is answered meanwhile."""
    sessions = Sessions(rig.store, rig.clock)
    known = await begun(sessions)
    going_on, at_once, most = asyncio.Event(), 0, 0
    find = rig.store.find_browser_session

    async def slow(digest: bytes) -> BrowserSession | None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await going_on.wait()
        found = await find(digest)
        at_once -= 1
        return found

    monkeypatch.setattr(rig.store, "find_browser_session", slow)
    asked = [
        asyncio.create_task(sessions.session_in([f"schedule-session={secrets.token_urlsafe(32)}"]))
        for _ in range(MOST_WAITING + 1)
    ]
    refused, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    assert refused == {asked[-1]}
    with pytest.raises(Unavailable, match="Too many requests name sessions"):
        await asked.pop()
    assert await sessions.session_in([known]) is not None
    going_on.set()
    assert set(await asyncio.gather(*asked)) == {None}
    assert most == MOST_READ


async def test_another_server_learns_of_an_end_within_a_second(
    postgres: Postgres, postgres_database: str, monkeypatch: pytest.MonkeyPatch
):
    """Until then it may take the session for one that lasts; so it may for a minute while the database is away."""

    async def away(_: bytes) -> None:
        raise DatabaseUnavailable("away")

    async with new_rig(postgres.url(postgres_database)) as rig:
        one, other = Sessions(rig.store, rig.clock), Sessions(rig.store, rig.clock)
        cookie = await begun(one)
        assert await other.session_in([cookie]) is not None
        with monkeypatch.context() as patch:
            patch.setattr(rig.store, "find_browser_session", away)
            await rig.clock.advance(KNOWN_FOR)
            assert await other.session_in([cookie]) is not None
            await rig.clock.advance(0.1)
            with pytest.raises(DatabaseUnavailable):
                await other.session_in([cookie])
        assert await other.session_in([cookie]) is not None
        await one.end([cookie], secure=True)
        assert await one.session_in([cookie]) is None
        await rig.clock.advance(FRESH_FOR + 0.1)
        assert await other.session_in([cookie]) is None
