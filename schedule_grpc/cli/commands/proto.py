"""The contract's files, wherever they are: in the wheel, or beside the package in its source tree."""

import shutil
from pathlib import Path

import schedule_grpc

_PACKAGE = Path(schedule_grpc.__file__).parent
PLACES = (_PACKAGE / "protos", _PACKAGE.parent / "protos")


def copied(folder: Path) -> tuple[Path, ...]:
    """Copy the .proto files to a folder, with the folders of their packages; return their new paths.

    Raises:
        OSError: if they are not there, or cannot be written.
    """
    place = next((each for each in PLACES if each.is_dir()), PLACES[0])
    found = sorted(place.rglob("*.proto"))
    if not found:
        raise FileNotFoundError(2, "has no .proto files: the installation is incomplete", str(place))
    written = []
    for file in found:
        target = folder / file.relative_to(place)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        written.append(target)
    return tuple(written)
