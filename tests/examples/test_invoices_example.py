"""The example that users copy works as its README says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.machine.wall_clock import quiet
from support.patience import AT_MOST
from support.servers.process import run, serving

from schedule_grpc.client import Client
from schedule_grpc.domain.execution import State
from schedule_grpc.domain.policy import CatchUp, Overlap

EXAMPLE = Path(__file__).parents[2] / "examples" / "invoices"
NAMES = ["import-invoices", "render-invoices"]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The example in a folder of its own, as a user has it."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "mine", ignore=shutil.ignore_patterns("*.db*", "*cache*")))


@pytest.mark.slow
def test_its_own_tests_pass(copy: Path):
    """With pytest, in its folder."""
    tests = re.findall(r"^(?:async )?def test_", (copy / "test_invoices.py").read_text(), re.MULTILINE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=AT_MOST, check=False)
    assert (done.returncode, f"{len(tests)} passed" in done.stdout) == (0, True), done.stdout


def test_it_is_started_in_one_line(copy: Path):
    """Its tasks are registered with their policies, and run: at first one says which table it misses."""
    with serving(copy, handlers=None, **quiet()) as server:
        with Client(server.address) as client:
            tasks = {task.name: task for task in client.tasks()}
            assert sorted(tasks) == NAMES
            policy = tasks["import-invoices"].policy
            assert (policy.overlap, policy.catch_up, policy.retry.max_retries) == (Overlap.BUFFER_ONE, CatchUp.ALL, 5)
            rendered = client.run_task_now("render-invoices")
            assert (rendered.success, rendered.execution.result) == (True, {"success": True, "pages": 3})
            client.update_task("import-invoices", policy={"retry.max_retries": 0})
            failed = client.run_task_now("import-invoices")
            assert (failed.success, failed.execution.state) == (False, State.FAILED)
            assert "no such table: invoices" in (failed.execution.error or "")
            subprocess.run([sys.executable, "sample.py"], cwd=copy, timeout=AT_MOST, check=True)
            imported = client.run_task_now("import-invoices")
            assert imported.execution.result["success"] is True
        code, _ = server.terminate()
        assert code == 0


def test_progress_is_shown_while_one_waits(copy: Path):
    """By the command line that the README names."""
    with serving(copy, handlers=None, **quiet()) as server:
        done = run("tasks", "run", "render-invoices", "--server", server.address)
        assert (done.returncode, "page 3 of 3" in done.stderr) == (0, True), done.stderr


def test_it_is_started_from_elsewhere(copy: Path, tmp_path: Path, monkeypatch):
    """With --config, and its folder on the path of Python; files are made where one is."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(copy), *filter(None, [os.environ.get("PYTHONPATH")])]))
    with serving(tmp_path, "--config", str(copy / "schedule.toml"), handlers=None, **quiet()) as server:
        with Client(server.address) as client:
            assert [task.name for task in client.tasks()] == NAMES
            assert client.run_task_now("render-invoices").success
        code, _ = server.terminate()
        assert code == 0
    assert (tmp_path / "schedule.db").exists()


def test_the_readme_names_what_is_there():
    """Every file of the example, and commands that exist."""
    readme = (EXAMPLE / "README.md").read_text()
    ours = {path.name for path in EXAMPLE.iterdir() if path.suffix in {".py", ".toml"}}
    assert {name for name in ours if name in readme} == ours
    for command in re.findall(r"schedule-grpc ((?:tasks )?\w+)", readme):
        assert run(*command.split(), "--help").returncode == 0
