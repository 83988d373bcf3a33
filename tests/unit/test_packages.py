"""What is installed and given away: lock files, the environment's set-up, version, sdist and wheel."""

import importlib.util
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from support.patience import AT_MOST

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = sorted(ROOT.glob("requirements*.lock"))
COMMAND = str(Path(sys.executable).with_name("schedule-grpc"))
TOOLS = {"pytest", "mypy", "ruff", "hypothesis", "buf-bin", "asyncpg", "apprise", "kombu", "obstore", "pyjwt"}
"""Some of what running does not need."""


def locked(name: str) -> dict[str, str]:
    """Return the versions of a lock file, by package."""
    return dict(re.findall(r"^([^ #]+)==([^ ;]+)", (ROOT / name).read_text(), re.MULTILINE))


def needed(requirements: list[str]) -> set[str]:
    """Return the packages that requirements name."""
    return {re.split(r"[\[<>=;~ ]", requirement)[0] for requirement in requirements}


def test_running_needs_its_own_lock_and_no_tools():
    """Every dependency is in it, and the package's own build; of what tests and extras need, nothing."""
    run = locked("requirements-run.lock")
    assert needed([*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["run"]]) <= set(run)
    assert not TOOLS & set(run)
    assert set(locked("requirements.lock")) >= TOOLS


def test_tests_run_what_runs():
    """`make test` adds to what `make run` has set up: in the same versions."""
    assert locked("requirements-run.lock").items() <= locked("requirements.lock").items()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_names_versions_and_hashes_only(lock: Path):
    """No index and no path of the machine that wrote it."""
    text = lock.read_text()
    assert "://" not in text
    assert " /" not in text
    assert not re.search(r"^-", text, re.MULTILINE)
    blocks = re.split(r"\n(?=\S)", text.strip())
    assert all("==" in block.splitlines()[0] and "--hash=sha256:" in block for block in blocks)


def test_the_version_is_that_of_pyproject():
    """Of the command, and of each wheel that a document names."""
    version = PROJECT["project"]["version"]
    shown = subprocess.run([COMMAND, "--version"], capture_output=True, text=True, check=True, timeout=AT_MOST)
    assert shown.stdout == f"schedule-grpc {version}\n"
    documents = [path.read_text() for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))]
    named = {name for text in documents for name in re.findall(r"schedule_grpc-(\d[^-]*)-py3", text)}
    assert named == {version}


def script(name: str) -> ModuleType:
    """Return a script of .ci as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_build_can_be_made_again(tmp_path: Path):
    """From the sdist, in another folder, under another umask: byte by byte the same; and the sdist sets itself up."""
    done = subprocess.run(
        [sys.executable, "-P", ROOT / ".ci" / "build.py", sys.executable, tmp_path / "dist", tmp_path / "again"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=AT_MOST,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the same when built again") == 2
    (sdist,) = (tmp_path / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert {"Makefile", ".ci/set_up.py", "requirements-run.lock", "pyproject.toml", "README.md"} <= names
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as packed_wheel:
        inside = packed_wheel.namelist()
    assert {"schedule_grpc/pb/descriptors.binpb", "schedule_grpc/protos/schedule/v1/schedule.proto"} <= set(inside)
    assert all(name.startswith(("schedule_grpc/", "schedule_grpc-")) for name in inside)


def test_what_pip_says_becomes_a_count(capsys: pytest.CaptureFixture[str]):
    """Each package counts, whether it is fetched, there, or for another platform."""
    said = ["Collecting a==1", "  Using cached a.whl", "Processing /x/b.whl", "Ignoring c: markers", "Installing a, b"]
    script("set_up").show(".venv:", 16, iter([*said[:4] * 4, said[4]]))
    assert capsys.readouterr().out.splitlines() == [
        ".venv: 10 of 16 packages",
        ".venv: installing 16 packages",
        ".venv: ready",
    ]


def test_of_a_pip_that_fails_the_errors_are_shown():
    """Its warnings are not, and nothing is lost however many there are."""
    pip = "import sys; sys.stderr.write('WARNING: ignored\\n' * 9999 + 'ERROR: no such package\\n'); sys.exit(1)"
    with pytest.raises(SystemExit, match=r"\AERROR: no such package\n\Z"):
        list(script("set_up").install([sys.executable, "-c", pip]))


def test_an_environment_behind_a_link_is_left_alone(tmp_path: Path):
    """It may be another checkout's, and would be emptied."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "ready").touch()
    (tmp_path / "link").symlink_to(theirs)
    command = [sys.executable, ROOT / ".ci" / "set_up.py", tmp_path / "link", ROOT / "requirements-run.lock"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=AT_MOST)
    assert done.returncode == 1
    assert "is a link" in done.stderr
    assert (theirs / "ready").exists()
