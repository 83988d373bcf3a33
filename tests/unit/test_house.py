"""The rules of the house that no linter knows."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from support.patience import AT_MOST

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "schedule_grpc"
OURS = [path for path in PACKAGE.rglob("*.py") if "pb" not in path.parts]
TESTS = list((ROOT / "tests").rglob("*.py"))
HEAVY = ("grpc", "google.protobuf", "aiosqlite", "asyncpg", "fastapi", "uvicorn", "typer", "pydantic")


def test_no_file_is_longer_than_400_lines():
    """A longer one has two things in it."""
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in OURS + TESTS}
    assert {name: count for name, count in lines.items() if count > 400} == {}


def test_no_file_is_a_drawer():
    """No utils, helpers, common or manager, neither as a module nor as a folder."""
    names = {part for path in OURS for part in path.relative_to(PACKAGE).with_suffix("").parts}
    assert not names & {"utils", "helpers", "common", "manager", "misc"}


def test_every_module_says_what_it_is():
    """Each module of the package begins with a docstring."""
    undocumented = [path for path in OURS if not ast.get_docstring(ast.parse(path.read_text()))]
    assert undocumented == []


def test_generated_code_declares_nothing_of_ours():
    """The package pb holds protoc's four files for each contract, the descriptors, and an __init__ without code."""
    folder = PACKAGE / "pb"
    contracts = [path.stem for path in (ROOT / "protos").rglob("*.proto")]
    made = {f"{name}_{kind}{end}" for name in contracts for kind in ("pb2", "pb2_grpc") for end in (".py", ".pyi")}
    assert {path.name for path in folder.iterdir() if path.is_file()} == {"__init__.py", "descriptors.binpb"} | made
    [docstring] = ast.parse((folder / "__init__.py").read_text()).body
    assert isinstance(docstring, ast.Expr)


def test_every_test_states_its_fact():
    """Each test function has a docstring."""
    for path in TESTS:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_importing_the_package_loads_neither_server_nor_driver():
    """`import schedule_grpc` is cheap, for handler modules and clients alike."""
    code = f"import sys, schedule_grpc; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=AT_MOST, check=True)
    assert done.stdout.strip() == "[]"


def test_a_worker_loads_no_server():
    """What `schedule-grpc worker` is made of: loading the server's code as well would only lengthen its start."""
    server = tuple(f"schedule_grpc.{name}" for name in ("app", "api", "service", "dispatch"))
    modules = "schedule_grpc.worker, schedule_grpc.settings.handler_bindings, schedule_grpc.telemetry.configured"
    code = f"import sys, {modules}; print([name for name in {server!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=AT_MOST, check=True)
    assert done.stdout.strip() == "[]"


def test_no_modules_import_each_other():
    """No cycle of imports, those inside functions included; those for type checkers only are not counted.

    An import of a submodule also runs the package it is in. That is not counted, or each package that imports a module
    of its own would be a cycle.
    """
    modules = {_name(path): path for path in OURS}
    imports = {name: set(_imported(path, modules)) - {name} for name, path in modules.items()}
    TopologicalSorter(imports).prepare()  # a CycleError names the modules of a cycle


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(path: Path, modules: dict[str, Path]) -> Iterator[str]:
    """Give the modules that a module imports: of `from package import name`, `package.name` if that is a module."""
    for node in _executed(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            whole = [f"{node.module}.{each.name}" for each in node.names]
            yield from (name if name in modules else str(node.module) for name in whole)
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names)


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """Give a node and all below it, without the bodies of `if TYPE_CHECKING:`."""
    yield node
    skips = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    for child in [] if skips else ast.iter_child_nodes(node):
        yield from _executed(child)


def test_threads_are_started_in_one_place():
    """There they are daemons: none of them keeps the process from ending."""
    starters = [path.relative_to(PACKAGE) for path in OURS if "threading.Thread(" in path.read_text()]
    assert starters == [Path("runtime/threads.py")]
