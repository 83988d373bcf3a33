"""``schedule-grpc proto``: the contract's files, from the wheel, or from beside the package in its source tree."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

import schedule_grpc
from schedule_grpc.cli.connection import AsJson
from schedule_grpc.cli.exits import FAILED, fail

_PACKAGE = Path(schedule_grpc.__file__).parent
PLACES = (_PACKAGE / "protos", _PACKAGE.parent / "protos")


def proto(
    *,
    out: Annotated[Path, typer.Option(help="Folder to copy to; made if it is not there")],
    as_json: AsJson = False,
) -> None:
    """Copy the .proto files to a folder. Clients in other languages are generated from them."""
    try:
        written = copied(out)
    except OSError as error:
        fail(f"{error.filename or out}: {error.strerror}", code=FAILED)
    if as_json:
        from schedule_grpc.cli.print_json import print_json

        print_json([str(path) for path in written])
        return
    for path in written:
        print(path)


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
