"""A process that the suite's launcher starts is what the executed program would be."""

import os
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
from support.patience import AT_MOST
from support.servers import launched
from support.servers.launched import COMMAND, Launched, environment


def both(*arguments: str, folder: Path, **variables: str) -> "list[subprocess.CompletedProcess[str]]":
    """Run a command by the launcher, then as a program."""
    given = environment(**variables)
    forked = launched.run(arguments, folder=folder, variables=given, timeout=AT_MOST)
    executed = subprocess.run(
        [COMMAND, *arguments], cwd=folder, env=given, capture_output=True, text=True, timeout=AT_MOST, check=False
    )
    return [forked, executed]


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (("--version",), {}),
        (("preview", "0 9 * * *", "--json", "--after", "2026-03-28T00:00:00Z"), {}),
        (("preview", "61 9 * * *"), {}),
        (("tasks", "lst"), {}),
        (("tasks", "list"), {"SCHEDULE_SERVER": "127.0.0.1:1", "SCHEDULE_DEADLINE": "200ms"}),
        (("serve", "--config", "here.toml"), {}),
        (("serve",), {"SCHEDULE_FAILPOINTS": "claim.writen=kill"}),
        ((), {"_SCHEDULE_GRPC_COMPLETE": "complete_bash", "COMP_WORDS": "schedule-grpc task", "COMP_CWORD": "1"}),
    ],
)
def test_it_writes_and_ends_as_the_program_does(arguments: tuple[str, ...], variables: dict[str, str], tmp_path: Path):
    """Arguments, folder and environment are its own."""
    (tmp_path / "here.toml").write_text("concurrency = 0\n")
    forked, executed = both(*arguments, folder=tmp_path, **variables)
    assert (forked.returncode, forked.stdout, forked.stderr) == (
        executed.returncode,
        executed.stdout,
        executed.stderr,
    )


def test_its_end_is_told_once_it_has_ended(tmp_path: Path):
    """Not before; a signal that ends it is told as `subprocess` tells it."""
    arguments = ("serve", "--grpc", "127.0.0.1:0", "--http", "off")
    with tempfile.TemporaryFile("w+") as log:
        process = launched.start(
            arguments, folder=tmp_path, variables=environment(), stdout=subprocess.PIPE, stderr=log
        )
        assert isinstance(process, Launched)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("gRPC on ")
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0)
        process.send_signal(signal.SIGKILL)
        assert process.wait(AT_MOST) == process.poll() == -signal.SIGKILL
        process.stdout.close()
    assert not Path(f"/proc/{process.pid}").exists()


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PYTHONDEVMODE", "PYTHONPATH", "LC_ALL"])
def test_what_is_read_at_the_start_has_the_program_executed(name: str, tmp_path: Path):
    """A process that was forked would not heed it."""
    given = environment(**{name: "C"})
    with Path(os.devnull).open("r+") as nothing:
        process = launched.start(
            ["--version"],
            folder=tmp_path,
            variables=given,
            stdout=nothing.fileno(),
            stderr=nothing,
        )
        assert isinstance(process, subprocess.Popen)
        assert process.wait(AT_MOST) == 0
