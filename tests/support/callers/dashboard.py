"""A server with a dashboard, as tests in a browser set it up and look behind it: by the JSON that programs use."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
from playwright.async_api import Page
from support.machine.wall_clock import quiet
from support.patience import AT_MOST, until
from support.servers.process import Server, serving

RUN = {"wait": "false"}
FIRST_KEY = "first.key"
"""The file in the folder of a site that asks for keys."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """A server, and a program that calls it."""

    server: Server
    web: httpx2.AsyncClient
    folder: Path

    def at(self, path: str = "") -> str:
        """Return the address of a page."""
        return f"http://{self.server.http_address}/ui{path}"

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str) -> dict[str, Any]:
        """Call a route of JSON; an answer that is a refusal fails."""
        answer = await self.web.request(method, path, json=body, params=query or None)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def register(self, name: str, **fields: Any) -> None:
        """Register a task, by default one that never fires by itself and succeeds."""
        await self.call("POST", "tasks", {"name": name, "schedule": "@manual", "handler": "report", **fields})

    async def task(self, name: str) -> dict[str, Any]:
        """Return a task."""
        found: dict[str, Any] = (await self.call("GET", f"tasks/{quote(name)}"))["task"]
        return found

    async def is_there(self, name: str) -> bool:
        """Return whether there is such a task."""
        return (await self.web.get(f"tasks/{quote(name)}")).is_success

    async def begin(self, name: str, payload: Mapping[str, Any] | None = None) -> str:
        """Run a task without waiting for its end; return the execution's id."""
        body = None if payload is None else {"payload": payload}
        found: str = (await self.call("POST", f"tasks/{name}/run", body, **RUN))["execution"]["id"]
        return found

    async def execution(self, identifier: str) -> dict[str, Any]:
        """Return an execution."""
        found: dict[str, Any] = (await self.call("GET", f"executions/{identifier}"))["execution"]
        return found

    async def ended(self, identifier: str) -> dict[str, Any]:
        """Wait for an execution's end; return it."""

        async def end() -> dict[str, Any] | None:
            found = await self.execution(identifier)
            return found if found["state"] not in ("PENDING", "RUNNING") else None

        return await until(end)

    async def ran(self, name: str, payload: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Run a task to its end."""
        return await self.ended(await self.begin(name, payload))

    async def history(self, name: str) -> list[dict[str, Any]]:
        """Return a task's executions, the newest first."""
        found: list[dict[str, Any]] = (await self.call("GET", f"tasks/{name}/history"))["history"]
        return found

    async def requests(self, route: str) -> int:
        """Return how many requests of a route have been answered so far."""
        text = (await self.web.get("metrics")).text
        lines = [line for line in text.splitlines() if line.startswith("schedule_http_requests_total{")]
        return round(sum(float(line.rpartition(" ")[2]) for line in lines if f'route="{route}"' in line))


@contextmanager
def site(folder: Path, *options: str, key: str = "", **variables: str) -> Iterator[Site]:
    """Within this context a server with the handlers of tests runs."""
    with serving(folder, "--http", "127.0.0.1:0", *options, **(quiet() | variables)) as server:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        web = httpx2.AsyncClient(
            base_url=f"http://{server.http_address}",
            headers=headers,
            timeout=AT_MOST,
            trust_env=False,
            limits=httpx2.Limits(max_keepalive_connections=0),  # nothing is left to close, in whichever event loop
        )
        yield Site(server=server, web=web, folder=folder)


@contextmanager
def keyed_site(folder: Path, **variables: str) -> Iterator[Site]:
    """The same, of a server that asks for keys; the test's own program has the first one, which may do everything."""
    file = folder / FIRST_KEY
    required = {"SCHEDULE_AUTH__MODE": "required"}
    with site(folder, "--bootstrap-key-file", str(file), **(required | variables)) as made:
        made.web.headers["authorization"] = f"Bearer {file.read_text().strip()}"
        yield made


async def log_in(page: Page, key: str) -> None:
    """Log in on the page that asks for a key."""
    await page.get_by_label("Key", exact=True).fill(key)
    await page.get_by_role("button", name="Log in").click()
