"""The rules of the house that no linter knows."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from support.patience import AT_MOST

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "schedule_grpc"
OURS = [path for path in PACKAGE.rglob("*.py") if "pb" not in path.parts]
TESTS = list((ROOT / "tests").rglob("*.py"))
HEAVY = ("grpc", "google.protobuf", "aiosqlite", "asyncpg", "fastapi", "uvicorn", "typer", "pydantic")


@pytest.mark.parametrize("path", OURS + TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_longer_than_400_lines(path: Path):
    """A longer one has two things in it."""
    assert len(path.read_text().splitlines()) <= 400


def test_no_file_is_a_drawer():
    """No utils, helpers, common or manager, neither as a module nor as a folder."""
    names = {part for path in OURS for part in path.relative_to(PACKAGE).with_suffix("").parts}
    assert not names & {"utils", "helpers", "common", "manager", "misc"}


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_says_what_it_is(path: Path):
    """Each module of the package begins with a docstring."""
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_generated_code_declares_nothing_of_ours():
    """The package pb holds protoc's four files, and an __init__ that is a docstring and no more."""
    folder = PACKAGE / "pb"
    made = {f"schedule_{kind}{end}" for kind in ("pb2", "pb2_grpc") for end in (".py", ".pyi")}
    assert {path.name for path in folder.iterdir() if path.is_file()} == {"__init__.py"} | made
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


def test_threads_are_started_in_one_place():
    """There they are daemons: none of them keeps the process from ending."""
    starters = [path.relative_to(PACKAGE) for path in OURS if "threading.Thread(" in path.read_text()]
    assert starters == [Path("runtime/threads.py")]
