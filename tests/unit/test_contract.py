"""The contract: what `make lint` refuses to change in it, and which fields it says no caller can set."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from schedule_grpc.pb import schedule_pb2 as pb

ROOT = Path(__file__).parent.parent.parent
RELEASED = ROOT / ".ci" / "contract"
FILE = "schedule/v1/schedule.proto"
BUF = str(Path(sys.executable).with_name("buf"))
SETTABLE = set(pb.RegisterTaskRequest.DESCRIPTOR.fields_by_name) & set(pb.Task.DESCRIPTOR.fields_by_name)
"""The fields of a task that a caller gives; its etag among them, as a condition."""


def breaking(folder: Path, pattern: str, replacement: str) -> subprocess.CompletedProcess:
    """Return what buf says of the contract after an edit, beside the contract as it is."""
    text = (ROOT / "protos" / FILE).read_text()
    edited, count = re.subn(pattern, replacement, text)
    assert count
    for name, content in (("old", text), ("new", edited)):
        (folder / name / FILE).parent.mkdir(parents=True)
        (folder / name / FILE).write_text(content)
        (folder / name / "buf.yaml").write_text((ROOT / "protos" / "buf.yaml").read_text())
    command = [BUF, "breaking", folder / "new", "--against", folder / "old"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("pattern", "replacement", "told"),
    [
        (r"  rpc TriggerCron\(.*\n", "", 'RPC "TriggerCron" on service "ScheduleService" was deleted'),
        (r"rpc TriggerCron\(", "rpc FireCron(", 'RPC "TriggerCron" on service "ScheduleService" was deleted'),
        ("catch_up_window = 6", "catchup_window = 6", 'changed name from "catch_up_window" to "catchup_window"'),
        ("CATCH_UP_NONE = 8", "CATCHUP_NONE = 8", 'changed name from "CATCH_UP_NONE" to "CATCHUP_NONE"'),
        ("FailedAttempt", "Attempt", 'message "Execution.FailedAttempt" was deleted'),
        ("  string trouble = 22;", "", 'field "22" with name "trouble" on message "Execution" was deleted'),
    ],
    ids=["deleted rpc", "renamed rpc", "renamed field", "renamed value", "renamed message", "deleted field"],
)
def test_what_clients_know_stays(tmp_path: Path, pattern: str, replacement: str, told: str):
    """Deleted and renamed names are refused."""
    done = breaking(tmp_path, pattern, replacement)
    assert done.returncode != 0
    assert told in done.stdout


def test_what_is_new_may_come(tmp_path: Path):
    """An rpc and a field more break nothing."""
    added = r"\1\n  // Another one.\n  rpc ReadTask(GetTaskRequest) returns (Task);"
    assert breaking(tmp_path, r"(rpc DeleteTask\(.*)", added).returncode == 0


def test_the_contract_is_held_to_the_released_one():
    """The copy of the newest release is a contract that can be compared with, and is kept."""
    assert (RELEASED / FILE).is_file()
    command = [BUF, "breaking", ROOT / "protos", "--against", RELEASED]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("message", ["Task", "TaskStats", "Execution", "Handler"])
def test_fields_that_no_caller_sets_are_output_only(message: str):
    """They say so in their first words (AIP-203); the others do not."""
    fields = getattr(pb, message).DESCRIPTOR.fields_by_name
    body = re.search(
        rf"^message {message} \{{\n(.*?)^\}}", (ROOT / "protos" / FILE).read_text(), re.DOTALL | re.MULTILINE
    )
    assert body
    found = re.findall(r"((?:^  //.*\n)+)^  [\w .]+ (\w+) = \d+;", body[1], re.MULTILINE)
    assert {name for _, name in found} == set(fields)
    output_only = {name for comment, name in found if comment.startswith("  // Output only. ")}
    assert output_only == set(fields) - (SETTABLE if message == "Task" else set())
