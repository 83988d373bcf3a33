"""Chromium, pages in it, and a server whose dashboard they show.

Async tests of this folder share one event loop, in which the browser's driver lives. So an async fixture for them says
`loop_scope="session"`, as `page` does, and servers are processes of their own.
"""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect
from support.callers.browsing import Browsing
from support.patience import AT_MOST

HERE = Path(__file__).parent
NAMES = ("chromium", "chromium-browser", "google-chrome")
ALONE = (
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",  # pages are on this machine
)
"""What keeps Chromium from talking to anybody but the tests' servers."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the async tests of this folder in the browser's event loop."""
    for item in items:
        if item.path.is_relative_to(HERE) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


def _executable() -> str:
    """Return the path of the browser; without one a test fails in CI, and is skipped elsewhere."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is not None:
        return found
    reason = f"none of {', '.join(NAMES)} is in the PATH (Debian: apt-get install --no-install-recommends chromium)"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """A headless Chromium with a profile of its own, which ends with the session."""
    executable = _executable()
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=executable, args=ALONE, timeout=AT_MOST * 1000)
        yield browser
        await browser.close()


@pytest.fixture
def page_errors() -> list[str]:
    """What pages threw, logged as an error, blocked by their policy or asked; a test that expects some clears them."""
    return []


@pytest_asyncio.fixture(loop_scope="session")
async def browsing(chromium: Browser, page_errors: list[str]) -> AsyncIterator[Browsing]:
    """Makes browsers and pages; what one throws, logs as an error, or blocks by its policy fails the test."""
    expect.set_options(timeout=AT_MOST * 1000)
    made = Browsing(chromium, page_errors)
    yield made
    await made.close()
    assert page_errors == []


@pytest_asyncio.fixture(loop_scope="session")
async def page(browsing: Browsing) -> Page:
    """An empty page of a browser without cookies and cache."""
    return await browsing.page()
