"""Build the sdist and the wheel, and build them again: they must be the same, byte by byte.

Usage: build.py PYTHON FOLDER AGAIN, where PYTHON has hatchling. The second build is made of the first one's sdist as
others unpack it, in another folder, under another umask. hatchling gives every file in them the time of
SOURCE_DATE_EPOCH, or 2020-02-02.
"""

import subprocess
import sys
import tarfile
from pathlib import Path

BUILD = """
import sys
from hatchling import build
print(build.build_sdist(sys.argv[1]))
print(build.build_wheel(sys.argv[1]))
"""
UMASKS = 0o022, 0o077


def main() -> None:
    """Build both, twice, and compare."""
    python, folder, again = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    names = build(python, Path(), folder, UMASKS[0])
    sdist = next(name for name in names if name.endswith(".tar.gz"))
    again.mkdir(parents=True)
    with tarfile.open(folder / sdist) as packed:
        packed.extractall(again, filter="data")
    source = again / sdist.removesuffix(".tar.gz")
    assert build(python, source, again / "made", UMASKS[1]) == names
    for name in names:
        if (folder / name).read_bytes() != (again / "made" / name).read_bytes():
            raise SystemExit(f"{name} is not the same when it is built again")
        print(f"{folder / name}: {(folder / name).stat().st_size // 1024} KiB, the same when built again")


def build(python: str, source: Path, target: Path, umask: int) -> list[str]:
    """Build what lies in a folder, and return the names of both files."""
    target.mkdir(parents=True)
    command = [Path(python).absolute(), "-c", BUILD, target.absolute()]
    built = subprocess.run(command, cwd=source, check=True, stdout=subprocess.PIPE, text=True, umask=umask)
    return built.stdout.split()[-2:]


if __name__ == "__main__":
    main()
