"""Two servers of one PostgreSQL behind a balancer: a browser that logged in at one is known at the other one."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
from support.patience import AT_MOST, calling, until
from support.servers.postgres import Postgres

from schedule_grpc import app
from schedule_grpc.runtime.clock import SystemClock
from schedule_grpc.settings.config import Settings

LED_TO_LOGIN = 303


@asynccontextmanager
async def serving(url: str, first_key: Path | None = None) -> AsyncIterator[app.Parts]:
    """Run a server that answers HTTP, too."""
    auth = {} if first_key is None else {"bootstrap_key_file": first_key}
    settings = Settings(database=url, grpc="127.0.0.1:0", http="127.0.0.1:0", auth=auth)
    async with app.running(settings, clock=SystemClock()) as parts:
        assert parts.http_answers is not None
        await parts.http_answers
        yield parts


@asynccontextmanager
async def browsing() -> AsyncIterator[Callable[[], "Browser"]]:
    """Yield what makes browsers."""
    async with httpx2.AsyncClient(timeout=AT_MOST, trust_env=False) as web:
        yield lambda: Browser(web)


class Browser:
    """A browser's cookie, sent to whichever server a balancer chooses."""

    def __init__(self, web: httpx2.AsyncClient) -> None:
        self._web = web
        self.cookie = ""

    async def post(self, server: app.Parts, path: str, body: dict[str, str]) -> int:
        """Send JSON as a page of a server; return the status of the answer, and keep its cookie."""
        site = f"http://{server.http_address}"
        answer = await self._web.post(site + path, json=body, headers={"origin": site, "cookie": self.cookie})
        self._web.cookies.clear()
        self.cookie = answer.headers.get("set-cookie", self.cookie).partition(";")[0]
        return answer.status_code

    async def page(self, server: app.Parts) -> int:
        """Ask a server for a page; return the status of the answer."""
        answer = await self._web.get(f"http://{server.http_address}/ui/tasks", headers={"cookie": self.cookie})
        return answer.status_code

    async def is_out(self, server: app.Parts) -> bool:
        """Return whether a server asks for a key."""
        return await self.page(server) == LED_TO_LOGIN


async def test_a_login_at_one_server_is_one_at_all(postgres: Postgres, postgres_database: str, tmp_path: Path):
    """A page at each; none at either once the browser has logged out at one, or the key is revoked at one.

    A restart ends no session: the server that comes when the others have gone knows it.
    """
    url, first_key = postgres.url(postgres_database), tmp_path / "first.key"
    async with browsing() as new_browser:
        browser, left, lasting = new_browser(), new_browser(), new_browser()
        async with (
            serving(url, first_key) as one,
            serving(url) as other,
            calling(one.address, token_file=str(first_key)) as operator,
        ):
            assert await lasting.post(one, "/ui/login", {"key": first_key.read_text().strip()}) == 200
            key = {"key": (await operator.create_key("people", ["read@default"])).text}
            assert await browser.post(one, "/ui/login", key) == 200
            await until(lambda: logs_in(left, other, key))
            for each in (browser, left):
                assert [await each.page(server) for server in (one, other)] == [200, 200]

            held = left.cookie
            assert await left.post(other, "/ui/logout", {}) == 200
            left.cookie = held
            assert await left.is_out(other)
            await until(lambda: left.is_out(one))
            assert await browser.page(other) == 200

            await operator.revoke_key("people")
            assert await browser.is_out(one)
            await until(lambda: browser.is_out(other))
        async with serving(url) as after:
            assert await lasting.page(after) == 200
            assert await browser.is_out(after)


async def logs_in(browser: Browser, server: app.Parts, key: dict[str, str]) -> bool:
    """Return whether a server lets a browser log in: it learns of a new key within a second."""
    return await browser.post(server, "/ui/login", key) == 200
