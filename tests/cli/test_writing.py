"""What becomes of output that is not read, not kept, or not of its stream's encoding."""

import json
import os
import subprocess
from pathlib import Path
from typing import IO, Any

import pytest
from support.patience import AT_MOST
from support.servers.launched import COMMAND, environment
from support.servers.process import run

NAME = "pr\u00fcfung-\u2192-\U0001f4c5"


def command(*arguments: str, stdout: int | IO[Any], **variables: str) -> tuple[int, bytes, bytes]:
    """Run a command to its end; return its exit code, standard output and standard error."""
    done = subprocess.run(
        [COMMAND, *arguments],
        env=environment(**variables),
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=AT_MOST,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "variables",
    [
        {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONIOENCODING": "ascii:strict"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
    ids=lambda variables: variables["PYTHONIOENCODING"],
)
def test_an_output_that_is_not_utf_8_is_no_traceback(variables: dict[str, str], tmp_path: Path):
    """What it lacks is escaped for people; JSON stays JSON."""
    encoding = variables["PYTHONIOENCODING"].partition(":")[0]
    folder = tmp_path / NAME
    code, out, errors = command("proto", "--out", str(folder), stdout=subprocess.PIPE, **variables)
    assert (code, errors) == (0, b"")
    paths = [f"{folder}/schedule/v1/{name}.proto" for name in ("access", "schedule", "worker")]
    assert out == "".join(f"{path}\n" for path in paths).encode(encoding, "backslashreplace")
    code, out, errors = command("proto", "--out", str(folder), "--json", stdout=subprocess.PIPE, **variables)
    assert (code, errors) == (0, b"")
    assert json.loads(out.decode(encoding)) == paths


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_who_is_gone_ends_a_command_quietly(unbuffered: str):
    """As `| head` does, early or late; help too."""
    for arguments in (("preview", "@daily", "--count", "1000"), ("--help",)):
        theirs, ours = os.pipe()
        os.close(theirs)
        with os.fdopen(ours, "wb") as pipe:
            code, _, errors = command(*arguments, stdout=pipe, PYTHONUNBUFFERED=unbuffered)
        assert (code, errors) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_disk_that_takes_no_output_is_told_in_a_line(unbuffered: str):
    """And the exit code says that something is missing."""
    with Path("/dev/full").open("wb") as full:
        code, _, errors = command("preview", "@daily", stdout=full, PYTHONUNBUFFERED=unbuffered)
    assert (code, errors) == (1, b"cannot write the output: No space left on device\n")


def test_the_version_is_told():
    """Of the program that answers."""
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("schedule-grpc 0.")
