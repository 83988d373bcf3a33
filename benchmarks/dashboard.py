"""What the dashboard costs a server: each page of many tasks, and tabs that are open while executions end.

``python -m benchmarks.dashboard [--tasks 10000] [--executions 600000] [--tabs 20] [--rate 200] [--seconds 20]``

A tab is a caller that does what `live.js` does: it hears the feed, and at most every two seconds asks for its part of
the page anew if a tick concerns it, with the tick's name and the part's ETag. Browsers themselves are tried by
tests/browser; here they would take the processors from the server that is measured.
"""

import argparse
import asyncio
import gzip
import json
import random
import re
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urljoin

import httpx2

from benchmarks.lists import filled
from benchmarks.processes import Process, server
from schedule_grpc.client import AsyncClient
from schedule_grpc.domain.policy import Overlap, Policy

REPEATED = 30
FLOOR, JITTER = 2.0, 0.3
"""Seconds between two requests of a tab, and at most how much later one is made: `live.js`."""
SETTLING = 8.0
"""Seconds before anything is measured: a start counts the day before, and tasks of every second are spread."""
WATCHED = ("ui", "ui/tasks", "ui/executions", "ui/failures")
"""Pages of the tabs, in turn."""
PATIENCE = 60.0


@dataclass
class Tab:
    """A tab of a browser of its own."""

    web: httpx2.AsyncClient
    page: str
    requests: int = 0
    unchanged: int = 0
    etag: str = ""
    asked_at: float = 0.0
    shown: dict[str, float] = field(default_factory=dict)
    """When each execution was seen to have ended, by its id."""

    async def follow(self) -> None:
        """Do what a tab does, until it is cancelled."""
        first = (await self.web.get(f"/{self.page}")).raise_for_status()
        feed = re.search(r'data-feed="([^"]+)"', first.text)
        assert feed is not None
        stream = self.web.stream("GET", urljoin(str(first.url), feed[1]))
        async with stream as ticks, asyncio.TaskGroup() as asking:
            ticks.raise_for_status()
            waiting: asyncio.Task[None] | None = None
            async for line in ticks.aiter_lines():
                if not line.startswith("data:"):
                    continue
                tick = json.loads(line.removeprefix("data:"))
                if "t" in tick and (waiting is None or waiting.done()):
                    waiting = asking.create_task(self._ask(f"{tick['e']}:{tick['v']}"))

    async def _ask(self, tick: str) -> None:
        await asyncio.sleep(max(self.asked_at + FLOOR - time.monotonic(), 0) + random.uniform(0, JITTER))  # noqa: S311
        self.asked_at = time.monotonic()
        headers = {"x-part": "main", "x-tick": tick} | ({"if-none-match": self.etag} if self.etag else {})
        answer = await self.web.get(f"/{self.page}", headers=headers)
        self.requests += 1
        self.etag = answer.headers.get("etag", "")
        if answer.status_code == httpx2.codes.NOT_MODIFIED:
            self.unchanged += 1
            return
        for found in re.findall(r"executions/(exec_[\w-]+)", answer.raise_for_status().text):
            self.shown.setdefault(found, time.time())


@asynccontextmanager
async def tabs(running: Process, number: int) -> AsyncIterator[list[Tab]]:
    """Within this context tabs are open."""
    base = f"http://{running.http_address}"
    webs = [httpx2.AsyncClient(base_url=base, trust_env=False, timeout=PATIENCE) for _ in range(number)]
    made = [Tab(web, WATCHED[place % len(WATCHED)]) for place, web in enumerate(webs)]
    following = [asyncio.create_task(tab.follow()) for tab in made]
    yield made
    for task in following:
        assert not task.done() or task.result() is None
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)
    await asyncio.gather(*(web.aclose() for web in webs))


async def share(running: Process, seconds: float) -> float:
    """Return the share of a core that a server takes meanwhile."""
    before, began = running.cpu(), time.monotonic()
    await asyncio.sleep(seconds)
    return (running.cpu() - before) / (time.monotonic() - began)


