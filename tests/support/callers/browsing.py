"""Browsers and pages of tests, and what goes wrong in them."""

import os
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Dialog, Page
from support.patience import AT_MOST

thorough = pytest.mark.skipif(
    os.environ.get("FAULTS") != "long", reason="a browser takes seconds of two processors; FAULTS=long runs it"
)
"""Marks tests of details of the dashboard, which the suite leaves to `make soak`."""


class Browsing:
    """Contexts, each a browser without cookies and cache of its own, and their pages, whose errors are noted."""

    def __init__(self, chromium: Browser, errors: list[str]) -> None:
        self._chromium = chromium
        self._errors = errors
        self._contexts: list[BrowserContext] = []

    async def context(self, **options: Any) -> BrowserContext:
        """Make a context; the options are playwright's."""
        made = await self._chromium.new_context(**options)
        made.set_default_timeout(AT_MOST * 1000)
        made.on("weberror", lambda error: self._errors.append(str(error.error)))
        # Chromium logs what a policy blocks, and an answer of 400 and above, as an error too.
        made.on("console", lambda said: self._errors.append(said.text) if said.type == "error" else None)
        made.on("dialog", self._refuse)
        self._contexts.append(made)
        return made

    async def page(self, **options: Any) -> Page:
        """Make a page in a context of its own."""
        return await (await self.context(**options)).new_page()

    async def close(self) -> None:
        """Close all contexts."""
        for context in self._contexts:
            await context.close()

    async def _refuse(self, dialog: Dialog) -> None:
        self._errors.append(f"a dialog: {dialog.message}")
        await dialog.dismiss()
