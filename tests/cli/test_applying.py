"""`tasks apply`: what a file changes, what it leaves alone, and how that is told."""

import json
import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.rigs.rig import at

from schedule_grpc.cli.commands.tasks.difference import difference
from schedule_grpc.client import AsyncClient
from schedule_grpc.domain.policy import Overlap, Policy
from schedule_grpc.domain.registration import Registration
from schedule_grpc.domain.task import Task, define
from schedule_grpc.formats.task_file import TaskFile, task_file

NIGHTLY = {"name": "nightly", "schedule": "0 3 * * *", "handler": "steps", "time_zone": "Europe/Berlin"}
HOURLY = {"name": "hourly", "schedule": "@hourly", "handler": "steps", "payload": {"a": 1, "b": [1, 2]}}
ONCE = {"name": "once", "schedule": "2026-01-01T00:00:00Z", "handler": "steps"}
NOW = at("2026-01-31T10:00:00")


def there(*, enabled: bool = True, revision: int = 7, **told: Any) -> Task:
    """Return a task as a server tells of it."""
    return Task(
        definition=define(**told),
        uid="u",
        revision=revision,
        enabled=enabled,
        create_time=NOW,
        update_time=NOW,
        settled_time=NOW,
    )


def managed(owner: str = "apply", **told: Any) -> Task:
    """Return a task that a set owns."""
    return there(**told, metadata={"managed_by": owner})


def declared(*tables: dict[str, Any]) -> TaskFile:
    """Return a file of the set apply."""
    return task_file({"tasks": list(tables)})


def test_what_is_not_there_is_created():
    """In the order of the file, marked as the set's, without an etag."""
    found = difference(declared(NIGHTLY, HOURLY), [], NOW, prune=True)
    assert [each.definition.name for each in found.created] == ["nightly", "hourly"]
    assert {each.definition.metadata["managed_by"] for each in found.registrations} == {"apply"}
    assert (found.changed, found.deleted, found.unchanged) == ((), (), ())


@pytest.mark.parametrize("present", [[], [managed(**HOURLY), managed(**NIGHTLY | {"name": "once"})]])
def test_an_instant_that_is_over_is_passed_by(present: list[Task]):
    """A server would refuse it, and all others with it. A task of that name stays as it is, pruned or not."""
    found = difference(declared(HOURLY, ONCE), present, NOW, prune=True)
    assert [each.definition.name for each in found.passed] == ["once"]
    assert "once" not in {each.definition.name for each in found.registrations}
    assert found.deleted == ()


def test_an_instant_that_was_registered_before_it_was_over_is_what_it_was():
    """Its other fields can be changed; before it comes it is a task as any other."""
    assert difference(declared(ONCE), [managed(**ONCE)], NOW, prune=True).unchanged == ("once",)
    (changed,) = difference(declared(ONCE | {"handler": "other"}), [managed(**ONCE)], NOW, prune=True).changed
    assert [change.field for change in changed.changes] == ["handler"]
    assert difference(declared(ONCE), [], NOW - timedelta(days=60), prune=True).passed == ()


def test_what_is_as_declared_is_left_alone():
    """Whether it is enabled is nobody's business where the file does not say."""
    found = difference(declared(HOURLY), [managed(**HOURLY, enabled=False)], NOW, prune=True)
    assert (found.registrations, found.deleted, found.unchanged) == ((), (), ("hourly",))


def test_every_changed_field_is_told():
    """Before and after; of payload and metadata each key by itself; the registration holds to the etag."""
    before = there(
        **HOURLY | {"payload": {"a": 1, "c": "x"}},
        metadata={"managed_by": "other", "category": "old"},
        description="old",
        policy=Policy(overlap=Overlap.ALLOW_ALL),
    )
    wanted = HOURLY | {
        "schedule": "*/30 * * * *",
        "time_zone": "Asia/Tokyo",
        "handler": "fail",
        "enabled": False,
        "metadata": {"description": "new"},
        "policy": {"timeout": "1m", "window": {"end_time": "2027-01-01T00:00:00Z"}, "retry": {"multiplier": 1.5}},
    }
    (changed,) = difference(declared(wanted), [before], NOW, prune=False).changed
    assert changed.registration.etag == "7"
    assert [(change.field, change.before, change.after) for change in changed.changes] == [
        ("schedule", "@hourly", "*/30 * * * *"),
        ("time_zone", "UTC", "Asia/Tokyo"),
        ("handler", "steps", "fail"),
        ("enabled", "yes", "no"),
        ("description", "old", "new"),
        ("payload.c", '"x"', "(none)"),
        ("payload.b", "(none)", "[1, 2]"),
        ("metadata.category", '"old"', "(none)"),
        ("metadata.managed_by", '"other"', '"apply"'),
        ("metadata.description", "(none)", '"new"'),
        ("policy.timeout", "29s", "1m"),
        ("policy.retry.multiplier", "2", "1.5"),
        ("policy.overlap", "allow-all", "skip"),
        ("policy.window.end_time", "none", "2027-01-01T00:00:00Z"),
    ]