async def measure_pages(running: Process) -> None:
    """Print what one request for each page costs, and the bytes of the first visit."""
    base = f"http://{running.http_address}"
    async with httpx2.AsyncClient(base_url=base, trust_env=False, timeout=PATIENCE) as web:
        newest = (await web.get("/executions", params={"limit": 1})).json()["executions"][0]["id"]
        name = "task-000107"
        pages = ["ui", "ui/tasks", "ui/tasks?state=failing", "ui/tasks?q=task-00999", f"ui/tasks/{name}"]
        pages += [f"ui/tasks/{name}/edit", f"ui/tasks/{name}/why", "ui/executions", f"ui/executions/{newest}"]
        pages += ["ui/failures", "ui/upcoming", "ui/handlers", "ui/system"]
        print(f"{'page':32} {'CPU ms':>8} {'wall ms':>8} {'bytes':>8} {'gzipped':>8}")
        for page in pages:
            first = (await web.get(f"/{page}")).raise_for_status()
            walls, before = [], running.cpu()
            for _ in range(REPEATED):
                began = time.perf_counter()
                await web.get(f"/{page}")
                walls.append(time.perf_counter() - began)
            cost = (running.cpu() - before) / REPEATED * 1000
            sizes = len(first.content), await _sent(web, page)
            print(f"{page:32} {cost:8.1f} {median(walls) * 1000:8.1f} {sizes[0]:8} {sizes[1]:8}")


async def _sent(web: httpx2.AsyncClient, page: str) -> int:
    """Return the bytes of a page as they are sent to a browser."""
    async with web.stream("GET", f"/{page}", headers={"accept-encoding": "gzip"}) as answer:
        sent = b"".join([each async for each in answer.aiter_raw()])
    assert gzip.decompress(sent)
    return len(sent)


async def measure_tabs(running: Process, *, number: int, rate: int, seconds: float) -> None:
    """Print a server's share of a core with tabs and without, idle and while executions end; and how late tabs are."""
    async with tabs(running, number) as idle:
        await asyncio.sleep(SETTLING)
        before = sum(tab.requests for tab in idle)
        cost = await share(running, seconds)
        asked = sum(tab.requests for tab in idle) - before
    alone = await share(running, seconds)
    print(f"{number} idle tabs: {cost:.2%} of a core, without them {alone:.2%}; {asked} requests in {seconds:.0f} s")
    async with AsyncClient(running.address) as client:
        policy = Policy(overlap=Overlap.ALLOW_ALL)
        for place in range(rate):
            await client.register_task(
                name=f"busy-{place}", schedule="every 1 second", handler="nothing", policy=policy
            )
        await asyncio.sleep(SETTLING)
        for _ in range(3):
            without = await share(running, seconds)
            async with tabs(running, number) as busy:
                await asyncio.sleep(SETTLING)
                before = sum(tab.requests for tab in busy)
                cost = await share(running, seconds)
                asked = sum(tab.requests for tab in busy) - before
            print(
                f"{rate} ends/s: without tabs {without:.1%} of a core, with {number} {cost:.1%},"
                f" {cost - without:+.1%}; {asked / seconds:.1f} requests a second"
            )
        for place in range(rate):
            await client.delete_task(f"busy-{place}")
        await _measure_lateness(running, client)


async def _measure_lateness(running: Process, client: AsyncClient) -> None:
    """Print how long after its end an execution stands in the part of a tab, runs coming each three seconds."""
    await client.register_task(name="seen", schedule="@manual", handler="nothing")
    async with tabs(running, len(WATCHED)) as open_tabs:
        (tab,) = [each for each in open_tabs if each.page == "ui/executions"]
        await asyncio.sleep(SETTLING)
        ends = {}
        for _ in range(REPEATED):
            done = (await client.run_task_now("seen")).execution
            assert done.end_time is not None
            ends[done.id] = done.end_time.timestamp()
            await asyncio.sleep(random.uniform(1, 5))  # noqa: S311
        await asyncio.sleep(FLOOR + 2)
    late = [tab.shown[each] - end for each, end in ends.items()]
    print(f"end to row: median {median(late):.2f} s, p95 {quantiles(late, n=20)[-1]:.2f} s, most {max(late):.2f} s")


def main() -> None:
    """Fill a file, serve it and measure."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--executions", type=int, default=600_000)
    parser.add_argument("--tabs", type=int, default=20)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        filled(folder / "bench.db", asked.tasks, asked.executions)
        with server(folder, http="127.0.0.1:0", log_level="warning") as running:
            time.sleep(SETTLING)
            asyncio.run(measure_pages(running))
            asyncio.run(measure_tabs(running, number=asked.tabs, rate=asked.rate, seconds=asked.seconds))


if __name__ == "__main__":
    main()
