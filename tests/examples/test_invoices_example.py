"""The example that users copy works as its README says."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from process import run, serving

EXAMPLE = Path(__file__).parents[2] / "examples" / "invoices"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The example in a folder of its own, as a user has it."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "mine"))


def test_its_own_tests_pass(copy: Path):
    """With pytest, in its folder."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "4 passed" in done.stdout) == (0, True), done.stdout


def test_it_is_started_in_one_line(copy: Path):
    """Its tasks are registered, one of them runs, and the other says which table it misses."""
    with serving(copy, handlers=None) as server:
        listed = run("tasks", "list", "--server", server.address)
        assert "30 6 * * 1-6 Europe/Berlin" in listed.stdout
        done = run("tasks", "run", "render-invoices", "--server", server.address)
        assert (done.returncode, "page 3 of 3" in done.stderr) == (0, True), done.stderr
        run("tasks", "update", "import-invoices", "--max-retries", "0", "--server", server.address)
        failed = run("tasks", "run", "import-invoices", "--server", server.address)
        assert (failed.returncode, "no such table: invoices" in failed.stdout) == (1, True)
        code, _ = server.terminate()
        assert code == 0
