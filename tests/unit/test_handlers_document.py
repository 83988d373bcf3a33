"""The Python of docs/handlers.md runs."""

import asyncio
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

DOCUMENT = (Path(__file__).parents[2] / "docs" / "handlers.md").read_text()
BLOCKS = [
    textwrap.dedent(block) for block in re.findall(r"^ *```python\n(.*?)^ *```", DOCUMENT, re.MULTILINE | re.DOTALL)
]


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_a_block_runs(block: str):
    """And so do the tests in it."""
    names: dict[str, Any] = {}
    exec(compile(block, "docs/handlers.md", "exec"), names)  # noqa: S102 (our own document)
    for name, value in names.items():
        if name.startswith("test_") and inspect.iscoroutinefunction(value):
            asyncio.run(value())


def test_no_block_is_overlooked():
    """Five handlers or tests, and two results."""
    assert len(BLOCKS) == DOCUMENT.count("```python") == 5
