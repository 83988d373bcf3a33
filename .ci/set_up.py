"""Set up an environment from a lock file, and say how far it is; run by make with any Python.

pip as it is prints a page for each package, and with --quiet nothing but its warnings, however long it takes. Here its
warnings are dropped (of a place in pip.conf that is not there, it warns at each package), and its errors are shown.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path

LOCKED = "--no-deps", "--require-hashes"
"""The lock names everything. Without --no-deps pip resolves again, and fails once a package that another one wants with
an extra (coverage[toml]) has a newer release than the locked one: https://github.com/pypa/pip/issues/9644"""
LOOKED_AT = re.compile(r"Collecting|Processing|Ignoring|Requirement already satisfied")
EVERY = 10
"""Packages for which a line is written, where lines cannot be written over."""


def main() -> None:
    """Make the environment, or add to it, as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("lock", type=Path)
    parser.add_argument("--add", action="store_true", help="to the environment that is there")
    parser.add_argument("--editable", action="store_true", help="install this checkout too, as it is")
    told = parser.parse_args()
    if told.folder.is_symlink():
        raise SystemExit(f"{told.folder} is a link: set up the environment where it points to")
    if not told.add:
        venv.create(told.folder, clear=True, with_pip=True)
    pip = [told.folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install"]
    count = len(re.findall("^[^ #]+==", told.lock.read_text(), re.MULTILINE))
    say(f"{told.folder}: setting up {count} packages of {told.lock}")
    show(f"{told.folder}:", count, install([*pip, *LOCKED, "--requirement", told.lock]))
    if told.editable:
        for _ in install([*pip, "--no-deps", "--no-build-isolation", "--editable", "."]):
            pass


def install(command: Sequence[str | Path]) -> Iterator[str]:
    """Run pip, and yield the lines that it prints; a failure ends the program with pip's errors."""
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as pip:
            assert pip.stdout is not None
            yield from pip.stdout
        errors.seek(0)
        shown = "".join(line for line in errors if not line.startswith("WARNING:"))
    if pip.returncode:
        raise SystemExit(shown or f"pip failed with exit code {pip.returncode}")


def show(what: str, count: int, lines: Iterator[str]) -> None:
    """Say how many packages pip has looked at, and when it begins to install them."""
    done = 0
    for line in lines:
        if LOOKED_AT.match(line):
            done += 1
            say(f"{what} {done} of {count} packages", passing=done % EVERY != 0)
        elif line.startswith("Installing"):
            say(f"{what} installing {count} packages")
    say(f"{what} ready")
    if sys.stdout.isatty():
        print()


def say(text: str, *, passing: bool = False) -> None:
    """Write a line over the last one on a terminal; elsewhere below it, unless it is a passing one."""
    if sys.stdout.isatty():
        print(f"\r{text:<79}", end="", flush=True)
    elif not passing:
        print(text, flush=True)


if __name__ == "__main__":
    main()
