"""Prometheus's own judge of rules and expressions."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.patience import AT_MOST


def promtool(*arguments: str, folder: Path) -> None:
    """Run promtool in a folder: PROMTOOL, or the one on the path.

    A test is skipped where there is none, unless this is CI: then it fails.
    """
    program = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if program is None:
        told = "promtool is not installed (Debian's package `prometheus` has it)"
        pytest.fail(told) if os.environ.get("CI") else pytest.skip(told)
    asked = [program, *arguments]
    done = subprocess.run(asked, check=False, cwd=folder, capture_output=True, text=True, timeout=AT_MOST)
    assert done.returncode == 0, done.stdout + done.stderr
