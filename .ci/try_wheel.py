"""Try the installed wheel: what is in it, and does it serve? Run by `make dist` in an otherwise empty environment."""

import json
import signal
import subprocess
import sys
import tempfile
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

COMMAND = Path(sys.executable).with_name("schedule-grpc")
SHIPPED = (
    *("protos/schedule/v1/schedule.proto", "protos/schedule/v1/access.proto", "py.typed"),
    "pb/descriptors.binpb",
    *("store/sql/tasks.sql", "store/migrations/0001_initial.sql"),
)


def main() -> None:
    """Serve in an empty folder, ask one real question, stop."""
    for name in SHIPPED:
        assert files("schedule_grpc").joinpath(name).is_file(), f"{name} is not in the wheel"
    shown = subprocess.run([COMMAND, "--version"], capture_output=True, check=True, text=True, timeout=30)
    assert shown.stdout == f"schedule-grpc {version('schedule-grpc')}\n", shown.stdout
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [COMMAND, "serve", "--init", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"],
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stdout is not None
            address = server.stdout.readline().removeprefix("gRPC on ").strip()
            listed = subprocess.run(
                [COMMAND, "tasks", "list", "--json", "--server", address], capture_output=True, check=True, timeout=30
            )
            names = [task["name"] for task in json.loads(listed.stdout)]
            assert "cleanup-expired-sessions" in names, names
            server.send_signal(signal.SIGTERM)
            code = server.wait(timeout=30)
            assert code == 0, f"exit code {code}"
        finally:
            server.kill()
            server.wait()
    print(f"the wheel serves: {', '.join(names)}")


if __name__ == "__main__":
    main()
