"""tests/README.md shows the way: every folder and every helper has its row, and the samples are tests that run."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
README = (TESTS / "README.md").read_text()
FILES = {path.relative_to(TESTS): path.read_text() for path in TESTS.rglob("*.py")}
HELPERS = sorted(
    path.relative_to("support")
    for path in FILES
    if path.parts[0] == "support" and path.parts[1:3] != ("witnesses", "checker")
)


def test_every_folder_has_its_row():
    """And a row names no folder that is not there."""
    folders = {path.parts[0] for path in FILES if len(path.parts) > 1}
    table = README.partition("## What is where")[2].partition("## Running")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)/`", row)} == folders - {"support"}


@pytest.mark.parametrize("helper", HELPERS, ids=str)
def test_every_helper_has_its_row(helper: Path):
    """By its path below support/."""
    assert f"`{helper}`" in README.partition("## Helpers")[2]


def test_every_helper_of_the_table_is_there():
    """A row goes with its module."""
    table = README.partition("## Helpers")[2].partition("## Writing one")[0]
    named = re.findall(r"`([\w/]+\.py)`", table)
    assert named
    assert [name for name in named if not (TESTS / "support" / name).exists()] == []


def test_the_samples_are_tests_of_the_suite():
    """Word for word."""
    samples = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert samples
    for sample in samples:
        assert any(sample in text for text in FILES.values()), sample


def test_every_test_stands_in_a_test_file():
    """What is named as a test is collected: helpers and conftest.py have none, and nothing else is at the top."""
    found = [
        f"{path}: {node.name}"
        for path, text in FILES.items()
        if not path.name.startswith("test_")
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    assert found == []
    assert {path.name for path in TESTS.glob("*.py")} == {"conftest.py"}


def test_no_test_file_imports_another():
    """What two of them need is in support/."""
    for path, text in FILES.items():
        assert not re.search(r"^from [\w.]*\btest_\w+ import|^import [\w.]*\btest_", text, re.MULTILINE), path