def test_pruning_deletes_what_the_set_owns_and_nothing_else():
    """Tasks registered by hand, built-in ones and other sets' are never touched."""
    by_hand = there(name="by-hand", schedule="@daily", handler="steps")
    tasks = [managed(**HOURLY), managed(**NIGHTLY), managed("other", name="x", schedule="@daily", handler="h"), by_hand]
    assert [task.name for task in difference(declared(HOURLY), tasks, NOW, prune=True).deleted] == ["nightly"]
    assert difference(declared(HOURLY), tasks, NOW, prune=False).deleted == ()


LARGE = b'[[tasks]]\nname = "a"\nschedule = "@daily"\nhandler = "h"\npayload = { ids = [%s] }'

FILE = """
set = "{owner}"

[[tasks]]
name = "{owner}-nightly"
schedule = "0 3 * * *"
handler = "steps"
payload = {{ pages = 3 }}

[[tasks]]
name = "{owner}-hourly"
schedule = "@hourly"
handler = "steps"
"""

NEW = """
[[tasks]]
name = "{owner}-new"
schedule = "@daily"
handler = "steps"
"""


@pytest.fixture
def file(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A file of two tasks, of a set that only this test has."""
    path = tmp_path / "tasks.toml"
    path.write_text(FILE.format(owner=f"set{abs(hash(request.node.name)) % 10**6}"))
    return path


def owner_of(file: Path) -> str:
    """Return the set of a file."""
    return file.read_text().split('"')[1]


def test_applying_creates_changes_and_leaves_alone(ask, file: Path):
    """A readable difference, then its summary; the second time nothing is changed."""
    owner = owner_of(file)
    dry = ask("tasks", "apply", "-f", str(file), "--dry-run")
    assert (dry.code, dry.err) == (0, "")
    assert dry.out.splitlines() == [
        f"+ {owner}-nightly  (0 3 * * *, steps)",
        f"+ {owner}-hourly  (@hourly, steps)",
        "2 to be created, 0 to be changed, 0 to be deleted, 0 unchanged; dry run, nothing was stored",
    ]
    assert ask("tasks", "list", "--prefix", owner, "--json").json == []
    done = ask("tasks", "apply", "--file", str(file))
    assert (done.code, done.out.splitlines()[-1]) == (0, "2 created, 0 changed, 0 deleted, 0 unchanged")
    assert ask("tasks", "apply", "-f", str(file)).out == "0 created, 0 changed, 0 deleted, 2 unchanged\n"
    assert {task["etag"] for task in ask("tasks", "list", "--prefix", owner, "--json").json} == {"1"}
    file.write_text(file.read_text().replace("pages = 3", "pages = 4").replace("@hourly", "@daily"))
    assert ask("tasks", "apply", "-f", str(file)).out.splitlines() == [
        f"~ {owner}-nightly",
        "    payload.pages: 3 -> 4",
        f"~ {owner}-hourly",
        "    schedule: @hourly -> @daily",
        "0 created, 2 changed, 0 deleted, 0 unchanged",
    ]
    task = ask("tasks", "get", f"{owner}-nightly", "--json").json
    assert (task["payload"], task["metadata"], task["etag"]) == ({"pages": 4}, {"managed_by": owner}, "2")


def test_applying_keeps_an_operators_pause(ask, file: Path):
    """Where the file does not say whether a task fires."""
    name = f"{owner_of(file)}-hourly"
    ask("tasks", "apply", "-f", str(file))
    ask("tasks", "disable", name, "--note", "holiday")
    file.write_text(file.read_text().replace("@hourly", "@daily"))
    assert ask("tasks", "apply", "-f", str(file)).code == 0
    task = ask("tasks", "get", name, "--json").json
    assert (task["schedule"], task["enabled"], task["note"]) == ("@daily", False, "holiday")


def test_pruning_deletes_only_what_the_file_once_declared(ask, file: Path):
    """Only with --prune; the built-in tasks are there afterwards too."""
    owner = owner_of(file)
    ask("tasks", "register", f"{owner}-by-hand", "--schedule", "@manual", "--handler", "steps")
    ask("tasks", "apply", "-f", str(file))
    file.write_text(file.read_text().rpartition("[[tasks]]")[0])
    assert ask("tasks", "apply", "-f", str(file)).out == "0 created, 0 changed, 0 deleted, 1 unchanged\n"
    dry = ask("tasks", "apply", "-f", str(file), "--prune", "--dry-run")
    summary = "0 to be created, 0 to be changed, 1 to be deleted, 1 unchanged; dry run, nothing was stored"
    assert dry.out.splitlines() == [f"- {owner}-hourly", summary]
    done = ask("tasks", "apply", "-f", str(file), "--prune", "--json")
    assert done.json == {
        "set": owner,
        "dryRun": False,
        "created": [],
        "changed": [],
        "deleted": [f"{owner}-hourly"],
        "unchanged": [f"{owner}-nightly"],
        "passed": [],
    }
    names = {task["name"] for task in ask("tasks", "list", "--json").json}
    assert {f"{owner}-by-hand", f"{owner}-nightly", "cleanup-expired-sessions"} <= names
    assert f"{owner}-hourly" not in names


class Racing(AsyncClient):
    """Somebody else is a moment faster with the tasks that are about to be changed."""

    async def batch_register_tasks(self, registrations: Sequence[Registration], **options: Any) -> tuple[Task, ...]:
        """Register tasks that are not any more as they were read."""
        for registration in registrations:
            if registration.etag:
                await self.update_task(registration.definition.name, description="faster")
        return await super().batch_register_tasks(registrations, **options)

    async def delete_task(self, name: str, *, etag: str = "") -> None:
        """Delete a task that is not any more as it was read."""
        await self.update_task(name, description="faster again")
        await super().delete_task(name, etag=etag)


def test_who_was_faster_is_not_overwritten(ask, file: Path, monkeypatch: pytest.MonkeyPatch):
    """A task that changed since it was listed is neither replaced nor deleted, and nothing new is registered either."""
    owner = owner_of(file)
    ask("tasks", "apply", "-f", str(file))
    monkeypatch.setattr("schedule_grpc.client.AsyncClient", Racing)
    declared_before = file.read_text()
    file.write_text(declared_before.replace("@hourly", "@daily") + NEW.format(owner=owner))
    done = ask("tasks", "apply", "-f", str(file))
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"Task {owner}-hourly has changed: its etag is 2, not 1")
    assert ask("tasks", "get", f"{owner}-new").code == 1
    file.write_text(declared_before.rpartition("[[tasks]]")[0])
    done = ask("tasks", "apply", "-f", str(file), "--prune")
    assert (done.code, done.out) == (1, "0 created, 0 changed, 0 deleted, 1 unchanged\n")
    assert done.err == f"not deleted: Task {owner}-hourly has changed: its etag is 3, not 2\n"


def test_json_comes_from_standard_input_too(ask, file: Path):
    """A document that begins with a brace is JSON, whatever it is called."""
    name = f"{owner_of(file)}-piped"
    document = {"tasks": [{"name": name, "schedule": "@daily", "handler": "steps", "payload": {"a": 1}}]}
    assert ask("tasks", "apply", "-f", "-", stdin=json.dumps(document)).code == 0
    document["tasks"][0] |= {"payload": {"a": 2}, "policy": {"timeout": "5m"}}
    done = ask("tasks", "apply", "-f", "-", "--json", stdin=json.dumps(document))
    assert done.json["changed"] == [
        {
            "name": name,
            "changes": [
                {"field": "payload.a", "before": "1", "after": "2"},
                {"field": "policy.timeout", "before": "29s", "after": "5m"},
            ],
        }
    ]


def test_an_instant_that_is_over_is_told_and_the_others_are_applied(ask, file: Path):
    """By its name, in text and in JSON."""
    owner = owner_of(file)
    once = f'[[tasks]]\nname = "{owner}-once"\nschedule = "2020-01-01T00:00:00Z"\nhandler = "steps"\n'
    file.write_text(f"{file.read_text()}\n{once}")
    done = ask("tasks", "apply", "-f", str(file))
    assert (done.code, done.err) == (0, "")
    assert f"! {owner}-once  (2020-01-01T00:00:00Z has passed)" in done.out.splitlines()
    assert done.out.splitlines()[-1] == "2 created, 0 changed, 0 deleted, 0 unchanged"
    assert ask("tasks", "apply", "-f", str(file), "--json").json["passed"] == [f"{owner}-once"]


def test_nothing_is_applied_unless_all_is_valid(ask, file: Path):
    """What the file gets wrong is exit code 2, all of it at once; what the server refuses is 1."""
    owner = owner_of(file)
    file.write_text(file.read_text().replace("payload =", "paylod =").replace("@hourly", "hourly"))
    done = ask("tasks", "apply", "-f", str(file))
    assert (done.code, done.out) == (2, "")
    first, *complaints = done.err.splitlines()
    assert first == f"{file}: nothing was applied"
    assert complaints[0] == f"  tasks[0] ({owner}-nightly).paylod: unknown key; did you mean payload?"
    assert complaints[1].startswith(f"  tasks[1] ({owner}-hourly).schedule: a name begins with @; write @hourly")
    file.write_text(FILE.format(owner=owner).replace('"@hourly"\nhandler = "steps"', '"@hourly"\nhandler = "nobody"'))
    done = ask("tasks", "apply", "-f", str(file))
    assert (done.code, done.out, done.err.startswith("Task handler not found: nobody")) == (1, "", True)
    assert ask("tasks", "apply", "-f", str(file), "--dry-run").code == 1
    assert ask("tasks", "list", "--prefix", owner, "--json").json == []


def test_what_the_server_refuses_is_told_by_name(ask, file: Path):
    """The mark of the set makes metadata too large that was just small enough: only the server sees that."""
    owner = owner_of(file)
    filled = f'"{"x" * (16 * 1024 - 8)}"'
    file.write_text(f"{file.read_text()}metadata = {{ a = {filled} }}")
    done = ask("tasks", "apply", "-f", str(file))
    assert (done.code, done.out) == (1, "")
    assert re.fullmatch(rf"{owner}-hourly\.metadata: \d+ bytes of JSON, more than the 16384 bytes allowed\n", done.err)
    assert ask("tasks", "list", "--prefix", owner, "--json").json == []


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_applying_again_changes_nothing_whatever_the_numbers(ask, file: Path, mark: str):
    """What a file may hold is kept as it is by every edge; a byte order mark before it is none of its business."""
    name = f"{owner_of(file)}-numbers"
    numbers = (
        "[9007199254740992, -9007199254740992, 1e300, 1.0, -0.0, 0.1234567890123456789, 5e-324, 9007199254740994.0]"
    )
    table = f'name = "{name}"\nschedule = "@manual"\nhandler = "steps"\n'
    file.write_text(f"{mark}[[tasks]]\n{table}payload = {{ deep = [{{ numbers = {numbers} }}] }}\n", "utf-8")
    assert ask("tasks", "apply", "-f", str(file)).out.splitlines()[-1].startswith("1 created, 0 changed")
    assert ask("tasks", "apply", "-f", str(file)).out == "0 created, 0 changed, 0 deleted, 1 unchanged\n"


@pytest.mark.parametrize(
    ("option", "text", "complaint"),
    [
        ("--payload", '{"n": 9007199254740993}', ".n: 9007199254740993 is beyond"),
        ("--metadata", '{"a": {"b": 1, "b": 2}}', "the key 'b' is given twice in one object"),
        ("--payload", '{"n": 1e400}', ".n: inf is not JSON"),
        ("--payload", "@FILE", "the key 'n' is given twice in one object"),
    ],
)
def test_an_option_is_read_as_strictly_as_a_file(tell, tmp_path: Path, option: str, text: str, complaint: str):
    """Before any server is asked, for registering as for running; a byte order mark in a file is left out."""
    (tmp_path / "twice").write_text('\ufeff{"n": 1, "n": 2}', "utf-8")
    text = text.replace("FILE", str(tmp_path / "twice"))
    done = tell("tasks", "update", "t", option, text)
    assert (done.code, done.out) == (2, "")
    shown = " ".join(re.sub("[│╭╮╰╯─]", " ", done.err).split())
    assert complaint in shown
    assert option in shown


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"tasks = [", "Invalid value"),
        (b'{"tasks": [}', "Expecting value"),
        (b"\xff", "invalid start byte"),
        (b'{"a":' * 100_000, "nested too deep"),
        (b'{"tasks": [{"name": "a", "payload": {"n": 1, "n": 2}}]}', "the key 'n' is given twice in one object"),
        ('{"tasks": []}'.encode("utf-16"), "is UTF-16: save it as UTF-8"),
        (LARGE % b"9007199254740993", "  tasks[0] (a).payload: .ids[0]: 9007199254740993 is beyond"),
        (LARGE % b"1e400", "  tasks[0] (a).payload: .ids[0]: inf is not JSON"),
        (b"task = []", "  task: unknown key; did you mean tasks?"),
    ],
)
def test_a_file_that_cannot_be_read_is_exit_code_2(tell, tmp_path: Path, content: bytes, complaint: str):
    """Before any server is asked."""
    file = tmp_path / "bad"
    file.write_bytes(content)
    done = tell("tasks", "apply", "-f", str(file))
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"{file}: ")
    assert complaint in done.err
    assert tell("tasks", "apply", "-f", str(tmp_path / "missing")).err.endswith("missing: No such file or directory\n")
