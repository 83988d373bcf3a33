"""The header of a run: the machine, its load and the versions, on which the figures depend."""

import os
import platform
import re
import sqlite3
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.measure import Size
from benchmarks.processes import ROOT

PACKAGES = ("grpcio", "protobuf", "fastapi", "uvicorn", "asyncpg")


def header(size: Size, *, peers: bool) -> dict[str, Any]:
    """Return the header's fields by name."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "size": size.value,
        "commit": _commit(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{name: version(name) for name in PACKAGES},
        "cpu": _cpu(),
        "peers": ".venv-bench" if peers else "no .venv-bench (make .venv-bench/ready): APScheduler is left out",
        "cores": len(os.sched_getaffinity(0)),
        "load average": load(),
    }


def load() -> str:
    """Return the load averages of 1, 5 and 15 minutes."""
    return " ".join(f"{average:.2f}" for average in os.getloadavg())


def _commit() -> str:
    git = ["git", "-C", str(ROOT)]
    found = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=False)
    return found.stdout.strip() + (" and changes" if changed.stdout else "")


def _cpu() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()
