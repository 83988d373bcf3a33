"""Generate the Python stubs of protos/ into a folder; run by `make proto` in the generator's own environment.

Beside them lies descriptors.binpb, the descriptors that reflection hands out: with comments and JSON names, which
Python's stubs drop.

The descriptors keep the names schedule/v1/NAME.proto, which reflection shows; only the files' place differs, and with
it the absolute imports among them: a top-level package `schedule` would collide with a popular one.
"""

import re
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

CONTRACTS = Path("protos")
PLUGINS = Path(sys.executable).parent


def generate(target: Path) -> None:
    """Write the descriptors, and NAME_pb2 and NAME_pb2_grpc of each NAME.proto with .pyi files, into ``target``."""
    protos = sorted(path.relative_to(CONTRACTS).as_posix() for path in CONTRACTS.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, "whole.binpb")
        arguments = [
            "protoc",
            f"--proto_path={CONTRACTS}",
            f"--proto_path={files('grpc_tools') / '_proto'}",
            f"--plugin=protoc-gen-mypy={PLUGINS / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={PLUGINS / 'protoc-gen-mypy_grpc'}",
            *(f"--{kind}_out={folder}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")),
            f"--descriptor_set_out={whole}",
            "--include_imports",
            "--include_source_info",
            *protos,
        ]
        if protoc.main(arguments) != 0:
            raise SystemExit("protoc failed")
        for path in Path(folder).rglob("*_pb2*"):
            (target / path.name).write_text(relative(path.read_text()))
        (target / "descriptors.binpb").write_bytes(for_reflection(whole.read_bytes()))


def for_reflection(descriptors: bytes) -> bytes:
    """Return descriptors with the comments of our contract, and nothing else of where things stand in a file.

    Half the size of what protoc writes: clients do not show the places, and know Google's types.
    """
    whole = FileDescriptorSet.FromString(descriptors)
    for file in whole.file:
        places = file.source_code_info.location
        commented = [place for place in places if place.leading_comments or place.trailing_comments]
        file.ClearField("source_code_info")
        if file.package.startswith("schedule."):
            file.source_code_info.location.extend(commented)
    return whole.SerializeToString(deterministic=True)


def relative(code: str) -> str:
    """Return generated code with its imports of the messages made relative."""
    code = re.sub(r"from schedule\.v1 import (\w+_pb2)\b", r"from . import \1", code)
    code = re.sub(r"from schedule\.v1\.(\w+_pb2) import", r"from .\1 import", code)
    return re.sub(r"\bschedule\.v1\.(\w+_pb2)\b", r"\1", code)


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
