"""The journal to which the handlers of a worker append what they do: the witness of how often they ran."""

from dataclasses import dataclass
from pathlib import Path

from schedule_grpc.conformance.check import CLOCK

WORDS = 3
"""Of a line: event, execution, attempt."""
BEGIN, STOPPED, END = "begin", "stopped", "end"


@dataclass(frozen=True, slots=True)
class Note:
    """A line of the journal."""

    event: str
    execution_id: str
    attempt: int
    seen: float
    """When the kit read it, by the monotonic clock."""


class Journal:
    """Reads the lines of a file as they are appended."""

    def __init__(self, path: Path) -> None:
        """Create the file."""
        self.path = path
        self._read = 0
        self._notes: list[Note] = []
        self.unreadable: list[str] = []
        """Lines that are not in the form that the guide asks for."""
        path.touch()

    def notes(self, execution_id: str = "") -> list[Note]:
        """Return the lines so far: of one execution, or all."""
        self._read_on()
        return [note for note in self._notes if not execution_id or note.execution_id == execution_id]

    def begins(self, execution_id: str) -> int:
        """Return how often a handler was called for an execution."""
        return sum(note.event == BEGIN for note in self.notes(execution_id))

    def find(self, event: str, execution_id: str, attempt: int = 1) -> float | None:
        """Return when a line was read; None if there is none."""
        for note in self.notes(execution_id):
            if (note.event, note.attempt) == (event, attempt):
                return note.seen
        return None

    def most_at_once(self, executions: set[str]) -> int:
        """Return how many handlers of these executions ran at once at most."""
        running = most = 0
        for note in self.notes():
            if note.execution_id in executions:
                running += {BEGIN: 1, END: -1}.get(note.event, 0)
                most = max(most, running)
        return most

    def _read_on(self) -> None:
        now = CLOCK.monotonic()
        with self.path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole, newline, _ = data.rpartition(b"\n")
        self._read += len(whole) + len(newline)
        for line in whole.decode(errors="replace").split("\n") if newline else ():
            words = line.split()
            if len(words) == WORDS and words[0] in (BEGIN, STOPPED, END) and words[2].isdecimal():
                self._notes.append(Note(words[0], words[1], int(words[2]), now))
            else:
                self.unreadable.append(line)
