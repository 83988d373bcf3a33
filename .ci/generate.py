"""Generate the Python stubs of protos/ into a folder; run by `make proto` in the generator's own environment.

The descriptors keep the names schedule/v1/NAME.proto, which reflection shows; only the files' place differs, and with
it the absolute imports among them: a top-level package `schedule` would collide with a popular one.
"""

import re
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

CONTRACTS = Path("protos")
PLUGINS = Path(sys.executable).parent


def generate(target: Path) -> None:
    """Write NAME_pb2 and NAME_pb2_grpc of each NAME.proto, with their .pyi files, into ``target``."""
    protos = sorted(path.relative_to(CONTRACTS).as_posix() for path in CONTRACTS.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        arguments = [
            "protoc",
            f"--proto_path={CONTRACTS}",
            f"--proto_path={files('grpc_tools') / '_proto'}",
            f"--plugin=protoc-gen-mypy={PLUGINS / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={PLUGINS / 'protoc-gen-mypy_grpc'}",
            *(f"--{kind}_out={folder}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")),
            *protos,
        ]
        if protoc.main(arguments) != 0:
            raise SystemExit("protoc failed")
        for path in Path(folder).rglob("*_pb2*"):
            (target / path.name).write_text(relative(path.read_text()))


def relative(code: str) -> str:
    """Return generated code with its imports of the messages made relative."""
    code = re.sub(r"from schedule\.v1 import (\w+_pb2)\b", r"from . import \1", code)
    code = re.sub(r"from schedule\.v1\.(\w+_pb2) import", r"from .\1 import", code)
    return re.sub(r"\bschedule\.v1\.(\w+_pb2)\b", r"\1", code)


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
