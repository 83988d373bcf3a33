"""Namespaces on the command line: the option, the environment, and files of tasks."""

from pathlib import Path

import pytest
from support.rigs.rig import at

from schedule_grpc.cli.commands.tasks.difference import Difference, difference
from schedule_grpc.domain.task import Task, define
from schedule_grpc.formats.task_file import task_file

NOW = at("2026-01-31T10:00:00")
TASK = {"name": "a", "schedule": "@daily", "handler": "h"}


def there(name: str, namespace: str) -> Task:
    """Return a task of the set apply."""
    return Task(
        definition=define(**TASK | {"name": name}, namespace=namespace, metadata={"managed_by": "apply"}),
        uid="u",
        revision=1,
        enabled=True,
        create_time=NOW,
        update_time=NOW,
        settled_time=NOW,
    )


def test_a_name_is_shown_with_its_namespace_unless_that_is_the_default():
    """As it was named; a slash cannot be part of a name."""
    nothing = Difference(created=(), changed=(), deleted=(), unchanged=())
    assert nothing.shown("a") == "a"
    for namespace, shown in (("default", "a"), ("reports", "reports/a")):
        (part,) = task_file({"namespace": namespace, "tasks": [TASK]}).parts()
        assert difference(part, [], NOW, prune=False).shown("a") == shown


@pytest.mark.parametrize(("wanted", "left"), [({("reports", "b")}, []), ({("default", "b")}, ["b"])])
def test_a_task_that_another_part_declares_is_not_deleted(wanted: set[tuple[str, str]], left: list[str]):
    """The server may choose, for the part that names no namespace, the one that another part names."""
    (part,) = task_file({"namespace": "reports", "tasks": [TASK]}).parts()
    found = difference(part, [there("a", "reports"), there("b", "reports")], NOW, prune=True)
    assert [task.name for task in found.deleted] == ["b"]
    assert [task.name for task in found.sparing(wanted).deleted] == left


# -- asked of a server

FILE = """
set = "{name}"
namespace = "{name}"

[[tasks]]
name = "nightly"
schedule = "0 3 * * *"
handler = "steps"

[[tasks]]
name = "shared"
namespace = "default"
schedule = "@hourly"
handler = "steps"
"""


@pytest.fixture
def space(ask, request: pytest.FixtureRequest) -> str:
    """A namespace that only this test has."""
    name = f"n{abs(hash(request.node.name)) % 10**6}"
    assert ask("namespaces", "create", name).code == 0
    return name


def test_a_namespace_is_created_changed_listed_and_deleted(ask):
    """In words and in JSON."""
    done = ask("namespaces", "create", "made", "--handlers", "steps", "--handlers", "send-*", "--max-tasks", "7")
    assert (done.code, done.err) == (0, "")
    assert "handlers  send-*, steps\n" in done.out
    assert "limits    max_tasks 7, max_open_executions 10,000, runs_per_minute 600" in done.out
    options = ("--max-tasks", "default", "--max-streams", "none", "--running-share", "0.25")
    made = ask("namespaces", "update", "made", *options, "--json").json
    assert (made["handlers"], made["etag"]) == (["send-*", "steps"], "2")
    assert made["limits"] == {
        "maxTasks": 1000,
        "maxOpenExecutions": 10_000,
        "runsPerMinute": 600,
        "writesPerMinute": 300,
        "maxStreams": None,
        "runningShare": 0.25,
    }
    assert "made" in {each["name"] for each in ask("namespaces", "list", "--json").json}
    (row,) = [line for line in ask("namespaces", "list").out.splitlines() if line.startswith("made ")]
    assert row.endswith("send-*, steps  max_streams none, running_share 0.25")
    assert ask("namespaces", "delete", "made", "--etag", "1").code == 1
    assert ask("namespaces", "delete", "made").out == "Namespace made deleted\n"
    assert ask("namespaces", "delete", "made").err == "Namespace not found: made\n"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ((), "nothing to change was given"),
        (("--max-tasks", "many"), "'many' is neither a number, nor none, nor default"),
        (("--max-tasks", "1.5"), "'1.5' is neither a number"),
    ],
)
def test_a_change_that_means_nothing_is_exit_code_2(ask, options: tuple[str, ...], complaint: str):
    """Before any server is asked."""
    done = ask("namespaces", "update", "default", *options)
    assert done.code == 2
    assert complaint in " ".join(done.err.replace("│", " ").split())


@pytest.mark.keyless
def test_the_option_and_the_environment_name_the_namespace(ask, space: str, monkeypatch: pytest.MonkeyPatch):
    """The option comes first; a table shows the namespace where it is not the default one."""
    registered = ask("tasks", "register", "mine", "--schedule", "@manual", "--handler", "steps", "--namespace", space)
    assert f"namespace  {space}\n" in registered.out
    assert ask("tasks", "get", "mine").code == 1
    monkeypatch.setenv("SCHEDULE_NAMESPACE", space)
    listed = ask("tasks", "list")
    assert [line.split()[:2] for line in listed.out.splitlines()] == [["NAMESPACE", "TASK"], [space, "mine"]]
    assert ask("tasks", "get", "mine", "--json").json["namespace"] == space
    assert ask("tasks", "get", "mine", "--namespace", "default").code == 1
    done = ask("tasks", "list", "--namespace", "No")
    assert (done.code, "is not a small letter followed by" in " ".join(done.err.split())) == (2, True)


def test_a_file_of_two_namespaces_is_applied_in_each(ask, space: str, tmp_path: Path):
    """Names are shown with their namespace; --namespace is for files that name none."""
    file = tmp_path / "tasks.toml"
    file.write_text(FILE.format(name=space))
    created = [f"+ {space}/nightly  (0 3 * * *, steps)", "+ shared  (@hourly, steps)"]
    dry = ask("tasks", "apply", "-f", str(file), "--dry-run")
    assert (dry.out.splitlines()[:2], dry.err) == (created, "")
    assert ask("tasks", "list", "--namespace", space, "--json").json == []
    done = ask("tasks", "apply", "-f", str(file), "--namespace", "default")
    assert done.out.splitlines() == [*created, "2 created, 0 changed, 0 deleted, 0 unchanged"]
    assert ask("tasks", "get", "nightly", "--namespace", space, "--json").json["namespace"] == space
    assert ask("tasks", "apply", "-f", str(file), "--json").json["unchanged"] == [f"{space}/nightly", "shared"]
    file.write_text(FILE.format(name=space).partition("[[tasks]]")[0])
    pruned = ask("tasks", "apply", "-f", str(file), "--prune", "--json").json
    assert pruned["deleted"] == [f"{space}/nightly"]
    ask("tasks", "delete", "shared")


def test_nothing_is_applied_unless_all_is_valid_in_every_namespace(ask, space: str, tmp_path: Path):
    """The server is asked about the second namespace before the first one is changed."""
    file = tmp_path / "tasks.toml"
    file.write_text(FILE.format(name=space).replace('"@hourly"\nhandler = "steps"', '"@hourly"\nhandler = "nobody"'))
    done = ask("tasks", "apply", "-f", str(file))
    assert (done.code, done.out, done.err.startswith("Task handler not found: nobody")) == (1, "", True)
    assert ask("tasks", "list", "--namespace", space, "--json").json == []
