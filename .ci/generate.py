"""Generate the Python stubs of protos/ into a folder; run by `make proto` in the generator's own environment.

The descriptor keeps the name schedule/v1/schedule.proto, which reflection shows; only the file's place differs, and
with it the one absolute import in the gRPC stubs: a top-level package `schedule` would collide with a popular one.
"""

import re
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

PLUGINS = Path(sys.executable).parent


def generate(target: Path) -> None:
    """Write schedule_pb2 and schedule_pb2_grpc, with their .pyi files, into ``target``."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [
            "protoc",
            "--proto_path=protos",
            f"--proto_path={files('grpc_tools') / '_proto'}",
            f"--plugin=protoc-gen-mypy={PLUGINS / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={PLUGINS / 'protoc-gen-mypy_grpc'}",
            *(f"--{kind}_out={folder}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")),
            "schedule/v1/schedule.proto",
        ]
        if protoc.main(arguments) != 0:
            raise SystemExit("protoc failed")
        for path in Path(folder).rglob("schedule_pb2*"):
            (target / path.name).write_text(relative(path.read_text()))


def relative(code: str) -> str:
    """Return generated code with its import of the messages made relative."""
    code = code.replace("from schedule.v1 import schedule_pb2", "from . import schedule_pb2")
    code = code.replace("from schedule.v1.schedule_pb2 import", "from .schedule_pb2 import")
    return re.sub(r"\bschedule\.v1\.schedule_pb2\b", "schedule_pb2", code)


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
