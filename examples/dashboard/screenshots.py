"""Takes the pictures of docs/dashboard: `make screenshots`. They show the day of `demo_day`.

It starts a server on that day, whose wall clock stands at its end (libfaketime), and a headless Chromium.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import httpx2
from demo_day import END, FILE, run_day
from playwright.async_api import Browser, Page, async_playwright, expect

HERE = Path(__file__).parent
PLACE = HERE.parents[1] / "docs" / "dashboard"
SIZE = {"width": 1280, "height": 800}
MOST_BYTES = 150_000
RUNNING = ("newsletter", "recommendations", "rebuild-search-index")
"""Tasks that are run, so that pages show what runs: they take minutes."""
PAGES = {
    "tasks": "/tasks",
    "task": "/tasks/import-invoices",
    "execution": "/executions/{running}",
    "upcoming": "/upcoming",
    "now": "",
}
SHOWN = {
    "now": "#running-list li >> nth=1",
    "tasks": "#tasks-body tr >> nth=9",
    "task": "#history-list tbody tr >> nth=4",
    "execution": "#log-lines li >> nth=1",
    "upcoming": "#coming-list li >> nth=4",
}
"""By page, what it shows once it is whole."""
PATIENCE = 120_000


@contextmanager
def serving(folder: Path, file: str) -> Iterator[str]:
    """Serve the day in a file; the context gives the address of HTTP."""
    behind = datetime.now(UTC) - END - timedelta(minutes=1)
    spec = find_spec("libfaketime")
    assert spec is not None
    assert spec.origin is not None
    clock = Path(spec.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
    command = Path(sys.executable).with_name("schedule-grpc")
    database = ("--database", f"sqlite:///{file}", "--handlers", "demo_handlers")
    clock_of_it = {"FAKETIME": f"-{behind.total_seconds():.0f}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    server = subprocess.Popen(  # noqa: S603 (our own command)
        [command, "serve", *database, "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(HERE),
            "LD_PRELOAD": str(clock),
            "SCHEDULE_UI__TITLE": "shop",
            **clock_of_it,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        for line in server.stdout:
            if found := re.match(r"HTTP on (http://[^\s,]+)", line):
                yield found[1]
                break
    finally:
        server.terminate()
        server.wait()


def run_some(address: str) -> str:
    """Run a few tasks; return the execution of the first."""
    found = []
    for name in RUNNING:
        answer = httpx2.post(
            f"{address}/tasks/{name}/run", params={"wait": "false"}, trust_env=False
        ).raise_for_status()
        found.append(answer.json()["execution"]["id"])
    return str(found[0])


async def take(browser: Browser, address: str, theme: str, running: str) -> None:
    """Take the picture of each page in one theme."""
    context = await browser.new_context(viewport=SIZE, color_scheme=theme, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE)
    for name, path in PAGES.items():
        page = await context.new_page()
        await page.goto(f"{address}/ui{path.format(running=running)}")
        await show_whole(page, SHOWN[name])
        file = PLACE / f"{name}-{theme}.png"
        await page.screenshot(path=file)
        assert file.stat().st_size < MOST_BYTES, f"{file.name} has {file.stat().st_size:,} bytes"
        await page.close()
    await context.close()


async def show_whole(page: Page, part: str) -> None:
    """Wait until a page is live, and a part of it is there."""
    await expect(page.locator("#live")).to_have_attribute("data-state", "on", timeout=PATIENCE)
    await expect(page.locator(part)).to_be_visible(timeout=PATIENCE)
    await expect(page.locator("main")).not_to_contain_text("counting;", timeout=PATIENCE)


async def main() -> None:
    """Take all pictures."""
    PLACE.mkdir(exist_ok=True)
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if len(sys.argv) > 1:
            shutil.copy(Path(sys.argv[1]) / FILE, folder / FILE)
        else:
            await run_day(folder / FILE)
        async with async_playwright() as driver:
            browser = await driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
            for theme in ("light", "dark"):  # each from the same moment of the same day
                shutil.copy(folder / FILE, folder / theme)
                with serving(folder, theme) as address:
                    running = await asyncio.to_thread(run_some, address)
                    await take(browser, address, theme, running)
            await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
