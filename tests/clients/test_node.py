"""examples/node-worker, and README's JavaScript, do at a real server what they say."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.callers.tour import is_whole
from support.machine.node import needs_node, run
from support.machine.wall_clock import quiet
from support.patience import AT_MOST
from support.servers.launched import COMMAND
from support.servers.process import Server, serving

from schedule_grpc.client import Client

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "examples" / "node-worker"
MADE = ("node_modules", "dist", "build", "*.tgz")


pytestmark = [pytest.mark.slow, pytest.mark.keyless, needs_node]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package with what is locked, in a folder of its own, far from the contract."""
    folder = tmp_path_factory.mktemp("node") / "package"
    shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns(*MADE))
    run("npm", "ci", folder=folder)
    run("npm", "run", "build", folder=folder)
    return folder


@pytest.fixture(scope="module")
def project(package: Path) -> Path:
    """A project of a user, who has installed the package as `npm pack` makes it."""
    packed = json.loads(run("npm", "pack", "--ignore-scripts", "--json", folder=package))
    (described,) = packed if isinstance(packed, list) else packed.values()
    names = {file["path"] for file in described["files"]}
    assert {"dist/index.js", "dist/index.d.ts", "README.md", "package.json"} <= names
    assert not [name for name in names if re.match(r"src|test|build|dist/conformance", name)]
    folder = package.parent / "project"
    folder.mkdir()
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / ".npmrc").write_text("fund=false\naudit=false\n")
    run("npm", "install", package / described["filename"], folder=folder)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the built-in handlers; each test has tasks of its own."""
    with serving(tmp_path_factory.mktemp("server"), handlers=None, **quiet()) as running:
        yield running


def _snippets(document: Path, *, after: str) -> list[str]:
    """Return the JavaScript of a document's part."""
    return re.findall(r"^```js\n(.*?)^```", document.read_text().partition(after)[2], re.MULTILINE | re.DOTALL)


def _promised(snippet: str) -> list[str]:
    """Return what the comments behind the calls of console.log say."""
    return re.findall(r"console\.log\(.*\).* // (.+)$", snippet, re.MULTILINE)


def _written(folder: Path, name: str, snippet: str, server: Server) -> Path:
    file = folder / name
    file.write_text(snippet.replace("127.0.0.1:50051", server.address))
    return file


def test_its_own_tests_pass(package: Path, server: Server):
    """None is skipped: they have a server."""
    printed = run("npm", "test", folder=package, SCHEDULE_SERVER=server.address)
    count = sum(
        len(re.findall(r"^ *test\(", file.read_text(), re.MULTILINE)) for file in package.glob("test/*.test.ts")
    )
    assert re.search(r"^\S+ fail 0$", printed, re.MULTILINE)
    assert re.search(r"^\S+ skipped 0$", printed, re.MULTILINE)
    passed = re.search(r"^\S+ pass (\d+)$", printed, re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) >= count > 0


def test_the_readme_of_the_service_is_right(project: Path, server: Server):
    """By the package, and by proto-loader: a plain object is stored as it is, neither empty nor as Struct fields."""
    by_package, by_loader = _snippets(ROOT / "README.md", after="### Node\n")[:2]
    shutil.copytree(ROOT / "protos", project / "protos", dirs_exist_ok=True)
    for name, snippet in (("by-package.js", by_package), ("by-loader.cjs", by_loader)):
        printed = run("node", _written(project, name, snippet, server), folder=project)
        assert printed.splitlines() == _promised(snippet)
        with Client(server.address) as client:
            assert client.get_task("custom-cleanup").definition.payload == {"older_than_days": 60}
            client.delete_task("custom-cleanup")


TOUR = """
import { createClient } from 'schedule-grpc'

const client = createClient({ server: '127.0.0.1:50051' })
const name = 'from-node'
const task = await client.registerTask({
  name, schedule: '0 9 * * 1', handler: 'check-rate-limits', payload: { limit: 500 }
})
const watch = await client.watchExecutions({ taskName: name })
const run = await client.runTaskNow({ name })
const states = []
for await (const event of watch) {
  if (event.type === 'transition') states.push(event.execution.state)
  if (states.at(-1) === 'SUCCEEDED') break
}
console.log(JSON.stringify({
  RegisterTask: task.payload,
  ListTasks: (await client.listTasks({ namePrefix: name })).tasks.map((each) => each.name),
  GetTask: (await client.getTask({ name })).schedule,
  RunTaskNow: run.success,
  GetTaskHistory: (await client.getTaskHistory({ name })).executions.map((each) => each.id === run.execution.id),
  DisableTask: (await client.disableTask({ name, note: 'holiday' })).enabled,
  EnableTask: (await client.enableTask({ name })).enabled,
  WatchExecutions: states
}))
client.close()
"""


def test_the_calls_that_callers_make_most(
    project: Path, server: Server, record_property: Callable[[str, object], None]
):
    """By the package, whose client is grpc-js."""
    printed = run("node", _written(project, "tour.js", TOUR, server), folder=project)
    is_whole(json.loads(printed), "Node, grpc-js", "from-node", record_property)


def test_the_readme_of_the_package_is_right(project: Path, server: Server):
    """Its worker runs what its client asks for, and ends by SIGTERM with 0."""
    worker, client = _snippets(PACKAGE / "README.md", after="## Worker\n")
    program = _written(project, "worker.js", worker, server)
    with subprocess.Popen(["node", program], cwd=project, stderr=subprocess.PIPE, text=True) as running:
        try:
            printed = run("node", _written(project, "client.js", client, server), folder=project)
            assert printed.splitlines() == _promised(client)
        finally:
            running.terminate()
        _, said = running.communicate(timeout=AT_MOST)
    assert (running.returncode, said) == (0, f"info registered with {server.address}: send-report\n")


def test_its_worker_conforms(package: Path):
    """To every rule that the kit can prove without waiting for leases to lapse."""
    program = package / "dist" / "conformance.js"
    printed = run(COMMAND, "worker-check", "--quick", "--", "node", program, folder=package)
    assert printed.count("\nok ") > 40
    assert [line for line in printed.splitlines() if line.startswith("not ok") and "# TODO" not in line] == []


def test_the_generated_code_is_what_the_contract_says(package: Path, tmp_path: Path):
    """`npm run generate` would change nothing."""
    repository = tmp_path / "repository"
    copy = repository / "examples" / "node-worker"
    shutil.copytree(ROOT / "protos", repository / "protos")
    shutil.copytree(package, copy, symlinks=True)
    run("npm", "run", "generate", folder=copy)
    assert _texts(copy / "src" / "contract") == _texts(PACKAGE / "src" / "contract")


def _texts(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*.ts")}


def test_the_lock_names_no_place():
    """Packages come from the registry that npm is set to, and are what their checksums say."""
    locked = json.loads((PACKAGE / "package-lock.json").read_text())["packages"]
    assert [name for name, package in locked.items() if "resolved" in package] == []
    assert [name for name, package in locked.items() if name and "integrity" not in package] == []
