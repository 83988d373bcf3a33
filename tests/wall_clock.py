"""The wall clock of a real server, set by a test (libfaketime)."""

from importlib.util import find_spec
from pathlib import Path


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
        return {
            "LD_PRELOAD": library(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
