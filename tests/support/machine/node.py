"""Node: whether it is there, its commands, and the examples that it runs."""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from support.patience import AT_MOST

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
OLDEST = 20
"""The oldest version of Node that the examples are for."""


@cache
def missing() -> str:
    """Return what is missing to try the examples; empty: nothing."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "node or npm is not installed"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    major = int(version.removeprefix("v").partition(".")[0])
    return "" if major >= OLDEST else f"Node {version.strip()} is older than {OLDEST}"


needs_node = pytest.mark.skipif(bool(missing()), reason=missing() or "Node is there")


def run(*command: str | Path, folder: Path, **variables: str) -> str:
    """Run a command in a folder, with the tools of the folder and of this environment; return what it printed."""
    path = os.pathsep.join([f"{folder}/node_modules/.bin", str(BIN), os.environ["PATH"]])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULE_")}
    done = subprocess.run(
        command,
        cwd=folder,
        env=kept | {"PATH": path, "NO_PROXY": "127.0.0.1"} | variables,
        capture_output=True,
        text=True,
        timeout=AT_MOST,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


def made(example: str, place: Path) -> Path:
    """Return the folder of an example with what is locked and with its generated code, far from the repository."""
    folder = place / "examples" / example
    ignored = shutil.ignore_patterns("node_modules", "contract", "dist")
    shutil.copytree(ROOT / "examples" / example, folder, ignore=ignored)
    shutil.copytree(ROOT / "protos", place / "protos")
    run("npm", "ci", folder=folder)
    run("npm", "run", "generate", folder=folder)
    return folder
