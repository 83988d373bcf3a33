"""The Python of docs/handlers.md runs, its tests pass, and its tables name what there is."""

import asyncio
import inspect
import os
import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support.patience import AT_MOST

from schedule_grpc.formats.task_file import registrations
from schedule_grpc.handlers import Registry, TaskContext
from schedule_grpc.testing import ManualService, Ran, manual_service, run

DOCUMENT = (Path(__file__).parents[2] / "docs" / "handlers.md").read_text()


def blocks(language: str) -> list[str]:
    """Return the document's blocks of a language."""
    pattern = rf"^ *```{language}\n(.*?)^ *```"
    return [textwrap.dedent(block) for block in re.findall(pattern, DOCUMENT, re.MULTILINE | re.DOTALL)]


FILES = {block.splitlines()[0].removeprefix("# "): block for block in blocks("python")}
"""The text of each file that the document shows, by its name, in the document's order."""
TESTS = [
    (name, test)
    for name, block in FILES.items()
    for test in re.findall(r"^(?:async )?def (test_\w+)", block, re.MULTILINE)
]


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The document's files, imported: they import each other."""
    imported = {}
    for name, block in FILES.items():
        module = ModuleType(name.removesuffix(".py"))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(compile(block, f"docs/handlers.md: {name}", "exec"), vars(module))  # noqa: S102 (our own document)
        imported[name] = module
    return imported


@pytest.mark.parametrize(("name", "test"), TESTS)
def test_a_test_of_the_document_passes(modules: dict[str, Any], tmp_path: Path, name: str, test: str):
    """Async ones in a loop of their own; with a folder, where they ask for one."""
    function = getattr(modules[name], test)
    given = {"tmp_path": tmp_path} if "tmp_path" in inspect.signature(function).parameters else {}
    answer = function(**given)
    if inspect.iscoroutine(answer):
        asyncio.run(answer)


@pytest.mark.slow
def test_its_tests_pass_as_a_reader_runs_them(tmp_path: Path):
    """Each file of the document under its name in one folder, with the pytest.ini that it shows, and nothing else."""
    (ini,) = blocks("ini")
    for name, text in {**FILES, "pytest.ini": ini}.items():
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHONPATH"))}
    done = subprocess.run(
        command, cwd=tmp_path, env=alone, capture_output=True, text=True, timeout=AT_MOST, check=False
    )
    assert (done.returncode, f"{len(TESTS)} passed" in done.stdout) == (0, True), done.stdout


def test_every_handler_of_the_document_can_be_offered(modules: dict[str, Any]):
    """Each file that is no test has some; all names differ."""
    registry = Registry()
    for name, module in modules.items():
        if not name.startswith("test_"):
            registry.add_module(module)
    assert registry.names() == ("charge-subscription", "count-stock", "crawl", "move-credits", "render", "send-report")
    assert registry.offered.limits == {"render": 2}


async def test_the_first_handler_does_what_it_says(modules: dict[str, Any]):
    """On the platform's own tables."""
    async with manual_service(modules["reports.py"]) as service:
        await service.env.DB.execute("INSERT INTO generations VALUES ('g', 'completed', '2026-01-31 10:00:00')")
        await service.register("daily-report", "0 9 * * 1-5", "send-report")
        assert (await service.run_now("daily-report")).result["message"] == "Reported 1 generations"


def test_no_block_is_overlooked():
    """Every block of Python is a file of its own, and there are tests among them."""
    assert len(FILES) == DOCUMENT.count("```python") == 6
    assert all(re.fullmatch(r"\w+\.py", name) for name in FILES)
    assert len(TESTS) == 9


def test_every_piece_of_configuration_is_right():
    """It is TOML, and the tasks in it are accepted."""
    documents = [tomllib.loads(block) for block in blocks("toml")]
    assert len(documents) == DOCUMENT.count("```toml") == 3
    (task,) = [task for document in documents for task in registrations(document.get("tasks", []))]
    assert task.definition.policy.retry.max_retries == 5


def named_in(heading: str) -> set[str]:
    """Return what the first column of the table names whose header begins so."""
    table = DOCUMENT.partition(f"| {heading}")[2].partition("\n\n")[0]
    rows = table.splitlines()[2:]
    return {name for row in rows for name in re.findall(r"`(?:ctx\.)?(\w+)", row.split(" | ")[0])}


def test_every_field_of_the_context_is_described():
    """But for those by which the service hears of it."""
    public = {name for name in dir(TaskContext) if not name.startswith("_")} - {"report", "conditions"}
    assert named_in("field") == public


def test_every_field_of_a_run_is_described():
    """And every argument of `run`."""
    assert named_in("`ran.`") == {each.name for each in fields(Ran)} | {"idempotency_key"}
    told = DOCUMENT.partition("`run` takes")[2].partition("`run_sync`")[0]
    assert set(re.findall(r"`(\w+)`", told)) - {"FakeClock"} == set(inspect.signature(run).parameters) - {"function"}


def test_every_method_of_a_manual_service_is_described():
    """And the arguments that make one."""
    methods = {name for name, _ in inspect.getmembers(ManualService, inspect.isfunction) if not name.startswith("_")}
    assert methods <= named_in("`service.`")
    told = DOCUMENT.partition("`manual_service(...)` takes")[2]
    arguments = set(inspect.signature(manual_service).parameters) - {"handlers"}
    assert arguments <= set(re.findall(r"`(\w+)`", told))


def test_every_link_leads_somewhere():
    """Files beside the document, and its own headings."""
    folder = Path(__file__).parents[2] / "docs"
    headings = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)", DOCUMENT, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", DOCUMENT):
        path, _, heading = target.partition("#")
        assert (folder / path).exists() if path else heading in headings
