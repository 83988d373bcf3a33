"""The wall clock of a server, set by a test: of one in the test's process, or of a process of its own (libfaketime)."""

from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from schedule_grpc.runtime.clock import SystemClock

BEHIND = SystemClock().now() - datetime(2026, 1, 14, 12, 5, 7, tzinfo=UTC)
"""How far the clocks of tests that are not about time are set back: this process began on a Wednesday, just after noon.

The suite may run at any moment, but nothing that is due by the hour or the day comes into such a test.
"""


class QuietClock(SystemClock):
    """The machine's clock, set back."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        return super().now() - BEHIND


def quiet() -> dict[str, str]:
    """Return what sets the clock of a server process back as far."""
    return _faked(FAKETIME=f"-{BEHIND.total_seconds():.0f}")


def _faked(**how: str) -> dict[str, str]:
    """Return what makes a process follow another wall clock; what measures durations goes on as it is."""
    return {"LD_PRELOAD": library(), "FAKETIME_DONT_FAKE_MONOTONIC": "1"} | how


def library() -> str:
    """Return where libfaketime is; its Python package, which would load it into this process, is not imported."""
    spec = find_spec("libfaketime")
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1")


class WallClock:
    """The wall clock of a server; what measures durations goes on as it is."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.jump(0)

    def jump(self, seconds: int) -> None:
        """Set it so far off the real one."""
        beside = self._file.with_suffix(".new")
        beside.write_text(f"{seconds:+d}\n")
        beside.rename(self._file)

    def variables(self) -> dict[str, str]:
        """Return what makes a process follow it."""
        return _faked(FAKETIME_TIMESTAMP_FILE=str(self._file), FAKETIME_NO_CACHE="1")
